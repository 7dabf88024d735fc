"""Batched projections onto the pattern cones {p : R p >= 0}, each started from the face of the last one.

The dual of a projection, min over g >= 0 of 1/2 ||x + R'g||^2, is solved by the active-set method of `active_set`.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import scipy.sparse as sp

from cvxrelu._validation import BoolArray, FloatArray
from cvxrelu.numerics.active_set import ACCURACY, NOISE, Faces, IndexArray
from cvxrelu.numerics.rounding import TINY
from cvxrelu.numerics.rows import row_norms, safe_row_norms
from cvxrelu.runtime.compilation import PreparedArray
from cvxrelu.runtime.memory import require

_FEW = 16  # blocks for which there is room at first
_REMEDY = "take fewer gates, or fewer columns"
_CHUNK_OPERATIONS = 2**28  # of the projections between two looks at the clock, about


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
        self._rows = norms.nonzero()[0]
        self._norms = norms[self._rows]
        self._unit = PreparedArray(X[self._rows] / self._norms[:, None])
        self._active = PreparedArray(np.ascontiguousarray(D[self._rows].T))
        self._n_patterns = D.shape[1]
        self.n_blocks = n_blocks
        self._shape = (n_blocks, len(X))
        d = X.shape[1]
        self._slot = np.full(n_blocks, -1)  # index of a block in the arrays below, -1 before the first projection
        self._faces = Faces.of(0, d)
        self._n_known = 0
        self._normal = np.zeros((n_blocks, d))  # R'g of the last projection
        self._normal_squared = np.full(n_blocks, TINY)  # at least that

    def bounds(self, blocks: IndexArray, x: FloatArray) -> FloatArray:
        """Return upper bounds of ||proj_K x||: min over a >= 0 of ||x + a R'g||, g >= 0 of the last projection."""
        normal = self._normal[blocks]
        return row_norms(x + self._scales(blocks, x, normal)[:, None] * normal)

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
        n, d = self._unit.array.shape
        step = max(1, _CHUNK_OPERATIONS // (d * (n + d * d)))
        limit = 20 * d if max_pivots is None else max_pivots
        if 0 < len(blocks) <= step and not expired():
            return self._project(blocks, x, threshold, limit)
        p = np.empty_like(x)
        for start in range(0, len(blocks), step):
            if expired():
                p[start:] = x[start:]  # g = 0
                break
            chunk = slice(start, start + step)
            p[chunk] = self._project(blocks[chunk], x[chunk], threshold, limit)
        return p

    def faces(self, blocks: IndexArray) -> tuple[FloatArray, IndexArray]:
        """Return orthonormal bases of the faces of the last projections, stacked (m, d), and their dimensions (B,)."""
        slots = self._slot[blocks]
        free = ~self._faces.tight[slots]
        i, j = np.nonzero(free)
        return self._faces.basis[slots[i], j], free.sum(axis=1)

    def multipliers(self, blocks: IndexArray, x: FloatArray) -> sp.csr_array:
        """Return the multipliers (n_blocks, n) >= 0 of the rows of X that give the `bounds` of x."""
        order = np.argsort(blocks, kind="stable")
        order = order[self._slot[blocks[order]] >= 0]
        blocks, x = blocks[order], x[order]
        slots = self._slot[blocks]
        i, j = np.nonzero(self._faces.tight[slots])
        rows = self._faces.row[slots[i], j]
        values = self._scales(blocks, x, self._normal[blocks])[i] * self._faces.gamma[slots[i], j] / self._norms[rows]
        starts = np.zeros(self.n_blocks + 1, dtype=np.intp)
        np.cumsum(np.bincount(blocks[i], minlength=self.n_blocks), out=starts[1:])
        multipliers = sp.csr_array((values, self._rows[rows], starts), shape=self._shape)
        multipliers.sort_indices()
        return multipliers

    def state(self) -> tuple[PreparedArray, ...]:
        """Return rows, patterns, bounds and faces, with work arrays, for `cvxrelu.numerics.cone_newton`.

        All blocks have a slot from now on; kernels may change bounds and faces.
        """
        slots = self._slots(np.arange(self.n_blocks))
        bounds = (PreparedArray(each) for each in (self._normal, self._normal_squared, slots))
        return self._unit, self._active, *bounds, *self._faces.prepared, *self._faces.work

    def _scales(self, blocks: IndexArray, x: FloatArray, normal: FloatArray) -> FloatArray:
        with np.errstate(over="ignore"):
            scales: FloatArray = np.maximum(-np.vecdot(x, normal), 0.0) / self._normal_squared[blocks]
        return scales

    def _project(self, blocks: IndexArray, x: FloatArray, threshold: float, limit: int) -> FloatArray:
        slots = self._slots(blocks)
        sizes = row_norms(x)
        patterns, level = blocks % self._n_patterns, _no_levels(len(x))  # cones have b = 0
        p = self._faces.project(self._unit, self._active, patterns, level, slots, x, ACCURACY * sizes, threshold, limit)
        normal = p - x
        with np.errstate(over="ignore"):
            squares = np.vecdot(normal, normal)
        # For x in its cone, p - x is rounding error, not R'g: scaled up, it would give no bound.
        noise = np.sqrt(squares) <= NOISE * sizes
        if noise.any():
            normal[noise], squares[noise], self._faces.gamma[slots[noise]] = 0.0, 0.0, 0.0
        self._normal[blocks], self._normal_squared[blocks] = normal, np.maximum(squares, TINY)
        return p

    def _slots(self, blocks: IndexArray) -> IndexArray:
        slots: IndexArray = self._slot[blocks]
        if slots.min(initial=0) < 0:
            new = blocks[slots < 0]
            known, d = self._n_known, self._unit.array.shape[1]
            size = known + len(new)
            require(8.0 * size * d**2, f"A basis of {d} x {d} for each of {size} cones", _REMEDY)
            if size > len(self._faces):
                self._faces = self._faces.resized(max(size, min(2 * known + _FEW, self.n_blocks)), known)
            self._faces.reset(slice(known, size))
            self._slot[new] = np.arange(known, size)
            self._n_known = size
            slots = self._slot[blocks]
        return slots


@lru_cache
def _no_levels(size: int) -> PreparedArray:
    return PreparedArray(np.empty((size, 0)))
