"""The neuron constraint of NC-ReLU's dual, max over ||u|| <= 1 of |t'(X u)_+|, on the distinct lines of the rows of X.

Rows are rotated to their span, zero rows dropped, and parallel and opposite rows joined into lines with unit vectors
e_k. With p_k and m_k the sums of t_i ||x_i|| over the rows along e_k and along -e_k,

    t'(X u)_+ = w0'u + sum_k tau_k (e_k'u)_+,   tau_k = p_k + m_k,   w0 = -sum_k m_k e_k.

`NeuronBound` is a proven bound on it.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cvxrelu._validation import FloatArray
from cvxrelu.numerics.rows import correct_far_norms, row_norms

_DECIMALS = 9  # of the key that joins rows to lines; the error of joining is computed and added to the bounds
_RANK_TOL = 1e-12  # relative; smaller singular values are dropped, and their error added to the bounds

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
        Bound on |f(u) - t'(X u)_+| over the unit ball, the error of dropping and joining.
    """

    E: FloatArray
    tau: FloatArray
    w0: FloatArray
    slack: float

    @property
    def lipschitz(self) -> float:
        """A Lipschitz constant of f, hence a bound on f over the unit ball."""
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
        Norms of the rows along e_k and along -e_k: p = plus @ t, m = minus @ t.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        The data.
    """

    def __init__(self, X: FloatArray) -> None:
        rows = np.asarray(X, dtype=np.float64)
        with np.errstate(over="ignore", under="ignore"):
            norms = row_norms(rows)
        correct_far_norms(norms, rows)
        self._used = np.flatnonzero(norms)
        sizes_used = norms[self._used]
        units = rows[self._used] / sizes_used[:, None]
        _, sizes, right = np.linalg.svd(units, full_matrices=False)
        rank = int(np.sum(sizes > _RANK_TOL * sizes[0])) if len(sizes) else 0
        self.basis: FloatArray = right[:rank].T
        rotated = units @ self.basis
        dropped = row_norms(units - rotated @ self.basis.T)
        sides, first, line = _join(rotated)
        kept = sides[first, None] * rotated[first]
        self.E: FloatArray = kept / row_norms(kept)[:, None]
        joined = row_norms(sides[:, None] * rotated - self.E[line])
        self._errors = sizes_used * (dropped + joined)
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
        """Return for each row (n,) the number k + 1 of its line, negated if it is along -e_k, and 0 for zero rows."""
        numbers = np.zeros(self.plus.shape[1], dtype=np.int64)
        for sign, part in ((1, self.plus.tocoo()), (-1, self.minus.tocoo())):
            numbers[part.col] = sign * (part.row + 1)
        return numbers

    def objective(self, t: FloatArray) -> NeuronObjective:
        """Return the function t'(X u)_+ for t (n,)."""
        plus, minus = self.plus @ t, self.minus @ t
        slack = float(np.abs(t[self._used]) @ self._errors)
        return NeuronObjective(E=self.E, tau=plus + minus, w0=-minus @ self.E, slack=slack)


@dataclass(frozen=True, eq=False)
class Multipliers:
    """Multipliers rho >= 0, delta >= 0 and gamma of any sign, each (K,), that prove a bound on a `NeuronObjective`."""

    rho: FloatArray
    gamma: FloatArray
    delta: FloatArray


@dataclass(frozen=True, eq=False)
class Tree:
    """Cones that cover the space, with proofs of the leaves' bounds that need no search to check.

    Attributes
    ----------
    axes : ndarray of shape (r, r)
        Orthonormal rows. The initial cones are their orthants, visited from the last to the first; the bits of i give
        the signs of the rays of the i-th.
    cuts : ndarray of shape (N, 2) and dtype uint8
        The edges (a, b) at which cones are cut, in the order of visits, depth first: the half without v_b before the
        half without v_a. (0, 0) for leaves.
    fractions : ndarray of shape (N - L,)
        Positions of the cuts: the ray (1 - fraction) v_a + fraction v_b, scaled to norm 1, replaces v_a or v_b.
    points : ndarray of shape (L, r)
        x of the leaves.
    multipliers : csr_array of shape (L, K)
        c of the leaves, unless implied by the sum of e_k's products with the rays: 1 if it is positive, else 0.
    """

    axes: FloatArray
    cuts: NDArray[np.uint8]
    fractions: FloatArray
    points: FloatArray
    multipliers: sp.csr_array


@dataclass(frozen=True, eq=False)
class Cones:
    """Proof of a bound by branch and bound: t, the lines of the rows, and the cones for t and -t."""

    t: FloatArray
    lines: RowLines
    plus: Tree
    minus: Tree


@dataclass(frozen=True, eq=False)
class NeuronBound:
    """A proven upper bound on max over ||u|| <= 1 of |t'(Xu)_+|.

    Attributes
    ----------
    upper : float
        The proven bound.
    method : str
        "exact" (rank at most 2): the maximum itself, over all arcs of the circle. "branch_and_bound": bounds on cones
        that cover the unit ball. "relaxation": a semidefinite relaxation.
    candidates : ndarray of shape (k, d)
        Unit vectors with values above the threshold, found by the proof; for "exact", local maximisers.
    n_nodes : int
        Number of cones of branch and bound.
    multipliers : tuple of ndarray (n,), Multipliers, Multipliers, or None
        For "relaxation": t, and the multipliers for t and -t.
    cones : Cones or None
        For "branch_and_bound": the proof, if it was kept.
    """

    upper: float
    method: Method
    candidates: FloatArray
    n_nodes: int = 0
    multipliers: tuple[FloatArray, Multipliers, Multipliers] | None = None
    cones: Cones | None = None


def _join(units: FloatArray) -> tuple[FloatArray, NDArray[np.intp], NDArray[np.intp]]:
    """Return the sign of each unit row on its line, the first row of each line, and the line of each row."""
    if not units.size:
        return np.empty(0), np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
    largest = np.abs(units).argmax(axis=1)
    # The sign of the largest entry may differ between rows of a line if two entries tie; take the first large one.
    large = np.abs(units) >= 0.5 * np.abs(units[np.arange(len(units)), largest])[:, None]
    signs = np.sign(units[np.arange(len(units)), large.argmax(axis=1)])
    keys = np.round(signs[:, None] * units, _DECIMALS) + 0.0
    _, first, line = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return signs, first, line.reshape(-1)
