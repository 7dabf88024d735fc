"""Steps into a cone along a strictly interior point (a witness), until all margins exceed rounding errors."""

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.numerics.rounding import EPS

NUDGE = 1.01  # safety factor of the smallest step, for its own rounding


def rounding(d: int) -> float:
    """Return a bound of the rounding error of an inner product of d entries, relative to the product of the norms.

    It holds for every order of summation.
    """
    return 4.0 * d * EPS


def steps_along(missing: FloatArray, gains: FloatArray) -> FloatArray:
    """Return the smallest steps (B,) along witnesses that make up the missing margins.

    Parameters
    ----------
    missing : ndarray of shape (n, B)
        Missing margin of each point on each signed row; at most 0 for satisfied rows.
    gains : ndarray of shape (n, B)
        Products of the witnesses with the signed rows. Rows without a gain are ignored.
    """
    steps = np.divide(missing, gains, out=np.zeros_like(missing), where=(missing > 0.0) & (gains > 0.0))
    longest: FloatArray = steps.max(axis=0, initial=0.0)
    return longest
