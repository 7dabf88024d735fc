"""Regularization paths: a convex program at a sequence of lams, warm-started, with a certificate at each point."""

import os
import time as clock
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvxrelu._files import check_writable
from cvxrelu._validation import FloatArray, Weights, check_integer, check_number, check_numeric
from cvxrelu.certificates.certificate import Certificate, certify
from cvxrelu.exceptions import ConvergenceWarning, StartNotUsedWarning, UnsupportedOptionWarning
from cvxrelu.networks.network import Network
from cvxrelu.numerics.active_set import project_blocks
from cvxrelu.optimize.path_store import _Store
from cvxrelu.optimize.solution import Solution
from cvxrelu.optimize.solve import solve_next
from cvxrelu.problems.base import ConvexProblem, check_problem
from cvxrelu.problems.relu import ConvexReLU
from cvxrelu.runtime.interrupts import interrupts_noted, note_interrupt
from cvxrelu.runtime.threads import silenced, warn
from cvxrelu.solvers.interface import NativeSolver
from cvxrelu.solvers.working_set.continuation import Continuation
from cvxrelu.status import Status

_LISTED = 10
_MIN_TIME = 1e-6  # once time is up, for a point that is only certified


@dataclass(frozen=True, eq=False, repr=False)
class Path:
    """The k finished points of a regularization path, in order of descending lam.

    Attributes
    ----------
    solutions : tuple of Solution
        The finished points. Points loaded from files have ``solver_status`` "loaded" and no ``n_iter``.
    requested : ndarray of shape (m,)
        All requested lams, descending; the first k are finished.
    halted : Status or None
        "stopped" (callback), "interrupted" (Ctrl-C) or "time_limit" if lams remain unsolved; else None.
    """

    solutions: tuple[Solution, ...]
    requested: FloatArray
    halted: Status | None = None

    @property
    def complete(self) -> bool:
        """Whether every requested lam has a point, whatever its status."""
        return self.halted is None

    @property
    def lams(self) -> FloatArray:
        """Regularization strengths of the points (k,), descending."""
        return self.requested[: len(self)]

    @property
    def weights(self) -> tuple[Weights, ...]:
        """The k weights: each U (c, P, d), or a pair (V, W) of them."""
        return tuple(solution.weights for solution in self.solutions)

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """The k certificates."""
        return tuple(solution.certificate for solution in self.solutions)

    @property
    def objectives(self) -> FloatArray:
        """Objectives of the weights (k,): upper bounds of the optimal values."""
        return np.array([certificate.upper for certificate in self.certificates])

    @property
    def lowers(self) -> FloatArray:
        """Certified lower bounds of the optimal values (k,)."""
        return np.array([certificate.lower for certificate in self.certificates])

    @property
    def gaps(self) -> FloatArray:
        """Certified relative gaps (k,), in the units of ``tol``."""
        return np.array([certificate.rel_gap for certificate in self.certificates])

    @property
    def n_active(self) -> NDArray[np.intp]:
        """Numbers of non-zero blocks (k,)."""
        return np.array([certificate.n_active for certificate in self.certificates], dtype=np.intp)

    @property
    def status(self) -> tuple[Status, ...]:
        """The k statuses; "optimal" if and only if the certified relative gap is at most the tolerance."""
        return tuple(solution.status for solution in self.solutions)

    def network(self, i: int) -> Network:
        """Return the network of point i; see `cvxrelu.to_network`."""
        return self.solutions[i].network()

    def __len__(self) -> int:
        return len(self.solutions)

    def __repr__(self) -> str:
        k = len(self)
        lines = [f"Path({k} of {len(self.requested)} points, {self.halted or 'complete'})"]
        if k:
            lines.append(f"{'':>5}  {'lam':>10}  {'objective':>13}  {'rel. gap':>8}  {'active':>6}  status")
        for i in np.unique(np.linspace(0, k - 1, min(k, _LISTED)).astype(int)):
            certificate = self.certificates[i]
            lines.append(
                f"{i:>5}  {self.lams[i]:>10.4g}  {certificate.upper:>13.8g}  {certificate.rel_gap:>8.1e}  "
                f"{certificate.n_active:>6}  {self.status[i]}"
            )
        return "\n".join(lines)


