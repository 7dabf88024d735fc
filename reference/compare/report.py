"""The command that reports a comparison: a page, its figures, and a table for the terminal."""

import argparse
import io
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from reference.compare.page import TABLE_ACCURACY, write_page
from reference.compare.plots import draw_curves, draw_profiles, draw_ratios
from reference.compare.profiles import OURS, shares
from reference.compare.results import read
from reference.compare.words import findings


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("results", type=Path, help="the file that 'python -m reference compare' wrote")
    parser.add_argument("--out", type=Path, help="folder of page and figures (default: that of the results)")


def run(arguments: argparse.Namespace) -> str:
    """Write the page and the figures of a comparison; say how many instances each solver solved."""
    try:
        table = read(arguments.results)
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(str(error)) from error
    if (table["status"] == "not_run").all():
        why = "; ".join(f"{solver}: {note}" for solver, note in table.groupby("solver")["note"].first().items())
        raise SystemExit(f"{arguments.results} holds no results yet" + (f", no solver was run ({why})" if why else ""))
    out, stem = arguments.out or arguments.results.parent, arguments.results.stem
    out.mkdir(parents=True, exist_ok=True)
    figures = {name: _png(figure) for name, figure in _figures(table).items()}
    for name, png in figures.items():
        (out / f"{stem}-{name}.png").write_bytes(png)
    page = out / f"{stem}.html"
    write_page(table, figures, page, arguments.results)
    solved = shares(table)
    solved.columns = [f"{each:g}" for each in solved.columns]
    text = solved.to_string(float_format=lambda share: f"{share:.0%}")
    return "\n".join(["share of instances solved at each accuracy", text, "", *findings(table), "", f"page: {page}"])


def _figures(table: pd.DataFrame) -> dict[str, Figure]:
    drawn = {"profiles": draw_profiles(table), "seconds": draw_profiles(table, "seconds")}
    if (table["status"] == "answered").any():
        drawn["curves"] = draw_curves(table)
    ran = set(table.loc[table["status"] != "not_run", "solver"])
    if OURS in ran and len(ran) > 1:
        drawn["ratios"] = draw_ratios(table, TABLE_ACCURACY)
    return drawn


def _png(figure: Figure) -> bytes:
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=130, facecolor="white")
    return data.getvalue()
