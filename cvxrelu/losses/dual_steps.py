"""Newton steps on the dual that stay inside the domain of F*."""

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.losses.base import DualTerm
from cvxrelu.numerics.boundary import SHORTENINGS, SHORTER, TO_BOUNDARY


def descent_step(term: DualTerm, t: FloatArray, step: FloatArray, gradient: FloatArray) -> FloatArray:
    """Return a damped descent step for a function with the given gradient, shortened if needed."""
    damped = term.damped(t, step)
    for _ in range(SHORTENINGS):
        if np.vdot(gradient, damped) < 0.0:
            break
        step = SHORTER * step
        damped = term.damped(t, step)
    return damped


def damping(distance: FloatArray, decrease: FloatArray) -> FloatArray:
    """Return the factor of a decrease at ``distance`` > 0 from the boundary: 1 up to 0.9 of the distance, then less."""
    long = decrease > TO_BOUNDARY * distance
    ratio = np.divide(distance, decrease, out=np.ones_like(distance), where=long)
    factor: FloatArray = np.where(long, ratio * (1.0 - TO_BOUNDARY * (1.0 - TO_BOUNDARY) * ratio), 1.0)
    return factor


def step_to_boundary(value: FloatArray, change: FloatArray) -> float:
    """Return the largest step for which value + step * change stays non-negative."""
    falling = change < 0.0
    return float(np.min(value[falling] / -change[falling], initial=np.inf))
