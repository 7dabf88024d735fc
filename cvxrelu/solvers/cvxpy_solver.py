"""Solve the CVXPY program of a problem with any solver that CVXPY supports."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cvxrelu._validation import FloatArray, Weights
from cvxrelu.exceptions import SolverError, SolverNotAvailableError, UnsupportedOptionWarning
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.cvxpy_backends import BACKENDS, Backend, failure_reason, require_available
from cvxrelu.problems.cvxpy_programs import CANON_BACKEND, check_memory, solver_program, solver_units
from cvxrelu.problems.cvxpy_values import read_dual, read_weights
from cvxrelu.runtime.lazy_imports import cp
from cvxrelu.runtime.threads import cvxpy_alone, warn
from cvxrelu.solvers.interface import SolverResult
from cvxrelu.status import Status

_NEGLIGIBLE = 1e-6
_MIN_TIME = 1e-3
_EXPIRED_FRACTION = 0.95  # of a time limit, as the solver's own clock starts later
# The certified gap is first order in the error of the dual point, so a solver must be more accurate than tol. If the
# gap is still too large, it is run again at a smaller fraction of tol.
_TOL_FRACTIONS = (1e-2, 1e-4, 1e-6)


def solve_cvxpy(
    problem: ConvexProblem,
    solver: str,
    *,
    tol: float,
    max_iter: int | None,
    time_limit: float | None,
    verbose: bool,
    options: dict[str, Any],
) -> Iterator[SolverResult]:
    """Solve the primal program at successively smaller tolerances, then in other units of its features.

    The caller stops when the certified gap is small enough. The iterator ends when a limit is reached, or all
    tolerances and units were tried. See `cvxrelu.solve` for the parameters.

    Raises
    ------
    SolverNotAvailableError
        If the solver is missing, has no licence, or its licence limits the size.
    SolverError
        If it does not support this kind of program; InsufficientMemoryError if the program would not fit in memory.
    """
    require_available(solver)
    backend = BACKENDS.get(solver, Backend(solver.lower()))
    check_memory(problem, solver)
    run = _Run(problem, solver, backend, tol, max_iter, time_limit, verbose, options)
    for units in solver_units(problem):
        falls_short = yield from run.in_units(units)
        if not falls_short or run.time_left() <= 0.0:
            return


@dataclass(frozen=True)
class _Run:
    """Runs of one solver on one problem, within the caller's limits."""

    problem: ConvexProblem
    solver: str
    backend: Backend
    tol: float
    max_iter: int | None
    time_limit: float | None
    verbose: bool
    options: dict[str, Any]
    started: float = field(default_factory=time.perf_counter)

    def in_units(self, units: FloatArray) -> Generator[SolverResult, None, bool]:
        """Yield results for the program in the given units (d,), compiled once, at successively smaller tolerances.

        Return whether the solver ended short of an optimum without reaching a limit of the caller.
        """
        began = time.perf_counter()
        program = solver_program(self.problem, units)
        self._compile(program)
        compile_time = time.perf_counter() - began
        previous, status = None, Status.INACCURATE
        for fraction in _TOL_FRACTIONS:
            tolerances = self.backend.settings(fraction * self.tol, {})
            if tolerances == previous or (previous is not None and self.time_left() <= 0.0):
                break
            previous = tolerances
            limit = None if self.time_limit is None else max(self.time_left(), _MIN_TIME)
            limits = _limits(self.solver, self.backend, self.max_iter, limit)
            settings = self.backend.settings(fraction * self.tol, limits) | self.options
            failure = _run(program, self.solver, self.verbose, settings)
            result = _read(self.problem, program, units, failure, self.tol, compile_time)
            if failure is None and program.status == cp.USER_LIMIT:
                result = replace(result, status=self._reached_limit(result.n_iter))
            yield result
            status = result.status
            if status is not Status.INACCURATE:
                break
        own_limit = status is Status.MAX_ITER and self.max_iter is None
        return own_limit or status in (Status.INACCURATE, Status.FAILED)

    def time_left(self) -> float:
        """Return the seconds left; infinite without a limit."""
        return math.inf if self.time_limit is None else self.time_limit - (time.perf_counter() - self.started)

    def _reached_limit(self, n_iter: int | None) -> Status:
        """Return the limit that ended the solver: the caller's, or its own limit of iterations."""
        by_iterations = self.max_iter is not None and n_iter is not None and n_iter >= self.max_iter
        out_of_time = self.time_limit is not None and self.time_left() <= (1.0 - _EXPIRED_FRACTION) * self.time_limit
        return Status.TIME_LIMIT if out_of_time and not by_iterations else Status.MAX_ITER

    def _compile(self, program: cp.Problem) -> None:
        try:
            with cvxpy_alone():
                program.get_problem_data(self.solver, canon_backend=CANON_BACKEND)
        except cp.error.SolverError as error:
            raise SolverError(
                f"solver {self.solver} does not support {self.problem.loss.name} loss with penalty "
                f"{self.problem.penalty.name} ({error}): use CLARABEL or SCS, which support every combination"
            ) from error


