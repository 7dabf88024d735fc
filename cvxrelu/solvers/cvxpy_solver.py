"""Solve a problem's CVXPY program with any solver that CVXPY knows."""

import time
import warnings
from typing import Any

import cvxpy as cp
import numpy as np

from cvxrelu.convex_problem import ConvexProblem, Weights
from cvxrelu.exceptions import SolverError, SolverNotAvailableError, UnsupportedOptionWarning
from cvxrelu.programs import CANON_BACKEND, build_program, read_dual, read_weights
from cvxrelu.solvers.backends import BACKENDS, Backend, explain_failure, require_available
from cvxrelu.solvers.result import RawResult
from cvxrelu.status import Status

_NEGLIGIBLE = 1e-6
# The certified gap is first order in the error of the dual point: a solver must go further than that gap.
_TOL_SHARE = 1e-2


def solve_cvxpy(
    problem: ConvexProblem,
    solver: str,
    *,
    tol: float,
    max_iter: int | None,
    time_limit: float | None,
    verbose: bool,
    options: dict[str, Any],
) -> RawResult:
    """Solve the primal program; see `cvxrelu.solve` for the parameters.

    Raises
    ------
    SolverNotAvailableError
        If the solver is missing, has no licence, or its licence limits the size.
    SolverError
        If it cannot take a program of this kind.
    """
    require_available(solver)
    started = time.perf_counter()
    program = build_program(problem)
    try:
        program.get_problem_data(solver, canon_backend=CANON_BACKEND)
    except cp.error.SolverError as error:
        raise SolverError(
            f"solver {solver} cannot take {problem.loss.name} loss with penalty {problem.penalty.name} "
            f"({error}): use CLARABEL or SCS, which take all of them"
        ) from error
    compile_time = time.perf_counter() - started
    settings = _solver_options(solver, tol, max_iter, time_limit) | options
    failure = None
    with warnings.catch_warnings():
        # What CVXPY would warn of, an inaccurate solution, the certificate measures.
        warnings.filterwarnings("ignore", message="Solution may be inaccurate")
        try:
            program.solve(solver=solver, canon_backend=CANON_BACKEND, verbose=verbose, **settings)
        except TypeError:
            raise  # a keyword that the solver does not have
        except Exception as error:  # each solver raises licence errors of a class of its own
            reason = explain_failure(solver)
            if reason is not None:
                raise SolverNotAvailableError(reason) from error
            if not isinstance(error, cp.error.SolverError):
                raise
            failure = str(error)
    stats = program.solver_stats
    solve_time = getattr(stats, "solve_time", None)
    n_iter = getattr(stats, "num_iters", None)
    try:
        weights = _drop_negligible(problem, read_weights(problem, program), tol)
        t, multipliers = read_dual(problem, program)
        status = _status(program.status, n_iter, max_iter)
    except (ValueError, TypeError):  # no values, or NaN
        weights, t, multipliers, status = problem.zero_weights(), None, None, Status.FAILED
    return RawResult(
        weights=weights,
        t=t,
        multipliers=multipliers,
        status=status,
        solver_status=failure or str(program.status),
        n_iter=n_iter,
        compile_time=compile_time,
        solve_time=solve_time,
    )


def _solver_options(solver: str, tol: float, max_iter: int | None, time_limit: float | None) -> dict[str, Any]:
    backend = BACKENDS.get(solver, Backend(solver.lower()))
    settings: dict[str, Any] = dict.fromkeys(backend.tol, max(_TOL_SHARE * tol, backend.floor))
    for name, option, value in (
        ("max_iter", backend.max_iter, max_iter),
        ("time_limit", backend.time_limit, time_limit),
    ):
        if value is None:
            continue
        if option is None:
            warnings.warn(
                f"{solver} has no option for {name}; it will not be kept to",
                UnsupportedOptionWarning,
                stacklevel=4,
            )
        else:
            settings[option] = value
    if backend.nested is not None:
        settings = {backend.nested: settings}
    return settings | backend.always


def _status(solver_status: str, n_iter: int | None, max_iter: int | None) -> Status:
    if solver_status == cp.USER_LIMIT:
        reached = max_iter is not None and n_iter is not None and n_iter >= max_iter
        return Status.MAX_ITER if reached else Status.TIME_LIMIT
    return Status.INACCURATE


def _drop_negligible(problem: ConvexProblem, weights: Weights, tol: float) -> Weights:
    """Return the weights without the tiny blocks that an interior point leaves, if that costs next to nothing."""
    blocks = problem.blocks(weights)
    sizes = np.linalg.norm(blocks, axis=-1, keepdims=True)
    sparse = problem.weights(np.where(sizes > _NEGLIGIBLE * sizes.max(), blocks, 0.0))
    before, after = problem.objective(weights), problem.objective(sparse)
    return sparse if after <= before + 0.01 * tol * abs(before) else weights
