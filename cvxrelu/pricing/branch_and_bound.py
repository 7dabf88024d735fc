"""Branch and bound over cones: a proven upper bound of f(u) = w0'u + sum_k tau_k (e_k'u)_+ over ||u|| <= 1.

A node is a simplicial cone with unit rays v_j. On it a line e_k whose products with the rays have one sign is linear.
Of the others, those with tau > 0 are at most their linear interpolation between the rays, and what is left is concave:
its maximum on the cone and the unit ball is bounded by `cone_bound`. Cones whose bound is above the threshold are cut
in two across an edge. A cone's x and c prove its bound for both halves, which start from them.
"""

import time as clock
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.numerics.rounding import EPS
from cvxrelu.pricing.cone_stack import ConeStack
from cvxrelu.pricing.neuron_problem import NeuronObjective, Tree

_ABOVE = 1.0001
_CHUNK = 5e7  # entries of the products of lines and rays between looks at the clock
_NO_LIMIT = 2**62
_KEPT = 10_000_000  # numbers of a tree that is kept in case that a proof is saved


@dataclass(frozen=True, eq=False)
class Search:
    """What a search has shown.

    Attributes
    ----------
    upper : float
        No u in the unit ball has a larger f(u).
    met : ndarray of shape (k, r)
        Unit vectors at which f was above the threshold of the time, each better than the one before.
    n_nodes : int
        Cones that were bounded.
    finished : bool
        Whether no cone is left open; else a limit was met, and ``upper`` is that of the cones left.
    tree : Tree or None
        What proves ``upper``, where it was to be kept, is finished and was not too long.
    """

    upper: float
    candidates: FloatArray
    n_nodes: int
    finished: bool
    tree: Tree | None = None


def search(
    form: NeuronObjective,
    threshold: float,
    ascend: Callable[[FloatArray], FloatArray],
    *,
    max_nodes: int = _NO_LIMIT,
    deadline: float = np.inf,
    keep_tree: bool = False,
) -> Search:
    """Show that f is at most ``threshold`` on the unit ball, or where it is not, a little above its maximum.

    Parameters
    ----------
    form : Form
        The function, of rank r >= 1; its ``slack`` is added to the upper bound.
    threshold : float
        What is to be shown, > 0. Where f is larger, it is raised to `_ABOVE` times the value there.
    ascend : callable
        Returns a unit vector (r,) with a value that is no smaller than that of the one given.
    max_nodes : int
        Limit of the cones that are bounded; those left open count in ``upper`` with the bounds that they have.
    deadline : float
        The same, as a time of `time.perf_counter`.
    keep_tree : bool
        Whether to keep what proves the bound.
    """
    stack, slack = ConeStack(form, max_logged=_KEPT if keep_tree else 0), form.slack + rounding_of(form)
    n_nodes, unresolved, candidates = 0, 0.0, []
    chunk = 1 + int(_CHUNK / max(form.E.size * form.E.shape[1], 1))
    while stack.n_open and n_nodes < max_nodes and clock.perf_counter() < deadline:
        done, value, where, left = stack.bound(threshold - slack, threshold, min(chunk, max_nodes - n_nodes))
        n_nodes += done
        unresolved = max(unresolved, left)
        if value > threshold:
            u = ascend(where)
            candidates.append(u)
            threshold = _ABOVE * max(form.value(u), value)
    open_bounds = np.minimum(stack.bounds[: stack.n_open], form.lipschitz)
    finished = stack.n_open == 0 and unresolved == 0.0
    return Search(
        upper=max(threshold, unresolved + slack, float(open_bounds.max(initial=0.0)) + slack),
        candidates=np.array(candidates).reshape(-1, form.E.shape[1]),
        n_nodes=n_nodes,
        finished=finished,
        tree=stack.tree() if finished else None,
    )


def rounding_of(form: NeuronObjective) -> float:
    """Return what rounding can be off by in a search.

    Sums of K + r terms. Rays are rounded at each cut: in an orthant, coefficients of a point are at most its norm, so
    that each cut on the way to a cone moves what it covers by a few eps at most.
    """
    K, r = form.E.shape
    rounding: float = (K + 100 * r) * EPS * form.lipschitz
    return rounding


def record(form: NeuronObjective, limit: float) -> Tree | None:
    """Return cones that show that f, but for its slack and rounding, is at most ``limit``; None if it is not.

    Parameters
    ----------
    form : Form
        The function, of rank r >= 1.
    limit : float
        What is to be shown, >= 0.
    """
    stack = ConeStack(form, max_logged=_NO_LIMIT)
    _, value, _, left = stack.bound(limit, limit, _NO_LIMIT)
    return None if value > limit or left > 0.0 else stack.tree()
