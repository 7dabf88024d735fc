"""Regularisation paths as a table, lines of text, a JSON record and a figure."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as Grid

from cvxrelu._version import __version__
from cvxrelu.cli.runs.path import PathRun
from cvxrelu.cli.terminal import print_lines
from cvxrelu.cli.views.format import RIGOR_SENTENCES, SCORES, data_record, finite, new_grid
from cvxrelu.cli.views.solve import data_lines
from cvxrelu.plotting.path import plot_path


def print_path(out: Console, run: PathRun, plot: Path | None) -> None:
    """Print the data, the points, their meaning and the file of the figure."""
    print_lines(out, data_lines(run.split, run.fit.standardization))
    out.print(path_grid(run))
    print_lines(out, path_lines(run))
    if plot is not None:
        print_lines(out, [f"Written: {plot}."])


def path_grid(run: PathRun) -> Grid:
    """Return a table with a row for each point, the best one marked."""
    title, form = SCORES[run.score]
    held_out = [f"{title}, validation"] if run.validation else []
    grid = new_grid("", "lam", "neurons", "objective", "rel. gap", f"{title}, train", *held_out, "", left=0)
    for i, certificate in enumerate(run.path.certificates):
        parts = [run.train[i], *([run.validation[i]] if run.validation else [])]
        grid.add_row(
            str(i + 1),
            f"{run.path.lams[i]:.4g}",
            str(run.neurons[i]),
            f"{certificate.upper:.7g}",
            f"{certificate.rel_gap:.1e}" + ("" if run.path.status[i] == "optimal" else "!"),
            *(form.format(part[run.score]) if run.score in part else "-" for part in parts),
            "*" if i == run.best else "",
        )
    return grid


def path_lines(run: PathRun) -> list[str]:
    """Return lines that explain the points."""
    path, k = run.path, len(run.path)
    lines = []
    missed = sum(status != "optimal" for status in path.status)
    if k:
        kind, n_patterns = run.settings.kind.label, len(path.solutions[0].problem.patterns)
        lines.append(
            f"Certified: each objective is within its relative gap of the minimum over all two-layer {kind} networks, "
            f"of any width, whose neurons have the {n_patterns} given patterns."
        )
        lines.append(RIGOR_SENTENCES[path.certificates[0].rigor])
    if missed:
        lines.append(
            f"! {missed} of {k} points missed the tolerance of {run.settings.tol:g}: raise --max-iter or --tol."
        )
    if run.best is not None:
        title, form = SCORES[run.score]
        lines.append(
            f"* best on validation: lam {path.lams[run.best]:.4g}, {run.neurons[run.best]} neurons, {title} "
            f"{form.format(run.validation[run.best][run.score])}. It was chosen on these rows: test it on others."
        )
    if not path.complete:
        lines.append(f"Not finished ({path.halted}): {k} of {len(path.requested)} points.")
    return lines


def path_record(run: PathRun) -> dict[str, Any]:
    """Return the path in JSON types."""
    path = run.path
    points = [
        {
            "lam": float(path.lams[i]),
            "n_neurons": run.neurons[i],
            "objective": solution.objective,
            "lower": solution.lower,
            "rel_gap": solution.certificate.rel_gap,
            "status": solution.status.value,
            "solver": solution.solver,
            "seconds": solution.time,
            "train": run.train[i],
            "validation": run.validation[i] if run.validation else {},
        }
        for i, solution in enumerate(path.solutions)
    ]
    fields = {
        "version": __version__,
        "kind": run.settings.kind.value,
        **data_record(run.split, run.fit.standardization),
        "seed": run.settings.seed,
        "loss": run.settings.loss,
        "tol": run.settings.tol,
        "complete": path.complete,
        "n_requested": len(path.requested),
        "score": run.score,
        "best": run.best,
        "points": points,
    }
    record: dict[str, Any] = finite(fields)
    return record


def draw_path(file: Path) -> Callable[[PathRun], None]:
    """Return a function that draws a path to a file.

    Raises
    ------
    ValueError
        If matplotlib does not write the format of its extension.
    ModuleNotFoundError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("matplotlib is needed to plot: pip install 'cvxrelu[plot]'") from error
    figure = Figure(figsize=(7.0, 4.4), layout="constrained", dpi=150)
    formats = figure.canvas.get_supported_filetypes()
    if file.suffix.lower().removeprefix(".") not in formats:
        raise ValueError(f"{file} must have the extension of a figure: .{', .'.join(sorted(formats))}")

    def draw(run: PathRun) -> None:
        held_out = [point.get(run.score) for point in run.validation]
        known = [score for score in held_out if score is not None]
        title, _ = SCORES[run.score]
        plot_path(
            run.path,
            known if known and len(known) == len(run.path) else None,
            figure.subplots(),
            score_label=f"{title}, validation",
        )
        figure.savefig(file)

    return draw
