"""`solve`: a common interface to every solver, with one meaning of `tol` and certified results."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np

from cvxrelu._validation import Weights, check_integer, check_number, check_solver
from cvxrelu.exceptions import ConvergenceWarning, SolverError, SolverNotAvailableError, StartNotUsedWarning
from cvxrelu.numerics.active_set import project_blocks
from cvxrelu.optimize.advice import advice
from cvxrelu.optimize.original_units import normal_callback, normal_solver, original_result
from cvxrelu.optimize.progress import CALLER_STATUSES, Progress
from cvxrelu.optimize.rotation import Rotated, rotate
from cvxrelu.optimize.solution import Solution
from cvxrelu.optimize.spanned import Spanned, span
from cvxrelu.problems.base import ConvexProblem, check_problem
from cvxrelu.problems.cvxpy_backends import solver_names
from cvxrelu.problems.dual_workspace import DualWorkspace
from cvxrelu.problems.normalization import Normalized, normalize
from cvxrelu.problems.relu import ConvexReLU
from cvxrelu.problems.separation import enlarged, separates
from cvxrelu.runtime.compilation import compiling
from cvxrelu.runtime.memory import fits
from cvxrelu.runtime.threads import warn
from cvxrelu.solvers.cvxpy_solver import solve_cvxpy
from cvxrelu.solvers.interface import Callback, Limits, NativeSolver, Record, SolverResult
from cvxrelu.solvers.plan import Planned, make_plan
from cvxrelu.solvers.registry import NATIVE_SOLVERS
from cvxrelu.solvers.working_set.block_descent import SAVINGS
from cvxrelu.solvers.working_set.compiled_rounds import SAVINGS as ROUNDS_SAVINGS
from cvxrelu.solvers.working_set.compiled_steps import SAVINGS as STEPS_SAVINGS
from cvxrelu.solvers.working_set.continuation import Continuation
from cvxrelu.solvers.working_set.row_descent import SAVINGS as ROWS_SAVINGS
from cvxrelu.status import Status

_MIN_TIME = 1e-3
_AMPLE_TIME = 20.0  # seconds, of which a compilation is a small part
_CERTIFICATES, _LARGEST_RESERVE = 2.0, 0.3
_SUFFICIENT_DECREASE = 0.5
# Exceptions after which a plan continues with the next solver.
_BREAKDOWNS = (ArithmeticError, ValueError, MemoryError, np.linalg.LinAlgError, SolverError, SolverNotAvailableError)


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
    """Solve a convex program and certify the solution.

    Parameters
    ----------
    problem : ConvexGatedReLU or ConvexReLU
        The problem.
    solver : str or native solver
        "auto"; a native solver (`WorkingSet`, `RFISTA`, `AugmentedLagrangian`, `LeastSquares`, `Decompose`), configured
        or by name ("decompose" for the last); or the name of a CVXPY solver ("CLARABEL", "ECOS", "SCS", "MOSEK", ...).
        Names ignore case. "auto" runs a plan: the first of WorkingSet, LeastSquares and RFISTA that supports the
        problem; CLARABEL, if predicted to be affordable (first for other ReLU problems); then the other native solvers.
        The next solver starts from the best weights so far if one ends above tol without reaching a limit of the
        caller, fails, or is estimated to need longer than the next one is predicted to. A solver paused as slow resumes
        after CLARABEL. The plan depends on measured time: name a solver for bitwise reproducible results.
    tol : float
        Relative certified gap to reach: (upper - lower) <= tol * |upper|, or a gap at the rounding level of an exact
        fit (`Certificate.within`). CVXPY's solvers run with a hundredth of it as their own tolerances, and up to twice
        more with smaller ones if the gap is still too large.
    max_iter : int, optional
        Iteration limit (for CVXPY's solvers of each run, for a plan of each solver).
    time_limit : float, optional
        Time limit in seconds, excluding compilation at the first call (for CVXPY's solvers, if they support one).
    start : ndarray or pair of ndarrays, optional
        Weights for a warm start. CVXPY's solvers ignore it, with a warning.
    callback : callable, optional
        Called with a `Record` at each check of the gap; native solvers stop if it returns a true value.
    verbose : bool
        Print each check, or the log of a CVXPY solver (which shows n times the objective).
    **options
        Options passed to a CVXPY solver, overriding the settings above.

    Returns
    -------
    Solution
        The best feasible point and the best lower bound of all solvers tried, with its certified status; the result of
        each solver is in ``attempts``. If lam >= lam_max, exactly zero weights, with status "optimal" and no solver
        run. On Ctrl-C the best point so far, if any, is certified and returned with status "interrupted" and a warning.
        A second Ctrl-C within a second is raised.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid, or the objective over- or underflows (for example with targets of 1e-200); nothing is
        solved.
    SolverNotAvailableError
        If the solver is not installed, has no licence, or its licence limits the size.
    SolverError
        If the solver does not support this kind of problem.
    InsufficientMemoryError
        If the solver would need more memory than is free; raised before it starts. "auto" chooses a solver that fits,
        if there is one.

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
    return solve_next(
        problem,
        solver,
        continuation=None,
        tol=tol,
        max_iter=max_iter,
        time_limit=time_limit,
        start=start,
        callback=callback,
        verbose=verbose,
        **options,
    )


def solve_next(
    problem: ConvexProblem,
    solver: str | NativeSolver,
    *,
    continuation: Continuation | None,
    tol: float,
    max_iter: int | None = None,
    time_limit: float | None = None,
    start: Weights | None = None,
    callback: Callback | None = None,
    verbose: bool = False,
    **options: Any,
) -> Solution:
    """Solve as `solve` does, with what earlier solves of the same program at other lams have left."""
    check_problem(problem)
    problem.require_memory()
    problem.require_range()
    chosen = _resolve_solver(problem, solver)
    tol = check_number("tol", tol, minimum=0.0, strict=True)
    if max_iter is not None:
        max_iter = check_integer("max_iter", max_iter, minimum=1)
    if time_limit is not None:
        time_limit = check_number("time_limit", time_limit, minimum=0.0, strict=True)
    if start is not None:
        problem.blocks(start)
        if isinstance(chosen, str):
            warn(f"{chosen} does not support warm starts; start is ignored", StartNotUsedWarning, stacklevel=3)
    if options and chosen is None:
        raise TypeError(f"solver='auto' takes no solver options; got {', '.join(options)}")
    if options and not isinstance(chosen, str):
        name = type(chosen).__name__
        raise TypeError(f"{name} takes its options in the constructor: solver={name}(...); got {', '.join(options)}")
    if time_limit is not None and isinstance(problem, ConvexReLU):
        project_blocks.compile()  # not counted in the time limit
    # In the limits of callers compilation counts.
    with compiling(time_limit is None or time_limit >= _AMPLE_TIME):
        for savings in (SAVINGS, ROUNDS_SAVINGS, STEPS_SAVINGS, ROWS_SAVINGS):
            savings.spend()
        progress = Progress(problem, tol, time_limit, callback)
        try:
            if problem.zero_is_optimal():
                workspace = normalize(problem).problem.workspace_at_zero()
                progress.add("none", [_zero_result(problem, Status.OPTIMAL, "lam >= lam_max", workspace)])
            else:
                run = _Run(progress, start, tol, max_iter, time_limit, callback, verbose, options, continuation)
                run.plan() if chosen is None else run.attempt(Planned(chosen), run.direct)
            solution, message = _solution(progress)
        except KeyboardInterrupt:
            progress.interrupt()
            solution, message = _solution(progress)
    if message:
        warn(message, ConvergenceWarning, stacklevel=3)
    return solution


def _resolve_solver(problem: ConvexProblem, solver: Any) -> str | NativeSolver | None:
    """Return a native solver or the name of a CVXPY solver; None for "auto"."""
    chosen: NativeSolver
    if type(solver) in NATIVE_SOLVERS.values():
        chosen = solver
    else:
        native_names = ["auto", *NATIVE_SOLVERS]
        is_own = isinstance(solver, str) and solver.lower() in map(str.lower, native_names)
        name = check_solver(
            solver, native_names if is_own else [*native_names, *solver_names()]
        )  # CVXPY is slow to import
        if name == "auto":
            return None
        if name not in NATIVE_SOLVERS:
            return name
        chosen = NATIVE_SOLVERS[name]()
    chosen.check_problem(problem)
    return chosen


@dataclass(frozen=True)
class _Run:
    """A run of one or more solvers on a problem, normalized and reduced to its row space."""

    progress: Progress
    start: Weights | None
    tol: float
    max_iter: int | None
    time_limit: float | None
    callback: Callback | None
    verbose: bool
    options: dict[str, Any]
    continuation: Continuation | None
    normal: Normalized[ConvexProblem] = field(init=False)
    rotated: Rotated = field(init=False)
    direct: Spanned = field(init=False)
    reserve: float = field(init=False)
    paused: dict[str, Callable[[], Iterator[SolverResult]]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Normalize the problem and reduce it to its row space."""
        normal = normalize(self.progress.problem)
        object.__setattr__(self, "normal", normal)
        rotated = rotate(normal.problem)
        object.__setattr__(self, "rotated", rotated)
        object.__setattr__(self, "direct", Spanned(rotated.problem, rotated.problem))
        # A certificate costs about as much as lam_max: reserve that time for the final one.
        object.__setattr__(self, "reserve", _CERTIFICATES * self.progress.elapsed)

    def attempt(self, planned: Planned, form: Spanned, plan: Callable[[], Iterable[Planned]] = tuple) -> None:
        """Run one solver on a form of the problem, from the best weights so far.

        A failure is caught if one of the other steps of the plan fits into memory.
        """
        results = self._guarded(planned, form, plan)
        with closing(results):  # a Ctrl-C inside the garbage collector would be lost
            self.progress.add(planned.name, map(self._original, results, repeat(form)))

    def plan(self) -> None:
        """Run the solvers of the plan, until the tolerance is proven or a limit of the caller is reached.

        If C-ReLU reduces to C-GReLU, solve the reduction first, and C-ReLU itself only if that does not suffice.
        """
        spanned = span(self.direct.problem)
        for form in (self.direct,) if spanned.problem is self.direct.problem else (spanned, self.direct):
            if self._plan(form):
                break
            self.paused.clear()

    def _plan(self, form: Spanned) -> bool:
        """Run the plan for one form of the problem; return whether the solve is finished."""
        left = self._time_left()
        plan = partial(make_plan, form.problem, np.inf if left is None else left)
        for planned in plan():
            if planned.resumes and planned.name not in self.paused:
                continue
            if self.paused and planned.seconds > (self._time_left() or np.inf):
                continue
            if not fits(planned.size):  # asked now, as it takes as long as a small problem
                continue
            self.attempt(planned, form, plan)
            if self.progress.reaches_tol() or self._ends_solve(self.progress.attempts[-1].status):
                return True
        return False

    def _original(self, raw: SolverResult, form: Spanned) -> SolverResult:
        """Convert a result to one for the original problem."""
        result = original_result(self.normal, self.rotated.result(form.result(raw)))
        problem = self.progress.problem
        if not separates(problem, result.weights):
            return result
        return replace(result, weights=enlarged(problem, result.weights, self.tol), status=Status.UNATTAINED)

    def _results(self, planned: Planned, form: Spanned) -> Generator[SolverResult, None, None]:
        """Yield the results of one solver."""
        solver = planned.solver
        if planned.resumes:
            yield from self.paused.pop(planned.name)()
        elif isinstance(solver, str):
            results = self._cvxpy_results(solver, form)
            yield from self._improving(planned, results, form) if planned.pauses and self.paused else results
        else:
            if planned.patience is not None and isinstance(form.problem, ConvexReLU):
                project_blocks.compile()  # not counted as work of the solver
            best = self.start if self.progress.weights is None else self.progress.weights
            limits = Limits(
                tol=self.tol,
                max_iter=self.max_iter or solver.max_iter,
                time_limit=self._time_left(),
                callback=normal_callback(self.normal, _printing(self.callback) if self.verbose else self.callback),
                patience=planned.patience,
                before=self.progress.elapsed,
                continuation=self.continuation,
            )
            start = None if best is None else form.start(self.rotated.start(self.normal.start(best)))
            raw = normal_solver(self.normal, solver).run(form.problem, start, limits)
            if raw.resume is not None:
                self.paused[planned.name] = partial(_resumed, raw.resume)
            yield raw

    def _cvxpy_results(self, solver: str, form: Spanned) -> Iterator[SolverResult]:
        """Return the results of the runs of a CVXPY solver."""
        return solve_cvxpy(
            form.problem,
            solver,
            tol=self.tol,
            max_iter=self.max_iter,
            time_limit=self._time_left(),
            verbose=self.verbose,
            options=self.options,
        )

    def _improving(
        self, planned: Planned, results: Iterator[SolverResult], form: Spanned
    ) -> Generator[SolverResult, None, None]:
        """Yield results until a further one does not halve the certified gap; pause the solver there."""
        gap = np.inf
        for result in results:
            yield result
            previous, gap = gap, self.progress.gap
            if gap > _SUFFICIENT_DECREASE * previous:
                self.paused[planned.name] = partial(self._cvxpy_results, planned.name, form)
                return

    def _guarded(
        self, planned: Planned, form: Spanned, plan: Callable[[], Iterable[Planned]]
    ) -> Generator[SolverResult, None, None]:
        """Yield the results of one solver; zero weights if it fails and the plan has others."""
        try:
            yield from self._results(planned, form)
        except _BREAKDOWNS as error:
            if not any(fits(other.size) for other in plan() if other != planned):
                raise
            yield _zero_result(form.problem, Status.FAILED, f"{type(error).__name__}: {error}")

    def _ends_solve(self, status: Status) -> bool:
        """Return whether a status ends the solve: a limit or request of the caller, or an unattained infimum."""
        if status is Status.MAX_ITER:
            return self.max_iter is not None
        return status in (Status.TIME_LIMIT, Status.STOPPED, Status.INTERRUPTED, Status.UNATTAINED)

    def _time_left(self) -> float | None:
        """Return the seconds left for a solver; None without a limit."""
        if self.time_limit is None:
            return None
        reserve = min(self.reserve, _LARGEST_RESERVE * self.time_limit)
        return max(self.time_limit - reserve - self.progress.elapsed, _MIN_TIME)


def _solution(progress: Progress) -> tuple[Solution, str]:
    """Return the solution and its warning message, empty if none."""
    certificate, result = progress.certificate(), progress.result
    solution = Solution(
        weights=certificate.weights,
        status=progress.status(),
        solver=progress.solver,
        solver_status=result.solver_status,
        certificate=certificate,
        n_iter=result.n_iter,
        time=progress.elapsed,
        compile_time=result.compile_time,
        solve_time=result.solve_time,
        history=tuple(progress.history),
        problem=progress.problem,
        attempts=tuple(progress.attempts),
    )
    return solution, "" if solution.status is Status.OPTIMAL else _convergence_message(solution, progress.tol)


def _convergence_message(solution: Solution, tol: float) -> str:
    """Return the warning message of a solution above the tolerance."""
    hint = advice(solution.certificate, solution.status)
    gap = f"a certified relative gap of {solution.certificate.rel_gap:.2e}, above tol = {tol:.2e}"
    if len(solution.attempts) <= 1:
        return f"{solution.solver} ended with {gap} (solver status: {solution.solver_status!r}). {hint}"
    attempts = ", ".join(
        f"{attempt.solver} ({attempt.status.value}, {attempt.rel_gap:.2e})" for attempt in solution.attempts
    )
    if solution.status not in CALLER_STATUSES:
        hint = (
            "No solver of the plan reached tol: raise tol, or choose a solver and pass start=solution.weights. "
            f"For the best one: {hint}"
        )
    return f"ended with {gap}, after {attempts}. {hint}"


def _printing(callback: Callback | None) -> Callback:
    def show(record: Record) -> Any:
        print(
            f"{record.n_iter:>8} iterations {record.time:9.2f} s  objective {record.objective:.8g}  "
            f"lower {record.lower:.8g}  relative gap {record.rel_gap:.1e}  violation {record.violation:.1e}"
        )
        return callback(record) if callback is not None else None

    return show


def _resumed(resume: Callable[[], SolverResult]) -> Iterator[SolverResult]:
    yield resume()


def _zero_result(
    problem: ConvexProblem, status: Status, solver_status: str, workspace: DualWorkspace | None = None
) -> SolverResult:
    """Return a result with zero weights."""
    return SolverResult(
        weights=problem.zero_weights(),
        status=status,
        solver_status=solver_status,
        n_iter=0,
        solve_time=0.0,
        workspace=workspace,
    )
