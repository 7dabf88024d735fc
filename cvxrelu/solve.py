"""`solve`: one call for every solver, one meaning of `tol`, every answer certified."""

import time as clock
import warnings
from collections.abc import Iterable
from typing import Any

from cvxrelu._validation import check_choice, check_integer, check_number
from cvxrelu.certificates import Certificate, certify
from cvxrelu.convex_problem import ConvexProblem, DualPoint
from cvxrelu.exceptions import ConvergenceWarning
from cvxrelu.solution import Solution
from cvxrelu.solvers.backends import solver_names
from cvxrelu.solvers.cvxpy_solver import solve_cvxpy
from cvxrelu.solvers.result import RawResult, Record
from cvxrelu.status import Status


def solve(
    problem: ConvexProblem,
    solver: str = "auto",
    *,
    tol: float = 1e-6,
    max_iter: int | None = None,
    time_limit: float | None = None,
    verbose: bool = False,
    **options: Any,
) -> Solution:
    """Solve a convex program and certify the answer.

    Parameters
    ----------
    problem : ConvexGatedReLU or ConvexReLU
        The problem.
    solver : str
        The name of a CVXPY solver as CVXPY spells it ("CLARABEL", "ECOS", "SCS", "MOSEK", ...), or "auto":
        CLARABEL. These solvers ignore warm starts.
    tol : float
        Relative certified gap that is asked for: (upper - lower) <= tol * |upper|. The solver's own tolerances
        are set to a hundredth of it; where that leaves the gap too large, it is run twice more at smaller ones.
    max_iter : int, optional
        Limit of the solver's iterations, in each of its runs.
    time_limit : float, optional
        Limit of the solver's time in seconds, in each of its runs, for those that have one.
    verbose : bool
        Show the solver's log. It solves n times the objective, a sum over the rows.
    **options
        Passed through to the solver, over what is said above.

    Returns
    -------
    Solution
        With the best feasible point, its certificate and the true status. Where lam is at least lam_max, the
        exact answer zero, with status "optimal" and no solver run.

    Raises
    ------
    TypeError, ValueError
        If an argument is not understood; nothing is solved.
    SolverNotAvailableError
        If the solver is not installed, has no licence, or its licence limits the size.
    SolverError
        If the solver cannot take this kind of program.

    Warns
    -----
    ConvergenceWarning
        If the certified gap is above tol, with the gap, tol and advice.
    """
    if not isinstance(problem, ConvexProblem):
        raise TypeError(f"problem must be a ConvexGatedReLU or ConvexReLU; got {type(problem).__name__}")
    check_choice("solver", solver, ["auto", *solver_names()])
    tol = check_number("tol", tol, minimum=0.0, strict=True)
    if max_iter is not None:
        max_iter = check_integer("max_iter", max_iter, minimum=1)
    if time_limit is not None:
        time_limit = check_number("time_limit", time_limit, minimum=0.0, strict=True)
    started = clock.perf_counter()
    name = "CLARABEL" if solver == "auto" else solver
    if problem.lam >= problem.lam_max():
        name = "none"
        results: Iterable[RawResult] = [_zero_result(problem)]
    else:
        results = solve_cvxpy(
            problem, name, tol=tol, max_iter=max_iter, time_limit=time_limit, verbose=verbose, options=options
        )
    runs = _certified_runs(problem, results, tol, started)
    certificate, result, _ = min(runs, key=lambda run: run[0].gap)
    status = Status.OPTIMAL if certificate.rel_gap <= tol else result.status
    if status is not Status.OPTIMAL:
        warnings.warn(
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


def _certified_runs(
    problem: ConvexProblem, results: Iterable[RawResult], tol: float, started: float
) -> list[tuple[Certificate, RawResult, Record]]:
    """Certify the results of a solver as they come, until one is good enough."""
    runs = []
    for result in results:
        offered = None if result.t is None else DualPoint(result.t, result.multipliers, float("nan"))
        certificate = certify(problem, result.weights, offered)
        record = Record(
            n_iter=result.n_iter,
            time=clock.perf_counter() - started,
            objective=certificate.upper,
            lower=certificate.lower,
            violation=certificate.max_violation,
        )
        runs.append((certificate, result, record))
        if certificate.rel_gap <= tol:
            break
    return runs


def _zero_result(problem: ConvexProblem) -> RawResult:
    return RawResult(
        weights=problem.zero_weights(), status=Status.OPTIMAL, solver_status="lam >= lam_max", n_iter=0, solve_time=0.0
    )
