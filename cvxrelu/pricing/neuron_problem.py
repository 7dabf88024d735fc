"""The neuron constraint of NC-ReLU's dual, max over ||u|| <= 1 of |t'(X u)_+|, on the distinct lines of the rows of X.

Rows are rotated to their span, zero rows dropped, and parallel and opposite rows joined into lines with unit vectors
e_k. With p_k and m_k the sums of t_i ||x_i|| over the rows along e_k and along -e_k,

    t'(X u)_+ = w0'u + sum_k tau_k (e_k'u)_+,   tau_k = p_k + m_k,   w0 = -sum_k m_k e_k.

`NeuronBound` is a proven bound on it. The bounds hold for the very numbers of basis and lines: with z = A u for the
computed basis A, f(z) differs from t'(X u)_+ by at most a slack, and ||z|| <= stretch ||u||.
"""

import copy
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import scipy
import scipy.sparse as sp
from numpy.typing import NDArray

from cvxrelu._validation import FloatArray
from cvxrelu.numerics.rounding import EPS
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
        Bound on |f(A u) - t'(X u)_+| over the unit ball, the error of dropping, joining and rounding rows.
    sizes : ndarray of shape (K,)
        Sums of |t_i| ||x_i|| over the rows of a line, to which the errors of tau are relative.
    n_terms : int
        Largest number of rows on a line.
    stretch : float
        Bound on the norm of the basis A, one to rounding.
    """

    E: FloatArray
    tau: FloatArray
    w0: FloatArray
    slack: float
    sizes: FloatArray
    n_terms: int
    stretch: float

    @property
    def lipschitz(self) -> float:
        """A Lipschitz constant of f, hence a bound on f over the unit ball."""
        return float(np.linalg.norm(self.w0) + np.abs(self.tau).sum())

    @property
    def size(self) -> float:
        """sum_i |t_i| ||x_i||, to which rounding errors are relative."""
        return float(self.sizes.sum())

    def value(self, u: FloatArray) -> float:
        """Return f(u) for u (r,)."""
        return float(self.w0 @ u + self.tau @ np.maximum(self.E @ u, 0.0))

    def upper(self, limit: float) -> float:
        """Return a bound on t'(X u)_+ over the unit ball if f is at most ``limit`` there."""
        return (limit * self.stretch + self.slack) * (1.0 + 4.0 * EPS)

    def limit(self, upper: float) -> float:
        """Return a bound on f over the unit ball that proves the bound ``upper``."""
        return (upper * (1.0 - 8.0 * EPS) - self.slack) / self.stretch


