"""The gap between two bounds of a value."""

from cvxrelu.exceptions import CertificateError
from cvxrelu.numerics.rounding import TINY

ROUNDING = 1e-9  # of bounds that are computed in float64


def relative_gap(lower: float, upper: float) -> float:
    """Return (upper - lower) / |upper|; 0 where the upper bound is not above the lower one."""
    gap = upper - lower
    return gap / max(abs(upper), TINY) if gap > 0.0 else 0.0


def contradict(lower: float, upper: float, scale: float, rounding: float = ROUNDING) -> bool:
    """Return whether a lower bound exceeds an upper one by more than ``rounding``, relative to the value.

    ``scale`` is the size of the terms that the bounds are differences of, such as the objective of zero weights: near
    an optimal value of 0 rounding is relative to that.
    """
    return lower > upper and not lower - upper <= rounding * max(scale, abs(upper))


def check_bounds(lower: float, upper: float, scale: float, of: object, rounding: float = ROUNDING) -> float:
    """Return the lower bound, at most the upper one.

    Raises
    ------
    CertificateError
        If they `contradict` each other, which would be a bug; the message says whose bounds they are: ``of``.
    """
    if contradict(lower, upper, scale, rounding):
        raise CertificateError(f"lower bound {lower!r} exceeds upper bound {upper!r} of {of}: please report this")
    return min(lower, upper)
