"""The command that reports a comparison: a page, its figures, and a table for the terminal."""

import argparse
from pathlib import Path

from reference.compare.page import write_page
from reference.compare.plots import draw_curves, draw_profiles
from reference.compare.profiles import shares
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
    if table.empty:
        raise SystemExit(f"{arguments.results} holds no results yet")
    out = arguments.out or arguments.results.parent
    page = out / f"{arguments.results.stem}.html"
    write_page(table, page, arguments.results)
    for name, figure in {
        "profiles": draw_profiles(table),
        "profiles-seconds": draw_profiles(table, "seconds"),
        "curves": draw_curves(table),
    }.items():
        figure.savefig(out / f"{arguments.results.stem}-{name}.png", dpi=150)
    solved = shares(table)
    solved.columns = [f"{each:g}" for each in solved.columns]
    text = solved.to_string(float_format=lambda share: f"{share:.0%}")
    return "\n".join(["share of instances solved at each accuracy", text, "", *findings(table), "", f"page: {page}"])
