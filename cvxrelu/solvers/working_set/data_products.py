"""Products of the data with themselves, computed once for all outputs, and all lams of a path."""

from collections.abc import Hashable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cvxrelu._validation import FloatArray
from cvxrelu.numerics.rounding import TINY
from cvxrelu.problems.operators.gated_operator import GatedOperator

_MOST_BYTES = 2**27
_MOST_FACTORS = 2**28  # bytes


class DataProducts:
    """XX' and the spectrum of X'X, computed when first needed: 4 n^2 bytes for XX' in float32, 8 n^2 in float64.

    Factors of matrices that contain XX' are kept too, up to a total of 256 MB.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        The data.

    Attributes
    ----------
    given : ndarray of shape (n, d)
        The array that was given.
    factors : dict
        Kept factors, from the oldest to the newest.
    """

    def __init__(self, X: FloatArray) -> None:
        self.given = X
        self.X = X.astype(np.float64, copy=False)
        self._kernels: dict[type[np.floating], FloatArray] = {}
        self.factors: dict[Hashable, FloatArray] = {}

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

    def knows_kernel(self, dtype: type[np.floating]) -> bool:
        """Return whether XX' has been computed in a precision."""
        return dtype in self._kernels

    def keeps(self, size: float) -> bool:
        """Return whether a factor of so many bytes would be kept."""
        return size <= _MOST_FACTORS

    def keep(self, key: Hashable, factor: FloatArray) -> None:
        """Keep a factor in place of the last one with its key; the oldest ones are dropped if there is no room."""
        self.factors.pop(key, None)
        self.factors[key] = factor
        while sum(each.nbytes for each in self.factors.values()) > _MOST_FACTORS:
            self.factors.pop(next(iter(self.factors)))

    @cached_property
    def spectrum(self) -> tuple[FloatArray, FloatArray]:
        """Eigenvalues (d,) and eigenvectors (d, d) of X'X."""
        values, vectors = np.linalg.eigh(self.X.T @ self.X)
        return np.maximum(values, 0.0), vectors


class PairProducts:
    """Blocks X'(D_i o D_j)X of pairs of patterns, kept up to a total of 128 MB.

    Blocks are computed when one of them is first taken, those requested by then in the same product, which has to form
    the products of all pairs of columns only once.

    Parameters
    ----------
    operator : GatedOperator
        A on all patterns.
    """

    def __init__(self, operator: GatedOperator) -> None:
        self._operator = operator
        self._keys: NDArray[np.intp] = np.zeros(0, dtype=np.intp)  # of the known pairs, ascending
        self._places: NDArray[np.intp] = np.zeros(0, dtype=np.intp)  # of their blocks
        self._products: list[tuple[int, FloatArray]] = []  # blocks, with the place of the first: they are not moved
        self._requested: list[NDArray[np.intp]] = []

    def request(self, first: NDArray[np.intp], second: NDArray[np.intp]) -> None:
        """Announce pairs of patterns that may be taken next."""
        self._requested.append(self._keys_of(first, second))

    def missing(self, first: NDArray[np.intp], second: NDArray[np.intp]) -> float:
        """Return which part of some pairs of patterns is not known."""
        known = self._knows(self._keys_of(first, second))
        return 1.0 - float(np.count_nonzero(known)) / max(len(known), 1)

    def take(self, first: NDArray[np.intp], second: NDArray[np.intp]) -> FloatArray:
        """Return the blocks (m, d, d) of m pairs of patterns."""
        keys = self._keys_of(first, second)
        if not self._knows(keys).all():
            requested, self._requested = self._requested, []
            if not (self._add(np.concatenate([keys, *requested])) or self._add(keys)):
                return self._computed(keys)
        places = self._places[np.searchsorted(self._keys, keys)]
        d, dtype = self._operator.n_features, self._operator.X.dtype
        blocks = np.empty((len(keys), d, d), dtype=dtype)
        for start, product in self._products:
            here = np.flatnonzero((places >= start) & (places < start + len(product)))
            blocks[here] = product[places[here] - start]
        return blocks

    def _keys_of(self, first: NDArray[np.intp], second: NDArray[np.intp]) -> NDArray[np.intp]:
        keys: NDArray[np.intp] = np.minimum(first, second) * self._operator.n_patterns + np.maximum(first, second)
        return keys

    def _knows(self, keys: NDArray[np.intp]) -> NDArray[np.bool_]:
        if len(self._keys) == 0:
            return np.zeros(len(keys), dtype=np.bool_)
        place = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        known: NDArray[np.bool_] = self._keys[place] == keys
        return known

    def _add(self, keys: NDArray[np.intp]) -> bool:
        """Compute and keep those of the blocks that are not known; return False if they take too much memory."""
        keys = np.unique(keys)
        keys = keys[~self._knows(keys)]
        known = len(self._keys)
        total = known + len(keys)
        if total * self._operator.n_features**2 * self._operator.X.itemsize > _MOST_BYTES:
            return False
        self._products.append((known, self._computed(keys)))
        together = np.concatenate([self._keys, keys])
        order = np.argsort(together, kind="stable")
        self._keys, self._places = together[order], np.concatenate([self._places, np.arange(known, total)])[order]
        return True

    def _computed(self, keys: NDArray[np.intp]) -> FloatArray:
        pairs = np.stack(np.divmod(keys, self._operator.n_patterns))
        used, local = np.unique(pairs, return_inverse=True)
        first, second = local.reshape(2, -1)
        return self._operator.take(used).gram(first, second)
