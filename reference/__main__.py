"""Run a reference computation, by name."""

import argparse
from pathlib import Path
from typing import Any

from reference.benchmarks import ablation, compile_time, decompositions, estimators, global_optima, growth, images
from reference.benchmarks import first_order as bench
from reference.compare import report_command as report
from reference.compare import run as compare
from reference.fuzz import run as fuzz
from reference.instances import listing, optima
from reference.paper import commands as paper
from reference.race import command as race
from reference.race.cases import KINDS
from reference.race.peers import Effort

_COMMANDS = {
    "instances": listing,
    "optima": optima,
    "compare": compare,
    "report": report,
    "paper": paper,
    "estimators": estimators,
    "fuzz": fuzz,
}


def main() -> None:
    """Parse the command line and run what it names."""
    parser = argparse.ArgumentParser(prog="python -m reference", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("compile-time", help=compile_time.measure.__doc__)
    command.add_argument("--gates", type=int, default=500, help="number of gates (default: 500)")
    command.add_argument("--repeats", type=int, default=3, help="number of runs; medians are printed (default: 3)")
    command = commands.add_parser("bench", help=bench.measure.__doc__)
    command.add_argument("--repeats", type=int, default=5, help="number of runs; medians are printed (default: 5)")
    command.add_argument("--threads", type=int, default=2, help="threads on both sides (default: 2)")
    command = commands.add_parser("ablation", help=ablation.measure.__doc__)
    command.add_argument("--repeats", type=int, default=3, help="number of runs; medians are printed (default: 3)")
    command.add_argument("--threads", type=int, default=1, help="threads (default: 1)")
    command = commands.add_parser("decompositions", help=decompositions.measure.__doc__)
    command.add_argument("--gates", type=int, default=1000, help="number of gates (default: 1000)")
    command.add_argument("--repeats", type=int, default=3, help="number of runs; medians are printed (default: 3)")
    command.add_argument("--threads", type=int, default=1, help="threads on both sides (default: 1)")
    command = commands.add_parser("global", help=global_optima.measure.__doc__)
    command.add_argument("--cases", type=_names, default=[], help="cases, comma separated (default: all)")
    command.add_argument("--threads", type=int, default=1, help="threads (default: 1)")
    command = commands.add_parser("growth", help=growth.measure.__doc__)
    command.add_argument("--repeats", type=int, default=3, help="number of runs; medians are printed (default: 3)")
    command.add_argument("--threads", type=int, default=1, help="threads (default: 1)")
    command.add_argument("--out", type=Path, default=Path("build/growth.png"), help="the plot")
    command = commands.add_parser("images", help=images.measure.__doc__)
    command.add_argument("path", type=Path, help="file of the images")
    command.add_argument("--loss", choices=("squared", "softmax"), default="squared", help="(default: squared)")
    command.add_argument("--gates", choices=("dense", "convolutional"), default="dense", help="(default: dense)")
    command.add_argument("--n-gates", type=int, default=1000, help="number of gates (default: 1000)")
    command.add_argument("--lam-ratio", type=float, default=0.1, help="lam over lam_max (default: 0.1)")
    command.add_argument("--solver", default="auto", help="as cvxrelu.solve spells it (default: auto)")
    command.add_argument("--tol", type=float, default=1e-3, help="certified gap (default: 1e-3)")
    command.add_argument("--time-limit", type=float, default=600.0, help="seconds (default: 600)")
    command.add_argument("--threads", type=int, default=2, help="threads (default: 2)")
    command = commands.add_parser("race", help=race.measure.__doc__)
    command.add_argument("kind", choices=KINDS, help="which problems")
    command.add_argument("--solver", default="auto", help="ours, as cvxrelu.solve spells it (default: auto)")
    command.add_argument("--tol", type=float, help="certified gap asked of ours (default: 1e-6; path: 1e-4)")
    command.add_argument("--cases", type=_names, default=[], help="data sets or cases, comma separated (default: all)")
    command.add_argument("--peers", type=_names, default=[], help="peers, comma separated (default: all)")
    command.add_argument("--repeats", type=int, default=5, help="number of runs; medians are printed (default: 5)")
    command.add_argument("--threads", type=int, default=1, help="threads on all sides (default: 1)")
    command.add_argument("--timeout", type=float, default=150.0, help="seconds for one solve (default: 150)")
    command.add_argument("--out", type=Path, help="file of the results (default: build/race-KIND.json)")
    command.add_argument("--resume", action="store_true", help="go on from the cases that the file holds")
    for name, module in _COMMANDS.items():
        module.configure(commands.add_parser(name, help=module.run.__doc__))
    arguments = parser.parse_args()
    if arguments.command in _COMMANDS:
        print(_COMMANDS[arguments.command].run(arguments))
    elif arguments.command == "compile-time":
        print(compile_time.measure(arguments.gates, arguments.repeats))
    elif arguments.command == "ablation":
        print(ablation.measure(arguments.repeats, arguments.threads))
    elif arguments.command == "global":
        print(global_optima.measure(arguments.cases, arguments.threads))
    elif arguments.command == "growth":
        print(growth.measure(arguments.repeats, arguments.threads, arguments.out))
    elif arguments.command == "decompositions":
        print(decompositions.measure(arguments.gates, arguments.repeats, arguments.threads))
    elif arguments.command == "images":
        print(images.measure(images.Plan(**_options(arguments))))
    elif arguments.command == "race":
        print(race.measure(_plan(arguments)))
    else:
        print(bench.measure(arguments.repeats, arguments.threads))


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    return {name: value for name, value in vars(arguments).items() if name != "command"}


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _plan(arguments: argparse.Namespace) -> race.Plan:
    return race.Plan(
        kind=arguments.kind,
        solver=arguments.solver,
        tol=arguments.tol,
        cases=arguments.cases,
        peers=arguments.peers,
        effort=Effort(arguments.repeats, arguments.threads, arguments.timeout),
        out=arguments.out,
        go_on=arguments.resume,
    )


if __name__ == "__main__":
    main()