def regularization_path(
    problem: ConvexProblem,
    lams: Any = None,
    *,
    n_lams: int = 50,
    eps: float = 1e-3,
    solver: str | NativeSolver = "auto",
    tol: float = 1e-4,
    max_iter: int | None = None,
    time_limit: float | None = None,
    callback: Callable[[Solution], Any] | None = None,
    save_to: str | os.PathLike[str] | None = None,
    verbose: bool = False,
) -> Path:
    """Solve a convex program at descending lams, each warm-started and certified.

    For C-GReLU, `WorkingSet` extrapolates from the last two lams and keeps its products of the data. A certificate
    above tol also tries the dual point of the previous lam. The weights, dual points and certificates of all points are
    kept in memory: c P d numbers (C-ReLU: 2 c P d) of weights for each.

    Parameters
    ----------
    problem : ConvexGatedReLU or ConvexReLU
        The problem; its own lam is ignored.
    lams : array of shape (m,), optional
        Distinct regularization strengths > 0, in any order. By default ``n_lams`` values, logarithmically spaced from
        lam_max (the smallest lam with zero weights optimal) down to ``eps`` * lam_max.
    n_lams : int
        Number of lams, if ``lams`` is not given.
    eps : float
        Ratio of the smallest lam to the largest, in (0, 1), if ``lams`` is not given.
    solver : str or native solver
        Solver for each point, as in `cvxrelu.solve`. CVXPY's solvers are not warm-started.
    tol : float
        Relative certified gap to reach at each point.
    max_iter : int, optional
        Iteration limit of the solver at each point, as in `cvxrelu.solve`.
    time_limit : float, optional
        Time limit of the whole path in seconds, excluding compilation at the first call. The point being solved when
        time is up is kept, with status "time_limit"; later lams are omitted.
    callback : callable, optional
        Called with the `Solution` of each point once it is finished (and saved) or loaded; a true value stops the path.
    save_to : str or path, optional
        Folder in which each point is saved when finished, as an npz file of weights and dual variable without pickled
        objects. A later call with the same folder resumes the path: points found there are certified anew from
        weights and data, and solved again if the gap exceeds tol or the file is damaged.
    verbose : bool
        Print a line for each point.

    Returns
    -------
    Path
        The finished points, at least one unless interrupted. On Ctrl-C, those finished so far, with ``complete``
        False; a second Ctrl-C within a second is raised.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid, ``lams`` is not given and lam_max is zero or infinite, or the folder holds points of
        another problem. Nothing is solved.

    Warns
    -----
    ConvergenceWarning
        Once for the path, if points exceed tol (how many, which, and the largest gap) or time_limit omits lams.
    UserWarning
        Once for the path, if files are damaged.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.column_stack([np.linspace(-1, 1, 8), np.ones(8)])  # one feature, and the bias
    >>> y = np.abs(X[:, 0])
    >>> problem = cr.ConvexReLU(X, y, cr.enumerate_patterns(X))
    >>> path = cr.regularization_path(problem, n_lams=5, eps=0.01)
    >>> path.complete, {str(status) for status in path.status}
    (True, {'optimal'})
    >>> (path.lams / problem.lam_max()).round(3)
    array([1.   , 0.316, 0.1  , 0.032, 0.01 ])
    >>> path.network(0).n_neurons, path.network(4).n_neurons
    (0, 2)
    """
    check_problem(problem)
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be callable; got {callback!r}")
    tol = check_number("tol", tol, minimum=0.0, strict=True)
    deadline = np.inf if time_limit is None else _deadline(problem, time_limit)
    requested = _default_lams(problem, n_lams, eps) if lams is None else _check_lams(lams)
    store = None if save_to is None else _Store(save_to, problem)
    solutions: list[Solution] = []
    halted, before, continuation = None, interrupts_noted(), Continuation()
    silenced_warnings: tuple[type[Warning], ...] = (ConvergenceWarning, StartNotUsedWarning)
    try:
        for lam in requested:
            remaining = deadline - clock.perf_counter()
            if remaining <= 0.0 and solutions:
                halted = Status.TIME_LIMIT
                break
            problem = problem.with_lam(float(lam))  # from the last one, to share its caches
            previous = solutions[-1].certificate if solutions else None
            solution = None if store is None else store.load(problem)
            if solution is None or not solution.certificate.within(tol):
                if store is not None:
                    check_writable(store.folder)  # fail before solving, not after
                starts = [one.weights for one in (previous, solution) if one is not None]
                start = min(starts, key=problem.objective) if len(starts) > 1 else next(iter(starts), None)
                solution = silenced(solve_next, *silenced_warnings)(
                    problem,
                    solver,
                    continuation=continuation,
                    tol=tol,
                    max_iter=max_iter,
                    time_limit=None if time_limit is None else max(remaining, _MIN_TIME),
                    start=start,
                )
                if solution.status is Status.INTERRUPTED:
                    halted = Status.INTERRUPTED
                    break
                if solution.solver != "none":
                    silenced_warnings = (ConvergenceWarning, UnsupportedOptionWarning)  # once a path
                if solution.status is not Status.OPTIMAL and clock.perf_counter() < deadline:
                    solution = _with_dual_of(previous, solution, tol)
                if store is not None:
                    store.save(solution)
            solutions.append(solution)
            if verbose:
                print(f"{len(solutions):>4}/{len(requested)}  lam = {lam:.4e}  {solution!r}")
            if callback is not None and callback(solution):
                halted = Status.STOPPED
                break
            if interrupts_noted() > before:  # Ctrl-C too late to cut the point short
                halted = Status.INTERRUPTED
                break
    except KeyboardInterrupt:
        note_interrupt()
        halted = Status.INTERRUPTED
    if store is not None and store.damaged:
        warnings.warn(
            f"damaged files in {store.folder}; their points are solved again: {', '.join(store.damaged)}", stacklevel=2
        )
    _warn_of_gaps(solutions, len(requested), tol, halted)
    return Path(tuple(solutions), requested, halted if len(solutions) < len(requested) else None)


