"""Proven upper bounds of max over ||u|| <= 1 of |t'(Xu)_+|, by the cheapest method that is in reach."""

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.losses.base import Loss
from cvxrelu.numerics.rows import row_norms
from cvxrelu.pricing.branch_and_bound import Search, search
from cvxrelu.pricing.cone_stack import ConeStack
from cvxrelu.pricing.exact import exact_maximum
from cvxrelu.pricing.local_search import local_maxima
from cvxrelu.pricing.neuron_problem import Cones, NeuronBound, RowLines
from cvxrelu.problems.dual import DualPoint

EXACT_RANK = 2
_NO_LIMIT = 10**9
LOOSER = (3.0, 1.3, 1.03)  # times the largest value found: what is proven before the target itself
SEARCH_RANK = 12  # 2^r orthants to start from, and about 5 times as many cones for each dimension


def compile_search(rank: int) -> None:
    """Compile what `bound_neurons` needs for data of a rank, before a limit of time starts."""
    if EXACT_RANK < rank <= SEARCH_RANK:
        ConeStack.compile()


def feasible_multiple(loss: Loss, Y: FloatArray, lam: float, t: FloatArray, upper: float) -> DualPoint:
    """Return the best feasible multiple of t (n,), in the domain of F*, if the maximum at t is at most ``upper``."""
    point = loss.best_scale(t[:, None], Y, lam / upper if upper > 0.0 else np.inf) * t[:, None]
    return DualPoint(point, None, 0.0 - loss.conjugate(point, Y))


def bound_neurons(
    X: FloatArray,
    lines: RowLines,
    t: FloatArray,
    target: float,
    *,
    deadline: float = np.inf,
    max_nodes: int | None = None,
    keep_tree: bool = False,
) -> NeuronBound:
    """Return a bound that is at most ``target``, or a little above the maximum if that is larger, if time suffices.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        The data, of rank at most `SEARCH_RANK`.
    lines : Lines
        The lines of its rows.
    t : ndarray of shape (n,)
        The dual variable.
    target : float
        What is to be proven, > 0.
    deadline : float
        When to stop, as a time of `time.perf_counter`.
    max_nodes : int, optional
        The same, as a number of cones of branch and bound.
    keep_tree : bool
        Whether to keep the cones of branch and bound, for a proof that is written to a file.
    """
    if lines.rank == 0:
        return NeuronBound(0.0, "exact", np.eye(1, X.shape[1]))
    if lines.rank <= EXACT_RANK:
        # In the plane of the lines: what rows are off it counts in full.
        plane = X @ lines.basis
        upper, U = exact_maximum(plane, t)
        off = float(np.abs(t) @ row_norms(X - plane @ lines.basis.T))
        return NeuronBound(upper + off, "exact", U @ lines.basis.T)
    rng = np.random.default_rng(0)
    parts: list[Search] = []
    for sign in (1.0, -1.0):
        signed = sign * t

        def ascend(z: FloatArray, signed: FloatArray = signed) -> FloatArray:
            best = local_maxima(X, signed, (lines.basis @ z)[None], 1, rng)[0]
            reached = best.u @ lines.basis
            return reached / np.linalg.norm(reached)

        reached = max((part.upper for part in parts), default=target)
        left = _NO_LIMIT if max_nodes is None else max_nodes - sum(part.n_nodes for part in parts)
        form = lines.form(signed)
        parts.append(search(form, reached, ascend, max_nodes=left, deadline=deadline, keep_tree=keep_tree))
    plus, minus = (part.tree for part in parts)
    return NeuronBound(
        upper=max(part.upper for part in parts),
        method="branch_and_bound",
        candidates=np.concatenate([part.candidates for part in parts]) @ lines.basis.T,
        n_nodes=sum(part.n_nodes for part in parts),
        cones=None if plus is None or minus is None else Cones(t, lines, plus, minus),
    )
