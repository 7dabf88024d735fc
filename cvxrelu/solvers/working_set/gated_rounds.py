"""Working sets of patterns for C-GReLU: rounds of pricing all patterns and solving on a few."""

import time
from collections.abc import Iterator
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from cvxrelu._validation import BoolArray, FloatArray
from cvxrelu.numerics.gated_rounds import gated_rounds
from cvxrelu.numerics.group_lasso import descend
from cvxrelu.numerics.row_descent import descend_on_rows
from cvxrelu.penalties.base import PatternNorm
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.dual import DualPoint
from cvxrelu.problems.dual_workspace import DualWorkspace
from cvxrelu.problems.operators.gated_operator import GatedOperator
from cvxrelu.runtime.compilation import Savings
from cvxrelu.solvers.interface import Budget, Iterate, Limits
from cvxrelu.solvers.screening import choose_patterns, gap_safe
from cvxrelu.solvers.working_set.block_descent import SAVINGS, BlockDescent
from cvxrelu.solvers.working_set.compiled_rounds import SAVINGS as ROUNDS_SAVINGS
from cvxrelu.solvers.working_set.compiled_rounds import CompiledRounds
from cvxrelu.solvers.working_set.continuation import Trail
from cvxrelu.solvers.working_set.gated_newton import ProximalNewton
from cvxrelu.solvers.working_set.row_descent import SAVINGS as ROWS_SAVINGS
from cvxrelu.solvers.working_set.row_descent import RowDescent

_SMALLEST = 20
_GROWTH = 2.0
_GAP_FRACTION = 0.3
_NEAR_FRACTION = 0.1  # from an extrapolated start, few patterns enter
_FINAL_FRACTION = 0.5
_WORTH_DROPPING = 0.1
_FEWEST_NEW = 10
_PROGRESS = 0.5
_ROUNDED = 1e-4  # least relative margin of a dual point by products in float32
_EPS32 = 2.0**-23
_COMPILED = 0.25  # of the work of descent on a Gram matrix: what compiled rounds take at least
_SHARED = 0.3  # of that work: what it takes at least where outputs share Gram blocks


def gated_candidates(
    problem: ConvexProblem,
    penalty: PatternNorm,
    blocks: FloatArray,
    limits: Limits,
    workspace: DualWorkspace,
    trail: Trail,
    n_iter: int,
) -> Iterator[Iterate]:
    """Yield the start, and the solution on each working set: by block descent, then by Newton steps.

    Ends once rounding stops progress.

    Parameters
    ----------
    problem : ConvexProblem
        C-GReLU problem.
    penalty : PatternNorm
        Its penalty.
    blocks : ndarray of shape (c, P, d)
        Initial weights.
    limits : Limits
        Stopping criteria.
    workspace : DualWorkspace
        Dual state on the whole problem.
    trail : Trail
        What solves at other lams have left.
    n_iter : int
        Iterations of another method that has found the weights.
    """
    rounds = _Rounds(problem, penalty, blocks, limits, workspace, trail, n_iter)
    missing: list[Savings] = []  # kernels that would have been used
    first = _descent(rounds, problem, limits, trail, missing)
    yield from counted(chain(first, rounds.newton()), missing)


def _descent(
    rounds: "_Rounds", problem: ConvexProblem, limits: Limits, trail: Trail, missing: list[Savings]
) -> Iterator[Iterate]:
    """Return the iterates of the fastest block descent whose kernel is ready, if there is one; note those missing."""
    if not BlockDescent.supports(problem):
        return iter(())
    compiled = trail.pairs is None and CompiledRounds.supports(problem)
    most = _COMPILED if compiled else 1.0
    if trail.pairs is not None:
        most = _SHARED if limits.continuation is None else 0.0  # a path uses its Gram blocks at every lam
    if RowDescent.relative_work(problem, limits.tol) < most:
        if descend_on_rows.is_ready():
            return rounds.descend(RowDescent(problem, rounds.prediction, limits.tol))
        missing.append(ROWS_SAVINGS)
    if compiled:
        if gated_rounds.is_ready():
            return rounds.compiled()
        missing.append(ROUNDS_SAVINGS)
    if descend.is_ready():
        return rounds.descend(BlockDescent(problem, rounds.prediction, trail.pairs))
    missing.append(SAVINGS)
    return iter(())


def counted(candidates: Iterator[Iterate], savings: list[Savings]) -> Iterator[Iterate]:
    """Yield the iterates, and count the CPU time that they take."""
    while True:
        started = time.thread_time()
        candidate = next(candidates, None)
        for each in savings:
            each.add(time.thread_time() - started)
        if candidate is None:
            return
        yield candidate


