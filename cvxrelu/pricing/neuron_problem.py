"""The neuron constraint of NC-ReLU's dual, max over ||u|| <= 1 of |t'(X u)_+|, on the distinct lines of the rows of X.

Rows are rotated to their span, zero rows dropped, and parallel and opposite rows joined into lines with unit vectors
e_k. With p_k and m_k the sums of t_i ||x_i|| over the rows on the side of e_k and on the other,

    t'(X u)_+ = w0'u + sum_k tau_k (e_k'u)_+,   tau_k = p_k + m_k,   w0 = -sum_k m_k e_k.

And what a bound of it is.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cvxrelu._validation import FloatArray
from cvxrelu.numerics.rows import row_norms

_DECIMALS = 9  # of the key that joins rows to lines; what joining changes is measured and added to the bounds
_RANK = 1e-12  # singular values below that share of the largest are left out, and what that changes is measured

Method = Literal["exact", "branch_and_bound", "relaxation"]


@dataclass(frozen=True, eq=False)
class NeuronObjective:
    """f(u) = w0'u + sum_k tau_k (e_k'u)_+ in the coordinates of the row space.

    Attributes
    ----------
    E : ndarray of shape (K, r)
        Unit vectors of the lines.
    tau : ndarray of shape (K,)
        Weights of their kinks.
    w0 : ndarray of shape (r,)
        The linear part.
    slack : float
        ||f - t'(X u)_+|| over the unit ball is at most that: what dropping and joining has changed.
    """

    E: FloatArray
    tau: FloatArray
    w0: FloatArray
    slack: float

    @property
    def lipschitz(self) -> float:
        """A Lipschitz constant of f, so a bound of it on the unit ball."""
        return float(np.linalg.norm(self.w0) + np.abs(self.tau).sum())

    def value(self, u: FloatArray) -> float:
        """Return f(u) for u (r,)."""
        return float(self.w0 @ u + self.tau @ np.maximum(self.E @ u, 0.0))


class RowLines:
    """The distinct lines of the rows of X.

    Attributes
    ----------
    basis : ndarray of shape (d, r)
        Orthonormal basis of the row space: coordinates z stand for the neuron ``basis @ z``.
    E : ndarray of shape (K, r)
        Unit vectors of the lines.
    plus, minus : csr_array of shape (K, n)
        Norms of the rows on the side of e_k, and on the other: p = plus @ t, m = minus @ t.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        The data.
    """

    def __init__(self, X: FloatArray) -> None:
        rows = np.asarray(X, dtype=np.float64)
        norms = row_norms(rows)
        self._used = np.flatnonzero(norms)
        sizes_used = norms[self._used]
        units = rows[self._used] / sizes_used[:, None]
        _, sizes, right = np.linalg.svd(units, full_matrices=False)
        rank = int(np.sum(sizes > _RANK * sizes[0])) if len(sizes) else 0
        self.basis: FloatArray = right[:rank].T
        rotated = units @ self.basis
        left_out = row_norms(units - rotated @ self.basis.T)
        sides, first, line = _join(rotated)
        kept = sides[first, None] * rotated[first]
        self.E: FloatArray = kept / row_norms(kept)[:, None]
        joined = row_norms(sides[:, None] * rotated - self.E[line])
        self._changes = sizes_used * (left_out + joined)
        shape = (len(self.E), len(rows))
        self.plus, self.minus = (
            sp.csr_array((sizes_used[part], (line[part], self._used[part])), shape=shape)
            for part in (sides > 0.0, sides < 0.0)
        )

    @property
    def rank(self) -> int:
        """Dimension r of the row space."""
        return int(self.E.shape[1])

    def row_lines(self) -> NDArray[np.int64]:
        """Return for each row (n,) the number k + 1 of its line, negative for the other side, and 0 for zero rows."""
        numbers = np.zeros(self.plus.shape[1], dtype=np.int64)
        for sign, part in ((1, self.plus.tocoo()), (-1, self.minus.tocoo())):
            numbers[part.col] = sign * (part.row + 1)
        return numbers

    def form(self, t: FloatArray) -> NeuronObjective:
        """Return t'(X u)_+ for t (n,)."""
        plus, minus = self.plus @ t, self.minus @ t
        change = float(np.abs(t[self._used]) @ self._changes)
        return NeuronObjective(E=self.E, tau=plus + minus, w0=-minus @ self.E, slack=change)


@dataclass(frozen=True, eq=False)
class Multipliers:
    """rho >= 0, delta >= 0 and gamma of any sign, each (K,) for the lines: what proves a bound of one form."""

    rho: FloatArray
    gamma: FloatArray
    delta: FloatArray


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


@dataclass(frozen=True, eq=False)
class Cones:
    """What proves a bound of branch and bound: t, the lines of its rows, and the cones for t and for -t."""

    t: FloatArray
    lines: RowLines
    plus: Tree
    minus: Tree


@dataclass(frozen=True, eq=False)
class NeuronBound:
    """max over ||u|| <= 1 of |t'(Xu)_+| is at most ``upper``.

    Attributes
    ----------
    upper : float
        The proven bound.
    method : str
        "exact" (rank at most 2): the maximum itself, from all switches on the circle. "branch_and_bound": cones that
        cover the unit ball, each with its bound. "relaxation": of a semidefinite program.
    met : ndarray of shape (k, d)
        Unit vectors that the proof came upon, with values above its target; of "exact", local maximisers.
    n_nodes : int
        Cones of branch and bound.
    multipliers : tuple of ndarray (n,), Multipliers, Multipliers, or None
        Of "relaxation": t, and what proves the bound for t and for -t.
    cones : Cones or None
        Of "branch_and_bound": what proves the bound, if it was kept.
    """

    upper: float
    method: Method
    candidates: FloatArray
    n_nodes: int = 0
    multipliers: tuple[FloatArray, Multipliers, Multipliers] | None = None
    cones: Cones | None = None


def _join(units: FloatArray) -> tuple[FloatArray, NDArray[np.intp], NDArray[np.intp]]:
    """Return the side of each unit row on its line, the first row of each line, and the line of each row."""
    if not units.size:
        return np.empty(0), np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
    largest = np.abs(units).argmax(axis=1)
    # The sign of the largest entry could differ between rows of a line where two entries tie: the first large one.
    large = np.abs(units) >= 0.5 * np.abs(units[np.arange(len(units)), largest])[:, None]
    signs = np.sign(units[np.arange(len(units)), large.argmax(axis=1)])
    keys = np.round(signs[:, None] * units, _DECIMALS) + 0.0
    _, first, line = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return signs, first, line.reshape(-1)
