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
import scipy.sparse as sp
from numpy.typing import NDArray

from cvxrelu._validation import FloatArray
from cvxrelu.pricing.cone_stack import ConeStack
from cvxrelu.pricing.neuron_problem import NeuronObjective

_ABOVE = 1.0001
_CHUNK = 5e7  # entries of the products of lines and rays between looks at the clock
_TIE = 1e-9  # sum of a line's products with the rays, of which another computation might not find the sign
_EPS = float(np.finfo(np.float64).eps)


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
    """

    upper: float
    candidates: FloatArray
    n_nodes: int
    finished: bool


@dataclass(frozen=True, eq=False)
class Tree:
    """Cones that cover the space, with what proves the bounds of those that are not cut, for a check without a search.

    Attributes
    ----------
    axes : ndarray of shape (r, r)
        Orthonormal rows: the first cones are their orthants, the i-th of which has them with the signs of the bits of
        i, and which are visited from the last to the first.
    cuts : ndarray of shape (N, 2) and dtype uint8
        The edges (a, b) of the cones that are cut, as they are visited, depth first: the half without v_a after that
        without v_b. (0, 0) are leaves.
    shares : ndarray of shape (N - L,)
        Where they are cut: the ray (1 - share) v_a + share v_b, scaled to norm 1, takes the place of either.
    points : ndarray of shape (L, r)
        x of the leaves.
    multipliers : csr_array of shape (L, K)
        c of the leaves, where it is not that of the sign of e_k's products with the rays: 1 if their sum is positive,
        else 0.
    """

    axes: FloatArray
    cuts: NDArray[np.uint8]
    shares: FloatArray
    points: FloatArray
    multipliers: sp.csr_array


def search(
    form: NeuronObjective,
    threshold: float,
    ascend: Callable[[FloatArray], FloatArray],
    *,
    max_nodes: int = 10**9,
    deadline: float = np.inf,
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
    """
    stack, slack = ConeStack(form, with_bounds=True), form.slack + rounding_of(form)
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
    open_bounds = stack.bounds[: stack.n_open]
    return Search(
        upper=max(threshold, unresolved + slack, float(open_bounds.max(initial=0.0)) + slack),
        candidates=np.array(candidates).reshape(-1, form.E.shape[1]),
        n_nodes=n_nodes,
        finished=stack.n_open == 0 and unresolved == 0.0,
    )


def rounding_of(form: NeuronObjective) -> float:
    """Return what rounding can be off by in a search.

    Sums of K + r terms. Rays are rounded at each cut: in an orthant, coefficients of a point are at most its norm, so
    that each cut on the way to a cone moves what it covers by a few eps at most.
    """
    K, r = form.E.shape
    rounding: float = (K + 100 * r) * _EPS * form.lipschitz
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
    stack = ConeStack(form, with_bounds=False)
    cuts: list[tuple[int, int]] = []
    shares: list[float] = []
    points: list[FloatArray] = []
    values: list[FloatArray] = []
    lines: list[NDArray[np.int64]] = []
    while stack.n_open:
        n_open = stack.n_open
        _, value, _, left = stack.bound(limit, limit, 1)
        if value > limit or left > 0.0:
            return None
        m, a, b, share = stack.last
        if stack.n_open > n_open:
            cuts.append((a, b))
            shares.append(share)
            continue
        cuts.append((0, 0))
        points.append(stack.x.copy())
        c, sides = np.clip(stack.c[:m], 0.0, 1.0), stack.Z[:m].sum(axis=1)
        told = (c != (sides > 0.0)) | (np.abs(sides) <= _TIE)
        values.append(c[told])
        lines.append(stack.lines[:m][told])
    starts = np.cumsum([0, *(len(part) for part in values)])
    multipliers = sp.csr_array(
        (np.concatenate(values), np.concatenate(lines), starts), shape=(len(points), len(form.E))
    )
    multipliers.sort_indices()
    return Tree(
        axes=stack.axes,
        cuts=np.array(cuts, dtype=np.uint8),
        shares=np.array(shares),
        points=np.array(points),
        multipliers=multipliers,
    )
