"""Batched projections onto the polyhedra {p : R p >= b} of decompositions, each started from the last face."""

import numpy as np

from cvxrelu._validation import BoolArray, FloatArray
from cvxrelu.numerics.active_set import Faces, IndexArray
from cvxrelu.numerics.rows import safe_row_norms
from cvxrelu.runtime.compilation import PreparedArray
from cvxrelu.runtime.memory import require

_ACCURACY = 1e-12  # violation of the rows, relative to the size of the block
_PIVOTS = 40  # limit of pivots, for each feature


class PolyhedronProjector:
    """Projector onto {p : R_i p >= b_i}, where R_i holds the normalised rows x_j != 0 with the signs of pattern i.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        The data.
    D : ndarray of shape (n, B), bool
        The pattern of each block.
    offsets : ndarray of shape (n, B)
        Lower bounds of (2 D_ji - 1) x_j'p; at most 0 if x_j = 0.
    """

    def __init__(self, X: FloatArray, D: BoolArray, offsets: FloatArray) -> None:
        norms = safe_row_norms(X)
        self.rows = np.flatnonzero(norms)
        self._unit = PreparedArray(X[self.rows] / norms[self.rows, None])
        self._unit_columns = np.ascontiguousarray(self._unit.array.T)
        self._active = PreparedArray(np.ascontiguousarray(D[self.rows].T))
        self._signs = np.where(self._active.array, 1.0, -1.0)
        self._offsets = np.ascontiguousarray((offsets[self.rows] / norms[self.rows, None]).T)
        size, d = D.shape[1], X.shape[1]
        require(8.0 * size * d**2, f"A basis of {d} x {d} for each of {size} polyhedra", "take method 'witness'")
        self._faces = Faces.of(size, d)
        self._faces.reset(slice(None))

    def project(self, blocks: IndexArray, x: FloatArray) -> FloatArray:
        """Return the projections of the rows of x (B, d) onto the polyhedra of the distinct blocks (B,).

        For a polyhedron that is empty, or thinner than rounding, the point is outside it, with negative `margins`.
        """
        largest_offset = np.abs(self._offsets[blocks]).max(axis=1, initial=0.0)
        tolerance = _ACCURACY * np.maximum(np.abs(x).max(axis=1, initial=0.0), largest_offset)
        return self._faces.project(
            self._unit,
            self._active,
            blocks,
            self._offsets[blocks],
            blocks,
            x,
            tolerance,
            -1.0,
            _PIVOTS * x.shape[1],
        )

    def margins(self, blocks: IndexArray, p: FloatArray) -> FloatArray:
        """Return R p - b for the rows p (B, d): shape (B, number of non-zero rows x_j)."""
        margins: FloatArray = (p @ self._unit_columns) * self._signs[blocks] - self._offsets[blocks]
        return margins

    def along_face(self, blocks: IndexArray, direction: FloatArray) -> FloatArray:
        """Return the projections of the rows of ``direction`` (B, d) onto the null spaces of the tight rows."""
        coordinates = np.matmul(self._faces.basis[blocks], direction[:, :, None])[:, :, 0]
        coordinates[self._faces.tight[blocks]] = 0.0
        projected: FloatArray = np.matmul(coordinates[:, None, :], self._faces.basis[blocks])[:, 0]
        return projected

    def tight_rows(self, block: int) -> IndexArray:
        """Return the linearly independent tight rows of X of the block's last projection."""
        rows: IndexArray = self.rows[self._faces.row[block][self._faces.tight[block]]]
        return rows
