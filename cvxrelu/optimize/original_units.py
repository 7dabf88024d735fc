"""Conversion of records, results and solver options between a normalized problem and the original."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.normalization import Normalized
from cvxrelu.solvers.interface import Record, SolverResult

SolverT = TypeVar("SolverT")


def original_record(normal: Normalized[ConvexProblem], record: Record) -> Record:
    """Convert a record of the normalized problem to the units of the original."""
    return replace(
        record,
        objective=normal.value(record.objective),
        lower=normal.value(record.lower),
        violation=normal.activation(record.violation),
        step=None if record.step is None else normal.step(record.step),
    )


def normal_callback(
    normal: Normalized[ConvexProblem], callback: Callable[[Record], Any] | None
) -> Callable[[Record], Any] | None:
    """Return a callback for the normalized problem that passes records on in the units of the original."""
    return None if callback is None else lambda record: callback(original_record(normal, record))


def original_result(normal: Normalized[ConvexProblem], raw: SolverResult) -> SolverResult:
    """Convert a result for the normalized problem to one for the original."""
    t, multipliers = (None, raw.multipliers) if raw.t is None else normal.dual(raw.t, raw.multipliers)
    return replace(
        raw,
        weights=normal.weights(raw.weights),
        t=t,
        multipliers=multipliers,
        history=tuple(original_record(normal, record) for record in raw.history),
    )


def normal_solver(normal: Normalized[ConvexProblem], solver: SolverT) -> SolverT:
    """Return a native solver with its initial step size, if set, in the units of the normalized problem."""
    step = getattr(solver, "step", None)
    return solver if step is None else replace(solver, step=normal.start_step(step))  # type: ignore[type-var]
