"""The command ``cvxrelu demo``."""

from typing import Annotated

import typer
from rich.console import Console

from cvxrelu.cli.options import Seed, Solver, Tol
from cvxrelu.cli.settings import Kind, Settings
from cvxrelu.cli.terminal import ABOVE_TOLERANCE, epilog, print_lines, print_message, working

EPILOG = epilog("cvxrelu demo", "cvxrelu demo --relu-patterns 10 --lam 0.01")


def demo(
    gated_patterns: Annotated[int, typer.Option(min=1, metavar="<int>", help="Gates of the gated network.")] = 100,
    relu_patterns: Annotated[int, typer.Option(min=1, metavar="<int>", help="Gates of the ReLU network.")] = 25,
    lam: Annotated[float, typer.Option(help="Strength of the weight decay.")] = 1e-3,
    seed: Seed = 0,
    solver: Solver = "CLARABEL",
    tol: Tol = 1e-6,
) -> None:
    """Prove two networks optimal on real data, in under a minute.

    Solves the convex programs of a gated ReLU and a ReLU network and their duals on scikit-learn's breast-cancer data,
    also with the native solvers, and maps the answers to networks. All values must agree.
    """
    out, errors = Console(highlight=False), Console(stderr=True)
    with working(errors, "loading") as status:
        from cvxrelu.cli.runs import demo as demonstration
        from cvxrelu.cli.views.solve import data_lines, results_grid
        from cvxrelu.problems.cvxpy_backends import Availability, availability

        split = demonstration.load_demo_split(seed)
        settings = [
            Settings(kind, gates, lam, seed=seed, solver=solver, tol=tol)
            for kind, gates in ((Kind.GATED, gated_patterns), (Kind.RELU, relu_patterns))
        ]
        outcomes = demonstration.run_demo(split, settings, status.update)
        runs = [outcome.run for outcome in outcomes]
        failures = [message for outcome in outcomes for message in demonstration.failed_checks(outcome)]
        status.update("certificates: stand-alone checker")
        checks = demonstration.check_elsewhere(runs)
    duals, natives = [outcome.dual for outcome in outcomes], [outcome.native for outcome in outcomes]
    print_lines(out, ["Breast-cancer data, squared loss.", *data_lines(split, runs[0].fit.standardization)])
    if availability("ECOS") is Availability.MISSING:
        print_lines(out, ["ECOS is not installed (pip install ecos) and is not needed here."])
    out.print(results_grid(runs, duals, natives))
    verified = [check for check in checks if check is not None]
    if len(verified) < len(runs):
        failures.append("the stand-alone checker did not verify a saved certificate")
    for message in failures:
        print_message(errors, "check failed", message)
    if failures:
        raise typer.Exit(ABOVE_TOLERANCE)
    print_lines(out, [*demonstration.conclusions(verified), *map(str, verified)])
