"""`solve`: one call for every solver, one meaning of `tol`, every answer certified."""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import Any

import numpy as np

from cvxrelu._validation import Weights, check_integer, check_number, check_solver
from cvxrelu.exceptions import ConvergenceWarning, SolverError, SolverNotAvailableError, StartNotUsedWarning
from cvxrelu.numerics.active_set import project_blocks
from cvxrelu.optimize.advice import advice
from cvxrelu.optimize.original_units import normal_callback, normal_solver, original_result
from cvxrelu.optimize.progress import OF_THE_CALLER, Progress
from cvxrelu.optimize.rotation import Rotated, rotate
from cvxrelu.optimize.solution import Solution
from cvxrelu.optimize.spanned import Spanned, span
from cvxrelu.problems.base import ConvexProblem, check_problem
from cvxrelu.problems.cvxpy_backends import solver_names
from cvxrelu.problems.normalization import Normalized, normalize
from cvxrelu.problems.relu import ConvexReLU
from cvxrelu.problems.separation import enlarged, separates
from cvxrelu.runtime.threads import warn
from cvxrelu.solvers.cvxpy_solver import solve_cvxpy
from cvxrelu.solvers.interface import Callback, Limits, NativeSolver, Record, SolverResult
from cvxrelu.solvers.plan import Planned, make_plan
from cvxrelu.solvers.registry import NATIVE_SOLVERS
from cvxrelu.status import Status

_LEAST_TIME = 1e-3
_CERTIFICATES, _LARGEST_RESERVE = 2.0, 0.3
# What a solver of a plan may raise where it breaks down, and the next one is asked.
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
    """Solve a convex program and certify the answer.

    Parameters
    ----------
    problem : ConvexGatedReLU or ConvexReLU
        The problem.
    solver : str or native solver
        "auto"; a native solver (`WorkingSet`, `RFISTA`, `AugmentedLagrangian`, `LeastSquares`, `Decompose`), configured
        or by name ("decompose" for the last); or a CVXPY solver by its name, in any case ("CLARABEL", "ECOS", "SCS",
        "MOSEK", ...). "auto" is a plan: the first of LeastSquares, WorkingSet and RFISTA that can take the problem;
        CLARABEL, where it is predicted to be affordable (first for other ReLU problems); then the other native ones.
        The next one starts from the best weights so far when a solver ends short of tol without a limit of the
        caller's, breaks down, or is seen to need longer than the next one is predicted to. One that was slow only goes
        on after CLARABEL from where it paused. That is by measured time: name a solver for the same bits on any
        machine.
    tol : float
        Relative certified gap that is asked for: (upper - lower) <= tol * |upper|, or a gap that float64 cannot tell
        from that of an exact fit (`Certificate.within`). For CVXPY's solvers, their own
        tolerances are set to a hundredth of it; where that leaves the gap too large, they run twice more at smaller
        ones.
    max_iter : int, optional
        Limit of the solver's iterations (of CVXPY's solvers, in each run; of a plan, of each solver).
    time_limit : float, optional
        Limit of the solver's time in seconds, without those of compilation at a first call (of CVXPY's solvers, for
        those that have one).
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
        With the best feasible point and the best lower bound of all solvers that were tried, and the true status; what
        each came to is in its ``attempts``. Where lam is at least lam_max, the exact answer zero, with status "optimal"
        and no solver run. On Ctrl-C the best point so far is certified and returned, with status "interrupted" and a
        warning, if there is one; during a certificate too, which is then begun anew. The second within a second is
        raised.

    Raises
    ------
    TypeError, ValueError
        If an argument is not understood, or the objective leaves the range of float64 (targets of 1e-200, say); nothing
        is solved.
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
    check_problem(problem)
    problem.require_memory()
    problem.require_range()
    chosen = _choose(problem, solver)
    tol = check_number("tol", tol, minimum=0.0, strict=True)
    if max_iter is not None:
        max_iter = check_integer("max_iter", max_iter, minimum=1)
    if time_limit is not None:
        time_limit = check_number("time_limit", time_limit, minimum=0.0, strict=True)
    if start is not None:
        problem.blocks(start)
        if isinstance(chosen, str):
            warn(f"{chosen} cannot start from given weights", StartNotUsedWarning, stacklevel=2)
    if options and chosen is None:
        raise TypeError(f"solver='auto' takes no options of a solver's own: got {', '.join(options)}")
    if options and not isinstance(chosen, str):
        name = type(chosen).__name__
        raise TypeError(f"{name} takes its options when it is made: solver={name}(...); got {', '.join(options)}")
    if time_limit is not None and isinstance(problem, ConvexReLU):
        project_blocks.compile()  # the limit is of what follows
    progress = Progress(problem, tol, time_limit, callback)
    try:
        if problem.zero_is_optimal():
            progress.add("none", [_empty(problem, Status.OPTIMAL, "lam >= lam_max")])
        else:
            run = _Run(progress, start, tol, max_iter, time_limit, callback, verbose, options)
            run.plan() if chosen is None else run.attempt(Planned(chosen), run.plain)
        solution, complaint = _answer(progress)
    except KeyboardInterrupt:
        progress.interrupt()
        solution, complaint = _answer(progress)
    if complaint:
        warn(complaint, ConvergenceWarning, stacklevel=2)
    return solution


def _choose(problem: ConvexProblem, solver: Any) -> str | NativeSolver | None:
    """Return the solver that is meant: a native one, or the name of one of CVXPY's; None for "auto"."""
    chosen: NativeSolver
    if type(solver) in NATIVE_SOLVERS.values():
        chosen = solver
    else:
        own = ["auto", *NATIVE_SOLVERS]
        is_own = isinstance(solver, str) and solver.lower() in map(str.lower, own)
        name = check_solver(solver, own if is_own else [*own, *solver_names()])  # CVXPY, which tells them, is slow
        if name == "auto":
            return None
        if name not in NATIVE_SOLVERS:
            return name
        chosen = NATIVE_SOLVERS[name]()
    chosen.check_problem(problem)
    return chosen


