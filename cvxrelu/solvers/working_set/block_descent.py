"""Block coordinate descent for C-GReLU with group_l1 and one output, on a cached Gram matrix.

The blocks X'(D_i o D_j)X of the working set are computed once and kept while it grows, so that sweeps over the blocks
cost nothing of size n; see `cvxrelu.numerics.group_lasso`. While few patterns are active this is several times faster
than Newton steps; with many active ones the Gram matrix is costly and sweeps converge slowly.

Each step descends on the quadratic model of the loss at the predictions, and searches along the step. The gradient of
the model is computed from the data, so that its Gram matrix may be in float32: steps from the same predictions agree to
first order, and converge to the solution of the exact program. The curvature of losses other than the squared one
weights the rows of the Gram matrix; it is kept while the gap decreases fast enough.
"""

import itertools
import math
from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cvxrelu._validation import BoolArray, FloatArray
from cvxrelu.losses.base import dual_term
from cvxrelu.losses.squared import Squared
from cvxrelu.numerics.gated_losses import FLATTEST
from cvxrelu.numerics.group_lasso import descend, scratch
from cvxrelu.numerics.rounding import TINY
from cvxrelu.penalties.group_norms import GroupL1
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.operators.gated_operator import GatedOperator
from cvxrelu.runtime.compilation import Savings
from cvxrelu.solvers.interface import Budget
from cvxrelu.solvers.working_set.data_products import PairProducts
from cvxrelu.solvers.working_set.descent_costs import MODELS, DescentCosts

_MOST_COLUMNS = 4000
_CHECK = 10  # cycles between two estimates of the rate
_RIDGE = 1e-6  # relative to the diagonal of the Gram matrix: above its errors, so that steps do not overshoot
_ROUNDING = 1e-14  # of an objective: steps that it hides from are taken, as they may decrease the gap
_INNER_FRACTION, _INNER_FINAL, _INNER_CYCLES = 0.03, 0.3, 20  # of a model: of the gap, and of the gap to reach
_NEAR = 0.9  # of lam: dual constraint values of zero blocks that are kept when a Gram matrix is computed anew
RENEWAL = 0.2  # of the work of a Gram matrix as predicted, with a margin for slow sweeps
_SHORTENINGS = 30
_FRACTION, _LEAST = 0.03, 0.1  # of the gap, before the next pricing
SPARE = 1.5  # patterns of the working set for each active one
ENTRY, MODEL, _ROUND = 400.0, 3e7, 3e7  # fixed costs of an entry of the Gram matrix, of a model and of a round
_MOST_PERIODS = 10

SAVINGS = Savings(descend)  # of Newton steps in its place


