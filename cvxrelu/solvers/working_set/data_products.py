"""Products of the data with themselves, computed once for all outputs, and all lams of a path."""

from functools import cached_property

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.numerics.rounding import TINY


class DataProducts:
    """XX' and the spectrum of X'X, computed when first needed: 4 n^2 bytes for XX' in float32, 8 n^2 in float64.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        The data.

    Attributes
    ----------
    given : ndarray of shape (n, d)
        The array that was given.
    """

    def __init__(self, X: FloatArray) -> None:
        self.given = X
        self.X = X.astype(np.float64, copy=False)
        self._kernels: dict[type[np.floating], FloatArray] = {}

    @cached_property
    def scale(self) -> float:
        """Root mean square of the row norms of X."""
        return max(float(np.sqrt(np.mean(np.einsum("ij,ij->i", self.X, self.X)))), TINY)

    def kernel(self, dtype: type[np.floating]) -> FloatArray:
        """Return XX' (n, n) for X divided by `scale`."""
        if dtype not in self._kernels:
            X = (self.X / self.scale).astype(dtype)
            self._kernels[dtype] = X @ X.T
        return self._kernels[dtype]

    @cached_property
    def spectrum(self) -> tuple[FloatArray, FloatArray]:
        """Eigenvalues (d,) and eigenvectors (d, d) of X'X."""
        values, vectors = np.linalg.eigh(self.X.T @ self.X)
        return np.maximum(values, 0.0), vectors
