"""Dual points."""

from __future__ import annotations

from dataclasses import dataclass

import scipy.sparse as sp

from cvxrelu._validation import FloatArray


@dataclass(frozen=True, eq=False)
class DualPoint:
    """A dual feasible point: the proof of a lower bound.

    Attributes
    ----------
    t : ndarray of shape (n, c)
        The dual variable, in the scale of the gradient of F.
    multipliers : csr_array of shape (2 c P, n), or None
        Multipliers g >= 0 of the cones, one row for each block in the order (V or W, output, pattern).
        None for gated problems.
    value : float
        The dual objective there: a lower bound of the optimal value.
    """

    t: FloatArray
    multipliers: sp.csr_array | None
    value: float
