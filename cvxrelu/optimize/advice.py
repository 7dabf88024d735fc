"""What to do about a gap that is too large: by what is known of the problem and of the weights."""

import numpy as np

from cvxrelu.certificates.certificate import Certificate
from cvxrelu.status import Status

_FAR_APART = 1e3
_OF_DATA = (Status.INACCURATE, Status.STALLED, Status.FAILED, Status.MAX_ITER)


def advice(certificate: Certificate, status: Status) -> str:
    """Return the advice of a status, and what holds for the problem: float32, columns far apart."""
    problem = certificate.problem
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
