"""A Newton system of C-GReLU."""

from dataclasses import dataclass

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.losses.base import ConjugateDerivatives
from cvxrelu.penalties.prox_jacobians import ProxJacobian


@dataclass(frozen=True, eq=False)
class NewtonStep:
    """A Newton system: active patterns, prox Jacobian on them, derivatives of the dual term, sigma, gradient (n, c)."""

    active: np.ndarray
    jacobian: ProxJacobian
    rows: ConjugateDerivatives
    sigma: float
    gradient: FloatArray
