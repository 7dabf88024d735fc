"""Solve a problem's CVXPY program with any solver that CVXPY knows."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from cvxrelu._validation import FloatArray, Weights
from cvxrelu.exceptions import SolverError, SolverNotAvailableError, UnsupportedOptionWarning
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.cvxpy_backends import BACKENDS, Backend, failure_reason, require_available
from cvxrelu.problems.cvxpy_programs import CANON_BACKEND, check_memory, solver_program
from cvxrelu.problems.cvxpy_values import read_dual, read_weights
from cvxrelu.runtime.lazy_imports import cp
from cvxrelu.runtime.threads import cvxpy_alone, warn
from cvxrelu.solvers.interface import SolverResult
from cvxrelu.status import Status

_NEGLIGIBLE = 1e-6
_LEAST_TIME = 1e-3
# The certified gap is first order in the error of the dual point: a solver must go further than that gap. Where
# that is not far enough it is run again at a smaller share.
_TOL_SHARES = (1e-2, 1e-4, 1e-6)


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
    """Solve the primal program, compiled once, again and again at smaller tolerances of the solver.

    The caller stops when the certified gap is small enough; there is nothing more to come when a limit was
    reached, the solver broke down, or its tolerance cannot be made smaller. See `cvxrelu.solve` for the parameters.

    Raises
    ------
    SolverNotAvailableError
        If the solver is missing, has no licence, or its licence limits the size.
    SolverError
        If it cannot take a program of this kind; InsufficientMemoryError if the program would not fit in memory.
    """
    require_available(solver)
    backend = BACKENDS.get(solver, Backend(solver.lower()))
    check_memory(problem, solver)
    started = time.perf_counter()
    program, units = solver_program(problem)
    try:
        with cvxpy_alone():
            program.get_problem_data(solver, canon_backend=CANON_BACKEND)
    except cp.error.SolverError as error:
        raise SolverError(
            f"solver {solver} cannot take {problem.loss.name} loss with penalty {problem.penalty.name} "
            f"({error}): use CLARABEL or SCS, which take all of them"
        ) from error
    compile_time = time.perf_counter() - started
    previous = None
    for share in _TOL_SHARES:
        left = None if time_limit is None else time_limit - (time.perf_counter() - started)
        if previous is not None and left is not None and left <= 0.0:
            return
        tolerances = backend.settings(share * tol, {})
        if tolerances == previous:
            return
        previous = tolerances
        limits = _limits(solver, backend, max_iter, None if left is None else max(left, _LEAST_TIME))
        settings = backend.settings(share * tol, limits) | options
        failure = _run(program, solver, verbose, settings)
        result = _read(problem, program, units, failure, tol, max_iter, time_limit is not None, compile_time)
        yield result
        if result.status is not Status.INACCURATE:
            return


def _run(program: cp.Problem, solver: str, verbose: bool, settings: dict[str, Any]) -> str | None:
    """Solve the program; return what the solver said if it broke down."""
    with cvxpy_alone():
        try:
            program.solve(solver=solver, canon_backend=CANON_BACKEND, verbose=verbose, **settings)
        except TypeError:
            raise  # a keyword that the solver does not have
        except Exception as error:  # each solver raises licence errors of a class of its own
            reason = failure_reason(solver)
            if reason is not None:
                raise SolverNotAvailableError(f"{reason} (its own words: {error})") from error
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
    max_iter: int | None,
    limited: bool,
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
            status = _status(program.status, n_iter, max_iter, limited)
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
    """Return the limits under the solver's own names; warn of those that it has no name for."""
    limits: dict[str, Any] = {}
    for name, option, value in (
        ("max_iter", backend.max_iter, max_iter),
        ("time_limit", backend.time_limit, time_limit),
    ):
        if value is not None and option is None:
            warn(f"{solver} has no option for {name}; it will not be kept to", UnsupportedOptionWarning, stacklevel=8)
        elif value is not None and option is not None:
            limits[option] = value
    return limits


def _status(solver_status: str, n_iter: int | None, max_iter: int | None, limited: bool) -> Status:
    """Return how the solver ended; ``limited`` says whether its time was."""
    if solver_status == cp.USER_LIMIT:
        reached = max_iter is not None and n_iter is not None and n_iter >= max_iter
        return Status.MAX_ITER if reached or not limited else Status.TIME_LIMIT
    return Status.INACCURATE


def _drop_negligible(problem: ConvexProblem, weights: Weights, tol: float) -> Weights:
    """Return the weights without the tiny blocks that an interior point leaves, if that costs next to nothing."""
    blocks = problem.blocks(weights)
    sizes = np.linalg.norm(blocks, axis=-1, keepdims=True)
    sparse = problem.weights(np.where(sizes > _NEGLIGIBLE * sizes.max(), blocks, 0.0))
    before, after = problem.objective(weights), problem.objective(sparse)
    return sparse if after <= before + 0.01 * tol * abs(before) else weights
