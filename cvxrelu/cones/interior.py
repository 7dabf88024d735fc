"""Steps into a cone along a point of its strict interior, a witness: until margins exceed the rounding of products."""

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.numerics.rounding import EPS

NUDGE = 1.01  # times the least step: what the step itself is rounded by


def rounding(d: int) -> float:
    """Return a bound of the rounding error of a product of vectors of d entries, over the product of their norms.

    Whatever the order of summation.
    """
    return 4.0 * d * EPS


def steps_along(missing: FloatArray, gains: FloatArray) -> FloatArray:
    """Return the least steps (B,) along witnesses that make up for what is missing to products with the rows (n, B).

    Parameters
    ----------
    missing : ndarray of shape (n, B)
        By how much the products of each point with the signed rows are too small; at most 0 where they are not.
    gains : ndarray of shape (n, B)
        Products of its witness with the signed rows. Rows without a gain are passed over.
    """
    steps = np.divide(missing, gains, out=np.zeros_like(missing), where=(missing > 0.0) & (gains > 0.0))
    longest: FloatArray = steps.max(axis=0, initial=0.0)
    return longest
