"""Run a benchmark, a comparison or an experiment of the paper."""

import argparse

from reference.benchmarks import (
    ablation,
    checks,
    compile_time,
    cones,
    decompositions,
    estimators,
    first_order,
    global_optima,
    growth,
    images,
    products,
)
from reference.compare import report_command
from reference.compare import run as compare
from reference.forgeries import run as forge
from reference.fuzz import run as fuzz
from reference.instances import listing, optima
from reference.paper import commands as paper
from reference.race import command as race
from reference.rounded import run as rounded
from reference.runs import Command

COMMANDS: dict[str, Command] = {
    "compile-time": compile_time,
    "bench": first_order,
    "ablation": ablation,
    "decompositions": decompositions,
    "global": global_optima,
    "growth": growth,
    "images": images,
    "checks": checks,
    "products": products,
    "cones": cones,
    "race": race,
    "instances": listing,
    "optima": optima,
    "compare": compare,
    "report": report_command,
    "paper": paper,
    "estimators": estimators,
    "fuzz": fuzz,
    "rounded": rounded,
    "forge": forge,
}


def main() -> None:
    """Parse the command line and run the chosen command."""
    parser = argparse.ArgumentParser(prog="python -m reference", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, module in COMMANDS.items():
        module.configure(commands.add_parser(name, help=module.run.__doc__))
    arguments = parser.parse_args()
    print(COMMANDS[arguments.command].run(arguments))


if __name__ == "__main__":
    main()
