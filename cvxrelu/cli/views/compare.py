"""Comparisons of solvers as a table, lines of text and a JSON record."""

from typing import Any

from rich.console import Console
from rich.table import Table as Grid

from cvxrelu._version import __version__
from cvxrelu.cli.data.tables import TrainTestSplit
from cvxrelu.cli.runs.compare import Comparison, Trial
from cvxrelu.cli.settings import Settings
from cvxrelu.cli.terminal import print_lines
from cvxrelu.cli.views.format import data_record, finite, new_grid, seconds
from cvxrelu.cli.views.solve import data_lines
from cvxrelu.preprocessing.rows import Standardization


def print_comparison(
    out: Console, comparison: Comparison, split: TrainTestSplit, standardization: Standardization
) -> None:
    """Print the data, the solvers' results and their meaning."""
    print_lines(out, data_lines(split, standardization))
    out.print(comparison_grid(comparison))
    print_lines(out, comparison_lines(comparison))


def comparison_grid(comparison: Comparison) -> Grid:
    """Return a table with a row for each solver, in the given order."""
    grid = new_grid("solver", "seconds", "compile", "solve", "objective", "rel. gap", "viol.", "status")
    for trial in comparison.trials:
        solution = trial.solution
        if solution is None:
            grid.add_row(trial.solver, *["-"] * 6, trial.status)
            continue
        grid.add_row(
            trial.solver,
            seconds(solution.time),
            seconds(solution.compile_time) if solution.compile_time > 0.0 else "-",
            seconds(solution.solve_time),
            f"{solution.objective:.8g}",
            f"{solution.certificate.rel_gap:.1e}",
            f"{solution.certificate.max_violation:.1e}",
            trial.status,
        )
    return grid


def comparison_lines(comparison: Comparison) -> list[str]:
    """Return lines that explain the results."""
    lines = [f"{trial.solver}: {trial.reason}" for trial in comparison.trials if trial.solution is None]
    lines += [
        f"{trial.solver} reported {_solver_status(trial)!r}, but is {trial.status} by its certificate."
        for trial in comparison.trials
        if trial.status == "inaccurate"
    ]
    if comparison.interval is not None and not comparison.contradiction:
        lower, upper = comparison.interval
        lines.append(f"The certified intervals intersect: the optimal value is in [{lower:.10g}, {upper:.10g}].")
    if comparison.reached:
        first = comparison.reached[0]
        lines.append(f"Fastest to a certified relative gap of {comparison.tol:g}: {first.solver}.")
    else:
        lines.append(f"No solver reached a certified relative gap of {comparison.tol:g}.")
    lines.append(
        "Times are of one run each, including the certificate, without loading native solvers; compile: CVXPY's "
        "compilation; solve: as reported by the solver. viol.: largest cone violation before the repair."
    )
    return lines


def comparison_record(
    comparison: Comparison, split: TrainTestSplit, standardization: Standardization, settings: Settings
) -> dict[str, Any]:
    """Return the comparison in JSON types."""
    interval = comparison.interval
    fields = {
        "version": __version__,
        "kind": settings.kind.value,
        **data_record(split, standardization),
        "seed": settings.seed,
        "loss": settings.loss,
        "lam": comparison.problem.lam,
        "n_patterns": len(comparison.problem.patterns),
        "tol": comparison.tol,
        "lower": None if interval is None else interval[0],
        "upper": None if interval is None else interval[1],
        "contradiction": comparison.contradiction,
        "fastest": comparison.reached[0].solver if comparison.reached else None,
        "solvers": [_trial_record(trial) for trial in comparison.trials],
    }
    record: dict[str, Any] = finite(fields)
    return record


def _trial_record(trial: Trial) -> dict[str, Any]:
    fields: dict[str, Any] = {"solver": trial.solver, "status": trial.status, "reason": trial.reason}
    solution = trial.solution
    if solution is not None:
        fields |= {
            "solver_status": solution.solver_status,
            "seconds": solution.time,
            "compile_seconds": solution.compile_time,
            "solve_seconds": solution.solve_time,
            "n_iter": solution.n_iter,
            "objective": solution.objective,
            "lower": solution.lower,
            "gap": solution.gap,
            "rel_gap": solution.certificate.rel_gap,
            "max_violation": solution.certificate.max_violation,
            "n_active": solution.certificate.n_active,
        }
    return fields


def _solver_status(trial: Trial) -> str:
    return "" if trial.solution is None else trial.solution.solver_status