class RowLines:
    """The distinct lines of the rows of X.

    Attributes
    ----------
    basis : ndarray of shape (d, r)
        Orthonormal basis of the row space: coordinates z stand for the neuron ``basis @ z``.
    E : ndarray of shape (K, r)
        Unit vectors of the lines.
    numbers : ndarray of shape (n,)
        For each row the number k + 1 of its line, negated if it is along -e_k, and 0 for zero rows.
    sizes : ndarray of shape (n,)
        Norms of the rows.
    plus, minus : csr_array of shape (K, n)
        Norms of the rows along e_k and along -e_k: p = plus @ t, m = minus @ t.
    stretch : float
        Bound on the norm of the basis.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        The data.
    """

    def __init__(self, X: FloatArray) -> None:
        rows = np.asarray(X, dtype=np.float64)
        units, norms = _directions(rows)
        used = np.flatnonzero(norms)
        _, sizes, right = np.linalg.svd(units[used], full_matrices=False)
        rank = int(np.sum(sizes > _RANK_TOL * sizes[0])) if len(sizes) else 0
        rotated = units[used] @ right[:rank].T
        sides, first, line = _join(rotated)
        kept = sides[first, None] * rotated[first]
        numbers = np.zeros(len(rows), dtype=np.int64)
        numbers[used] = np.where(sides > 0.0, line + 1, -line - 1)
        self._set_lines(right[:rank].T, kept / row_norms(kept)[:, None])
        self._set_rows(rows, numbers, norms)

    def _set_lines(self, basis: FloatArray, E: FloatArray) -> None:
        self.basis, self.E, (d, r) = basis, E, basis.shape
        gram = np.abs(basis.T @ basis).sum(axis=1)
        self.stretch = float(np.sqrt(gram.max(initial=1.0) + r * (d + 4.0) * EPS))

    def _set_rows(self, X: FloatArray, numbers: NDArray[np.int64], sizes: FloatArray) -> None:
        """Set the rows on the lines, and bounds on the distances of the rows from their parts along the lines."""
        self._X, self.numbers, self.sizes = X, numbers, sizes
        shape = (len(self.E), len(X))
        sides = np.flatnonzero(numbers > 0), np.flatnonzero(numbers < 0)
        self.plus, self.minus = (
            sp.csr_array((sizes[part], (np.abs(numbers[part]) - 1, part)), shape=shape) for part in sides
        )
        self._errors, used = np.zeros(len(X)), np.flatnonzero(numbers)
        if len(used):
            along = (np.sign(numbers[used])[:, None] * self.E[np.abs(numbers[used]) - 1]) @ self.basis.T
            rounding = (self.rank + 6.0) * np.sqrt(float(self.rank)) * EPS
            self._errors[used] = sizes[used] * (row_norms(X[used] / sizes[used, None] - along) + rounding)

    @property
    def rank(self) -> int:
        """Dimension r of the row space."""
        return int(self.E.shape[1])

    def rotated(self, t: FloatArray) -> Self:
        """Return the lines in the principal axes of sum_k |tau_k| e_k e_k' for t (n,)."""
        weights = np.abs((self.plus + self.minus) @ t)
        axes = np.linalg.eigh((self.E.T * weights) @ self.E)[1]
        other = copy.copy(self)
        other._set_lines(self.basis @ axes, np.ascontiguousarray(self.E @ axes))
        other._set_rows(self._X, self.numbers, self.sizes)
        return other

    def of(self, X: FloatArray) -> Self:
        """Return the same lines with other rows on them (n', d), each on the line of the row nearest in direction."""
        if np.array_equal(X, self._X):
            return self
        units, sizes = _directions(X)
        known = np.flatnonzero(self.numbers)
        nearest = scipy.spatial.cKDTree(_directions(self._X[known])[0] @ self.basis).query(units @ self.basis)[1]
        other = copy.copy(self)
        other._set_rows(X, np.where(sizes > 0.0, self.numbers[known[nearest]], 0), sizes)
        return other

    def objective(self, t: FloatArray) -> NeuronObjective:
        """Return the function t'(X u)_+ for t (n,)."""
        plus, minus = self.plus @ t, self.minus @ t
        return NeuronObjective(
            E=self.E,
            tau=plus + minus,
            w0=-minus @ self.E,
            slack=float(np.abs(t) @ self._errors),
            sizes=(self.plus + self.minus) @ np.abs(t),
            n_terms=int(np.bincount(np.abs(self.numbers)).max()),
            stretch=self.stretch,
        )


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
    cuts : ndarray of shape (N, 4) and dtype uint16
        A row (a, b, alpha, beta) for each cone, in the order of visits, depth first: the ray alpha v_a + beta v_b
        replaces v_b in the half visited first, v_a in the other. Zeros for leaves. The initial cones are the orthants,
        visited from the last to the first; the bits of i give the signs of the rays of the i-th.
    points : ndarray of shape (L, r)
        x of the leaves.
    multipliers : csr_array of shape (L, K)
        c of the leaves, unless implied by the sum of e_k's products with the rays: 1 if it is positive, else 0.
    """

    cuts: NDArray[np.uint16]
    points: FloatArray
    multipliers: sp.csr_array


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
    t : ndarray of shape (n,), or None
        The dual variable; None if it is zero.
    lines : RowLines or None
        The lines for which the proof holds; None if t is zero.
    cones : tuple of Tree, Tree, or None
        For "branch_and_bound": the proofs for t and -t, unless they are too long.
    multipliers : tuple of Multipliers, Multipliers, or None
        For "relaxation": those for t and -t.
    """

    upper: float
    method: Method
    candidates: FloatArray
    n_nodes: int = 0
    t: FloatArray | None = None
    lines: RowLines | None = None
    cones: tuple[Tree, Tree] | None = None
    multipliers: tuple[Multipliers, Multipliers] | None = None


def _directions(X: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return unit rows and norms (n,); zero rows stay zero."""
    with np.errstate(over="ignore", under="ignore"):
        norms = row_norms(X)
    correct_far_norms(norms, X)
    return X / np.where(norms > 0.0, norms, 1.0)[:, None], norms


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
