"""The row space of data with fewer rows than columns: X = L Q', Q with orthonormal columns.

Products x_j'w and X'v need only Q'w and L, with r columns of L (n, r) instead of d of X (n, d).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.linalg import qr

from cvxrelu._validation import FloatArray


@dataclass(frozen=True, eq=False)
class RowSpace:
    """Coordinates of the rows of X in an orthonormal basis of a space that contains them.

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
        """Return the row space of X (n, d) with r = n; None if n >= d, as nothing is gained.

        Householder QR of X' with column pivoting and features sorted by decreasing size is accurate relative to the
        size of each feature, however different their scales (Cox & Higham, "Stability of Householder QR factorization
        for weighted least squares problems", 1998).
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
