"""Norms and directions of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvxrelu._validation import FloatArray, as_float64


def row_norms(x: FloatArray) -> FloatArray:
    """Return the Euclidean norms of the rows of x."""
    norms: FloatArray = np.sqrt(np.einsum("ij,ij->i", x, x))
    return norms


def unit_rows(A: NDArray[np.floating[Any]]) -> FloatArray:
    """Return the rows of A over their norms, in float64; zero rows stay zero."""
    return directions(as_float64(A))[0]


def nonzero_unit_rows(A: FloatArray) -> FloatArray:
    """Return the rows of A, of entries of ordinary size, over their norms; zero rows become the first axis."""
    norms = np.linalg.norm(A, axis=1, keepdims=True)
    return np.where(norms > 0.0, A / np.where(norms > 0.0, norms, 1.0), np.eye(1, A.shape[1]))


def directions(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the rows (m, k) over their norms, and the norms (m, 1); zero rows stay zero."""
    # Scaled before the norm: squares of very small or large entries leave the range of float64.
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    scaled = rows / np.where(largest > 0.0, largest, 1.0)
    norms = np.linalg.norm(scaled, axis=1, keepdims=True)
    return scaled / np.where(norms > 0.0, norms, 1.0), norms * largest