@dataclass(frozen=True)
class _Run:
    """Solvers at work on one problem, brought to ordinary size and into its row space, within the caller's limits."""

    progress: Progress
    start: Weights | None
    tol: float
    max_iter: int | None
    time_limit: float | None
    callback: Callback | None
    verbose: bool
    options: dict[str, Any]
    normal: Normalized[ConvexProblem] = field(init=False)
    rotated: Rotated = field(init=False)
    plain: Spanned = field(init=False)
    reserve: float = field(init=False)
    paused: dict[str, Callable[[], SolverResult]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Bring the problem into the solvers' form."""
        normal = normalize(self.progress.problem)
        object.__setattr__(self, "normal", normal)
        rotated = rotate(normal.problem)
        object.__setattr__(self, "rotated", rotated)
        object.__setattr__(self, "plain", Spanned(rotated.problem, rotated.problem))
        # What lam_max took, a certificate takes: from a limit of time it is set aside for the last one.
        object.__setattr__(self, "reserve", _CERTIFICATES * self.progress.elapsed)

    def attempt(self, planned: Planned, form: Spanned, *, guarded: bool = False) -> None:
        """Run one solver on a form of the problem, from the best weights so far; a guarded one may break down."""
        results = self._guarded(planned, form) if guarded else self._results(planned, form)
        with closing(results):  # not left to the garbage collector, where a Ctrl-C would be lost
            self.progress.add(planned.name, map(self._original, results, repeat(form)))

    def plan(self) -> None:
        """Run the solvers of the plan, until the gap is proven or a limit of the caller's is reached.

        Those for C-GReLU where it is the same as C-ReLU, and only where they fall short those for C-ReLU.
        """
        spanned = span(self.plain.problem)
        for form in (self.plain,) if spanned.problem is self.plain.problem else (spanned, self.plain):
            if self._plan(form):
                break
            self.paused.clear()

    def _plan(self, form: Spanned) -> bool:
        """Run the solvers for one form of the problem; return whether the solve is at its end."""
        left = self._time_left()
        plan = make_plan(form.problem, np.inf if left is None else left)
        for planned in plan:
            if planned.resumes and planned.name not in self.paused:
                continue
            if self.paused and planned.seconds > (self._time_left() or np.inf):
                continue
            self.attempt(planned, form, guarded=len(plan) > 1)
            if self.progress.reaches_tol() or self._is_end(self.progress.attempts[-1].status):
                return True
        return False

    def _original(self, raw: SolverResult, form: Spanned) -> SolverResult:
        """Return a solver's answer as one to the problem as the caller gave it."""
        result = original_result(self.normal, self.rotated.result(form.result(raw)))
        problem = self.progress.problem
        if not separates(problem, result.weights):
            return result
        return replace(result, weights=enlarged(problem, result.weights, self.tol), status=Status.UNATTAINED)

    def _results(self, planned: Planned, form: Spanned) -> Generator[SolverResult, None, None]:
        """Yield the answers of one solver."""
        solver = planned.solver
        if planned.resumes:
            yield self.paused.pop(planned.name)()
        elif isinstance(solver, str):
            yield from solve_cvxpy(
                form.problem,
                solver,
                tol=self.tol,
                max_iter=self.max_iter,
                time_limit=self._time_left(),
                verbose=self.verbose,
                options=self.options,
            )
        else:
            if planned.patience is not None and isinstance(form.problem, ConvexReLU):
                project_blocks.compile()  # no work of the solver's
            best = self.start if self.progress.weights is None else self.progress.weights
            limits = Limits(
                tol=self.tol,
                max_iter=self.max_iter or solver.max_iter,
                time_limit=self._time_left(),
                callback=normal_callback(self.normal, _with_printer(self.callback) if self.verbose else self.callback),
                patience=planned.patience,
                before=self.progress.elapsed,
            )
            start = None if best is None else form.start(self.rotated.start(self.normal.start(best)))
            raw = normal_solver(self.normal, solver).run(form.problem, start, limits)
            if raw.resume is not None:
                self.paused[planned.name] = raw.resume
            yield raw

    def _guarded(self, planned: Planned, form: Spanned) -> Generator[SolverResult, None, None]:
        """Yield the answers of one solver; zero weights if it breaks down."""
        try:
            yield from self._results(planned, form)
        except _BREAKDOWNS as error:
            yield _empty(form.problem, Status.FAILED, f"{type(error).__name__}: {error}")

    def _is_end(self, ended: Status) -> bool:
        """Return whether a solver ended by a limit, or a word, of the caller's, or where there is no optimum."""
        if ended is Status.MAX_ITER:
            return self.max_iter is not None
        return ended in (Status.TIME_LIMIT, Status.STOPPED, Status.INTERRUPTED, Status.UNATTAINED)

    def _time_left(self) -> float | None:
        """Return the seconds that a solver may take, None without a limit."""
        if self.time_limit is None:
            return None
        reserve = min(self.reserve, _LARGEST_RESERVE * self.time_limit)
        return max(self.time_limit - reserve - self.progress.elapsed, _LEAST_TIME)


def _answer(progress: Progress) -> tuple[Solution, str]:
    """Return the solution, and the warning that goes with it, if any."""
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
    return solution, "" if solution.status is Status.OPTIMAL else _complaint(solution, progress.tol)


def _complaint(solution: Solution, tol: float) -> str:
    """Return the warning of a solution that is not within the tolerance."""
    hint = advice(solution.certificate, solution.status)
    gap = f"a certified relative gap of {solution.certificate.rel_gap:.2e}, above tol = {tol:.2e}"
    if len(solution.attempts) <= 1:
        return f"{solution.solver} ended with {gap} (its own word: {solution.solver_status!r}). {hint}"
    attempts = ", ".join(f"{one.solver} ({one.status.value}, {one.rel_gap:.2e})" for one in solution.attempts)
    if solution.status not in OF_THE_CALLER:
        hint = (
            "No solver of the plan came closer: raise tol, or name a solver and give it start=solution.weights. "
            f"The best one: {hint}"
        )
    return f"ended with {gap}, after {attempts}. {hint}"


def _with_printer(callback: Callback | None) -> Callback:
    def show(record: Record) -> Any:
        print(
            f"{record.n_iter:>8} iterations {record.time:9.2f} s  objective {record.objective:.8g}  "
            f"lower {record.lower:.8g}  relative gap {record.rel_gap:.1e}  violation {record.violation:.1e}"
        )
        return callback(record) if callback is not None else None

    return show


def _empty(problem: ConvexProblem, status: Status, word: str) -> SolverResult:
    """Return zero weights as the answer of a solver."""
    return SolverResult(weights=problem.zero_weights(), status=status, solver_status=word, n_iter=0, solve_time=0.0)
