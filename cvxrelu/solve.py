"""`solve`: one call for every solver, one meaning of `tol`, every answer certified."""

import contextlib
import time as clock
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from cvxrelu._validation import check_integer, check_number, check_solver
from cvxrelu.active_set import project_blocks
from cvxrelu.backends import solver_names
from cvxrelu.certificates import Certificate, certify_solved
from cvxrelu.convex_problem import ConvexProblem, DualPoint, Weights
from cvxrelu.exceptions import ConvergenceWarning, StartNotUsedWarning
from cvxrelu.normalization import normalize
from cvxrelu.problems import ConvexReLU
from cvxrelu.rotation import Rotated, rotate
from cvxrelu.solution import Solution
from cvxrelu.solvers.choice import NativeSolver, first_able
from cvxrelu.solvers.cvxpy_solver import solve_cvxpy
from cvxrelu.solvers.monitor import Callback, Limits
from cvxrelu.solvers.native import NATIVE_SOLVERS
from cvxrelu.solvers.result import RawResult, Record
from cvxrelu.status import Status
from cvxrelu.threads import warn

_SECOND = "CLARABEL"
_SMALL = 10**6  # entries of the expanded matrix, for which CLARABEL takes some ten seconds at most
_LEAST_TIME = 1e-3


def solve(
    problem: ConvexProblem,
    solver: str | NativeSolver = "auto",
    *,
    tol: float = 1e-6,
    max_iter: int | None = None,
    time_limit: float | None = None,
    start: Weights | None = None,
    callback: Callback | None = None,
    verbose: bool = False,
    **options: Any,
) -> Solution:
    """Solve a convex program and certify the answer.

    Parameters
    ----------
    problem : ConvexGatedReLU or ConvexReLU
        The problem.
    solver : str or native solver
        "auto"; a native solver (`WorkingSet`, `RFISTA`, `AugmentedLagrangian`, `LeastSquares`, `Decompose`), configured
        or by name ("decompose" for the last); or a CVXPY solver by its name, in any case ("CLARABEL", "ECOS", "SCS",
        "MOSEK", ...). "auto" takes the first of LeastSquares, WorkingSet and RFISTA that can take the problem, and
        CLARABEL for other ReLU problems, and for small ones on which the first has stalled.
    tol : float
        Relative certified gap that is asked for: (upper - lower) <= tol * |upper|. For CVXPY's solvers, their own
        tolerances are set to a hundredth of it; where that leaves the gap too large, they run twice more at smaller
        ones.
    max_iter : int, optional
        Limit of the solver's iterations (of CVXPY's solvers, in each run).
    time_limit : float, optional
        Limit of the solver's time in seconds, without those of compilation at a first call (of CVXPY's solvers, in
        each run, for those that have one).
    start : ndarray or pair of ndarrays, optional
        Weights to start from. CVXPY's solvers cannot, and warn.
    callback : callable, optional
        Called with a `Record` at each check of the gap; the native solvers stop where it returns a true value.
    verbose : bool
        Print each check; of CVXPY's solvers, show the log. They solve n times the objective, a sum over the rows.
    **options
        Passed through to a CVXPY solver, over what is said above.

    Returns
    -------
    Solution
        With the best feasible point, its certificate and the true status. Where lam is at least lam_max, the
        exact answer zero, with status "optimal" and no solver run. On Ctrl-C a native solver returns what it has.

    Raises
    ------
    TypeError, ValueError
        If an argument is not understood; nothing is solved.
    SolverNotAvailableError
        If the solver is not installed, has no licence, or its licence limits the size.
    SolverError
        If the solver cannot take this kind of problem.
    InsufficientMemoryError
        If the solver would need more memory than is free: said before it starts, with the remedy. "auto" takes a solver
        that fits, if there is one.

    Warns
    -----
    ConvergenceWarning
        If the certified gap is above tol, with the gap, tol and advice.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.column_stack([np.linspace(-1, 1, 8), np.ones(8)])  # one feature, and the bias
    >>> y = np.abs(X[:, 0])
    >>> problem = cr.ConvexReLU(X, y, cr.enumerate_patterns(X), lam=0.01)
    >>> solution = cr.solve(problem)
    >>> print(solution.solver, solution.status, round(solution.objective, 5))
    WorkingSet optimal 0.01818
    >>> solution.certificate.rel_gap <= 1e-6
    True

    Other solvers, by name or configured:

    >>> again = cr.solve(problem, "CLARABEL", tol=1e-8)
    >>> abs(again.objective - solution.objective) <= 1e-6
    True
    >>> gated = cr.ConvexGatedReLU(X, y, problem.patterns, lam=0.01)
    >>> print(cr.solve(gated, cr.RFISTA(restart="value"), tol=1e-5).status)
    optimal
    """
    if not isinstance(problem, ConvexProblem):
        raise TypeError(f"problem must be a ConvexGatedReLU or ConvexReLU; got {type(problem).__name__}")
    problem.require_memory()
    chosen = _choose(problem, solver)
    tol = check_number("tol", tol, minimum=0.0, strict=True)
    if max_iter is not None:
        max_iter = check_integer("max_iter", max_iter, minimum=1)
    if time_limit is not None:
        time_limit = check_number("time_limit", time_limit, minimum=0.0, strict=True)
    if start is not None:
        problem.blocks(start)
    if time_limit is not None and isinstance(problem, ConvexReLU):
        project_blocks.compile()  # the limit is of what follows
    started = clock.perf_counter()
    name = chosen if isinstance(chosen, str) else type(chosen).__name__
    normal = normalize(problem)
    rotated = Rotated(normal.problem, normal.problem)
    results: Iterable[RawResult]
    if problem.zero_is_optimal():  # of the original: known along a path
        name = "none"
        results = [_zero_result(normal.problem)]
    elif isinstance(chosen, str):
        if start is not None:
            warn(f"{name} cannot start from given weights", StartNotUsedWarning, stacklevel=2)
        rotated = rotate(normal.problem)
        results = solve_cvxpy(
            rotated.problem, name, tol=tol, max_iter=max_iter, time_limit=time_limit, verbose=verbose, options=options
        )
    else:
        if options:
            raise TypeError(f"{name} takes its options when it is made: solver={name}(...); got {', '.join(options)}")
        limits = Limits(
            tol=tol,
            max_iter=max_iter or chosen.max_iter,
            time_limit=time_limit,
            callback=normal.callback(_with_printer(callback) if verbose else callback),
        )
        chosen = normal.solver(chosen)
        rotated = rotate(normal.problem)
        first = rotated.start(normal.start(start))
        results = _native_runs(rotated.problem, chosen, first, limits, second=str(solver).lower() == "auto")
    answers = (normal.result(rotated.result(result)) for result in results)
    runs = _certified_runs(problem, answers, tol, started, callback)
    best = min(range(len(runs)), key=lambda i: runs[i][0].gap)
    certificate, result, _ = runs[best]
    if best > 0 and not isinstance(chosen, str):
        name = _SECOND
    status = _final_status(certificate, result, tol)
    if status is not Status.OPTIMAL:
        warn(
            f"{name} ended with a certified relative gap of {certificate.rel_gap:.2e}, above tol = {tol:.2e} "
            f"(its own word: {result.solver_status!r}). {status.advice}",
            ConvergenceWarning,
            stacklevel=2,
        )
    return Solution(
        weights=certificate.weights,
        status=status,
        solver=name,
        solver_status=result.solver_status,
        certificate=certificate,
        n_iter=result.n_iter,
        time=clock.perf_counter() - started,
        compile_time=result.compile_time,
        solve_time=result.solve_time,
        history=result.history or tuple(record for _, _, record in runs),
        problem=problem,
    )


