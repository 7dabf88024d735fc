"""Run a reference computation, by name."""

import argparse

from reference import bench, compile_time


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
    arguments = parser.parse_args()
    if arguments.command == "compile-time":
        print(compile_time.measure(arguments.gates, arguments.repeats))
    else:
        print(bench.measure(arguments.repeats, arguments.threads))


if __name__ == "__main__":
    main()
