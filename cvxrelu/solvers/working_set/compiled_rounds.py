"""Rounds of block descent for small C-GReLU programs with group_l1 and one output, in one kernel."""

import math

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.losses.huber import Huber
from cvxrelu.losses.logistic import Logistic
from cvxrelu.losses.squared import Squared
from cvxrelu.losses.weighted import Weighted, unweighted
from cvxrelu.numerics.gated_losses import HUBER, LOGISTIC, SQUARED
from cvxrelu.numerics.gated_rounds import (
    CYCLES,
    GAP,
    LIMITED,
    N_MEMBERS,
    OBJECTIVE,
    OUTCOME,
    WORK,
    gated_rounds,
    work_arrays,
)
from cvxrelu.penalties.group_norms import GroupL1
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.runtime.compilation import Savings
from cvxrelu.solvers.interface import Limits
from cvxrelu.solvers.working_set.descent_costs import DescentCosts

_MOST_WORK, _MOST_OF_MODELS = 2e6, 4e6  # n P d, for the squared loss and for others
_MOST_PRODUCTS, _MOST_COLUMNS = 2e6, 4000  # n d^2, and columns of the Gram matrix
_CALL, _CYCLES, _MOST_PERIODS = 1e8, 30, 16.0  # between estimates of the rate: operations, cycles; how many more
_LONGEST = 0.05  # seconds of a call: before a deadline, each cycle is one
_SPARE = 1.2  # patterns of the working set for each active one
_PRICING, _SLOWER = 10.0, 2.7  # of a model, by n P d; of operations of rounds, relative to those of large products
_MODELS = 2.0  # periods to the tolerance once no pattern is missing, if models change
_LONGER = 3.0  # that rounds may take as predicted, as a part of them tells whether they do
COMPILATION = 5.0  # seconds
KINDS = {Squared: SQUARED, Logistic: LOGISTIC, Huber: HUBER}

SAVINGS = Savings(gated_rounds, COMPILATION)


def loss_arguments(problem: ConvexProblem) -> tuple[FloatArray, FloatArray, int, float]:
    """Return the targets (n,), the weights of rows (n,), the kind of loss and its delta, as the kernel takes them."""
    loss, kind = problem.loss, unweighted(problem.loss)
    weights = loss.weights if isinstance(loss, Weighted) else np.ones(problem.n)
    delta = kind.delta if isinstance(kind, Huber) else 0.0
    return np.ascontiguousarray(problem.Y[:, 0]), weights, KINDS[type(kind)], delta


class CompiledRounds:
    """Weights of all patterns, and the kernel's state: at most 4 (P d)^2 bytes, up to 64 MB.

    Parameters
    ----------
    problem : ConvexProblem
        C-GReLU problem that `supports` accepts.
    blocks : ndarray of shape (P, d)
        Weights at the start.
    prediction : ndarray of shape (n, 1)
        Their prediction.
    """

    def __init__(self, problem: ConvexProblem, blocks: FloatArray, prediction: FloatArray) -> None:
        (n, d), P = problem.X.shape, len(problem.patterns)
        self._problem, self.u, self._f = problem, np.array(blocks, order="C"), prediction[:, 0].copy()
        self._data = *problem.operator.as_floats(), *loss_arguments(problem)
        self._work = work_arrays(n, P, d, min(P, _MOST_COLUMNS // d))
        self._state = self._work[-1]
        # Gap, cycles, operations and patterns at the last estimate of the rate; at first those of zero weights.
        self._judged = problem.value_at_zero, 0.0, 0.0, 0.0
        self._costs = _costs(problem)

    @staticmethod
    def supports(problem: ConvexProblem) -> bool:
        """Return whether a problem is of the kind, size and precision that it solves."""
        n, d = problem.X.shape
        most = _MOST_WORK if type(problem.loss) is Squared else _MOST_OF_MODELS
        return (
            type(problem.penalty) is GroupL1
            and problem.n_outputs == 1
            and type(unweighted(problem.loss)) in KINDS
            and problem.X.dtype == np.float64
            and n * len(problem.patterns) * d <= most
            and n * d * d <= _MOST_PRODUCTS
            and d <= _MOST_COLUMNS
        )

    @staticmethod
    def bytes_needed(problem: ConvexProblem) -> float:
        """Return the most bytes that the Gram matrix, its history and the products of columns take for one output."""
        (n, d), m = problem.X.shape, min(len(problem.patterns) * problem.d, _MOST_COLUMNS)
        return float(4.0 * m * m + 100.0 * m + 2.0 * n * d * (d + 1.0) + 8.0 * n * (d + 70.0))

    @staticmethod
    def pays(problem: ConvexProblem, n_active: int) -> bool:
        """Return whether to take rounds, by predicted work, or Newton steps, from ``n_active`` active patterns."""
        costs = _costs(problem)
        active = max(float(n_active), costs.expected)
        k = min(_SPARE * active, len(problem.patterns))
        fits = max(k, n_active) <= _MOST_COLUMNS // problem.d
        return bool(fits and costs.gram(k) + costs.descent(k, active) <= _LONGER * costs.newton(active))

    @property
    def n_cycles(self) -> int:
        """Cycles of five sweeps and an extrapolation so far."""
        return int(self._state[CYCLES])

    def run(self, limits: Limits) -> bool:
        """Take rounds; return whether to go on if the gap is not small enough: if Newton steps would take as long."""
        state, urgent = self._state, limits.now() + _LONGEST >= limits.deadline
        work = 1.0 if urgent else _CALL
        until = self.n_cycles + (1 if urgent else _CYCLES)
        started = state[GAP], state[CYCLES]
        gated_rounds(
            *self._data, self._problem.lam, limits.tol, min(limits.max_iter, until),
            state[WORK] + work, self.u, self._f, *self._work,
        )  # fmt: skip
        gap, target = state[GAP], limits.tol * abs(state[OBJECTIVE])
        if limits.now() >= limits.deadline or (gap, state[CYCLES]) == started:
            return False
        previous, n_cycles, before, n_members = self._judged
        if state[OUTCOME] != LIMITED or (state[CYCLES] - n_cycles < _CYCLES and state[WORK] - before < _CALL):
            return bool(state[OUTCOME] == LIMITED)
        self._judged = gap, state[CYCLES], state[WORK], state[N_MEMBERS]
        if not 0.0 < target < gap:
            return False
        periods = math.log(gap / target) / math.log(previous / gap) if gap < previous else np.inf
        if state[N_MEMBERS] > n_members:  # the gap was that of missing patterns
            periods = min(periods, 1.0 if type(self._problem.loss) is Squared else _MODELS)
        left = self._costs.newton(float(np.count_nonzero(self.u.any(axis=1)))) / _SLOWER - state[WORK]
        most = min(_MOST_PERIODS, 0.5 * (limits.max_iter - self.n_cycles) / _CYCLES)  # the rest is for Newton steps
        return bool(periods <= most and periods * (state[WORK] - before) <= left)


def _costs(problem: ConvexProblem) -> DescentCosts:
    """Return the predictions for compiled rounds."""
    return DescentCosts(problem, entry=0.0, model=_PRICING * problem.X.size * len(problem.patterns))
