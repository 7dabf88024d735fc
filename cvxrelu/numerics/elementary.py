"""Exponential and logarithms in kernels, without branches, so that LLVM computes them for vectors of numbers."""

from cvxrelu.runtime.compilation import kernel
from cvxrelu.runtime.vectors import exponent, power_of_two

_LOG2_E, _LN2_HIGH, _LN2_LOW = 1.4426950408889634, 0.693147180369123816490, 1.90821492927058770002e-10
_LEAST = -760.0  # exp is zero there
_SHIFT = 100.0  # keeps powers of two above the subnormal numbers
_BACK = 2.0**-100
_SQRT2 = 1.4142135623730951


@kernel()
def exp(x):  # type: ignore[no-untyped-def]
    """Return the exponential of a number that is not positive, by its Taylor polynomial of degree 13 around k ln 2."""
    x = max(x, _LEAST)
    power = power_of_two(x * _LOG2_E, _SHIFT)
    k = exponent(power) - _SHIFT
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    p = 1.0 / 6227020800.0
    p = p * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    return (1.0 + (r + r * r * p)) * power * _BACK


@kernel()
def log(x):  # type: ignore[no-untyped-def]
    """Return the logarithm of a positive normal number below 2^1023."""
    k = exponent(x)
    z = x * power_of_two(-k, 0.0)
    high = z > _SQRT2
    return _near_one((0.5 * z if high else z) - 1.0, k + 1.0 if high else k)


@kernel()
def log1p(x):  # type: ignore[no-untyped-def]
    """Return the logarithm of 1 + x for x from -1/2 to 1."""
    high, low = 1.0 + x > _SQRT2, 1.0 + x < 0.5 * _SQRT2
    f = 0.5 * (x - 1.0) if high else x
    f = 2.0 * x + 1.0 if low else f
    k = 1.0 if high else 0.0
    return _near_one(f, -1.0 if low else k)


@kernel()
def _near_one(f, k):  # type: ignore[no-untyped-def]
    """Return log(1 + f) + k log(2) for sqrt(1/2) <= 1 + f <= sqrt(2), with the coefficients of fdlibm (Sun, 1993)."""
    s = f / (2.0 + f)
    z = s * s
    p = 1.479819860511658591e-01
    p = p * z + 1.531383769920937332e-01
    p = p * z + 1.818357216161805012e-01
    p = p * z + 2.222219843214978396e-01
    p = p * z + 2.857142874366239149e-01
    p = p * z + 3.999999999940941908e-01
    p = p * z + 6.666666666666735130e-01
    half = 0.5 * f * f
    return k * _LN2_HIGH - ((half - (s * (half + z * p) + k * _LN2_LOW)) - f)
