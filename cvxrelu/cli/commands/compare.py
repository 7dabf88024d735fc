"""The command ``cvxrelu compare``."""

from typing import Annotated

import typer
from rich.console import Console

from cvxrelu.cli import options
from cvxrelu.cli.settings import Kind, Task
from cvxrelu.cli.terminal import ABOVE_TOLERANCE, epilog, print_json, print_message, working

EPILOG = epilog(
    "cvxrelu compare houses.csv --target price",
    "cvxrelu compare houses.csv --target price --solvers WorkingSet CLARABEL ECOS",
    "cvxrelu compare train.npz --kind relu --gates 25 --solvers WorkingSet SCS",
    codes="Exit codes: 0 some solver reached the tolerance, and no two contradict each other; "
    "2 invalid input; 3 shown, but with larger gaps.",
)
_DEFAULT = ["WorkingSet", "CLARABEL", "ECOS", "SCS"]


def compare(
    data: options.Data,
    target: options.Target = None,
    task: options.Task = Task.AUTO,
    test_size: options.TestSize = 0.2,
    seed: options.Seed = 0,
    kind: options.Kind = Kind.GATED,
    gates: options.Gates = 100,
    loss: options.Loss = "squared",
    lam: options.Lam = None,
    lam_ratio: options.LamRatio = None,
    solvers: Annotated[
        list[str] | None,
        typer.Option(
            rich_help_panel="Solver",
            metavar="NAME...",
            help="Native and CVXPY solvers, given after DATA. Default: WorkingSet CLARABEL ECOS SCS.",
        ),
    ] = None,
    more: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    tol: options.Tol = 1e-6,
    max_iter: options.MaxIter = None,
    time_limit: options.TimeLimit = None,
    as_json: options.AsJson = False,
) -> None:
    """Solve one problem with several solvers, and certify each answer.

    Both bounds of each answer are recomputed from weights and data, without trusting the solver. The certified
    intervals must intersect.
    """
    out, errors = Console(highlight=False), Console(stderr=True)
    with working(errors, "loading") as status:
        from cvxrelu.cli.data.tables import read_table, split_table
        from cvxrelu.cli.runs.compare import compare_solvers
        from cvxrelu.cli.runs.solve import fit_of, lam_of
        from cvxrelu.cli.views.compare import comparison_record, print_comparison

        if more and not solvers:
            raise ValueError(f"DATA must be a single file; got {', '.join([str(data), *more])}")
        requested = [*(solvers or _DEFAULT), *(more or [])]
        settings = options.settings_of(kind, gates, loss, seed, tol, max_iter, time_limit, lam=lam, lam_ratio=lam_ratio)
        split = split_table(read_table(data, target, task), test_size, seed)
        fit = fit_of(split, settings)
        comparison = compare_solvers(fit.problem(lam_of(fit, settings)), requested, settings, status.update)
    if as_json:
        record = comparison_record(comparison, split, fit.standardization, settings)
        print_json({"file": str(data), "target": split.table.target} | record)
    else:
        print_comparison(out, comparison, split, fit.standardization)
    if comparison.contradiction:
        print_message(errors, "check failed", "the certified intervals do not intersect: please report this")
    if comparison.contradiction or not comparison.reached:
        raise typer.Exit(ABOVE_TOLERANCE)
