"""Run a reference computation: ``python -m reference compile-time``."""

import argparse

from reference import compile_time


def main() -> None:
    """Parse the command line and run what it names."""
    parser = argparse.ArgumentParser(prog="python -m reference", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("compile-time", help=compile_time.measure.__doc__)
    command.add_argument("--gates", type=int, default=500, help="number of gates (default: 500)")
    command.add_argument("--repeats", type=int, default=3, help="number of runs; medians are printed (default: 3)")
    arguments = parser.parse_args()
    print(compile_time.measure(arguments.gates, arguments.repeats))


if __name__ == "__main__":
    main()
