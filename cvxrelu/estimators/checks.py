"""Validation of the parameters and results of estimators."""

# mypy: disallow-subclassing-any=False
# (scikit-learn has no types)

from typing import Any

import numpy as np
import sklearn.exceptions
from sklearn.utils.validation import _check_sample_weight

from cvxrelu._validation import FloatArray, check_number
from cvxrelu.certificates.certificate import Certificate
from cvxrelu.exceptions import ConvergenceWarning
from cvxrelu.optimize.solution import Solution
from cvxrelu.status import Status

_FAR = 400  # of exponents of two


class EstimatorConvergenceWarning(ConvergenceWarning, sklearn.exceptions.ConvergenceWarning):
    """A ConvergenceWarning that is also scikit-learn's, so that filters of either class apply."""


def check_alpha(alpha: Any, patterns: str) -> float:
    """Return alpha >= 0, or > 0 for patterns="generate"."""
    return check_number("alpha", alpha, minimum=0.0, strict=patterns == "generate")


def check_outputs(targets: FloatArray, patterns: str) -> None:
    """Raise ValueError for several outputs and patterns="generate"."""
    if patterns == "generate" and targets.ndim == 2 and targets.shape[1] > 1:
        raise ValueError(
            f"patterns='generate' needs one output, as there is no global bound for more; got {targets.shape[1]}: use "
            "'sampled', or one estimator for each output"
        )


def check_weights(sample_weight: Any, X: FloatArray) -> FloatArray | None:
    """Return sample weights >= 0, not all zero, as float64; None if not given."""
    if sample_weight is None:
        return None
    weights: FloatArray = _check_sample_weight(sample_weight, X, dtype=np.float64)
    if weights.min() < 0.0 or not weights.any():
        raise ValueError(
            f"sample_weight must be >= 0 and not all zero; got entries from {weights.min():g} to {weights.max():g}"
        )
    exponent = int(np.frexp(weights.max())[1])
    if abs(exponent) > _FAR:  # their sums and squares are ordinary numbers; a common factor of weights means nothing
        weights = np.ldexp(weights, -exponent)
    return weights


def shortfall(certificate: Certificate, solution: Solution, tol: float) -> str:
    """Return a message that states how far a fit is from tol, with advice."""
    status = Status.STALLED if solution.status is Status.OPTIMAL else solution.status
    return f"a certified relative gap of {certificate.rel_gap:.2e}, above tol = {tol:.2e}. {status.advice}"
