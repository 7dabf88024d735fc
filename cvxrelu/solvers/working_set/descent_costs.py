"""Predicted work of block descent and of Newton steps, in operations of a large matrix product."""

import math

from cvxrelu.losses.logistic import Logistic
from cvxrelu.losses.squared import Squared
from cvxrelu.losses.weighted import unweighted
from cvxrelu.numerics.group_lasso import SWEEPS
from cvxrelu.problems.base import ConvexProblem

MODELS = 5  # of a loss, between two estimates of the rate
_ACTIVE, _ACTIVE_POWER = 4.0, 0.7  # active patterns of very many by lam_max / lam, on the data sets of the race
# Factors by which others than large products take longer, for Gram matrices with a margin, as sweeps in large ones may
# converge more slowly than predicted; fixed costs of a Newton step, of its n d and its n k d in the columns; typical
# numbers of cycles and of Newton steps by lam_max / lam, of models and of their Gram matrices.
_SWEEP, _GRAM, _PRODUCT, _ROWS = 6.0, 1.5, 3.0, 1.5
_NEWTON_STEP, _PRODUCTS, _ITERATIONS = 6e7, 5e3, 400.0
_KEPT, _KEPT_ITERATIONS, _KEPT_ITERATION = 0.3, 8.0, 2e7  # part of steps that factor, and iterations of the others
_CYCLES, _CYCLE_POWER, _NEWTON_STEPS, _STEP_POWER, _N_MODELS, _GRAMS = 4.0, 0.75, 8.0, 0.2, 10, 2


class DescentCosts:
    """Predictions from n, d, P and lam_max / lam.

    Parameters
    ----------
    problem : ConvexProblem
        C-GReLU problem with one output.
    entry, model : float
        Fixed costs of an entry of the Gram matrix, and of a model of a loss other than the squared one.

    Attributes
    ----------
    expected : float
        Number of patterns that will be active.
    n_cycles, n_models : float
        Numbers of cycles, and of models, until convergence.
    pricing : float
        Operations of a product of all patterns.
    """

    def __init__(self, problem: ConvexProblem, *, entry: float, model: float) -> None:
        self._n, self._d, P = problem.n, problem.d, len(problem.patterns)
        self._entry, self._model = entry, model
        self._constant_curvature = type(problem.loss) is Squared
        ratio = float(problem.lam_max() / problem.lam)
        self.expected = -P * math.expm1(-_ACTIVE * math.pow(ratio, _ACTIVE_POWER) / P)
        self.n_cycles = _CYCLES * math.pow(ratio, _CYCLE_POWER)
        self._newton_steps = _NEWTON_STEPS * math.pow(ratio, _STEP_POWER)
        smooth = type(unweighted(problem.loss)) is Logistic  # where curvature jumps, models hold only near their point
        self.n_models = _N_MODELS if smooth else max(_N_MODELS, MODELS * math.pow(ratio, _CYCLE_POWER))
        self.pricing = 2.0 * _PRODUCT * self._n * P * self._d

    def cycle(self, k: float, active: float) -> float:
        """Return the operations of a cycle with k patterns."""
        return _SWEEP * 2.0 * SWEEPS * max(active, 1.0) * self._d * k * self._d

    def gram(self, k: float, known: int = 0) -> float:
        """Return the operations of the Gram matrix of k patterns, some of which are known."""
        d = self._d
        return (_GRAM * self._n + self._entry) * d * (d + 1.0) * 0.5 * (k**2 - known**2)

    def model(self, k: float, active: float) -> float:
        """Return the operations of a model beside its cycles."""
        return _PRODUCT * 4.0 * self._n * (k + active) * self._d + self._model

    def descent(self, k: float, active: float) -> float:
        """Return the operations of descent on k patterns, given their Gram matrix."""
        spread = max(1.0, active * self._d / self._n)  # with dependent columns, all converge more slowly
        cycles = self.n_cycles * self.cycle(k, active)
        if self._constant_curvature:
            return math.sqrt(spread) * cycles
        return spread * (cycles + self.n_models * self.model(k, active) + _GRAMS * self.gram(active))

    def newton(self, active: float) -> float:
        """Return the operations of Newton steps, in the rows, in the columns or by conjugate gradients."""
        n, columns = self._n, active * self._d
        factor = n**3 / 3.0
        kept = _KEPT * factor + _KEPT_ITERATIONS * (4.0 * n * n + _KEPT_ITERATION) / _ROWS
        in_rows = _ROWS * (n * n * active + min(factor, kept))
        in_columns = _PRODUCTS * n * self._d + min(columns**2 * (n + columns / 3.0), _ITERATIONS * n * columns)
        return self._newton_steps * (_NEWTON_STEP + min(in_rows, in_columns))