def _choose(problem: ConvexProblem, solver: Any) -> str | NativeSolver:
    """Return the solver that is meant: a native one, or the name of one of CVXPY's."""
    chosen: NativeSolver
    if type(solver) in NATIVE_SOLVERS.values():
        chosen = solver
    else:
        name = check_solver(solver, ["auto", *NATIVE_SOLVERS, *solver_names()])
        if name == "auto":
            return first_able(problem) or "CLARABEL"
        if name not in NATIVE_SOLVERS:
            return name
        chosen = NATIVE_SOLVERS[name]()
    chosen.check_problem(problem)
    return chosen


def _native_runs(
    problem: ConvexProblem, chosen: NativeSolver, start: Weights | None, limits: Limits, second: bool
) -> Iterator[RawResult]:
    """Yield the answer of a native solver and, if it stalls on a small problem, those of another solver."""
    started = clock.perf_counter()
    result = chosen.run(problem, start, limits)
    yield result
    size = problem.n * problem.blocks(problem.zero_weights()).size
    if not second or result.status is not Status.STALLED or size > _SMALL:
        return
    left = limits.time_limit
    if left is not None:
        left = max(left - (clock.perf_counter() - started), _LEAST_TIME)
    with contextlib.suppress(KeyboardInterrupt):  # then the first answer counts
        yield from solve_cvxpy(
            problem, _SECOND, tol=limits.tol, max_iter=None, time_limit=left, verbose=False, options={}
        )


def _final_status(certificate: Certificate, result: RawResult, tol: float) -> Status:
    if certificate.rel_gap <= tol:
        return Status.OPTIMAL
    return Status.INACCURATE if result.status is Status.OPTIMAL else result.status


def _with_printer(callback: Callback | None) -> Callback:
    def show(record: Record) -> Any:
        relative = record.gap / max(abs(record.objective), float(np.finfo(np.float64).tiny))
        print(
            f"{record.n_iter:>8} iterations {record.time:9.2f} s  objective {record.objective:.8g}  "
            f"lower {record.lower:.8g}  relative gap {relative:.1e}  violation {record.violation:.1e}"
        )
        return callback(record) if callback is not None else None

    return show


def _certified_runs(
    problem: ConvexProblem, results: Iterable[RawResult], tol: float, started: float, callback: Callback | None
) -> list[tuple[Certificate, RawResult, Record]]:
    """Certify the results of a solver as they come, until one is good enough."""
    runs = []
    for result in results:
        offered = None if result.t is None else DualPoint(result.t, result.multipliers, float("nan"))
        certificate = certify_solved(problem, result.weights, offered, result.workspace)
        record = Record(
            n_iter=result.n_iter,
            time=clock.perf_counter() - started,
            objective=certificate.upper,
            lower=certificate.lower,
            violation=certificate.max_violation,
        )
        runs.append((certificate, result, record))
        if callback is not None and not result.history:  # a native solver has told of its own checks
            callback(record)
        if certificate.rel_gap <= tol:
            break
    return runs


def _zero_result(problem: ConvexProblem) -> RawResult:
    return RawResult(
        weights=problem.zero_weights(), status=Status.OPTIMAL, solver_status="lam >= lam_max", n_iter=0, solve_time=0.0
    )