class BlockDescent:
    """Weights on a growing working set, and its Gram matrix: 4 (k d)^2 bytes for k patterns, at most 64 MB.

    Parameters
    ----------
    problem : ConvexProblem
        C-GReLU problem that `supports` accepts.
    prediction : ndarray of shape (n, 1)
        A u at the start.
    pairs : PairProducts, optional
        Products in float32 of pairs of its patterns, if they are kept: its Gram blocks with the squared loss.

    Attributes
    ----------
    ids : ndarray of shape (k,)
        The patterns of the working set, in order of entry.
    u : ndarray of shape (k d,)
        Their weights.
    prediction : ndarray of shape (n, 1)
        A u, after `minimise`.
    n_active : int
        Number of patterns with non-zero weights.
    n_cycles : int
        Cycles of five sweeps and an extrapolation so far.
    """

    def __init__(self, problem: ConvexProblem, prediction: FloatArray, pairs: PairProducts | None = None) -> None:
        self._n, self._d = problem.n, problem.d
        self._problem = problem
        self._unit = 1.0 / problem.loss.smoothness(self._n)  # the kernel's objective is this many times the problem's
        self._term = None if type(problem.loss) is Squared else dual_term(problem.loss, problem.Y)
        self._curvature = None if self._term is None else self._curvature_at(prediction)
        self._pairs = pairs if self._curvature is None else None
        self.prediction = prediction
        self._costs = DescentCosts(problem, entry=ENTRY, model=MODEL)
        self._clear()
        self.n_active = self.n_cycles = 0

    @staticmethod
    def supports(problem: ConvexProblem) -> bool:
        """Return whether a problem is of the kind that it solves."""
        return type(problem.penalty) is GroupL1 and problem.n_outputs == 1

    def _clear(self) -> None:
        """Empty the working set."""
        self.ids = np.zeros(0, dtype=np.intp)
        self.u: FloatArray = np.zeros(0)
        self._lipschitz = np.zeros(0)
        self._work: tuple[FloatArray, ...] = ()
        self._gram = np.zeros((0, 0), dtype=np.float32)

    @cached_property
    def _operator(self) -> GatedOperator:
        return self._problem.native_operator.astype(np.float32)

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

    def pays(self, new: NDArray[np.intp]) -> bool:
        """Return whether to go on with more patterns, by predicted work and memory, or to take Newton steps.

        The number of patterns that will be active is predicted by lam / lam_max, and by the active ones if they are
        more; the part of the Gram matrix that is left to compute, by that of the blocks of the new patterns.
        """
        known = len(self.ids)
        active = max(self.n_active, self._costs.expected)
        k = max(known + len(new), min(SPARE * active, len(self._problem.patterns)))
        missing = 1.0 if self._pairs is None else self._pairs.missing(*self._pairs_with(new))
        work = missing * self._costs.gram(k, known) + self._costs.descent(k, active)
        return bool(self._fits(k) and work <= self._costs.newton(active))

    def _fits(self, k: float) -> bool:
        """Return whether k patterns fit into memory."""
        return k * self._d <= _MOST_COLUMNS

    def fraction(self) -> float:
        """Return the fraction of the gap to descend to before the next pricing: the cheaper cycles are, the less."""
        k, costs = len(self.ids), self._costs
        active = max(self.n_active, min(costs.expected, k))
        cycle = costs.cycle(k, active) + (0.0 if self._term is None else costs.model(k, active))
        return _FRACTION * min(1.0, max(_LEAST, cycle / (_ROUND + 2.0 * costs.pricing)))

    def request(self, new: NDArray[np.intp]) -> None:
        """Announce patterns that are to be added next."""
        if self._pairs is not None:
            self._pairs.request(*self._pairs_with(new))

    def _pairs_with(self, new: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the pairs of patterns of which at least one is new."""
        ids = np.concatenate([self.ids, new])
        first, second = _new_pairs(len(self.ids), len(ids))
        return ids[first], ids[second]

    def add(self, new: NDArray[np.intp], weights: FloatArray) -> None:
        """Add patterns, with initial weights (k, d)."""
        if len(new) == 0:
            return
        known = len(self.ids)
        self.ids = np.concatenate([self.ids, new])
        self.u = np.concatenate([self.u, weights.ravel()])
        self._count()
        self._enter(known)

    def _enter(self, known: int) -> None:
        """Compute the Gram blocks of the patterns from a place on, and bound their own."""
        k, d = len(self.ids), self._d
        gram = np.empty((k, d, k, d), dtype=np.float32)
        gram[:known, :, :known] = self._gram.reshape(known, d, known, d)
        first, second = _new_pairs(known, k)
        if self._pairs is None:
            blocks = self._operator.take(self.ids).gram(first, second, self._curvature)
        else:
            blocks = self._pairs.take(self.ids[first], self.ids[second])
        own = first == second
        blocks[own] *= 1.0 + _RIDGE * np.eye(d, dtype=np.float32)
        pairs = gram.swapaxes(1, 2)
        pairs[first, second] = pairs[second, first] = blocks
        self._gram = gram.reshape(k * d, k * d)
        self._lipschitz = np.concatenate([self._lipschitz, eigenvalue_bounds(blocks[own].astype(np.float64))])
        self._work = scratch(k, d)

    def minimise(
        self, gap_tol: float, budget: Budget, f: FloatArray | None = None, Z: FloatArray | None = None
    ) -> bool:
        """Descend until the duality gap on the working set is at most ``gap_tol``, or the budget is exhausted.

        With the squared loss the gap is that of the model.

        Parameters
        ----------
        gap_tol : float
            The gap to reach.
        budget : Budget
            Limits.
        f, Z : ndarrays of shapes (n, 1) and (1, k, d), optional
            A u, and A't for the gradient t of the loss there, if they are known in float64.

        Returns
        -------
        bool
            False if the gap decreases too slowly: this is predicted to take more work than Newton steps.
        """
        finished = self._minimise(gap_tol, budget, f, Z)
        self._count()
        return finished

    def _count(self) -> None:
        self.n_active = int(np.count_nonzero(self.weights.any(axis=1)))

    def _minimise(self, gap_tol: float, budget: Budget, f: FloatArray | None, Z: FloatArray | None) -> bool:
        active = self.n_active
        costs = self._costs
        periods = costs.n_cycles / _CHECK if self._term is None else costs.n_models / MODELS
        left = min(_MOST_PERIODS, periods * costs.newton(active) / costs.descent(len(self.ids), active))
        previous = np.inf
        for gap in self._models(gap_tol, budget, f, Z):
            if gap <= gap_tol or budget.spent(self.n_cycles):
                return True
            left -= 1.0
            decrease = math.log(previous / gap) if gap < previous else 0.0
            if left <= 0.0 or gap_tol <= 0.0 or math.log(gap / gap_tol) > decrease * left:
                break
            previous = gap
        return False

    def _models(self, gap_tol: float, budget: Budget, f: FloatArray | None, Z: FloatArray | None) -> Iterator[float]:
        """Take proximal Newton steps; yield the gap after every five, or each with the squared loss, and at the end."""
        problem, operator, quadratic = self._problem, self._problem.operator.take(self.ids), self._curvature is None
        f = operator.forward(self.weights[None]) if f is None else f
        objective, previous = self._objective(self.u, f), np.inf
        for count in itertools.count(1):
            t, self.prediction = problem.loss.gradient(f, problem.Y), f
            Z = operator.adjoint(t) if Z is None else Z
            gap = objective - self._dual_value(t, Z)
            if gap <= gap_tol or (count > 1 if quadratic else count % MODELS == 0) or budget.spent(self.n_cycles):
                yield gap
            if not quadratic and self._is_outdated(gap, previous, gap_tol):
                self._renew(f, Z)
                operator = problem.operator.take(self.ids)
                Z = operator.adjoint(t)
            previous, start = gap, self.u.copy()
            inner_tol = gap_tol if quadratic else max(_INNER_FRACTION * gap, _INNER_FINAL * gap_tol)
            reached = self._descend(t, Z, inner_tol, budget)
            objective, f = self._search(start, f, operator.forward(self.weights[None]), objective)
            self.prediction, Z = f, None
            if quadratic and reached <= gap_tol:
                yield reached

    def _search(self, start: FloatArray, f: FloatArray, end: FloatArray, before: float) -> tuple[float, FloatArray]:
        """Shorten the step from a start with prediction f until the objective decreases; return it, and A u."""
        step, length = self.u - start, 1.0
        for _ in range(_SHORTENINGS):
            prediction = end if length == 1.0 else f + length * (end - f)
            objective = self._objective(self.u, prediction)
            if objective <= before + _ROUNDING * abs(before):
                return objective, prediction
            length *= 0.5
            self.u = start + length * step
        self.u = start
        return before, f

    def _is_outdated(self, gap: float, previous: float, gap_tol: float) -> bool:
        """Return whether a model with the present curvature is predicted to take less work than to go on."""
        rate = math.log(previous / gap) if gap < previous else TINY
        further = math.log(gap / gap_tol) / rate - 1.0 if gap > gap_tol > 0.0 else 0.0
        self._count()
        return further * self._costs.model(len(self.ids), self.n_active) > RENEWAL * self._costs.gram(self.n_active)

    def _renew(self, f: FloatArray, Z: FloatArray) -> None:
        """Compute the Gram matrix with the curvature at the predictions f, for blocks that are or may become active."""
        weights = self.weights
        kept = weights.any(axis=1) | (GroupL1().pattern_dual_norm(Z) > _NEAR * self._problem.lam)
        if not kept.any():
            return
        self._curvature = self._curvature_at(f)
        ids, weights = self.ids[kept], weights[kept]
        self._clear()
        self.add(ids, weights)

    def _curvature_at(self, f: FloatArray) -> FloatArray:
        """Return the second derivatives (n,) of the loss at the predictions f, relative to their bound."""
        assert self._term is not None
        # Huber's term regularises its curvature of zero by the proximal-point parameter.
        rows = self._term.rows(self._term.start(f), self._n / FLATTEST)
        relative: FloatArray = np.maximum(self._unit * rows.own[:, 0], FLATTEST)
        return relative

    def _objective(self, u: FloatArray, f: FloatArray) -> float:
        problem = self._problem
        return problem.loss.value(f, problem.Y) + problem.lam * GroupL1().value(u.reshape(1, -1, self._d))

    def _dual_value(self, t: FloatArray, Z: FloatArray) -> float:
        """Return the dual objective at the best multiple of t that is feasible for A't = Z (1, k, d)."""
        problem = self._problem
        largest = float(GroupL1().dual_norm(Z))
        scale = problem.loss.best_scale(t, problem.Y, problem.lam / largest if largest > 0.0 else np.inf)
        return -problem.loss.conjugate(scale * t, problem.Y)

    def _most_cycles(self, budget: Budget) -> int:
        """Return the limit of the cycles of a model."""
        return min(_CHECK if self._curvature is None else _INNER_CYCLES, budget.steps - self.n_cycles)

    def _descend(self, t: FloatArray, Z: FloatArray, gap_tol: float, budget: Budget) -> float:
        """Descend on the model at predictions with gradient t and A't = Z; return its gap."""
        state, unit = np.empty(3), self._unit
        curvature = 1.0 if self._curvature is None else self._curvature[:, None]
        descend(
            self._gram,
            -unit * Z.ravel(),
            self._lipschitz,
            unit * unit * float(np.vdot(t, t / curvature)),
            unit * self._problem.lam,
            unit * gap_tol,
            self._most_cycles(budget),
            self.u,
            *self._work,
            state,
        )
        self.n_cycles += int(state[2])
        return float(state[1] / unit)


def eigenvalue_bounds(blocks: FloatArray) -> FloatArray:
    """Return upper bounds of the largest eigenvalues of blocks (k, d, d): norms of powers 4, to the power 1/4."""
    for _ in range(2):
        blocks = blocks @ blocks
    bounds: FloatArray = np.maximum(np.sqrt(np.einsum("kij,kij->k", blocks, blocks)) ** 0.25, TINY)
    return bounds


def _new_pairs(known: int, k: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return all pairs i <= j of k patterns, but those of the first ones."""
    last = np.arange(known, k)
    second = last.repeat(last + 1)
    first = np.arange(len(second)) - ((last + 1).cumsum() - last - 1).repeat(last + 1)
    return first, second
