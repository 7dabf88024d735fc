"""Block coordinate descent for C-GReLU that keeps the residual: for few patterns of many columns, and low accuracy.

A visit of a block costs two passes over the rows of its pattern, and before the first one only a bound of each block is
computed. Descent on a Gram matrix wins where its visits save more than the matrix costs.
"""

import math

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.losses.squared import Squared
from cvxrelu.numerics.group_lasso import SWEEPS
from cvxrelu.numerics.rounding import TINY
from cvxrelu.numerics.row_descent import descend_on_rows, work_arrays
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.runtime.compilation import Savings
from cvxrelu.runtime.vectors import padded
from cvxrelu.solvers.interface import Budget
from cvxrelu.solvers.working_set.block_descent import ENTRY, MODEL, RENEWAL, SPARE, BlockDescent, eigenvalue_bounds
from cvxrelu.solvers.working_set.descent_costs import DescentCosts

_ROW, _ENTRY = 90.0, 5.5  # work of a visit for each row of the data, and for each entry
_MEMORY, _CACHE = 1.6, 2**20  # factor by which a visit takes longer if X takes more bytes than a cache holds
_BOUND = 3.0  # factor by which the bound of a block takes longer than a large product
_ROUNDING = 1e-5  # relative errors of sums in float32
_EARLIER = 10.0  # factor of the fraction of the gap before the next pricing
_MOST_ROWS = 2**25  # of all patterns: 128 MB
_CYCLES, _DIGITS = 0.45, 7.0  # of the cycles predicted for a Gram matrix, to 1e-6: six digits of accuracy, and one

SAVINGS = Savings(descend_on_rows)


class RowDescent(BlockDescent):
    """Weights on a growing working set, with a copy of X in float32 and the rows of each pattern.

    They take 4 n (d + k) bytes, and as much again while patterns enter.

    Parameters
    ----------
    problem : ConvexProblem
        C-GReLU problem that `supports` accepts, in float64.
    prediction : ndarray of shape (n, 1)
        A u at the start.
    tol : float
        Relative gap to reach.
    """

    def __init__(self, problem: ConvexProblem, prediction: FloatArray, tol: float) -> None:
        super().__init__(problem, prediction)
        self._costs = _RowCosts(problem, tol)
        X = problem.operator.X
        self._X = np.zeros((len(X), padded(self._d, np.dtype(np.float32))), dtype=np.float32)
        self._X[:, : self._d] = X

    @classmethod
    def relative_work(cls, problem: ConvexProblem, tol: float) -> float:
        """Return its predicted work, relative to that of descent on a Gram matrix; infinity if it does not apply."""
        # With fewer columns than rows, Gram matrices are computed anew faster than the bounds of blocks.
        tall = type(problem.loss) is not Squared and len(problem.patterns) * problem.d < problem.n
        if tall or not cls.supports(problem) or problem.X.dtype != np.float64:
            return math.inf
        on_rows, P = _RowCosts(problem, tol), len(problem.patterns)
        on_gram = DescentCosts(problem, entry=ENTRY, model=MODEL)
        on_gram.n_cycles = on_rows.n_cycles / _CYCLES
        k = min(SPARE * on_gram.expected, P)
        gram = RENEWAL * on_gram.gram(k) + on_gram.descent(k, on_gram.expected)
        return (on_rows.gram(k) + on_rows.descent(k, on_rows.expected)) / gram

    def _clear(self) -> None:
        super()._clear()
        self._rows = np.zeros(0, dtype=np.int32)
        self._starts = np.zeros(1, dtype=np.intp)

    def _fits(self, k: float) -> bool:
        return k * self._n <= _MOST_ROWS

    def fraction(self) -> float:
        """Return the fraction of the gap to descend to before the next pricing; patterns that enter cost little."""
        return _EARLIER * super().fraction()

    def _enter(self, known: int) -> None:
        """Take the rows of the patterns from a place on, and bound their blocks."""
        D, X = self._problem.operator.take(self.ids[known:]).D, self._X[:, : self._d]
        lists, blocks = [self._rows], np.empty((D.shape[1], self._d, self._d), dtype=np.float32)
        roots = None if self._curvature is None else np.sqrt(self._curvature).astype(np.float32)
        for j, block in enumerate(blocks):
            rows = np.flatnonzero(D[:, j]).astype(np.int32)
            masked = X.take(rows, axis=0)
            if roots is not None:
                masked *= roots.take(rows)[:, None]
            np.dot(masked.T, masked, out=block)
            lists.append(rows)
        bounds = (1.0 + _ROUNDING) * eigenvalue_bounds(blocks.astype(np.float64))  # whose powers may overflow float32
        self._lipschitz = np.concatenate([self._lipschitz, bounds])
        self._rows = np.concatenate(lists)
        self._starts = np.append(self._starts, len(lists[0]) + np.cumsum([len(rows) for rows in lists[1:]]))
        self._work = work_arrays(self._n, len(self.ids), self._X.shape[1])

    def _descend(self, t: FloatArray, Z: FloatArray, gap_tol: float, budget: Budget) -> float:
        """Descend on the model at the last predictions, where the gradient is t; return its gap."""
        residual, state, d = -self._unit * t[:, 0], np.empty(3), self._d
        curvature = np.ones(self._n) if self._curvature is None else self._curvature
        curvature = curvature.astype(np.float32)
        u, slopes = np.zeros((2, len(self.ids), self._X.shape[1]))
        u[:, :d], slopes[:, :d] = self.weights, -self._unit * Z[0]
        descend_on_rows(
            self._X.reshape(-1),
            self._rows,
            self._starts,
            self._lipschitz,
            curvature,
            self.prediction[:, 0] + residual / curvature,
            residual,
            slopes.reshape(-1),
            self._unit * self._problem.lam,
            self._unit * gap_tol,
            self._most_cycles(budget),
            u.reshape(-1),
            *self._work,
            state,
        )
        self.u = u[:, :d].ravel()
        self.n_cycles += int(state[2])
        return float(state[1] / self._unit)


class _RowCosts(DescentCosts):
    """Predictions for descent that keeps the residual, to a relative gap ``tol``."""

    def __init__(self, problem: ConvexProblem, tol: float) -> None:
        super().__init__(problem, entry=ENTRY, model=MODEL)
        self.n_cycles *= _CYCLES * max(1.0 - math.log10(max(tol, TINY)), 1.0) / _DIGITS

    def cycle(self, k: float, active: float) -> float:
        """Return the operations of a cycle with k patterns."""
        slower = _MEMORY if 4.0 * self._n * self._d > _CACHE else 1.0
        return slower * (SWEEPS * max(active, 1.0) + k) * self._n * (_ROW + _ENTRY * self._d)

    def gram(self, k: float, known: int = 0) -> float:
        """Return the operations of the bounds of k patterns, some of which are known."""
        return _BOUND * (k - known) * self._d**2 * (0.5 * self._n + 2.0 * self._d)
