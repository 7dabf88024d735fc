"""The command ``cvxrelu compare``."""

from typing import Annotated

import typer
from rich.console import Console

from cvxrelu.cli import options
from cvxrelu.cli.settings import Kind, Task
from cvxrelu.cli.terminal import NOT_PROVED, epilog, print_json, print_message, working

EPILOG = epilog(
    "cvxrelu compare houses.csv --target price",
    "cvxrelu compare houses.csv --target price --solvers WorkingSet CLARABEL ECOS",
    "cvxrelu compare train.npz --kind relu --gates 25 --solvers WorkingSet SCS",
    codes="Exit codes: 0 some solver proved its answer to the tolerance, and no two contradict each other; "
    "2 bad input; 3 shown, but not proved.",
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
            help="Native solvers and those of CVXPY, after DATA. Default: WorkingSet CLARABEL ECOS SCS.",
        ),
    ] = None,
    more: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    tol: options.Tol = 1e-6,
    max_iter: options.MaxIter = None,
    time_limit: options.TimeLimit = None,
    as_json: options.AsJson = False,
) -> None:
    """Solve one problem by several solvers, all judged by one certificate.

    Each answer is evaluated and bounded anew from weights and data; no solver is believed. The certified intervals
    of all of them must meet.
    """
    out, errors = Console(highlight=False), Console(stderr=True)
    with working(errors, "loading") as status:
        from cvxrelu.cli.data.tables import read_table, split_table
        from cvxrelu.cli.runs.compare import compare_solvers
        from cvxrelu.cli.runs.solve import fit_of, lam_of
        from cvxrelu.cli.views.compare import comparison_record, print_comparison

        if more and not solvers:
            raise ValueError(f"one file of data is taken; got {', '.join([str(data), *more])}")
        asked = [*(solvers or _DEFAULT), *(more or [])]
        settings = options.settings_of(kind, gates, loss, seed, tol, max_iter, time_limit, lam=lam, lam_ratio=lam_ratio)
        split = split_table(read_table(data, target, task), test_size, seed)
        fit = fit_of(split, settings)
        comparison = compare_solvers(fit.problem(lam_of(fit, settings)), asked, settings, status.update)
    if as_json:
        found = comparison_record(comparison, split, fit.standardization, settings)
        print_json({"file": str(data), "target": split.table.target} | found)
    else:
        print_comparison(out, comparison, split, fit.standardization)
    if comparison.contradiction:
        print_message(errors, "check failed", "the certified intervals do not meet: please report this")
    if comparison.contradiction or not comparison.proved:
        raise typer.Exit(NOT_PROVED)
