"""Classes that weights separate, with nothing to keep weights small: the infimum 0 of the loss is not attained."""

import numpy as np

from cvxrelu._validation import Weights
from cvxrelu.losses.weighted import unweighted
from cvxrelu.problems.base import ConvexProblem

_BEYOND = 1e13  # margins of 1e-10 of the largest prediction, far above rounding, have a loss of 0 at this multiple


def separates(problem: ConvexProblem, weights: Weights) -> bool:
    """Return whether the loss of a problem without a penalty vanishes as the weights are multiplied.

    Margins that are not far above rounding count as none.
    """
    if problem.regularised or not unweighted(problem.loss).of_labels:
        return False
    prediction = problem.predict(weights)
    largest = float(np.abs(prediction).max())
    if not 0.0 < largest < np.inf:
        return False
    return problem.loss.value(_BEYOND * (prediction / largest), problem.Y) == 0.0


def enlarged(problem: ConvexProblem, weights: Weights, tol: float) -> Weights:
    """Return the least multiple by a power of two of weights that separate with a loss of tol times that of zero."""
    prediction = problem.predict(weights)
    goal = tol * problem.loss.value(np.zeros_like(prediction), problem.Y)
    exponent = 0
    while problem.loss.value(np.ldexp(prediction, exponent), problem.Y) > goal:
        exponent += 1
    return problem.weights(np.ldexp(problem.blocks(weights), exponent))
