"""Separable classes without regularization: the infimum 0 of the loss is not attained."""

import numpy as np

from cvxrelu._validation import Weights
from cvxrelu.losses.weighted import unweighted
from cvxrelu.problems.base import ConvexProblem

_LARGE = 1e13  # margins of 1e-10 of the largest prediction, far above rounding, have zero loss at this multiple


def separates(problem: ConvexProblem, weights: Weights) -> bool:
    """Return whether the loss of an unregularised problem tends to 0 along multiples of the weights.

    Margins must be far above rounding.
    """
    if problem.regularised or not unweighted(problem.loss).of_labels:
        return False
    prediction = problem.predict(weights)
    largest = float(np.abs(prediction).max())
    if not 0.0 < largest < np.inf:
        return False
    return problem.loss.value(_LARGE * (prediction / largest), problem.Y) == 0.0


def enlarged(problem: ConvexProblem, weights: Weights, tol: float) -> Weights:
    """Return separating weights times the smallest power of two with a loss of at most tol times that of zero."""
    prediction = problem.predict(weights)
    threshold = tol * problem.loss.value(np.zeros_like(prediction), problem.Y)
    exponent = 0
    while problem.loss.value(np.ldexp(prediction, exponent), problem.Y) > threshold:
        exponent += 1
    return problem.weights(np.ldexp(problem.blocks(weights), exponent))
