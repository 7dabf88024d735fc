"""The command ``cvxrelu info``."""

from rich.console import Console

from cvxrelu.cli import options
from cvxrelu.cli.terminal import epilog, print_json, working

EPILOG = epilog("cvxrelu info", "cvxrelu info --json", codes="Exit code: 0.")


def info(as_json: options.AsJson = False) -> None:
    """Show which solvers are installed and licensed, versions, BLAS and threads.

    Solvers that need a licence are tried on a small and a larger program.
    """
    out, errors = Console(highlight=False), Console(stderr=True)
    with working(errors, "looking around"):
        from cvxrelu.cli.runs.info import inspect_environment
        from cvxrelu.cli.views.info import environment_grids, environment_record

        found = inspect_environment()
    if as_json:
        print_json(environment_record(found))
    else:
        for grid in environment_grids(found):
            out.print(grid)
