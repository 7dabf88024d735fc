"""Norms and directions of matrix rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvxrelu._validation import FloatArray, as_float64

_SAFE = 1e140  # largest norm, and inverse of the smallest, whose square neither over- nor underflows


def row_norms(x: FloatArray) -> FloatArray:
    """Return the Euclidean norms of the rows of x."""
    with np.errstate(over="ignore"):
        norms: FloatArray = np.sqrt(np.vecdot(x, x))
    return norms


def safe_row_norms(x: FloatArray) -> FloatArray:
    """Return the Euclidean norms of the rows of x, avoiding over- and underflow of squares."""
    with np.errstate(over="ignore", under="ignore"):
        norms: FloatArray = np.linalg.norm(x, axis=1)
    correct_far_norms(norms, x)
    return norms


def correct_far_norms(norms: FloatArray, x: FloatArray) -> None:
    """Replace those norms of the rows of x whose squares over- or underflowed."""
    far = ~((norms > 1.0 / _SAFE) & (norms < _SAFE))
    if far.any():
        norms[far] = directions(x[far])[1][:, 0]


def safe_norm(x: FloatArray) -> float:
    """Return the Euclidean norm of a vector, avoiding over- and underflow of its square."""
    with np.errstate(over="ignore", under="ignore"):
        norm = float(np.linalg.norm(x))
    return norm if 1.0 / _SAFE < norm < _SAFE else float(safe_row_norms(x[None])[0])


def unit_rows(A: NDArray[np.floating[Any]]) -> FloatArray:
    """Return the rows of A divided by their norms, in float64; zero rows stay zero."""
    return directions(as_float64(A))[0]


def nonzero_unit_rows(A: FloatArray) -> FloatArray:
    """Return the rows of A, well scaled, divided by their norms; zero rows become the first axis."""
    norms = np.linalg.norm(A, axis=1, keepdims=True)
    return np.where(norms > 0.0, A / np.where(norms > 0.0, norms, 1.0), np.eye(1, A.shape[1]))


def directions(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the rows (m, k) divided by their norms, and the norms (m, 1); zero rows stay zero."""
    # Scale first: squares of very small or large entries would under- or overflow.
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    scaled = rows / np.where(largest > 0.0, largest, 1.0)
    norms = np.linalg.norm(scaled, axis=1, keepdims=True)
    return scaled / np.where(norms > 0.0, norms, 1.0), norms * largest
