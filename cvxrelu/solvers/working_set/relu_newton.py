"""Proximal-point steps for C-ReLU on a working set, by semismooth Newton on their duals.

A step from the centre u with parameter s is the minimum over t (n, c) of
psi(t) = F*(t) + sum_b (||p_b|| - s lam)_+^2 / (2 s),  p_b = proj_K(u_b - s A_b't),
and moves u_b to (1 - s lam / ||p_b||)_+ p_b. Blocks b = (sign, output, pattern) have A_b = +-D_i X.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.cones.projection import ConeProjector
from cvxrelu.losses.base import DualTerm
from cvxrelu.losses.dual_steps import descent_step
from cvxrelu.numerics.active_set import IndexArray
from cvxrelu.numerics.cone_newton import CONVERGED, DONE, FAILED, INEXACT, LIMITED, ROUNDING, SEARCHES, SLOPE_DROP
from cvxrelu.numerics.rounding import TINY
from cvxrelu.numerics.rows import row_norms
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.solvers.interface import Budget
from cvxrelu.solvers.working_set.compiled_steps import CompiledSteps
from cvxrelu.solvers.working_set.working_blocks import WorkingBlocks, block_sums

_FIRST_SIGMA = 0.5
_SMALLEST_SIGMA, _LARGEST_SIGMA = 1e-6, 1e9
_GROWTH = 4.0  # of sigma after few Newton steps; it shrinks as much after many
_FEW, _MANY = 4, 10
_DROP = 0.1
_RECOVERY = 2.0
_MAX_NEWTON = 50
_EASY = 2
_MAX_STEPS = 30
_SINGLE_WORK = 1e7  # multiplications of a system above which float32 takes less time, with the check of its residual
_ACCURATE = 0.03  # residual of a Newton system solved in float32, relative to the gradient


class End(IntEnum):
    """Outcome of a proximal-point step."""

    DONE = DONE
    CONVERGED = CONVERGED
    FAILED = FAILED


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Evaluation of psi at t, with ``products`` A_b't of the working blocks, and the corresponding primal point.

    ``active`` are the blocks with ||p_b|| > s lam; ``p``, ``sizes``, ``shrinkage`` and ``u`` are their p_b, ||p_b||,
    1 - s lam / ||p_b|| and shrunk p_b; ``response`` is the diagonal of the inverse Hessian of F*. ``rounding`` is the
    absolute rounding error of psi, and ``bounds`` are those of the dual constraint values of the working set.
    """

    t: FloatArray
    products: FloatArray
    active: IndexArray
    p: FloatArray
    sizes: FloatArray
    shrinkage: FloatArray
    u: FloatArray
    prediction: FloatArray
    gradient: FloatArray
    response: FloatArray
    rounding: float
    bounds: FloatArray

    @property
    def residual(self) -> float:
        """The squared gradient in the norm of the inverse Hessian of F*."""
        return float(np.vdot(self.gradient, self.gradient * self.response))


