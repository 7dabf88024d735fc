"""Steps of a Newton method on the dual that stay inside the domain of F*."""

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.losses.base import DualTerm

INSIDE = 0.9  # how much of the way to the boundary may be taken
# What takes the place of a zero, where t has rounded to the boundary: t holds probabilities that are near 0 to their
# own rounding where the label's own class is not meant, else to that of 1.
LEAST_SHARE, LEAST_OF_LABEL = 1e-300, 2.0**-53
_SHORTENINGS, _SHORTER = 20, 0.25


def downhill(term: DualTerm, t: FloatArray, step: FloatArray, gradient: FloatArray) -> FloatArray:
    """Return a bent step along which the function with that gradient falls: a shorter one where the whole does not."""
    bent = term.bent(t, step)
    for _ in range(_SHORTENINGS):
        if np.vdot(gradient, bent) < 0.0:
            break
        step = _SHORTER * step
        bent = term.bent(t, step)
    return bent


def share_taken(left: FloatArray, fall: FloatArray) -> FloatArray:
    """Return the share that is taken of a fall from ``left`` > 0: all of it up to 0.9 of what is left, then less."""
    long = fall > INSIDE * left
    ratio = np.divide(left, fall, out=np.ones_like(left), where=long)
    share: FloatArray = np.where(long, ratio * (1.0 - INSIDE * (1.0 - INSIDE) * ratio), 1.0)
    return share


def until_zero(value: FloatArray, change: FloatArray) -> float:
    """Return the largest step for which value + step * change stays non-negative; at least 1 needs no limit."""
    falling = change < 0.0
    return float(np.min(value[falling] / -change[falling], initial=np.inf))
