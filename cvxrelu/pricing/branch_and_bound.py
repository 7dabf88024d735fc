"""Branch and bound over cones: a proven upper bound on f(u) = w0'u + sum_k tau_k (e_k'u)_+ over ||u|| <= 1.

A node is a simplicial cone with unit rays v_j. A term whose e_k has products of one sign with the rays is linear on it.
The other terms with tau > 0 are bounded by their linear interpolation between the rays; the remaining function is
concave, and `bound_cone` bounds its maximum on the cone in the unit ball. Cones whose bound is above the threshold are
cut in two across an edge. A cone's x and c prove its bound for both halves, which start from them, so that a search
ended by a limit has a proof of the bounds of its open cones.
"""

import time as clock
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.pricing.cone_stack import ConeStack
from cvxrelu.pricing.neuron_problem import NeuronObjective, Tree

_MARGIN = 1.0001
_CHUNK = 5e7  # products of lines and rays between checks of the deadline
_NO_LIMIT = 2**62
_MAX_KEPT = 10_000_000  # numbers in a tree kept for a proof


@dataclass(frozen=True, eq=False)
class Search:
    """Result of a search.

    Attributes
    ----------
    upper : float
        Upper bound on f over the unit ball.
    candidates : ndarray of shape (k, r)
        Unit vectors at which f exceeded the current threshold, each better than the previous one.
    n_nodes : int
        Number of cones bounded.
    finished : bool
        Whether no cone was left open; else a limit was met, and ``upper`` includes the bounds of open cones.
    tree : Tree or None
        Proof of ``upper``, unless it is too long.
    """

    upper: float
    candidates: FloatArray
    n_nodes: int
    finished: bool
    tree: Tree | None = None


def search(
    objective: NeuronObjective,
    threshold: float,
    ascend: Callable[[FloatArray], FloatArray],
    *,
    max_nodes: int = _NO_LIMIT,
    deadline: float = np.inf,
) -> Search:
    """Prove that f is at most ``threshold`` on the unit ball, or slightly above its maximum if that is larger.

    Parameters
    ----------
    objective : NeuronObjective
        The function, of rank r >= 1; its ``slack`` is added to the upper bound.
    threshold : float
        Bound to prove, > 0. If a larger value of f is found, it is raised to slightly above `_MARGIN` times that.
    ascend : callable
        Returns a unit vector (r,) whose value is at least that of the given one.
    max_nodes : int
        Limit of the number of cones bounded; open cones enter ``upper`` with their present bounds.
    deadline : float
        Time limit, as a time of `time.perf_counter`.
    """
    stack = ConeStack(objective, max_logged=_MAX_KEPT)
    n_nodes, unresolved, candidates = 0, 0.0, []
    chunk = 1 + int(_CHUNK / max(objective.E.size * objective.E.shape[1], 1))
    while stack.n_open and n_nodes < max_nodes and clock.perf_counter() < deadline:
        limit = objective.limit(threshold)
        # Where f is within the rounding errors of the limit, no cut would close a cone.
        attainable = min(threshold, limit - 4.0 * stack.margin)
        done, value, point, too_deep = stack.bound(limit, attainable, min(chunk, max_nodes - n_nodes))
        n_nodes += done
        unresolved = max(unresolved, too_deep)
        if value > attainable:
            u = ascend(point)
            candidates.append(u)
            threshold = objective.upper(_MARGIN * max(objective.value(u), value) + 8.0 * stack.margin)
    finished = stack.n_open == 0 and unresolved == 0.0
    unresolved = max(unresolved, stack.close())
    return Search(
        upper=max(threshold, objective.upper(unresolved)) if unresolved else threshold,
        candidates=np.array(candidates).reshape(-1, objective.E.shape[1]),
        n_nodes=n_nodes,
        finished=finished,
        tree=stack.tree(),
    )
