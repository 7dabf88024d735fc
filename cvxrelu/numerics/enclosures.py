"""Upper bounds of exponentials, logarithms and sums of them, proven for every float64 argument.

Nothing is asked of the mathematical library: exp is bounded by its Taylor series, with the few roundings counted; a
logarithm that the library returns is only a guess l, made a bound by log a <= l + (a exp(-l) - 1). The bounds are
larger than the values by a few 2^-52, relatively for exp and absolutely for log. Assumptions are those of `rigor`.
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

    exp(x) = 2^k exp(r) with |r| <= 0.35, where r is off by at most 2^-53, which exp(r) feels by a factor of at most
    1 + 2^-52. The Taylor polynomial of degree 13 leaves 2^-56 of exp(r). By Horner's rule, three roundings a step, it
    is off by E <= 2^-53 * 1.42 + 0.35 (E + 2^-53 * 2.84), which is less than 6 * 2^-53 of exp(r) >= 0.7. All together
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
    """Return upper bounds of log(a) for 0 <= a < 2^1000; below 2^-1000 that of 2^-1000."""
    a = np.maximum(a, _SMALLEST)
    guess = np.log(a)
    excess = np.nextafter(above(a * exp_above(-guess), 1) - 1.0, np.inf)
    bounds: FloatArray = np.nextafter(guess + excess, np.inf)
    return bounds


def log1p_above(x: FloatArray) -> FloatArray:
    """Return upper bounds of log(1 + x) for 0 <= x < 2^1000, close in relative terms where x is small.

    For x >= 0 it is at most x - x^2/2 + x^3/3, of which the derivative is at least 1 / (1 + x).
    """
    small = np.minimum(x, 0.5)
    series = above(small * (1.0 - small * (0.5 - small / 3.0)), 12)  # the differences are at least 1/3: nothing cancels
    logs = log_above(above(1.0 + x, 1))
    return np.where(x < 0.5, np.minimum(series, logs), logs)


def log_sum_exp_above(margins: FloatArray) -> float:
    """Return an upper bound of sum_j log(1 + sum_k exp(m_jk)) for rows m (n, k), infinite if one is not finite."""
    if not np.isfinite(margins).all():
        return np.inf
    padded = np.sort(np.column_stack([np.zeros(len(margins)), margins]), axis=1)
    top = padded[:, -1]
    others = np.nextafter(padded[:, :-1] - top[:, None], np.inf)
    rest = above(np.sum(exp_above(others), axis=1), others.shape[1])
    terms = above(top + log1p_above(rest), 1)
    return float(above(np.asarray(np.sum(terms)), terms.size))


def entropy_above(shares: FloatArray, n: int) -> float:
    """Return an upper bound of sum_j (1 - s_j) log(1 - s_j) + sum_k a_jk log a_jk, a = n * shares, s_j = sum_k a_jk.

    The shares (m, k) must be non-negative, the sums of their rows exact in float64, and every s_j < 1.
    """
    terms = np.concatenate([_entropy_terms(shares, n).ravel(), rest_terms(np.sum(shares, axis=1), n)])
    total = np.sum(terms) + dot_radius(np.sum(np.abs(terms)), terms.size)
    return float(np.nextafter(total, np.inf))


def _entropy_terms(shares: FloatArray, n: int) -> FloatArray:
    """Return upper bounds of a log a, a = n * shares."""
    low, high = _around(n * shares)
    logs = log_above(high)
    terms: FloatArray = np.where(shares > 0.0, np.nextafter(np.where(logs < 0.0, low, high) * logs, np.inf), 0.0)
    return terms


def rest_terms(totals: FloatArray, n: int) -> FloatArray:
    """Return upper bounds of (1 - s) log(1 - s), s = n * totals < 1."""
    low, high = _around(n * totals)
    # log(1 - s) = -s - s^2/2 - s^3/3 - ...: where s is small, its first terms are closer.
    series = -low * (1.0 + low * (0.5 + low / 3.0)) * (1.0 - 8 * EPS)
    logs = np.minimum(series, log_above(np.nextafter(1.0 - low, np.inf)))
    bounds: FloatArray = np.nextafter(np.maximum(np.nextafter(1.0 - high, 0.0), 0.0) * logs, np.inf)
    return bounds


def _around(rounded: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return floats below and above (or at) a non-negative number that was rounded once."""
    return np.nextafter(rounded, 0.0), np.nextafter(rounded, np.inf)
