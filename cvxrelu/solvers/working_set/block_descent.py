"""Block coordinate descent for C-GReLU with squared loss, group_l1 and one output, on a cached Gram matrix.

The blocks X'(D_i o D_j)X of the working set are computed once and kept while it grows, so that sweeps over the blocks
cost nothing of size n; see `cvxrelu.numerics.group_lasso`. While few patterns are active this is several times faster
than Newton steps; with many active ones the Gram matrix is costly and sweeps converge slowly.
"""

import math

import numpy as np
from numpy.typing import NDArray

from cvxrelu._validation import FloatArray
from cvxrelu.losses.squared import Squared
from cvxrelu.numerics.group_lasso import SWEEPS, descend, scratch
from cvxrelu.numerics.rounding import TINY
from cvxrelu.patterns.packed_mask import take_patterns
from cvxrelu.penalties.group_norms import GroupL1
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.runtime.compilation import Savings
from cvxrelu.solvers.interface import Budget

_MOST_COLUMNS = 2000
_CHUNK = 2**18
_LEAST_ROWS = 64
# Cost model, in operations of a large matrix product: those of a sweep and of a Gram matrix take longer, a Newton step
# has a fixed cost, and both methods are given typical numbers of steps.
_SWEEP, _GRAM, _NEWTON_STEP = 6.0, 1.5, 6e7
_CYCLES, _NEWTON_STEPS = 20, 12
_ACTIVE, _ACTIVE_POWER = 4.0, 0.7  # active patterns by lam_max / lam, on the data sets of the race
_SPARE = 1.5  # patterns of the working set for each active one
_MOST_CYCLES = 100  # of a round
_CHECK = 10  # cycles between two estimates of the rate

SAVINGS = Savings(descend)  # of Newton steps in its place


