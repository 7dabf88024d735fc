"""The command ``python -m reference paper NAME``, one figure or table of the paper."""

import argparse

from reference.paper import figure1, figure4, figure5, figure9, figure12, figure15, table1, table2, table3
from reference.runs import Command

COMMANDS: dict[str, Command] = {
    "figure1": figure1,
    "figure4": figure4,
    "figure5": figure5,
    "figure9": figure9,
    "figure12": figure12,
    "figure15": figure15,
    "table1": table1,
    "table2": table2,
    "table3": table3,
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare a subcommand for each figure and table."""
    names = parser.add_subparsers(dest="name", required=True, metavar="NAME", help=", ".join(COMMANDS))
    for name, module in COMMANDS.items():
        module.configure(names.add_parser(name, help=module.run.__doc__))


def run(arguments: argparse.Namespace) -> str:
    """Reproduce a figure or table of the paper, with certified values."""
    return COMMANDS[arguments.name].run(arguments)
