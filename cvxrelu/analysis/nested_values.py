"""Certified intervals of the optimal gated and ReLU values on growing sets of patterns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvxrelu._validation import FloatArray, Weights, check_number, check_numeric
from cvxrelu.exceptions import ConvergenceWarning, StartNotUsedWarning
from cvxrelu.numerics.gaps import check_bounds
from cvxrelu.optimize.solution import Solution
from cvxrelu.optimize.solve import solve
from cvxrelu.problems.base import ConvexProblem, check_problem
from cvxrelu.problems.gated_relu import ConvexGatedReLU
from cvxrelu.problems.relu import ConvexReLU
from cvxrelu.runtime.interrupts import interrupts_noted, note_interrupt
from cvxrelu.runtime.threads import silenced, warn
from cvxrelu.solvers.interface import NativeSolver
from cvxrelu.status import Status


@dataclass(frozen=True, eq=False, repr=False)
class NestedValues:
    """Certified intervals of the optimal values on the first ``sizes[j]`` patterns, for the k finished sizes.

    Both optimal values are non-increasing as the set grows; so are the bounds, each at least as tight as its own
    solve's.

    Attributes
    ----------
    sizes : ndarray of shape (k,)
        Numbers of patterns, increasing.
    gated_lower, gated_upper : ndarray of shape (k,)
        Bounds of the optimal value of C-GReLU.
    relu_lower, relu_upper : ndarray of shape (k,)
        Bounds of the optimal value of C-ReLU.
    gated_active, relu_active : ndarray of shape (k,)
        Numbers of non-zero blocks in the weights of each solve.
    gated_seconds, relu_seconds : ndarray of shape (k,)
        Time of each solve, certificate included.
    requested : ndarray of shape (m,)
        All requested sizes; after Ctrl-C only the first k are finished.
    """

    sizes: NDArray[np.intp]
    gated_lower: FloatArray
    gated_upper: FloatArray
    relu_lower: FloatArray
    relu_upper: FloatArray
    gated_active: NDArray[np.intp]
    relu_active: NDArray[np.intp]
    gated_seconds: FloatArray
    relu_seconds: FloatArray
    requested: NDArray[np.intp]

    @property
    def complete(self) -> bool:
        """Whether all requested sizes are finished."""
        return len(self) == len(self.requested)

    def __len__(self) -> int:
        return len(self.sizes)

    def __repr__(self) -> str:
        return f"NestedValues({len(self)} of {len(self.requested)} sizes)"

    def __str__(self) -> str:
        """Return a table with a line for each size."""
        columns = f"  {'lower':>13}  {'upper':>13}  {'active':>6}  {'seconds':>8}"
        lines = [f"{'':>8}  |{'gated ReLU':^48}  |{'ReLU':^48}", f"{'patterns':>8}  |{columns}  |{columns}"]
        for j, size in enumerate(self.sizes):
            gated, relu = (
                f"  {lower[j]:>13.8g}  {upper[j]:>13.8g}  {active[j]:>6}  {seconds[j]:>8.2f}"
                for lower, upper, active, seconds in (
                    (self.gated_lower, self.gated_upper, self.gated_active, self.gated_seconds),
                    (self.relu_lower, self.relu_upper, self.relu_active, self.relu_seconds),
                )
            )
            lines.append(f"{size:>8}  |{gated}  |{relu}")
        return "\n".join(lines)


def nested_values(
    problem: ConvexProblem,
    sizes: Any,
    *,
    solver: str | NativeSolver = "auto",
    tol: float = 1e-4,
    time_limit: float | None = None,
    verbose: bool = False,
) -> NestedValues:
    """Solve C-GReLU and C-ReLU on the first patterns of a problem, for increasing numbers of patterns.

    Each solve starts from the weights on the previous set, padded with zeros, which are feasible. The sets are nested,
    so an upper bound also holds for all larger sets, and a lower bound for all smaller ones. The gated optimum is at
    most the ReLU optimum if Omega(V - W) <= Omega(V, W): for "group_l1", "l1", "none", and at lam = 0. Each bound
    returned is the best of these.

    Parameters
    ----------
    problem : ConvexGatedReLU or ConvexReLU
        Data, patterns, lam, loss and penalty (not "nuclear", which C-ReLU does not support); either kind.
    sizes : array of shape (m,)
        Numbers of patterns: integers, increasing, from 1 to P.
    solver : str or native solver
        Solver of each program, as in `cvxrelu.solve`. CVXPY's solvers do not start from the previous weights.
    tol : float
        Certified relative gap at which each solve stops.
    time_limit : float, optional
        Limit of each solve in seconds, as in `cvxrelu.solve`.
    verbose : bool
        Print a line for each solve.

    Returns
    -------
    NestedValues
        The intervals of the finished sizes; after Ctrl-C, those finished by then.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid; raised before any solve.
    CertificateError
        If bounds contradict each other by more than rounding, which would be a bug.

    Warns
    -----
    ConvergenceWarning
        Once, if solves missed tol, with their number and the largest gap. Their bounds hold nevertheless.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.standard_normal((20, 3)), rng.standard_normal(20)
    >>> problem = cr.ConvexReLU(X, y, cr.sample_patterns(X, n_gates=30, seed=0), lam=0.01)
    >>> values = cr.nested_values(problem, [5, 10, 20])
    >>> values.sizes
    array([ 5, 10, 20])
    >>> bool(np.all(np.diff(values.relu_upper) <= 0)), bool(np.all(values.gated_lower <= values.relu_upper))
    (True, True)
    """
    check_problem(problem)
    requested = _check_sizes(sizes, len(problem.patterns))
    tol = check_number("tol", tol, minimum=0.0, strict=True)
    pair = ConvexGatedReLU.of(problem), ConvexReLU.of(problem)
    finished: list[tuple[Solution, ...]] = []
    before = interrupts_noted()
    run = silenced(solve, ConvergenceWarning, StartNotUsedWarning)
    try:
        for size in requested:
            solutions = []
            for i, full in enumerate(pair):
                part = full.restrict(np.arange(size))
                start = _padded(finished[-1][i], part) if finished else None
                solution = run(part, solver, tol=tol, time_limit=time_limit, start=start)
                if solution.status is Status.INTERRUPTED:
                    break
                solutions.append(solution)
                if verbose:
                    print(f"{size:>8} patterns, {'ReLU' if i else 'gated'}: {solution!r}")
            if len(solutions) == len(pair):
                finished.append(tuple(solutions))
            if interrupts_noted() > before:
                break
    except KeyboardInterrupt:
        note_interrupt()
    _warn_of_gaps([solution for solutions in finished for solution in solutions], tol)
    gated, relu = [solutions[0] for solutions in finished], [solutions[1] for solutions in finished]
    gated_lower, gated_upper = _nested_bounds(gated)
    relu_lower, relu_upper = _nested_bounds(relu)
    if problem.penalty.gated_is_lower_bound or problem.lam == 0.0:
        relu_lower = np.maximum(relu_lower, gated_lower)
        gated_upper = np.minimum(gated_upper, relu_upper)
    return NestedValues(
        sizes=requested[: len(finished)],
        gated_lower=_consistent_lower(problem, gated_lower, gated_upper, "C-GReLU"),
        gated_upper=gated_upper,
        relu_lower=_consistent_lower(problem, relu_lower, relu_upper, "C-ReLU"),
        relu_upper=relu_upper,
        gated_active=_active(gated),
        relu_active=_active(relu),
        gated_seconds=np.array([solution.time for solution in gated]),
        relu_seconds=np.array([solution.time for solution in relu]),
        requested=requested,
    )


def _check_sizes(sizes: Any, n_patterns: int) -> NDArray[np.intp]:
    array = check_numeric("sizes", sizes)
    accepts = f"sizes must be a 1-D array of increasing integers from 1 to {n_patterns}, the number of patterns"
    if np.asarray(sizes).dtype.kind not in "iu":
        raise TypeError(f"{accepts}; got an array of dtype {np.asarray(sizes).dtype}")
    if array.ndim != 1:
        raise ValueError(f"{accepts}; got shape {array.shape}")
    if array[0] < 1 or array[-1] > n_patterns or np.any(np.diff(array) <= 0):
        raise ValueError(f"{accepts}; got {sizes!r}")
    return array.astype(np.intp)


def _padded(solution: Solution, problem: ConvexProblem) -> Weights:
    """Return the weights of a smaller set, padded with zeros for the other patterns."""
    blocks = problem.blocks(problem.zero_weights()).copy()
    blocks[..., : len(solution.problem.patterns), :] = solution.problem.blocks(solution.weights)
    return problem.weights(blocks)


def _active(solutions: Sequence[Solution]) -> NDArray[np.intp]:
    return np.array([solution.certificate.n_active for solution in solutions], dtype=np.intp)


def _nested_bounds(solutions: Sequence[Solution]) -> tuple[FloatArray, FloatArray]:
    """Return the lower and upper bounds of each set, the lower ones tightened by larger sets, the upper by smaller."""
    lower = np.array([solution.lower for solution in solutions])
    upper = np.array([solution.objective for solution in solutions])
    return np.maximum.accumulate(lower[::-1])[::-1], np.minimum.accumulate(upper)


def _consistent_lower(problem: ConvexProblem, lower: FloatArray, upper: FloatArray, name: str) -> FloatArray:
    """Return the lower bounds, clipped to the upper ones; raise CertificateError if they contradict each other."""
    pairs = zip(lower.tolist(), upper.tolist(), strict=True)
    subject = f"{name} on pattern set {{}} of {len(lower)}, by bounds of nested sets"
    return np.array([check_bounds(*pair, problem.value_at_zero, subject.format(j)) for j, pair in enumerate(pairs, 1)])


def _warn_of_gaps(solutions: Sequence[Solution], tol: float) -> None:
    missed = [solution for solution in solutions if solution.status is not Status.OPTIMAL]
    if not missed:
        return
    worst = max(missed, key=lambda solution: solution.certificate.rel_gap)
    warn(
        f"{len(missed)} of {len(solutions)} solves ended with a certified relative gap above tol = {tol:.2e}; the "
        f"largest is {worst.certificate.rel_gap:.2e}, of {worst.problem!r}. {worst.status.advice}",
        ConvergenceWarning,
        stacklevel=3,
    )
