"""Advice for a gap above tol, from the status and the data."""

import numpy as np

from cvxrelu.certificates.certificate import Certificate
from cvxrelu.status import Status

_LARGE_SPREAD = 1e3
_DATA_DEPENDENT = (Status.INACCURATE, Status.STALLED, Status.FAILED, Status.MAX_ITER)


def advice(certificate: Certificate, status: Status) -> str:
    """Return the advice of a status, with notes on float32 data and badly scaled columns."""
    problem = certificate.problem
    sentences = [status.advice]
    if status in _DATA_DEPENDENT:
        if problem.X.dtype == np.float32:
            sentences.append("X is float32, which limits the gap: pass X in float64.")
        sizes = np.abs(problem.X).max(axis=0)
        spread = float(sizes.max()) / float(sizes[sizes > 0.0].min(initial=np.inf))
        if spread >= _LARGE_SPREAD:
            sentences.append(
                f"The columns of X differ in scale by a factor of {spread:.0e}: ColumnScaling equalises them, but with "
                "a penalty it changes the problem."
            )
    return " ".join(sentences)
