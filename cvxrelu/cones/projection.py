"""Batched projections onto the pattern cones {p : R p >= 0}, each started from the face of the last one.

The dual of a projection, min over g >= 0 of 1/2 ||x + R'g||^2, is solved by the active-set method of `active_set`.
"""

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp

from cvxrelu._validation import BoolArray, FloatArray
from cvxrelu.numerics.active_set import IndexArray, on_face, project_blocks, scratch
from cvxrelu.numerics.rounding import TINY
from cvxrelu.numerics.rows import row_norms, safe_row_norms
from cvxrelu.runtime.memory import require

_ACCURACY = 1e-11  # of a projection, relative to its argument
_NOISE = 1e-6  # norm of R'g taken as rounding, relative to the argument
_REMEDY = "take fewer gates, or fewer columns"
_CHUNK_BYTES = 2**25


class ConeProjector:
    """Projector of blocks onto the cones K_i = {p : (2 D_ji - 1) x_j'p >= 0 for all rows j}.

    Block b belongs to pattern ``b % P``. For each block it keeps the tight rows of the last projection p of x and
    their basis: p is the component of x in the null space, and the multipliers are minus the other coordinates.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        The data.
    D : ndarray of shape (n, P), bool
        The patterns.
    n_blocks : int
        Number of blocks.
    """

    def __init__(self, X: FloatArray, D: BoolArray, n_blocks: int) -> None:
        norms = safe_row_norms(X)
        self._rows = np.flatnonzero(norms)
        self._norms = norms[self._rows]
        self._unit = X[self._rows] / self._norms[:, None]
        self._unit_columns = np.ascontiguousarray(self._unit.T)
        self._active = np.ascontiguousarray(D[self._rows].T)
        self.n_blocks = n_blocks
        self._shape = (n_blocks, len(X))
        d = X.shape[1]
        self._slot = np.full(n_blocks, -1)  # index of a block in the arrays below, -1 before its first projection
        self._basis = np.empty((0, d, d))
        self._tight = np.empty((0, d), dtype=bool)
        self._row = np.empty((0, d), dtype=np.intp)
        self._gamma = np.empty((0, d))
        self._normal = np.zeros((n_blocks, d))  # R'g of the last projection
        self._normal_squared = np.zeros(n_blocks)

    def bounds(self, blocks: IndexArray, x: FloatArray) -> FloatArray:
        """Return upper bounds of ||proj_K x||: min over a >= 0 of ||x + a R'g||, g >= 0 of the last projection."""
        return row_norms(x + self._scales(blocks, x)[:, None] * self._normal[blocks])

    def project(
        self,
        blocks: IndexArray,
        x: FloatArray,
        threshold: float = 0.0,
        max_pivots: int | None = None,
        expired: Callable[[], bool] = lambda: False,
    ) -> FloatArray:
        """Return the projections of the rows of x (B, d) onto the cones of the distinct blocks (B,).

        With any limits, a result is x + R'g for some g >= 0, so its norm is at least that of the projection.

        Parameters
        ----------
        blocks : ndarray of shape (B,)
            The blocks.
        x : ndarray of shape (B, d)
            Points to project.
        threshold : float
            Norm below which a projection need not be exact.
        max_pivots : int, optional
            Approximate limit of changes of the tight set of each block; by default 20 d.
        expired : callable
            Whether time is up: the remaining rows are returned unchanged.
        """
        p = np.empty_like(x)
        step = max(1, _CHUNK_BYTES // (8 * (self._unit.shape[0] + self._unit.shape[1] ** 2)))
        limit = 20 * x.shape[1] if max_pivots is None else max_pivots
        for start in range(0, len(blocks), step):
            if expired():
                p[start:] = x[start:]  # g = 0
                break
            chunk = slice(start, start + step)
            p[chunk] = self._project(blocks[chunk], x[chunk], threshold, limit)
        return p

    def faces(self, blocks: IndexArray) -> tuple[FloatArray, BoolArray]:
        """Return bases (B, d, d) and a mask (B, d) of their rows that span the faces of the last projections."""
        slots = self._slot[blocks]
        return self._basis[slots], ~self._tight[slots]

    def multipliers(self, blocks: IndexArray, x: FloatArray) -> sp.csr_array:
        """Return the multipliers (n_blocks, n) >= 0 of the rows of X that give the `bounds` of x."""
        known = self._slot[blocks] >= 0
        blocks, x = blocks[known], x[known]
        slots = self._slot[blocks]
        i, j = np.nonzero(self._tight[slots])
        rows = self._row[slots][i, j]
        values = (self._scales(blocks, x)[:, None] * self._gamma[slots])[i, j] / self._norms[rows]
        return sp.csr_array((values, (blocks[i], self._rows[rows])), shape=self._shape)

    def _scales(self, blocks: IndexArray, x: FloatArray) -> FloatArray:
        inner = np.einsum("ij,ij->i", x, self._normal[blocks])
        scales: FloatArray = np.maximum(-inner, 0.0) / np.maximum(self._normal_squared[blocks], TINY)
        return scales

    def _project(self, blocks: IndexArray, x: FloatArray, threshold: float, limit: int) -> FloatArray:
        slots = self._slots(blocks)
        basis, tight = self._basis[slots], self._tight[slots]
        tolerance = _ACCURACY * row_norms(x)
        active = self._active[blocks % len(self._active)]
        signs = np.where(active, 1.0, -1.0)
        level = np.zeros(x.shape)  # cones have b = 0
        p, gamma = on_face(x, basis, tight, level)
        inexact = (gamma < -tolerance[:, None]).any(axis=1)
        np.maximum(gamma, 0.0, out=gamma)
        margins = ((p @ self._unit_columns) * signs).min(axis=1, initial=0.0)
        inexact |= (margins < -tolerance) & (row_norms(p) > threshold)
        if inexact.any():
            k = np.flatnonzero(inexact)
            state = basis[k], tight[k], self._row[slots[k]], level[k]
            homogeneous = np.empty((len(k), 0))
            project_blocks(
                self._unit,
                active[k],
                homogeneous,
                x[k],
                tolerance[k],
                threshold,
                limit,
                *state,
                *scratch(*self._unit.shape),
            )
            p[k], gamma[k] = on_face(x[k], state[0], state[1], state[3])
            s = slots[k]
            self._basis[s], self._tight[s], self._row[s], _ = state
            np.maximum(gamma, 0.0, out=gamma)
        normal = p - x
        # For x in its cone, p - x is rounding error, not R'g: scaled up, it would give no bound.
        noise = row_norms(normal) <= _NOISE * row_norms(x)
        normal[noise], gamma[noise] = 0.0, 0.0
        self._gamma[slots] = gamma
        self._normal[blocks] = normal
        self._normal_squared[blocks] = np.einsum("ij,ij->i", normal, normal)
        return p

    def _slots(self, blocks: IndexArray) -> IndexArray:
        new = blocks[self._slot[blocks] < 0]
        if len(new):
            first, d = len(self._basis), self._basis.shape[1]
            require(
                8.0 * (first + len(new)) * d**2, f"A basis of {d} x {d} for each of {first + len(new)} cones", _REMEDY
            )
            self._basis = np.concatenate([self._basis, np.broadcast_to(np.eye(d), (len(new), d, d))])
            self._tight = np.concatenate([self._tight, np.zeros((len(new), d), dtype=bool)])
            self._row = np.concatenate([self._row, np.zeros((len(new), d), dtype=np.intp)])
            self._gamma = np.concatenate([self._gamma, np.zeros((len(new), d))])
            self._slot[new] = first + np.arange(len(new))
        return self._slot[blocks]