def _deadline(problem: ConvexProblem, time_limit: float) -> float:
    """Return the clock time at which the limit expires, counted from the end of compilation."""
    time_limit = check_number("time_limit", time_limit, minimum=0.0, strict=True)
    if isinstance(problem, ConvexReLU):
        project_blocks.compile()
    return clock.perf_counter() + time_limit


def _check_lams(lams: Any) -> FloatArray:
    """Return lams (m,) as float64, descending."""
    array = check_numeric("lams", lams).astype(np.float64)
    if array.ndim != 1:
        raise ValueError(f"lams must be a 1-D array; got shape {array.shape}")
    if array.min() <= 0.0:
        raise ValueError(f"lams must be positive; got {array.min():g}")
    descending = np.sort(array)[::-1]
    equal = descending[1:] == descending[:-1]
    if equal.any():
        raise ValueError(f"lams must be distinct; got {descending[1:][equal][0]:g} more than once")
    return descending


def _default_lams(problem: ConvexProblem, n_lams: int, eps: float) -> FloatArray:
    n_lams = check_integer("n_lams", n_lams, minimum=1)
    if not check_number("eps", eps, minimum=0.0, strict=True) < 1.0:
        raise ValueError(f"eps must be a number in (0, 1); got {eps!r}")
    lam_max = problem.lam_max()
    if not 0.0 < lam_max < np.inf:
        reason = "no lam makes zero weights optimal" if lam_max > 0.0 else "zero weights are optimal at every lam"
        raise ValueError(f"lams must be given for {problem!r}: {reason} (lam_max = {lam_max:g})")
    lams: FloatArray = lam_max * np.geomspace(1.0, eps, n_lams)
    return lams


def _with_dual_of(previous: Certificate | None, solution: Solution, tol: float) -> Solution:
    """Return the solution with its own lower bound or that of the previous dual point, whichever is larger."""
    problem = solution.problem
    if previous is None:
        return solution
    point = problem.dual_point(previous.dual.t, previous.dual.multipliers)
    if point.value <= solution.lower:
        return solution
    certificate = certify(problem, solution.weights, point)
    status = Status.OPTIMAL if certificate.within(tol) else solution.status
    return replace(solution, certificate=certificate, weights=certificate.weights, status=status)


def _warn_of_gaps(solutions: list[Solution], n_requested: int, tol: float, halted: Status | None) -> None:
    missed = [solution for solution in solutions if solution.status is not Status.OPTIMAL]
    messages = []
    if missed:
        worst = max(missed, key=lambda solution: solution.certificate.rel_gap)
        listed = ", ".join(f"{solution.problem.lam:.4g}" for solution in missed[:_LISTED])
        messages.append(
            f"{len(missed)} of {len(solutions)} points of the path ended with a certified relative gap above "
            f"tol = {tol:.2e} (lam = {listed}{', ...' if missed[_LISTED:] else ''}); the largest is "
            f"{worst.certificate.rel_gap:.2e}, at lam = {worst.problem.lam:.4g}. {worst.status.advice}"
        )
    if halted is Status.TIME_LIMIT:
        messages.append(f"time_limit omitted the last {n_requested - len(solutions)} of {n_requested} lams of the path")
    if messages:
        warn(". ".join(text.rstrip(".") for text in messages) + ".", ConvergenceWarning, stacklevel=3)
