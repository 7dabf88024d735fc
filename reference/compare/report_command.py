"""Report of a comparison: a page, its figures, and a table for the terminal."""

import argparse
import io
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pandas as pd
from matplotlib.figure import Figure

from reference.compare.findings import findings
from reference.compare.page import TABLE_ACCURACY, write_page
from reference.compare.plots import draw_curves, draw_profiles, draw_ratios
from reference.compare.profiles import ACCURACIES, OURS, mean_ratios, solved_fractions
from reference.compare.results import read
from reference.instances import Size


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("results", type=Path, help="results file of 'python -m reference compare'")
    parser.add_argument("--out", type=Path, help="folder for page and figures (default: that of the results)")


def run(arguments: argparse.Namespace) -> str:
    """Write the page and the figures of a comparison, and print the percentage of instances that each solver solved."""
    try:
        table = read(arguments.results)
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(str(error)) from error
    if (table["status"] == "not_run").all():
        reasons = "; ".join(f"{solver}: {note}" for solver, note in table.groupby("solver")["note"].first().items())
        raise SystemExit(
            f"{arguments.results} holds no results yet" + (f", no solver was run ({reasons})" if reasons else "")
        )
    table = _in_order(table)
    out, stem = arguments.out or arguments.results.parent, arguments.results.stem
    out.mkdir(parents=True, exist_ok=True)
    figures = {name: _png(figure) for name, figure in _figures(table).items()}
    for name, png in figures.items():
        (out / f"{stem}-{name}.png").write_bytes(png)
    page = out / f"{stem}.html"
    write_page(table, figures, page, arguments.results)
    return "\n".join([*_tables(table), *findings(table), "", f"page: {page}"])


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the newest version of each instance, sorted, since runs end in any order."""
    newest = table[table["version"] == table.groupby("instance")["version"].transform("max")]
    by = {"rank": True, "instance": True, "solver": True, "asked": False}
    rank = newest["size"].map(get_args(Size).index)
    return newest.assign(rank=rank).sort_values(list(by), ascending=list(by.values())).drop(columns="rank")


def _tables(table: pd.DataFrame) -> Iterator[str]:
    solved = solved_fractions(table).rename(columns="{:g}".format)
    yield "percentage of instances solved at each accuracy"
    yield solved.to_string(float_format="{:.0%}".format) + "\n"
    means = mean_ratios(table)
    if len(means):
        ratios = pd.DataFrame({f"{each:g}": means[each, "ratio"] for each in ACCURACIES})
        yield f"time relative to {OURS}, geometric mean over the instances that both solved"
        yield ratios.to_string(float_format="{:.3g}".format, na_rep="-") + "\n"


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