class _Rounds:
    """The weights, and the patterns that may be active."""

    _blocks: FloatArray
    _prediction: FloatArray
    _upper: float

    def __init__(
        self,
        problem: ConvexProblem,
        penalty: PatternNorm,
        blocks: FloatArray,
        limits: Limits,
        workspace: DualWorkspace,
        trail: Trail,
        n_iter: int,
    ) -> None:
        self._problem, self._penalty, self._limits, self._workspace = problem, penalty, limits, workspace
        self._trail, self._guess = trail, trail.guess(problem.lam)
        self._set(blocks)
        if self._guess is None:
            workspace.remember(problem.operator, *problem.at_zero)
        else:
            given = self._blocks, self._prediction, self._upper
            self._set(self._guess.blocks)
            if self._upper > given[2]:
                self._blocks, self._prediction, self._upper = given
        self._pending = True  # whether the weights are to be yielded
        self._n_iter = n_iter
        self._patterns = _Patterns(problem, penalty, workspace, trail)

    @property
    def prediction(self) -> FloatArray:
        """A u of the weights."""
        return self._prediction

    def _set(self, blocks: FloatArray, prediction: FloatArray | None = None) -> None:
        """Take weights, with their prediction and objective."""
        problem = self._problem
        self._blocks = blocks
        if prediction is None:
            prediction = problem.native_operator.forward(blocks) if blocks.any() else np.zeros_like(problem.Y)
        self._prediction = prediction
        self._upper = problem.loss.value(self._prediction, problem.Y) + problem.lam * self._penalty.value(blocks)

    def _yield(self, t: FloatArray, point: DualPoint, step: float | None) -> Iterator[Iterate]:
        """Yield the weights if they are new."""
        if not self._pending:
            return
        self._pending = False
        exact = self._problem.X.dtype == np.float64
        yield Iterate(
            weights=self._blocks,
            n_iter=self._n_iter,
            step=step,
            objective=self._upper if exact else None,
            dual=point if exact else self._reported(t, point),
        )

    def _reported(self, t: FloatArray, point: DualPoint) -> DualPoint:
        """Return the dual point of products in float32 with a margin for rounding, or in float64 close to the end."""
        problem, upper = self._problem, abs(self._upper)
        products = np.linalg.norm(point.t, axis=0).max() * self._trail.norms().max()  # of sums of n terms
        margin = max(_ROUNDED, np.sqrt(problem.n) * _EPS32 * float(products) / problem.lam)
        if margin >= 1.0:
            return problem.dual_point(t, workspace=self._workspace)
        inside = (1.0 - margin) * point.t
        value = -problem.loss.conjugate(inside, problem.Y)
        if self._upper - value > max(2.0 * self._limits.tol, 10.0 * margin) * upper:
            return DualPoint(inside, None, value)
        return problem.dual_point(t, workspace=self._workspace)

    def compiled(self) -> Iterator[Iterate]:
        """Yield solutions by compiled rounds of block descent, until Newton steps are predicted to be faster."""
        problem = self._problem
        goes_on = CompiledRounds.pays(problem, int(self._blocks[0].any(axis=1).sum()))
        rounds = CompiledRounds(problem, self._blocks[0], self._prediction) if goes_on else None
        while True:
            if self._n_iter > 0 or self._blocks.any():
                t = problem.loss.gradient(self._prediction, problem.Y)
                point = self._patterns.price(t)
                self._trail.note(problem.lam, self._blocks, t, self._trail.sigma)
                yield from self._yield(t, point, None)
            if rounds is None or not goes_on:
                return
            goes_on = rounds.run(self._limits)
            self._set(rounds.u[None].copy())
            self._n_iter, self._pending = rounds.n_cycles, True

    def descend(self, descent: BlockDescent) -> Iterator[Iterate]:
        """Yield solutions by block descent, until Newton steps are predicted to be faster."""
        problem, limits, patterns = self._problem, self._limits, self._patterns
        exact = problem.X.dtype == np.float64
        gap = np.inf
        new = self._blocks[0].any(axis=1)
        while True:
            t = problem.loss.gradient(self._prediction, problem.Y)
            point = patterns.price(t)
            if self._n_iter > 0:
                self._trail.note(problem.lam, self._blocks, t, self._trail.sigma)
            previous, gap = gap, self._upper - point.value
            new[patterns.violating(descent.members, max(_FEWEST_NEW, descent.n_active // 2))] = True
            ids = np.flatnonzero(new)
            slow = len(ids) == 0 and not 0.0 < gap <= _PROGRESS * previous
            goes_on = not slow and len(ids) + len(descent.ids) > 0 and descent.pays(ids)
            if goes_on and gap > limits.tol * abs(self._upper):
                descent.request(ids)
            yield from self._yield(t, point, None)
            if not goes_on:
                return
            descent.add(ids, self._blocks[0, ids])
            fraction = descent.fraction() if len(ids) > 0 else 0.0  # without new patterns there may be no more
            gap_tol = max(fraction * gap, _FINAL_FRACTION * limits.tol * abs(self._upper))
            known = (self._prediction, patterns.products(descent.ids)) if exact else ()
            finished = descent.minimise(gap_tol, Budget.of(limits), *known)
            blocks = np.zeros_like(self._blocks)
            blocks[0, descent.ids] = descent.weights
            self._set(blocks, descent.prediction if exact else None)
            self._n_iter, self._pending = descent.n_cycles, True
            new[:] = False
            if not finished:
                return

    def newton(self) -> Iterator[Iterate]:
        """Yield solutions by Newton steps, until rounding stops progress."""
        limits, patterns = self._limits, self._patterns
        guess = self._guess if self._n_iter == 0 else None  # block descent may have left it behind
        fraction = _GAP_FRACTION if guess is None else _NEAR_FRACTION
        inner = ProximalNewton(self._problem, self._penalty, self._prediction, self._trail, guess, self._n_iter)
        while True:
            point = patterns.price(inner.t)
            self._trail.note(self._problem.lam, self._blocks, inner.t, inner.sigma)
            yield from self._yield(inner.t, point, inner.sigma)
            if inner.exhausted:
                return
            gap = self._upper - point.value
            patterns.drop(gap, self._blocks)
            index, operator, Z = patterns.choose(self._blocks)
            gap_tol = max(fraction * gap, _FINAL_FRACTION * limits.tol * abs(self._upper))
            u = np.ascontiguousarray(self._blocks[:, index])
            solved, self._upper = inner.minimise(operator, index, u, Z, gap_tol, Budget.of(limits))
            self._blocks = np.zeros_like(self._blocks)
            self._blocks[:, index] = solved
            self._n_iter, self._pending = inner.n_steps, True


class _Patterns:
    """The patterns not yet screened out, and the results of their last pricing."""

    def __init__(self, problem: ConvexProblem, penalty: PatternNorm, workspace: DualWorkspace, trail: Trail) -> None:
        self.problem = problem
        self._penalty = penalty
        self._trail = trail
        self._workspace = workspace
        self._operator = problem.native_operator
        self._remaining = np.arange(len(problem.patterns))
        self._norms: FloatArray | None = None

    def price(self, t: FloatArray) -> DualPoint:
        """Return the best dual feasible multiple of t on the remaining patterns."""
        problem = self.problem
        self._Z = self._workspace.adjoint(self._operator, t)
        self._constraint_values = self._penalty.pattern_dual_norm(self._Z)
        largest = float(self._constraint_values.max())
        self._scale = problem.loss.best_scale(t, problem.Y, problem.lam / largest if largest > 0.0 else np.inf)
        point = self._scale * t
        self._lower = -problem.loss.conjugate(point, problem.Y)
        return DualPoint(point, None, self._lower)

    def products(self, ids: NDArray[np.intp]) -> FloatArray:
        """Return the blocks (c, k, d) of A't of patterns, as long as none is dropped."""
        return self._Z[:, ids]

    def drop(self, gap: float, blocks: FloatArray) -> None:
        """Drop patterns that the gap proves to be zero, if there are enough of them."""
        if self._norms is None:
            self._norms = self._trail.norms()
        zero = gap_safe(self.problem, self._scale * self._constraint_values, self._lower, gap, self._norms)
        zero &= ~np.any(blocks[:, self._remaining], axis=(0, 2))
        if zero.sum() > _WORTH_DROPPING * len(zero):
            kept = np.flatnonzero(~zero)
            self._remaining, self._norms = self._remaining[kept], self._norms[kept]
            self._constraint_values = self._constraint_values[kept]
            self._operator, self._Z = self._operator.take(kept), self._Z[:, kept]

    def violating(self, known: BoolArray, limit: int) -> NDArray[np.intp]:
        """Return the patterns with the largest dual constraint values above lam that are not ``known``, a mask (P,)."""
        above = np.flatnonzero((self._constraint_values > self.problem.lam) & ~known[self._remaining])
        return self._remaining[above[np.argsort(-self._constraint_values[above], kind="stable")[:limit]]]

    def choose(self, blocks: FloatArray) -> tuple[NDArray[np.intp], GatedOperator, FloatArray]:
        """Return the indices of the working set, A on it, and A't on it."""
        chosen = choose_patterns(blocks[:, self._remaining], self._constraint_values, _SMALLEST, _GROWTH)
        return self._remaining[chosen], self._operator.take(chosen), np.ascontiguousarray(self._Z[:, chosen])
