"""Working sets of blocks for C-ReLU: price all blocks, solve on the working set by proximal-point Newton steps."""

import time
from collections.abc import Iterator
from typing import cast

import numpy as np
import scipy.sparse as sp

from cvxrelu._validation import FloatArray
from cvxrelu.cones.projection import ConeProjector
from cvxrelu.losses.base import DualTerm, dual_term
from cvxrelu.losses.squared import Squared
from cvxrelu.numerics.active_set import IndexArray
from cvxrelu.numerics.cone_newton import cone_step
from cvxrelu.numerics.rounding import EPS, TINY
from cvxrelu.numerics.rows import row_norms
from cvxrelu.numerics.sparse import with_data
from cvxrelu.problems.dual import DualPoint
from cvxrelu.problems.dual_workspace import DualWorkspace
from cvxrelu.problems.relu import ConvexReLU
from cvxrelu.runtime.memory import fits
from cvxrelu.solvers.interface import Budget, Iterate, Limits
from cvxrelu.solvers.working_set.compiled_steps import SAVINGS, SMALL, CompiledSteps
from cvxrelu.solvers.working_set.relu_newton import ConeNewton
from cvxrelu.solvers.working_set.relu_rays import RayProgram
from cvxrelu.solvers.working_set.working_blocks import WorkingBlocks

_LEAST_SIZE = 20
_LARGE = 2e7  # entries of all A_b above which a working set that has grown to all blocks is still solved by rounds
_SIZE_FACTOR = 3
_FRACTION_FAR, _FRACTION_NEAR, _NEAR = 0.4, 0.1, 0.1  # gap tolerance of a working set, far from and near the optimum
_FRACTION_ALL = 1e-3  # of a working set of all blocks
_FINAL_FRACTION, _NEXT_FRACTION = 0.5, 0.1  # of the tolerance; of the fraction of the round before, if compiled
_PRICING_FRACTION = 0.1
_PRICING_PIVOTS = 24
_NUDGE = 1.01
_FAR = 1e-6  # largest nudge, relative to the norm of the block
_IDLE_ROUNDS, _PROGRESS = 8, 0.9
_LEAST_COLUMNS, _LEAST_ROWS = 10, 50  # rows for each column
_LEAST_WORK = 1e8  # entries of all A_b, times columns, below which Newton steps take as little time
_IDLE_PROGRAMS, _MOST_RAYS, _MOST_BLOCKS = 4, 3_000, 1_000  # with more blocks the first rays are too many
_PROGRAM_FRACTION = 0.03  # of the gap, the tolerance of a program on rays
_CERTIFYING = 0.5  # seconds, far more than the certificate of a small problem takes
_MIX = 0.3  # weight of the best dual point in the next t


def relu_candidates(
    problem: ConvexReLU, blocks: FloatArray, limits: Limits, workspace: DualWorkspace
) -> Iterator[Iterate]:
    """Yield the feasible start, and the solution on each working set, until rounding stops progress.

    Parameters
    ----------
    problem : ConvexReLU
        Problem with group_l1 penalty and a loss that is a sum over entries.
    blocks : ndarray of shape (2, c, P, d)
        Initial blocks.
    limits : Limits
        Tolerance and limits.
    workspace : DualWorkspace
        Workspace of the problem, for the projections.
    """
    search = _Search(problem, blocks, limits, workspace)
    if search.steps is not None and not search.u.any() and limits.now() < limits.deadline:
        search.advance(Budget.of(limits))  # without a price of zero
    best, idle = np.inf, 0
    while idle < _IDLE_ROUNDS:
        yield search.price()
        gap = search.upper - search.dual.value
        idle = 0 if gap < _PROGRESS * best else idle + 1
        best = min(best, gap)
        if search.rays is not None and idle >= _IDLE_PROGRAMS:
            search.rays, idle = None, 0
        search.advance(Budget.of(limits))


def _takes_rays(problem: ConvexReLU, n_blocks: int) -> bool:
    """Return whether cones have so many faces that rays take less time than Newton steps, and fit into memory."""
    n, d = problem.operator.X.shape
    narrow = d >= _LEAST_COLUMNS and n >= _LEAST_ROWS * d
    large = 1.0 * n_blocks * n * d**2 > _LEAST_WORK
    takes = type(problem.loss) is Squared and narrow and large and n_blocks <= _MOST_BLOCKS
    return takes and fits(24.0 * _MOST_RAYS**2 + 40.0 * n * n_blocks)


