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

    def columns(self, n_features: int) -> FloatArray:
        """Return the number of active columns of each output (c,)."""
        used = self.jacobian.support()
        if used is None:
            return np.full(self.gradient.shape[1], float(len(self.active) * n_features))
        columns: FloatArray = n_features * np.count_nonzero(used, axis=1).astype(np.float64)
        return columns
