"""Single runs as a table, lines of text and a JSON record."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from rich.console import Console
from rich.table import Table as Grid

from cvxrelu._version import __version__
from cvxrelu.cli.data.tables import TrainTestSplit
from cvxrelu.cli.runs.solve import Duality, Run
from cvxrelu.cli.settings import Task
from cvxrelu.cli.terminal import print_lines
from cvxrelu.cli.views.format import RIGOR_SENTENCES, SCORES, data_record, finite, some, value, written_lines
from cvxrelu.optimize.solution import Solution
from cvxrelu.preprocessing.rows import Standardization

Section = dict[str, str]


def print_run(out: Console, run: Run, written: Mapping[str, str]) -> None:
    """Print the data, the result, its meaning and the files written."""
    print_lines(out, data_lines(run.split, run.fit.standardization))
    out.print(results_grid([run]))
    print_lines(out, [*result_lines(run), *written_lines(written)])
    if "network" in written:
        mean = " An additional neuron carries its mean." if run.network.n_neurons > run.n_neurons else ""
        print_lines(out, [f"The network takes the raw columns followed by a one, and predicts the raw target.{mean}"])
    if "certificate" in written and "data" in written:
        print_lines(out, [f"To check it: cvxrelu verify {written['certificate']} --data {written['data']}"])


def results_grid(runs: Sequence[Run], duals: Sequence[Duality] = (), natives: Sequence[Solution] = ()) -> Grid:
    """Return a table with a column for each run, including its dual program and native solution if given."""
    grid = Grid()
    grid.add_column("")
    for run in runs:
        grid.add_column(run.settings.kind.label, justify="right", no_wrap=True)
    columns = [_sections(*column) for column in zip_longest(runs, duals, natives)]
    for sections in zip(*columns, strict=True):
        for name in sections[0]:
            grid.add_row(name, *(section[name] for section in sections))
        grid.add_section()
    return grid


def data_lines(split: TrainTestSplit, standardization: Standardization) -> list[str]:
    """Return lines that describe the data."""
    table = split.table
    lines = [
        f"Rows: {len(split.y_train)} to train, {len(split.y_test)} to test.",
        f"Features: {len(table.features)}, standardised to mean 0 and standard deviation 1 on the training rows, and a "
        "column of ones for the biases.",
    ]
    if split.constant:
        lines.append(f"Constant on the training rows, hence without effect: {some(split.constant)}.")
    if table.blank_lines:
        lines.append(f"Skipped: {table.blank_lines} line(s) without any value.")
    if table.task is Task.CLASSIFICATION:
        lines.append(f"Classification: {table.labels[0]!r} is -1, {table.labels[1]!r} is +1.")
    else:
        lines.append(
            f"Regression: the target is standardised, (y - {standardization.y_mean[0]:.6g}) / "
            f"{standardization.y_scale[0]:.6g}; RMSE is in units of the raw target."
        )
    return lines


def result_lines(run: Run) -> list[str]:
    """Return lines that explain the result."""
    lines = [
        f"Certified: the objective of this network is within {run.certificate.rel_gap:.1e} (relative) "
        f"of the minimum over all two-layer {run.settings.kind.label} networks, of any width, whose neurons have "
        f"the {len(run.certificate.problem.patterns)} given patterns. Networks with other patterns may do better.",
        RIGOR_SENTENCES[run.certificate.rigor],
    ]
    if run.certificate.within(run.settings.tol) and run.n_neurons == 0:
        lines.append("The optimal network is empty: the target is constant, or lam is at least lam_max.")
    return lines


def record(run: Run) -> dict[str, Any]:
    """Return a run in JSON types; unknown and non-finite numbers are None."""
    split, settings, solution, certificate = run.split, run.settings, run.solution, run.certificate
    fields = {
        "version": __version__,
        "kind": settings.kind.value,
        **data_record(split, run.fit.standardization),
        "seed": settings.seed,
        "loss": settings.loss,
        "lam": certificate.problem.lam,
        "n_patterns": len(certificate.problem.patterns),
        "solver": solution.solver,
        "solver_status": solution.solver_status,
        "status": solution.status.value,
        "tol": settings.tol,
        "objective": certificate.upper,
        "lower": certificate.lower,
        "gap": certificate.gap,
        "rel_gap": certificate.rel_gap,
        "scope": certificate.scope,
        "rigor": certificate.rigor,
        "network_objective": run.network_objective,
        "n_neurons": run.n_neurons,
        "max_violation": certificate.max_violation,
        "kkt_residual": certificate.kkt_residual,
        "train": run.train,
        "test": run.test,
        "n_iter": solution.n_iter,
        "seconds": solution.time,
        "compile_seconds": solution.compile_time,
        "solve_seconds": solution.solve_time,
    }
    record: dict[str, Any] = finite(fields)
    return record


def _sections(run: Run, dual: Duality | None, native: Solution | None) -> list[Section]:
    solution, certificate = run.solution, run.certificate
    problem = certificate.problem
    convex = {"convex program, primal value": value(certificate.upper)}
    seconds = {"seconds": f"{solution.time:.2f}"}
    if dual is not None:
        convex["convex program, dual value"] = value(dual.value)
        convex["difference"] = f"{certificate.upper - dual.value:.1e}"
        seconds = {"seconds, primal + dual": f"{solution.time:.2f} + {dual.seconds:.2f}"}
    sections = [
        {"patterns": str(len(problem.patterns)), "lam": f"{problem.lam:.4g}"},
        convex,
        {
            "network, objective": value(run.network_objective),
            "difference from convex": f"{run.network_objective - certificate.upper:.1e}",
            "active neurons": str(run.n_neurons),
        },
        {
            "certificate, lower bound": value(certificate.lower),
            "relative gap": f"{certificate.rel_gap:.1e}",
            "cone violation before repair": f"{certificate.max_violation:.1e}",
        },
        _score_rows(run),
        seconds,
    ]
    if native is not None:
        sections.append(
            {
                "native solver": native.solver,
                "its objective": value(native.objective),
                "its relative gap": f"{native.certificate.rel_gap:.1e}",
                "its seconds": f"{native.time:.2f}",
            }
        )
    return sections


def _score_rows(run: Run) -> Section:
    names = ("accuracy",) if run.split.table.task is Task.CLASSIFICATION else ("rmse", "r2")
    return {
        f"{title}, {part}": form.format(scores[name]) if name in scores else "-"
        for name, (title, form) in ((name, SCORES[name]) for name in names)
        for part, scores in (("train", run.train), ("test", run.test))
    }