class BlockDescent:
    """Weights on a growing working set, and its Gram matrix: 8 (k d)^2 bytes for k patterns, at most 32 MB.

    Parameters
    ----------
    problem : ConvexProblem
        C-GReLU problem that `supports` accepts.

    Attributes
    ----------
    ids : ndarray of shape (k,)
        The patterns of the working set, in order of entry.
    u : ndarray of shape (k d,)
        Their weights.
    n_cycles : int
        Cycles of five sweeps and an extrapolation so far.
    """

    def __init__(self, problem: ConvexProblem) -> None:
        self._X, self._D = problem.operator.X, problem.patterns.D
        self._n, self._d = problem.n, problem.d
        d = self._d
        y = problem.Y[:, 0]
        self._square = float(y @ y)
        self._threshold = self._n * problem.lam
        self._at_zero = problem.at_zero[1][0]
        self.ids = np.zeros(0, dtype=np.intp)
        self.u, self._linear, self._lipschitz = np.zeros(0), np.zeros(0), np.zeros(0)
        self._gram = np.zeros((0, 0))
        self._triangle = np.triu_indices(d)
        self._place = np.zeros((d, d), dtype=np.intp)  # of entries in the upper triangle
        self._place[self._triangle] = np.arange(len(self._triangle[0]))
        self._place = np.maximum(self._place, self._place.T)
        self._expected = min(_ACTIVE * (problem.lam_max() / problem.lam) ** _ACTIVE_POWER, len(problem.patterns))
        self.n_cycles = 0

    @staticmethod
    def supports(problem: ConvexProblem) -> bool:
        """Return whether a problem is of the kind that it solves."""
        return type(problem.loss) is Squared and type(problem.penalty) is GroupL1 and problem.n_outputs == 1

    @property
    def weights(self) -> FloatArray:
        """The weights of the working set (k, d)."""
        return self.u.reshape(-1, self._d)

    @property
    def n_active(self) -> int:
        """Number of patterns with non-zero weights."""
        return int(np.count_nonzero(self.weights.any(axis=1)))

    def pays(self, n_new: int) -> bool:
        """Return whether to go on with so many more patterns, by predicted work and memory, or to take Newton steps.

        The number of patterns that will be active is predicted by lam / lam_max, and by the active ones if they are
        more.
        """
        n, d, known = self._n, self._d, len(self.ids)
        active = max(self.n_active, self._expected)
        k = max(known + n_new, min(_SPARE * active, self._D.shape[1]))
        gram = _GRAM * n * d * (d + 1.0) * 0.5 * (k**2 - known**2)
        work = gram + _SWEEP * _CYCLES * self._cycle(k, active)
        return bool(k * d <= _MOST_COLUMNS and work <= self._newton(active))

    def _cycle(self, k: float, active: float) -> float:
        """Return the operations of a cycle with k patterns."""
        return 2.0 * SWEEPS * max(active, 1.0) * self._d * k * self._d

    def _newton(self, active: float) -> float:
        """Return the operations of Newton steps, in the rows or in the columns."""
        n, columns = self._n, active * self._d
        return _NEWTON_STEPS * (_NEWTON_STEP + min(n * n * (active + n / 3.0), columns**2 * (n + columns / 3.0)))

    def add(self, new: NDArray[np.intp], weights: FloatArray) -> None:
        """Add patterns, with initial weights (k, d)."""
        known, k, d = len(self.ids), len(self.ids) + len(new), self._d
        self.ids = np.concatenate([self.ids, new])
        self.u = np.concatenate([self.u, weights.ravel()])
        self._linear = np.concatenate([self._linear, -self._n * self._at_zero[new].ravel()])
        gram = np.empty((k, d, k, d))
        gram[:known, :, :known] = self._gram.reshape(known, d, known, d)
        first, second = (index[known * (known + 1) // 2 :] for index in np.tril_indices(k)[::-1])
        blocks = self._products(first, second)[:, self._place]
        gram[first, :, second] = blocks
        gram[second, :, first] = blocks
        self._gram = gram.reshape(k * d, k * d)
        powers = blocks[first == second]
        for _ in range(2):
            powers = powers @ powers
        bounds = np.sqrt(np.einsum("kij,kij->k", powers, powers)) ** 0.25  # of the largest eigenvalues
        self._lipschitz = np.concatenate([self._lipschitz, np.maximum(bounds, TINY)])

    def _products(self, first: NDArray[np.intp], second: NDArray[np.intp]) -> FloatArray:
        """Return the upper triangles of X'(D_i o D_j)X for pairs of patterns: (pairs, d (d + 1) / 2)."""
        a, b = self._triangle
        D = take_patterns(self._D, self.ids)
        products = np.zeros((len(first), len(a)))
        step = max(_LEAST_ROWS, _CHUNK // (len(first) + len(a)))
        for start in range(0, self._n, step):
            rows = slice(start, start + step)
            masks, X = np.ascontiguousarray(D[rows, :].T), np.ascontiguousarray(self._X[rows].T)
            products += (masks[first] & masks[second]).astype(np.float64) @ (X[a] * X[b]).T
        return products

    def minimise(self, gap_tol: float, budget: Budget) -> bool:
        """Sweep until the duality gap on the working set is at most ``gap_tol``, or the budget is exhausted.

        Returns
        -------
        bool
            False if the gap decreases too slowly: this is predicted to take more work than Newton steps.
        """
        k, target = len(self.ids), self._n * gap_tol
        work, state, product = scratch(k, self._d), np.empty(3), np.empty(k * self._d)
        left = min(_MOST_CYCLES, self._newton(self.n_active) / (_SWEEP * self._cycle(k, self.n_active)))
        gap = np.inf
        while True:
            descend(
                self._gram,
                self._linear,
                self._lipschitz,
                self._square,
                self._threshold,
                target,
                min(_CHECK, budget.steps - self.n_cycles),
                self.u,
                product,
                *work,
                state,
            )
            previous, gap = gap, state[1]
            self.n_cycles += int(state[2])
            left -= state[2]
            if gap <= target or budget.spent(self.n_cycles):
                return True
            decrease = math.log(previous / gap) if gap < previous else 0.0  # in the last ten cycles
            if target <= 0.0 or _CHECK * math.log(gap / target) > decrease * left:
                return False
