"""Block coordinate descent for C-GReLU with group_l1 and one output, on a cached Gram matrix.

The blocks X'(D_i o D_j)X of the working set are computed once and kept while it grows, so that sweeps over the blocks
cost nothing of size n; see `cvxrelu.numerics.group_lasso`. While few patterns are active this is several times faster
than Newton steps; with many active ones the Gram matrix is costly and sweeps converge slowly.

The squared loss is minimised itself. Other losses are majorised at the predictions by the squared loss with their
largest curvature, so that the Gram matrix stays the same; every fifth majorant is followed by an extrapolation.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cvxrelu._validation import BoolArray, FloatArray
from cvxrelu.losses.squared import Squared
from cvxrelu.numerics.group_lasso import SWEEPS, descend, scratch
from cvxrelu.numerics.rounding import TINY
from cvxrelu.penalties.group_norms import GroupL1
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.runtime.compilation import Savings
from cvxrelu.solvers.interface import Budget

_MOST_COLUMNS = 2000
_RIDGE = 1e-10
_CHECK = 10  # cycles between two estimates of the rate
_INNER_FRACTION, _INNER_CYCLES = 0.03, 20  # of a majorant
_FRACTION, _LEAST = 0.03, 0.1  # of the gap, before the next pricing
_ACTIVE, _ACTIVE_POWER = 4.0, 0.7  # active patterns by lam_max / lam, on the data sets of the race
_SPARE = 1.5  # patterns of the working set for each active one
# Cost model, in operations of a large matrix product: factors by which others take longer, fixed costs of a majorant,
# of a Newton step and of a round of pricing, and typical numbers of cycles, of periods (see `_period`) and of Newton
# steps. The number of majorants grows with lam_max / lam, as the curvature spreads.
_SWEEP, _GRAM, _PRODUCT = 6.0, 1.5, 3.0
_MAJORANT, _NEWTON_STEP, _ROUND = 2e7, 6e7, 3e7
_CYCLES_OF_MAJORANT, _SWEEP_PERIODS, _MAJORANT_POWER, _NEWTON_STEPS = 3, 2.0, 0.75, 12
_MOST_PERIODS = 10

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
    n_active : int
        Number of patterns with non-zero weights.
    n_cycles : int
        Cycles of five sweeps and an extrapolation so far.
    """

    def __init__(self, problem: ConvexProblem) -> None:
        self._n, self._d = problem.n, problem.d
        self._problem = problem
        self._quadratic = type(problem.loss) is Squared
        self._curvature = self._n * problem.loss.smoothness(self._n)
        self.ids = np.zeros(0, dtype=np.intp)
        self.u: FloatArray = np.zeros(0)
        self._lipschitz = np.zeros(0)
        self._gram = np.zeros((0, 0))
        ratio = problem.lam_max() / problem.lam
        self._expected = min(_ACTIVE * ratio**_ACTIVE_POWER, len(problem.patterns))
        self._periods = _SWEEP_PERIODS if self._quadratic else ratio**_MAJORANT_POWER
        self.n_active = self.n_cycles = 0

    @staticmethod
    def supports(problem: ConvexProblem) -> bool:
        """Return whether a problem is of the kind that it solves."""
        return type(problem.penalty) is GroupL1 and problem.n_outputs == 1

    @property
    def weights(self) -> FloatArray:
        """The weights of the working set (k, d)."""
        return self.u.reshape(-1, self._d)

    @property
    def members(self) -> BoolArray:
        """Mask (P,) of the patterns of the working set."""
        members = np.zeros(len(self._problem.patterns), dtype=np.bool_)
        members[self.ids] = True
        return members

    def pays(self, n_new: int) -> bool:
        """Return whether to go on with so many more patterns, by predicted work and memory, or to take Newton steps.

        The number of patterns that will be active is predicted by lam / lam_max, and by the active ones if they are
        more.
        """
        n, d, known = self._n, self._d, len(self.ids)
        active = max(self.n_active, self._expected)
        k = max(known + n_new, min(_SPARE * active, len(self._problem.patterns)))
        gram = _GRAM * n * d * (d + 1.0) * 0.5 * (k**2 - known**2)
        work = gram + self._periods * self._period(k, active)
        return bool(k * d <= _MOST_COLUMNS and work <= self._newton(active))

    def fraction(self) -> float:
        """Return the fraction of the gap to descend to before the next pricing: the cheaper cycles are, the less."""
        k, size = len(self.ids), float(self._n * len(self._problem.patterns) * self._d)
        cycle = _SWEEP * self._cycle(k, max(self.n_active, min(self._expected, k)))
        return _FRACTION * min(1.0, max(_LEAST, cycle / (_ROUND + 4.0 * _PRODUCT * size)))

    def _cycle(self, k: float, active: float) -> float:
        """Return the operations of a cycle with k patterns."""
        return 2.0 * SWEEPS * max(active, 1.0) * self._d * k * self._d

    def _period(self, k: float, active: float) -> float:
        """Return the operations of ten cycles, or of five majorants."""
        sweeps = _SWEEP * self._cycle(k, active)
        if self._quadratic:
            return _CHECK * sweeps
        products = 4.0 * self._n * (k + active) * self._d
        return SWEEPS * (_CYCLES_OF_MAJORANT * sweeps + _PRODUCT * products + _MAJORANT)

    def _newton(self, active: float) -> float:
        """Return the operations of Newton steps, in the rows or in the columns."""
        n, columns = self._n, active * self._d
        return _NEWTON_STEPS * (_NEWTON_STEP + min(n * n * (active + n / 3.0), columns**2 * (n + columns / 3.0)))

    def add(self, new: NDArray[np.intp], weights: FloatArray) -> None:
        """Add patterns, with initial weights (k, d)."""
        known, k, d = len(self.ids), len(self.ids) + len(new), self._d
        self.ids = np.concatenate([self.ids, new])
        self.u = np.concatenate([self.u, weights.ravel()])
        self._count()
        gram = np.empty((k, d, k, d))
        gram[:known, :, :known] = self._gram.reshape(known, d, known, d)
        last = np.arange(known, k)
        second = last.repeat(last + 1)
        ends = (last + 1).cumsum()
        first = np.arange(len(second)) - (ends - last - 1).repeat(last + 1)
        blocks = self._problem.operator.take(self.ids).gram(first, second)
        pairs = gram.swapaxes(1, 2)
        pairs[first, second] = pairs[second, first] = blocks
        self._gram = gram.reshape(k * d, k * d)
        powers = blocks[ends - 1]  # of each new pattern with itself
        for _ in range(2):
            powers = powers @ powers
        bounds = np.sqrt(np.einsum("kij,kij->k", powers, powers)) ** 0.25  # of the largest eigenvalues
        self._lipschitz = np.concatenate([self._lipschitz, np.maximum(bounds, TINY)])
        self._work = scratch(k, d)

    def minimise(self, gap_tol: float, budget: Budget) -> bool:
        """Descend until the duality gap on the working set is at most ``gap_tol``, or the budget is exhausted.

        Returns
        -------
        bool
            False if the gap decreases too slowly: this is predicted to take more work than Newton steps.
        """
        finished = self._minimise(gap_tol, budget)
        self._count()
        return finished

    def _count(self) -> None:
        self.n_active = int(np.count_nonzero(self.weights.any(axis=1)))

    def _minimise(self, gap_tol: float, budget: Budget) -> bool:
        active = self.n_active
        left = min(_MOST_PERIODS, self._newton(active) / self._period(len(self.ids), active))
        previous = np.inf
        for gap in self._sweeps(gap_tol, budget) if self._quadratic else self._majorants(gap_tol, budget):
            if gap <= gap_tol or budget.spent(self.n_cycles):
                return True
            left -= 1.0
            decrease = math.log(previous / gap) if gap < previous else 0.0
            if left <= 0.0 or gap_tol <= 0.0 or math.log(gap / gap_tol) > decrease * left:
                break
            previous = gap
        return False

    def _sweeps(self, gap_tol: float, budget: Budget) -> Iterator[float]:
        """Minimise the squared loss; yield the gap after every ten cycles and at the end."""
        linear = -self._n * self._problem.at_zero[1][0, self.ids].ravel()
        product = np.empty_like(self.u)
        while True:
            yield self._descend(linear, self._problem.Y, gap_tol, min(_CHECK, budget.steps - self.n_cycles), product)

    def _majorants(self, gap_tol: float, budget: Budget) -> Iterator[float]:
        """Minimise majorants of the loss; yield the gap after every five and at the end."""
        problem, operator = self._problem, self._problem.operator.take(self.ids)
        step = 1.0 / problem.loss.smoothness(self._n)
        product = self._gram @ self.u
        f = operator.forward(self.weights[None])
        while True:
            history: list[tuple[FloatArray, FloatArray]] = [(self.u.copy(), f)]
            for _ in range(SWEEPS):
                t = problem.loss.gradient(f, problem.Y)
                Z = operator.adjoint(t)
                gap = self._objective(self.u, f) - self._dual_value(t, Z)
                if gap <= gap_tol or budget.spent(self.n_cycles):
                    break
                linear, cycles = product - step * Z.ravel(), min(_INNER_CYCLES, budget.steps - self.n_cycles)
                self._descend(linear, f - step * t, _INNER_FRACTION * gap, cycles, product)
                f = operator.forward(self.weights[None])
                history.append((self.u.copy(), f))
            else:
                u, further = _extrapolated(history)
                if self._objective(u, further) < self._objective(self.u, f):
                    self.u, f = u, further
                    product = self._gram @ u
            yield gap

    def _objective(self, u: FloatArray, f: FloatArray) -> float:
        problem = self._problem
        return problem.loss.value(f, problem.Y) + problem.lam * GroupL1().value(u.reshape(1, -1, self._d))

    def _dual_value(self, t: FloatArray, Z: FloatArray) -> float:
        """Return the dual objective at the best multiple of t that is feasible for A't = Z (1, k, d)."""
        problem = self._problem
        largest = float(GroupL1().dual_norm(Z))
        scale = problem.loss.best_scale(t, problem.Y, problem.lam / largest if largest > 0.0 else np.inf)
        return -problem.loss.conjugate(scale * t, problem.Y)

    def _descend(self, linear: FloatArray, y: FloatArray, gap_tol: float, cycles: int, product: FloatArray) -> float:
        """Sweep for the targets y (n, 1), with B'y = ``linear``; return the gap, and write G u to ``product``."""
        unit = self._n / self._curvature  # the kernel's objective is this many times that of the problem
        state = np.empty(3)
        descend(
            self._gram,
            linear,
            self._lipschitz,
            float(np.vdot(y, y)),
            unit * self._problem.lam,
            unit * gap_tol,
            cycles,
            self.u,
            product,
            *self._work,
            state,
        )
        self.n_cycles += int(state[2])
        return float(state[1] / unit)


def _extrapolated(history: list[tuple[FloatArray, FloatArray]]) -> tuple[FloatArray, FloatArray]:
    """Return the combination of weights and predictions whose last steps combine to the shortest."""
    points = np.array([u for u, _ in history])
    steps = np.diff(points, axis=0)
    products = steps @ steps.T
    products[np.diag_indices(len(steps))] += _RIDGE * np.trace(products) + TINY
    weights = np.linalg.solve(products, np.ones(len(steps)))
    weights /= weights.sum()
    predictions: FloatArray = np.tensordot(weights, np.array([f for _, f in history[1:]]), axes=1)
    return weights @ points[1:], predictions
