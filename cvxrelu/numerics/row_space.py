"""The row space of data with fewer rows than columns: X = L Q', Q with orthonormal columns.

Every x_j'w and every X'v need only Q'w and L: what is computed with L (n, r) costs r numbers where X (n, d) costs d.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.linalg import qr

from cvxrelu._validation import FloatArray


@dataclass(frozen=True, eq=False)
class RowSpace:
    """Coordinates of the rows of X in an orthonormal basis of a space that holds them.

    Attributes
    ----------
    rows : ndarray of shape (n, r)
        L: the rows of X in these coordinates. Zero rows are zero.
    basis : ndarray of shape (d, r)
        Q.
    """

    rows: FloatArray
    basis: FloatArray

    @classmethod
    def of(cls, X: FloatArray) -> Self | None:
        """Return the row space of X (n, d), r = n; None where n >= d, and nothing is gained.

        By Householder's QR factorisation of X', columns pivoted and the features with the largest entries first: then
        each feature is as accurate as its own size allows, however far apart the features' sizes are (Cox & Higham,
        "Stability of Householder QR factorization for weighted least squares problems", 1998).
        """
        n, d = X.shape
        if n >= d:
            return None
        order = np.argsort(-np.abs(X).max(axis=0), kind="stable")
        reflected, triangle, pivots = qr(X.T[order], mode="economic", pivoting=True, check_finite=False)
        basis, rows = np.empty((d, n)), np.empty((n, n))
        basis[order] = reflected
        rows[pivots] = triangle.T
        return cls(rows, basis)

    def coordinates(self, W: FloatArray) -> FloatArray:
        """Return Q'w for the vectors w on the last axis of W (..., d): shape (..., r)."""
        coordinates: FloatArray = W @ self.basis
        return coordinates

    def vectors(self, V: FloatArray) -> FloatArray:
        """Return Q v for the coordinates v on the last axis of V (..., r): shape (..., d)."""
        vectors: FloatArray = V @ self.basis.T
        return vectors