def _run(program: cp.Problem, solver: str, verbose: bool, settings: dict[str, Any]) -> str | None:
    """Solve the program; return the solver's error message if it fails."""
    with cvxpy_alone():
        try:
            program.solve(solver=solver, canon_backend=CANON_BACKEND, verbose=verbose, **settings)
        except TypeError:
            raise  # an unknown solver option
        except Exception as error:  # each solver has its own class of licence errors
            reason = failure_reason(solver)
            if reason is not None:
                raise SolverNotAvailableError(f"{reason} (solver message: {error})") from error
            if not isinstance(error, cp.error.SolverError):
                raise
            return str(error)
    return None


def _read(
    problem: ConvexProblem,
    program: cp.Problem,
    units: FloatArray,
    failure: str | None,
    tol: float,
    compile_time: float,
) -> SolverResult:
    stats = program.solver_stats
    n_iter = getattr(stats, "num_iters", None)
    weights, status = problem.zero_weights(), Status.FAILED
    t, multipliers = None, None
    if failure is None:
        with contextlib.suppress(ValueError):  # no values, or NaN
            solved = units * problem.blocks(read_weights(problem, program))
            weights = _drop_negligible(problem, problem.weights(solved), tol)
            status = Status.INACCURATE
            scaled, gamma = read_dual(problem, program)
            t = scaled / problem.n
            multipliers = None if gamma is None else problem.check_multipliers(gamma / problem.n)
    return SolverResult(
        weights=weights,
        t=t,
        multipliers=multipliers,
        status=status,
        solver_status=failure or str(program.status),
        n_iter=n_iter,
        compile_time=compile_time,
        solve_time=getattr(stats, "solve_time", None),
    )


def _limits(solver: str, backend: Backend, max_iter: int | None, time_limit: float | None) -> dict[str, Any]:
    """Return the limits as options of the solver; warn of those that it does not support."""
    limits: dict[str, Any] = {}
    for name, option, value in (
        ("max_iter", backend.max_iter, max_iter),
        ("time_limit", backend.time_limit, time_limit),
    ):
        if value is not None and option is None:
            warn(f"{solver} has no option for {name}, which is ignored", UnsupportedOptionWarning, stacklevel=8)
        elif value is not None and option is not None:
            limits[option] = value
    return limits


def _drop_negligible(problem: ConvexProblem, weights: Weights, tol: float) -> Weights:
    """Zero the tiny blocks of an interior-point solution, unless that raises the objective noticeably."""
    blocks = problem.blocks(weights)
    sizes = np.linalg.norm(blocks, axis=-1, keepdims=True)
    sparse = problem.weights(np.where(sizes > _NEGLIGIBLE * sizes.max(), blocks, 0.0))
    before, after = problem.objective(weights), problem.objective(sparse)
    return sparse if after <= before + 0.01 * tol * abs(before) else weights
