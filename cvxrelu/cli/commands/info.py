"""The command ``cvxrelu info``."""

from rich.console import Console

from cvxrelu.cli import options
from cvxrelu.cli.terminal import epilog, print_json, working

EPILOG = epilog("cvxrelu info", "cvxrelu info --json", codes="Exit code: 0.")


def info(as_json: options.AsJson = False) -> None:
    """Show installed and licensed solvers, versions, BLAS and threads.

    Solvers that need a licence are tested on a small and a larger program.
    """
    out, errors = Console(highlight=False), Console(stderr=True)
    with working(errors, "inspecting the environment"):
        from cvxrelu.cli.runs.info import inspect_environment
        from cvxrelu.cli.views.info import environment_grids, environment_record

        environment = inspect_environment()
    if as_json:
        print_json(environment_record(environment))
    else:
        for grid in environment_grids(environment):
            out.print(grid)