class _Search:
    """State of the outer iteration: blocks u (2 c P, d), dual variable t (n, c) and the best dual point."""

    def __init__(self, problem: ConvexReLU, blocks: FloatArray, limits: Limits, workspace: DualWorkspace) -> None:
        self.problem = problem
        self.limits = limits
        self.workspace = workspace
        workspace.remember(problem.operator, *problem.at_zero)
        self.X = np.ascontiguousarray(problem.operator.X)
        self.D = problem.cones.D
        n_blocks = 2 * problem.n_outputs * self.D.shape[1]
        self.ids: IndexArray = np.arange(n_blocks)
        prediction = np.zeros_like(problem.Y)
        if blocks.any():
            prediction = problem.predict(problem.weights(blocks))
            blocks = problem.blocks(problem.repair(problem.weights(blocks)))
        self.u = blocks.reshape(n_blocks, problem.d)
        self.term = cast(DualTerm, dual_term(problem.loss, problem.Y))  # as `WorkingSet.check_problem` has found
        self.t = self.term.start(prediction)
        self.upper = np.inf if blocks.any() else problem.value_at_zero
        self.dual = DualPoint(self.t, None, -np.inf)
        self.gap_tol = np.inf
        self.projector = workspace.projector(problem.cones, n_blocks)
        if problem.cones.space is not None:  # not solved in its row space
            self.projector = ConeProjector(self.X, self.D, n_blocks)
        self.newton = ConeNewton(problem, self.term, self.projector)
        self.dual_constraint_values = np.zeros(n_blocks)
        self.directions, self.found = problem.cones.witnesses
        self.row_norms = row_norms(self.X)
        self.steps: CompiledSteps | None = None
        if CompiledSteps.supports(problem) and cone_step.is_ready():
            self.steps = CompiledSteps(problem, self.X, self.projector)
        self.fraction = _FINAL_FRACTION
        self.rays: RayProgram | None = None
        if _takes_rays(problem, n_blocks):
            self.rays = RayProgram(problem, self.X, self.u)

    def price(self) -> Iterate:
        """Bound all dual constraint values at t, and return the current point.

        A few pivots suffice, as the bounds of blocks above lam tighten from round to round; but rays are projections.
        """
        problem = self.problem
        products = self.workspace.adjoint(problem.operator, self.t).reshape(-1, problem.d)
        arguments = np.concatenate([-products, products])
        relative = min(1.0, self.gap_tol / max(self.upper, TINY)) if np.isfinite(self.upper) else 1.0
        threshold = problem.lam * (1.0 + _PRICING_FRACTION * relative)
        undecided = (self.projector.bounds(self.ids, arguments) > threshold).nonzero()[0]
        if self.rays is None:
            self.projector.project(undecided, arguments[undecided], threshold, max_pivots=_PRICING_PIVOTS)
        else:
            self._add_rays(self.rays, undecided, arguments[undecided], threshold)
        self.dual_constraint_values = self.projector.bounds(self.ids, arguments)
        blocks, violation = self._feasible_blocks()
        weights = problem.weights(blocks)
        self.upper = problem.objective(weights)
        self._keep_better_dual(arguments)
        return Iterate(
            weights=weights,
            n_iter=self.newton.n_steps,
            step=self.newton.sigma,
            objective=self.upper,
            dual=self.dual,
            violation=violation,
        )

    def _add_rays(self, rays: RayProgram, blocks: IndexArray, arguments: FloatArray, threshold: float) -> None:
        """Add the projections that are longer than the threshold; give the rays up if they are too many."""
        points = self.projector.project(blocks, arguments, threshold, expired=self._expired)
        if self._expired():  # some points are not projected
            return
        longer = row_norms(points) > threshold
        if len(rays) + np.count_nonzero(longer) > _MOST_RAYS:
            self.rays = None
        else:
            rays.add(blocks[longer], points[longer])

    def _expired(self) -> bool:
        return self.limits.now() >= self.limits.deadline

    def advance(self, budget: Budget) -> None:
        """Update u and t, on the rays or on a working set."""
        if self.steps is not None:
            tol = self.fraction * self.limits.tol
            self.u, self.t = self.newton.minimise(self.steps, self.u, self.t, self.upper, tol, budget)
            self.gap_tol = tol * self.upper
            if self.newton.reached:
                self.fraction *= _NEXT_FRACTION
            return
        if self.rays is None:
            self._solve_working_set(budget)
            return
        gap = self.upper - self.dual.value
        self.gap_tol = max(_PROGRAM_FRACTION * gap, _FINAL_FRACTION * self.limits.tol * self.upper)
        self.u, t = self.rays.minimise(self.gap_tol, self._expired)
        self.newton.n_steps += 1
        self.t = _MIX * self.dual.t + (1.0 - _MIX) * t

    def _solve_working_set(self, budget: Budget) -> None:
        """Update u and t by Newton steps on the non-zero blocks and those with the largest dual constraint values."""
        gap = self.upper - self.dual.value
        relative = gap / max(self.upper, TINY)
        fraction = _FRACTION_FAR if relative > _NEAR else _FRACTION_NEAR
        active = np.any(self.u, axis=1)
        size = max(_LEAST_SIZE, _SIZE_FACTOR * int(active.sum()))
        entries = len(active) * self.X.size
        if entries <= SMALL or (size >= len(active) and entries <= _LARGE):
            size, fraction = len(active), _FRACTION_ALL  # there is nothing to price
        self.gap_tol = max(fraction * gap, _FINAL_FRACTION * self.limits.tol * self.upper)
        started = time.thread_time()
        order = np.argsort(np.where(active, -np.inf, -self.dual_constraint_values), kind="stable")
        chosen = np.sort(order[:size])
        blocks = WorkingBlocks(self.X, self.D, self.problem.n_outputs, chosen)
        u, self.t = self.newton.minimise(blocks, self.u[chosen], self.t, self.upper, self.gap_tol, budget)
        self.u = np.zeros_like(self.u)
        self.u[chosen] = u
        if CompiledSteps.supports(self.problem):
            SAVINGS.add(time.thread_time() - started)

    def _keep_better_dual(self, arguments: FloatArray) -> None:
        problem = self.problem
        largest = float(self.dual_constraint_values.max())
        limit = min(problem.lam / largest if largest > 0.0 else np.inf, self.term.largest_multiple(self.t))
        scale = problem.loss.best_scale(self.t, problem.Y, limit)
        value = -problem.loss.conjugate(scale * self.t, problem.Y)
        if value > self.dual.value:
            at_zero = self.newton.n_steps == 0 and not self.u.any()  # and rarely reported
            solved = self.steps is not None and self.upper - value <= self.limits.tol * self.upper
            # Certificates compute their own, which is quick on small problems, unless time has run out.
            solved = solved and self.limits.now() + _CERTIFYING < self.limits.deadline
            multipliers = None if at_zero or solved else self._multipliers(arguments, scale)
            self.dual = DualPoint(scale * self.t, multipliers, value)

    def _multipliers(self, arguments: FloatArray, scale: float) -> sp.csr_array:
        large = (row_norms(arguments) > self.problem.lam).nonzero()[0]
        multipliers = self.projector.multipliers(large, arguments[large])
        return with_data(multipliers, scale * multipliers.data)

    def _feasible_blocks(self) -> tuple[FloatArray, float]:
        """Return blocks (2, c, P, d) that are in their cones for every order of summation, and their violation.

        Blocks are moved along a strictly interior point of the cone until all margins exceed rounding. In cones without
        interior, or too thin to move by a small step, they stay feasible to rounding.
        """
        u = self.u.copy()
        active = np.logical_or.reduce(u, axis=1).nonzero()[0]
        patterns = active % self.D.shape[1]
        signs = np.where(self.D[:, patterns].T, 1.0, -1.0)
        u[active] += self._nudges(patterns, u[active], signs)
        violation = -float((signs * (u[active] @ self.X.T)).min(initial=0.0))
        return u.reshape(2, self.problem.n_outputs, -1, self.problem.d), violation

    def _nudges(self, patterns: IndexArray, u: FloatArray, signs: FloatArray) -> FloatArray:
        norms = row_norms(u)
        margins = signs * (u @ self.X.T)
        guard = 4 * u.shape[1] * EPS * norms[:, None] * self.row_norms
        b, j = np.nonzero((margins < guard) & self.found[patterns, None])
        directions = self.directions.T[patterns]
        gains = signs[b, j] * np.vecdot(self.X[j], directions[b])
        need = np.zeros(len(u))
        inside = gains > 0.0
        b, j = b[inside], j[inside]
        np.maximum.at(need, b, (guard[b, j] - margins[b, j]) / gains[inside])
        nudges: FloatArray = _NUDGE * need[:, None] * directions
        far = row_norms(nudges) > _FAR * norms
        nudges[far & np.all(margins >= -guard, axis=1)] = 0.0
        return nudges
