"""Proven upper bounds of exponentials, logarithms and their sums, for every float64 argument.

The mathematical library is not trusted: exp is bounded by its Taylor series with all roundings counted, and the
library's logarithm is only a guess l, turned into a bound by log a <= l + (a exp(-l) - 1). The bounds exceed the values
by a few 2^-52, relative for exp and absolute for log. Assumptions on the arithmetic are those of `rounding`.
"""

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.numerics.rounding import EPS, above, dot_radius

_ETA = 2.0**-1074
# ln 2 = high + low to 2^-86; high has 33 bits, so that its products with integers below 2^20 are exact.
_LN2_HIGH = float.fromhex("0x1.62e42feep-1")
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_DEGREE = 13
_LOWEST, _HIGHEST = -800.0, 709.0
_SMALLEST = 2.0**-1000


def exp_above(x: FloatArray) -> FloatArray:
    """Return upper bounds of exp(x); infinite above 709.

    exp(x) = 2^k exp(r) with |r| <= 0.35. The error of r, at most 2^-53, changes exp(r) by a factor of at most
    1 + 2^-52. The Taylor polynomial of degree 13 has a relative error of 2^-56. Horner's rule, three roundings a step,
    has an error E <= 2^-53 * 1.42 + 0.35 (E + 2^-53 * 2.84), less than 6 * 2^-53 relative to exp(r) >= 0.7. The total
    is less than 9 * 2^-53, and twice that is added.
    """
    clipped = np.clip(x, _LOWEST, _HIGHEST)
    k = np.rint(clipped / (_LN2_HIGH + _LN2_LOW))
    r = (clipped - k * _LN2_HIGH) - k * _LN2_LOW
    series = np.ones_like(r)
    for i in range(_DEGREE, 0, -1):
        series = 1.0 + r * series / i
    bounds = np.ldexp(series * (1.0 + 8 * EPS), k.astype(np.int64)) + _ETA
    finite: FloatArray = np.where(x <= _HIGHEST, bounds, np.inf)
    return finite


def log_above(a: FloatArray) -> FloatArray:
    """Return upper bounds of log(a) for 0 <= a < 2^1000; below 2^-1000, the bound of log(2^-1000)."""
    a = np.maximum(a, _SMALLEST)
    guess = np.log(a)
    excess = np.nextafter(above(a * exp_above(-guess), 1) - 1.0, np.inf)
    bounds: FloatArray = np.nextafter(guess + excess, np.inf)
    return bounds


def log1p_above(x: FloatArray) -> FloatArray:
    """Return upper bounds of log(1 + x) for 0 <= x < 2^1000, relatively accurate for small x.

    For x >= 0, log(1 + x) <= x - x^2/2 + x^3/3, whose derivative is at least 1 / (1 + x).
    """
    small = np.minimum(x, 0.5)
    series = above(small * (1.0 - small * (0.5 - small / 3.0)), 12)  # the differences are at least 1/3: no cancellation
    logs = log_above(above(1.0 + x, 1))
    return np.where(x < 0.5, np.minimum(series, logs), logs)


def log_sum_exp_above(margins: FloatArray) -> float:
    """Return an upper bound of sum_j log(1 + sum_k exp(m_jk)) for margins m (n, k); infinite if one is not finite."""
    if not np.isfinite(margins).all():
        return np.inf
    padded = np.sort(np.column_stack([np.zeros(len(margins)), margins]), axis=1)
    top = padded[:, -1]
    others = np.nextafter(padded[:, :-1] - top[:, None], np.inf)
    rest = above(np.sum(exp_above(others), axis=1), others.shape[1])
    terms = above(top + log1p_above(rest), 1)
    return float(above(np.asarray(np.sum(terms)), terms.size))


def entropy_above(fractions: FloatArray, n: int) -> float:
    """Return an upper bound of sum_j (1 - s_j) log(1 - s_j) + sum_k a_jk log a_jk, with s_j = sum_k a_jk.

    Here a = n * fractions. The fractions (m, k) must be non-negative with row sums exact in float64, and every s_j < 1.
    """
    terms = np.concatenate([_entropy_terms(fractions, n).ravel(), rest_terms(np.sum(fractions, axis=1), n)])
    total = np.sum(terms) + dot_radius(np.sum(np.abs(terms)), terms.size)
    return float(np.nextafter(total, np.inf))


def _entropy_terms(fractions: FloatArray, n: int) -> FloatArray:
    """Return upper bounds of a log a, a = n * fractions."""
    low, high = _around(n * fractions)
    logs = log_above(high)
    terms: FloatArray = np.where(fractions > 0.0, np.nextafter(np.where(logs < 0.0, low, high) * logs, np.inf), 0.0)
    return terms


def rest_terms(totals: FloatArray, n: int) -> FloatArray:
    """Return upper bounds of (1 - s) log(1 - s), s = n * totals < 1."""
    low, high = _around(n * totals)
    # log(1 - s) = -s - s^2/2 - s^3/3 - ...: for small s the first terms are the tighter bound.
    series = -low * (1.0 + low * (0.5 + low / 3.0)) * (1.0 - 8 * EPS)
    logs = np.minimum(series, log_above(np.nextafter(1.0 - low, np.inf)))
    bounds: FloatArray = np.nextafter(np.maximum(np.nextafter(1.0 - high, 0.0), 0.0) * logs, np.inf)
    return bounds


def _around(rounded: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return floats that enclose the exact value of a non-negative number rounded once."""
    return np.nextafter(rounded, 0.0), np.nextafter(rounded, np.inf)