class ConeNewton:
    """Proximal-point solver on working sets, with sigma and the faces of the cones kept from one set to the next.

    Parameters
    ----------
    problem : ConvexReLU
        Problem with group_l1 penalty; see `relu_ridge.RidgeNewton` for squared_l2.
    term : DualTerm
        F* of its loss, which must be separable over the entries of t.
    projector : ConeProjector
        Projector onto the cones of all blocks.
    """

    def __init__(self, problem: ConvexProblem, term: DualTerm, projector: ConeProjector) -> None:
        self.problem = problem
        self.term = term
        self.projector = projector
        X = problem.operator.X
        row = max(float(np.mean(np.einsum("ij,ij->i", X, X))), TINY)
        self.sigma = _FIRST_SIGMA / (problem.loss.smoothness(problem.n) * row)
        self.n_steps = 0
        self.reached = False  # whether the last steps ended at the gap asked for, or with the budget
        self._single = True  # precision of the Newton systems, until that is too inaccurate
        self._smallest_sigma, self._largest_sigma = _SMALLEST_SIGMA * self.sigma, _LARGEST_SIGMA * self.sigma

    def minimise(
        self,
        blocks: WorkingBlocks | CompiledSteps,
        centre: FloatArray,
        t: FloatArray,
        objective: float,
        gap_tol: float,
        budget: Budget,
    ) -> tuple[FloatArray, FloatArray]:
        """Return blocks u (B, d) in their cones and t (n, c) with a duality gap of at most ``gap_tol`` on the set.

        ``objective`` is that of the blocks ``centre`` (B, d) at the start. ``gap_tol`` is relative to the objective if
        steps are compiled. The gap may be larger if the budget or rounding ends the steps.
        """
        before, products = self.n_steps, None
        for _ in range(_MAX_STEPS):
            entered = self.n_steps
            if isinstance(blocks, CompiledSteps):
                outcome = self._compiled_step(blocks, centre, t, gap_tol, budget)
                u, t, reached = blocks.u.copy(), blocks.t, blocks.objective
            else:
                products = blocks.adjoint(t) if products is None else products
                point, outcome = self._step(blocks, centre, t, products, gap_tol, budget)
                t, products = point.t, point.products
                reached = self._objective(point.prediction, point.shrinkage * point.sizes)
                u = np.zeros_like(centre)
                u[point.active] = point.u
            incomplete = outcome is End.FAILED or budget.spent(self.n_steps)
            if reached < objective or not incomplete:
                objective, centre = reached, u
            if outcome is End.FAILED:  # too ill-conditioned: a shorter proximal-point step
                self._largest_sigma = 0.5 * self.sigma
                self.sigma *= _DROP
                if self.sigma < self._smallest_sigma:
                    break
                continue
            if outcome is End.CONVERGED or self.n_steps - before <= _EASY:  # or easy: lengthen the next step
                self.term.recentre(t, self.sigma)
                self._largest_sigma *= _RECOVERY
                taken = self.n_steps - entered
                growth = _GROWTH if taken <= _FEW else 1.0 if taken <= _MANY else 1.0 / _GROWTH
                self.sigma = min(growth * self.sigma, self._largest_sigma)
            if outcome is End.DONE:
                break
        self.reached = outcome is End.DONE
        return centre, min(1.0, self.term.largest_multiple(t)) * t

    def _compiled_step(
        self, steps: CompiledSteps, centre: FloatArray, t: FloatArray, gap_tol: float, budget: Budget
    ) -> End:
        """Take one proximal-point step in a kernel, in parts between which the budget is looked at."""
        last = self.n_steps + _MAX_NEWTON
        while True:
            spent = budget.spent(self.n_steps)
            left = 0 if spent else min(last, budget.steps) - self.n_steps
            outcome, taken = steps.take(centre, self.term.own_block, t, self.sigma, gap_tol, left)
            self.n_steps += taken
            if outcome != LIMITED:
                return End(outcome)
            if spent or self.n_steps >= budget.steps:
                return End.DONE
            if self.n_steps >= last:
                return End.FAILED
            t = steps.t

    def _step(
        self,
        blocks: WorkingBlocks,
        centre: FloatArray,
        t: FloatArray,
        products: FloatArray,
        gap_tol: float,
        budget: Budget,
    ) -> tuple[Evaluation, End]:
        """Take one proximal-point step; return its last point and the outcome."""
        point = self._evaluate(blocks, centre, t, products)
        for _ in range(_MAX_NEWTON):
            if self._gap(point) <= gap_tol or budget.spent(self.n_steps):
                return point, End.DONE
            if self._is_solved(point, centre):
                return point, End.CONVERGED
            self.n_steps += 1
            next_point = self._newton_step(blocks, centre, point)
            if isinstance(next_point, End):
                return point, next_point
            point = next_point
        return point, End.FAILED

    @property
    def _threshold(self) -> float:
        """The norm of a projection up to which its block is zero."""
        return self.sigma * self.problem.lam

    def _shrinkage(self, sizes: FloatArray) -> FloatArray:
        """Return the factors of projections of the given norms in the primal point."""
        return 1.0 - self._threshold / sizes

    def _evaluate(self, blocks: WorkingBlocks, centre: FloatArray, t: FloatArray, products: FloatArray) -> Evaluation:
        active, p, sizes = self._project(blocks.ids, centre - self.sigma * products, self._threshold)
        rows = self.term.rows(t, self.sigma)
        shrinkage = self._shrinkage(sizes)
        u = shrinkage[:, None] * p
        prediction = blocks.forward(active, u)
        conjugate = self.term.value(t, self.sigma)
        beyond = sizes - self._threshold
        squares = float(beyond @ beyond) / (2 * self.sigma)
        return Evaluation(
            t=t,
            products=products,
            active=active,
            p=p,
            sizes=sizes,
            shrinkage=shrinkage,
            u=u,
            prediction=prediction,
            gradient=rows.gradient - prediction,
            response=rows.diagonal,
            rounding=ROUNDING * (abs(conjugate) + squares),
            bounds=self.projector.bounds(blocks.ids, -products),
        )

    def _project(self, ids: IndexArray, x: FloatArray, threshold: float) -> tuple[IndexArray, FloatArray, FloatArray]:
        """Return the indices of blocks with projections longer than the threshold, the projections and their norms."""
        index = np.flatnonzero(self.projector.bounds(ids, x) > threshold)
        p = self.projector.project(ids[index], x[index], threshold)
        sizes = row_norms(p)
        longer = sizes > threshold
        return index[longer], p[longer], sizes[longer]

    def _objective(self, prediction: FloatArray, norms: FloatArray) -> float:
        return self.problem.loss.value(prediction, self.problem.Y) + self.problem.lam * float(norms.sum())

    def _gap(self, point: Evaluation) -> float:
        upper = self._objective(point.prediction, point.shrinkage * point.sizes)
        return upper - self.term.bound(point.t, self.problem.lam, float(point.bounds.max()))

    def _is_solved(self, point: Evaluation, centre: FloatArray) -> bool:
        before = centre[point.active]
        change = point.u - before
        moved = np.vdot(centre, centre) - np.vdot(before, before) + np.vdot(change, change)
        return bool(point.residual <= INEXACT / self.sigma * moved)

    def _newton_step(self, blocks: WorkingBlocks, centre: FloatArray, point: Evaluation) -> Evaluation | End:
        """Take one Newton step, shortened until the slope of psi is sufficiently reduced; FAILED if no length works.

        If psi would change by less than its rounding error, the residual must be halved instead; if it is not, psi is
        minimal to rounding: CONVERGED.
        """
        newton, change = self._direction(blocks, point)
        step = descent_step(self.term, point.t, newton, point.gradient)
        if step is not newton:
            change = blocks.adjoint(step)

        def moved(length: float) -> Evaluation:
            return self._evaluate(blocks, centre, point.t + length * step, point.products + length * change)

        slope = float(np.vdot(point.gradient, step))
        length = 1.0
        if -slope <= point.rounding:
            trial = moved(length)
            return trial if trial.residual <= 0.5 * point.residual else End.CONVERGED
        low, at_low, high, at_high = 0.0, slope, np.inf, np.inf
        for _ in range(SEARCHES):
            trial = moved(length)
            here = float(np.vdot(trial.gradient, step))
            if abs(here) <= SLOPE_DROP * -slope or (here < 0.0 and high == np.inf):
                return trial
            if here < 0.0:
                low, at_low = length, here
            else:
                high, at_high = length, here
            length = low + (high - low) * float(np.clip(-at_low / (at_high - at_low), 0.1, 0.9))
        return End.FAILED

    def _direction(self, blocks: WorkingBlocks, point: Evaluation) -> tuple[FloatArray, FloatArray]:
        """Return the Newton direction and its products with all blocks; in float32 if that is accurate enough."""
        roots, counts = self._roots(blocks, point)
        if self._single and float(len(roots)) * len(point.t) * min(len(roots), len(point.t)) > _SINGLE_WORK:
            step = blocks.solve(point.active, roots, counts, point.response, -point.gradient, np.float32)
            change = blocks.adjoint(step)
            products = np.vecdot(roots, np.repeat(change[point.active], counts, axis=0))
            sums = block_sums(roots, counts, products)
            residual = point.gradient + step / point.response + blocks.forward(point.active, sums)
            if np.sum(residual**2 * point.response) <= _ACCURATE**2 * point.residual:
                return step, change
            self._single = False
        step = blocks.solve(point.active, roots, counts, point.response, -point.gradient)
        return step, blocks.adjoint(step)

    def _roots(self, blocks: WorkingBlocks, point: Evaluation) -> tuple[FloatArray, IndexArray]:
        """Return the stacked rows of Y_b and their counts; Y_b'Y_b is sigma times the derivative of the shrunk p_b.

        The derivative is w^2 N N' + (1 - w^2) q q' for the basis N of the face, q = p / ||p|| and
        w^2 = 1 - sigma lam / ||p||: the square of w N N' + (1 - w) q q'.
        """
        roots, counts = self.projector.faces(blocks.ids[point.active])
        directions = np.repeat(point.p / point.sizes[:, None], counts, axis=0)
        w = np.repeat(np.sqrt(point.shrinkage), counts)
        inner = np.vecdot(roots, directions) * (1.0 - w)
        roots *= w[:, None]
        roots += inner[:, None] * directions
        roots *= np.sqrt(self.sigma)
        return roots, counts
