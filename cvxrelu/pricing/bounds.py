"""Proven upper bounds on max over ||u|| <= 1 of |t'(Xu)_+|, by the cheapest applicable method."""

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.losses.base import Loss
from cvxrelu.pricing.branch_and_bound import Search, search
from cvxrelu.pricing.cone_stack import ConeStack
from cvxrelu.pricing.exact import exact_maximum
from cvxrelu.pricing.local_search import local_maxima
from cvxrelu.pricing.neuron_problem import NeuronBound, RowLines
from cvxrelu.problems.dual import DualPoint

EXACT_RANK = 2
_NO_LIMIT = 10**9
LOOSER = (3.0, 1.3, 1.03)  # bounds proven first, as multiples of the largest value found
SEARCH_RANK = 12  # the search starts from 2^r orthants, and needs about 5 times as many cones per dimension


def compile_search(rank: int) -> None:
    """Compile the kernels that `bound_neurons` needs for data of a given rank, before a time limit starts."""
    if EXACT_RANK < rank <= SEARCH_RANK:
        ConeStack.compile()


def feasible_multiple(loss: Loss, Y: FloatArray, lam: float, t: FloatArray, upper: float) -> DualPoint:
    """Return the best feasible multiple of t (n,), in the domain of F*, given that the maximum is at most ``upper``."""
    point = loss.best_scale(t[:, None], Y, lam / upper if upper > 0.0 else np.inf) * t[:, None]
    return DualPoint(point, None, 0.0 - loss.conjugate(point, Y))


def bound_neurons(
    X: FloatArray,
    lines: RowLines,
    t: FloatArray,
    threshold: float,
    *,
    deadline: float = np.inf,
    max_nodes: int | None = None,
) -> NeuronBound:
    """Return a bound of at most ``threshold``, or slightly above the maximum if that is larger; weaker ones at a limit.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        The data, of rank at most `SEARCH_RANK`.
    lines : RowLines
        The lines of its rows.
    t : ndarray of shape (n,)
        The dual variable.
    threshold : float
        The bound to prove, > 0.
    deadline : float
        Time of `time.perf_counter` at which to stop.
    max_nodes : int, optional
        Number of cones of branch and bound at which to stop.
    """
    if lines.rank == 0:
        return NeuronBound(0.0, "exact", np.eye(1, X.shape[1]))
    if lines.rank <= EXACT_RANK:
        upper, U = maximum_over_lines(lines, t)
        return NeuronBound(upper, "exact", U @ lines.basis.T, t=t, lines=lines)
    rng = np.random.default_rng(0)
    parts: list[Search] = []
    unit = 2.0 ** -np.clip(np.frexp(threshold)[1], -1000, 1000)  # no square over- or underflows
    rotated = lines.rotated(unit * t)
    for sign in (unit, -unit):
        signed = sign * t

        def ascend(z: FloatArray, signed: FloatArray = signed) -> FloatArray:
            best = local_maxima(X, signed, (rotated.basis @ z)[None], 1, rng)[0]
            reached = best.u @ rotated.basis
            return reached / np.linalg.norm(reached)

        proven = max((part.upper for part in parts), default=unit * threshold)
        nodes_left = _NO_LIMIT if max_nodes is None else max_nodes - sum(part.n_nodes for part in parts)
        parts.append(search(rotated.objective(signed), proven, ascend, max_nodes=nodes_left, deadline=deadline))
    plus, minus = (part.tree for part in parts)
    return NeuronBound(
        upper=max(part.upper for part in parts) / unit,
        method="branch_and_bound",
        candidates=np.concatenate([part.candidates for part in parts]) @ rotated.basis.T,
        n_nodes=sum(part.n_nodes for part in parts),
        t=unit * t,
        lines=rotated,
        cones=None if plus is None or minus is None else (plus, minus),
    )


def maximum_over_lines(lines: RowLines, t: FloatArray) -> tuple[float, FloatArray]:
    """Return the maximum of |f(A u)| with its slack, for lines of rank 1 or 2, and maximisers (k, r)."""
    objective = lines.objective(t)
    plus, minus = lines.plus @ t, lines.minus @ t
    used = np.flatnonzero(plus), np.flatnonzero(minus)
    if not len(used[0]) + len(used[1]):
        return objective.upper(0.0), np.eye(1, lines.rank)
    rows = np.concatenate([lines.E[used[0]], -lines.E[used[1]]])
    upper, U = exact_maximum(rows, np.concatenate([plus[used[0]], minus[used[1]]]))
    return objective.upper(upper), U
