"""The command ``cvxrelu path``."""

import pathlib
from typing import Annotated, Any

import typer
from rich.console import Console

from cvxrelu.cli import options
from cvxrelu.cli.settings import Kind, Task
from cvxrelu.cli.terminal import ABOVE_TOLERANCE, check_outputs, epilog, print_json, working

EPILOG = epilog(
    "cvxrelu path houses.csv --target price",
    "cvxrelu path houses.csv --target price --n-lams 30 --plot path.png",
    "cvxrelu path houses.csv --target price --save-to points",
    codes="Exit codes: 0 every gap within the tolerance; 2 invalid input; 3 shown, but with larger gaps.",
)


def path(
    data: options.Data,
    target: options.Target = None,
    task: options.Task = Task.AUTO,
    test_size: Annotated[
        float, typer.Option(rich_help_panel="Data", help="Fraction of the rows to validate on; 0 for none.")
    ] = 0.2,
    seed: options.Seed = 0,
    kind: options.Kind = Kind.GATED,
    gates: options.Gates = 100,
    loss: options.Loss = "squared",
    n_lams: Annotated[
        int,
        typer.Option(
            rich_help_panel="Problem", min=1, metavar="<int>", help="Number of points, from lam_max downwards."
        ),
    ] = 20,
    eps: Annotated[
        float, typer.Option(rich_help_panel="Problem", help="Ratio of the smallest to the largest lam.")
    ] = 1e-2,
    solver: options.Solver = "auto",
    tol: options.Tol = 1e-4,
    max_iter: options.MaxIter = None,
    time_limit: options.TimeLimit = None,
    plot: Annotated[pathlib.Path | None, options.output("Draw neurons and validation score: PNG, PDF or SVG.")] = None,
    save_to: Annotated[
        pathlib.Path | None,
        typer.Option(
            rich_help_panel="Output",
            metavar="FOLDER",
            help="Write each point when it is solved; repeating the call resumes the path.",
        ),
    ] = None,
    force: options.Force = False,
    as_json: options.AsJson = False,
) -> None:
    """Train networks along a regularisation path, each certified.

    The path runs from lam_max, where the network is zero, down to eps * lam_max, each point started from the previous
    one. If rows are held out, the point of the best validation score is marked.
    """
    out, errors = Console(highlight=False), Console(stderr=True)
    with working(errors, "loading") as status:
        from cvxrelu.cli.data.tables import read_table, split_table
        from cvxrelu.cli.runs.path import run_path
        from cvxrelu.cli.views.path import draw_path, path_record, print_path

        check_outputs([plot], force)
        draw = None if plot is None else draw_path(plot)  # raises before the work
        split = split_table(read_table(data, target, task), test_size, seed)
        settings = options.settings_of(kind, gates, loss, seed, tol, max_iter, time_limit, lam=0.0, solver=solver)
        done = 0

        def show_progress(solution: Any) -> None:
            nonlocal done
            done += 1
            status.update(f"solving: {done} of {n_lams} points, {solution.certificate.n_active} neurons")

        status.update("solving")
        run = run_path(split, settings, n_lams=n_lams, eps=eps, save_to=save_to, callback=show_progress)
        if draw is not None and len(run.path):
            draw(run)
    if as_json:
        print_json({"file": str(data), "target": split.table.target} | path_record(run))
    else:
        print_path(out, run, plot)
    if not run.path.complete or not all(status == "optimal" for status in run.path.status):
        raise typer.Exit(ABOVE_TOLERANCE)
