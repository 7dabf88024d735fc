"""Gaps between lower and upper bounds."""

from cvxrelu.exceptions import CertificateError
from cvxrelu.numerics.rounding import TINY

ROUNDING = 1e-9  # relative, of bounds computed in float64


def relative_gap(lower: float, upper: float) -> float:
    """Return (upper - lower) / |upper|, or 0 if upper <= lower."""
    gap = upper - lower
    return gap / max(abs(upper), TINY) if gap > 0.0 else 0.0


def contradict(lower: float, upper: float, scale: float, rounding: float = ROUNDING) -> bool:
    """Return whether a lower bound exceeds an upper bound by more than the relative tolerance ``rounding``.

    The tolerance is relative to |upper| or ``scale``, whichever is larger: the size of the terms whose differences the
    bounds are, such as the objective of zero weights, which sets the rounding error near an optimal value of 0.
    """
    return lower > upper and not lower - upper <= rounding * max(scale, abs(upper))


def check_bounds(lower: float, upper: float, scale: float, of: object, rounding: float = ROUNDING) -> float:
    """Return the lower bound, clipped to the upper one.

    Raises
    ------
    CertificateError
        If the bounds `contradict` each other, which indicates a bug; the message names their object, ``of``.
    """
    if contradict(lower, upper, scale, rounding):
        raise CertificateError(f"lower bound {lower!r} exceeds upper bound {upper!r} of {of}: please report this")
    return min(lower, upper)
