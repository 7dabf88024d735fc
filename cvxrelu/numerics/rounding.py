"""Bounds of the rounding errors of float64 sums, products, norms and singular values.

They hold in IEEE 754 arithmetic, rounding to nearest with gradual underflow, with or without fused operations and for
every order of summation, but not for fast matrix products such as Strassen's, which BLAS libraries do not use.
Overflow gives infinite or NaN bounds. u = 2^-53 is the unit roundoff, eta = 2^-1074 the smallest positive number.
Without underflow, |fl(x'y) - x'y| <= n u |x|'|y| for vectors of n entries, for every n: Jeannerod & Rump, "Improved
error bounds for inner products in floating-point arithmetic", SIAM J. Matrix Anal. Appl. 34 (2013). An underflowing
product has an error of at most eta / 2, and sums do not underflow: Rump, "Error estimation of floating-point summation
and dot product", BIT 52 (2012).
"""

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.exceptions import CertificateError

EPS = 2.0**-52  # machine epsilon of float64, twice the unit roundoff
TINY = 2.0**-1022  # smallest normal number, a floor for divisors
SAFE_SQUARES = 1e30  # sums of squares up to which, and from whose inverse on, they are accurate in float32 too
_U = 2.0**-53
_ETA = 2.0**-1074


def has_standard_arithmetic() -> bool:
    """Return whether this thread rounds to nearest and keeps subnormal numbers."""
    one = np.ones(1)  # an array, as the interpreter would fold constants
    nearest = one + _U == one and -one - _U == -one and one + 1.5 * _U > one and -one - 1.5 * _U < -one
    return bool(nearest and one * 2.0**-1022 * 0.5 > 0.0)


def check_arithmetic() -> None:
    """Raise CertificateError unless this thread `has_standard_arithmetic`."""
    if not has_standard_arithmetic():
        raise CertificateError(
            "rounding is not to nearest, or subnormal numbers are flushed to zero (a library may have set that for the "
            "whole process): rigorous bounds cannot be computed"
        )


def above(computed: FloatArray, roundings: int) -> FloatArray:
    """Return upper bounds of the exact values of computed non-negative numbers.

    They must be computed from non-negative numbers without subtractions, with at most ``roundings`` rounded operations
    on the path from any argument (m - 1 for a sum of m numbers, m for a sum of m products); no result that may have
    underflowed may later be multiplied by more than 1.
    """
    slack = roundings + 2
    bounds: FloatArray = computed * (1.0 + 2.0 * slack * _U) + slack * _ETA
    return bounds


def dot_radius(sizes: FloatArray, length: int, products: int | None = None) -> FloatArray:
    """Return bounds of the rounding errors of sums of products.

    Parameters
    ----------
    sizes : ndarray
        Computed sums of the absolute values of the products, or of larger numbers, by at most ``length`` roundings.
    length : int
        Number of summands. For sums of products of sums, as x'(u_1 + ... + u_m), the sum of both lengths.
    products : int, optional
        Number of products that may underflow, with results not multiplied by more than 1 afterwards; by default
        ``length``.
    """
    return above((length + 4) * _U * above(sizes, length), 3) + (products or length) * _ETA


def sum_above(sizes: FloatArray) -> float:
    """Return an upper bound of the sum of non-negative numbers."""
    sizes = sizes[sizes != 0.0]
    return float(above(np.asarray(np.sum(sizes)), sizes.size))


def mean_above(terms: FloatArray, n: int) -> float:
    """Return an upper bound of the sum of non-negative numbers over n."""
    if not terms.any():
        return 0.0
    return float(above(np.asarray(np.sum(terms) / n), terms.size + 1))


def distances_above(f: FloatArray, radius: FloatArray, y: FloatArray) -> FloatArray:
    """Return upper bounds of the distances from y of all numbers within a radius of f."""
    return np.where((f == y) & (radius == 0.0), 0.0, above(np.abs(f - y) + radius, 2))


def norms_above(rows: FloatArray) -> FloatArray:
    """Return upper bounds of the Euclidean norms of the last axis."""
    largest = np.abs(rows).max(axis=-1, keepdims=True, initial=0.0)
    exponents = np.frexp(largest)[1]
    # Scaling by powers of 2: no square overflows, and underflowing ones are negligible beside the largest.
    units = np.ldexp(rows, -exponents)
    roots = above(np.sqrt(np.sum(units * units, axis=-1)), rows.shape[-1] + 4)
    norms: FloatArray = np.where(largest[..., 0] == 0.0, 0.0, np.ldexp(roots, exponents[..., 0]) + _ETA)
    return norms


def singular_values_above(matrices: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return upper bounds of the largest singular value and of the sum of singular values of matrices (..., c, d).

    With computed factors M = Q diag(s) R' + E: ||M|| <= ||Q|| max(s) ||R|| + ||E||_F for the spectral norm and
    ||M||_* <= ||Q|| sum(s) ||R|| + sqrt(min(c, d)) ||E||_F for the nuclear one, and ||Q||^2 <= 1 + ||Q'Q - I||_F.
    """
    shape = matrices.shape[:-2]
    if not np.isfinite(matrices).all():  # overflow
        return np.full(shape, np.inf), np.full(shape, np.inf)
    Q, s, Rt = np.linalg.svd(matrices, full_matrices=False)
    rank = s.shape[-1]
    rest = matrices - (Q * s[..., None, :]) @ Rt
    sizes = np.abs(matrices) + (np.abs(Q) * s[..., None, :]) @ np.abs(Rt)
    radius = dot_radius(sizes, rank + 3)
    errors = norms_above(above(np.abs(rest) + radius, 1).reshape(*shape, -1))
    stretch = above(_stretch(Q) * _stretch(Rt.swapaxes(-1, -2)), 1)
    largest = above(stretch * s[..., 0] + errors, 2)
    total = above(stretch * above(np.sum(s, axis=-1), rank) + np.sqrt(float(rank)) * errors, 4)
    return largest, total


def _stretch(Q: FloatArray) -> FloatArray:
    """Return upper bounds of the spectral norms of matrices with nearly orthonormal columns."""
    columns = Q.swapaxes(-1, -2)
    misses = np.abs(columns @ Q - np.eye(Q.shape[-1]))
    radius = dot_radius(np.abs(columns) @ np.abs(Q) + 1.0, Q.shape[-2] + 1)
    defects = norms_above(above(misses + radius, 1).reshape(*Q.shape[:-2], -1))
    return above(1.0 + 0.5 * defects, 2)  # sqrt(1 + x) <= 1 + x / 2
