"""What to do about a gap that is too large: by what is known of the problem and of the weights."""

import numpy as np

from cvxrelu.certificates.certificate import Certificate
from cvxrelu.losses.weighted import unweighted
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.status import Status

_FAR_APART = 1e3
_BEYOND = 200  # power of two of margins whose loss is 0 in float64
_OF_DATA = (Status.INACCURATE, Status.STALLED, Status.FAILED, Status.MAX_ITER)


def advice(certificate: Certificate, status: Status) -> str:
    """Return the advice of a status, and what holds for the problem: separated classes, float32, columns far apart."""
    problem = certificate.problem
    if _separated(problem, certificate):
        return (
            "These weights separate the classes and nothing is regularised: the infimum 0 of the loss is not attained, "
            "larger weights are always better. Take lam > 0 with a penalty."
        )
    sentences = [status.advice]
    if status in _OF_DATA:
        if problem.X.dtype == np.float32:
            sentences.append("The precision of X, float32, limits the gap: pass X in float64.")
        sizes = np.abs(problem.X).max(axis=0)
        spread = float(sizes.max()) / float(sizes[sizes > 0.0].min(initial=np.inf))
        if spread >= _FAR_APART:
            sentences.append(
                f"The largest entries of the columns of X are a factor of {spread:.0e} apart: ColumnScaling brings "
                "them together, which is another problem where there is a penalty."
            )
    return " ".join(sentences)


def _separated(problem: ConvexProblem, certificate: Certificate) -> bool:
    """Return whether the loss vanishes as the weights are multiplied, with no penalty to stop them."""
    regularised = problem.lam > 0.0 and problem.penalty.name != "none"
    if regularised or unweighted(problem.loss).name not in ("logistic", "softmax"):
        return False
    prediction = problem.predict(certificate.weights)
    largest = float(np.abs(prediction).max())
    return largest > 0.0 and problem.loss.value(np.ldexp(prediction / largest, _BEYOND), problem.Y) == 0.0
