"""C-ReLU with the penalty squared_l2: proximal-point steps on all blocks, by semismooth Newton on their duals.

Without the proximal term the optimum is u_b = proj_K(-A_b't) / lam, at the minimum over t of the smooth function
F*(t) + sum_b ||proj_K(-A_b't)||^2 / (2 lam). The first steps have a small term, so few are needed; where their Newton
systems are too ill-conditioned it grows.
"""

from collections.abc import Iterator
from typing import cast

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.cones.projection import ConeProjector
from cvxrelu.losses.base import DualTerm, dual_term
from cvxrelu.numerics.active_set import IndexArray
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.dual import DualPoint
from cvxrelu.problems.dual_workspace import DualWorkspace
from cvxrelu.problems.relu import ConvexReLU
from cvxrelu.solvers.interface import Budget, Iterate, Limits
from cvxrelu.solvers.working_set.relu_newton import ConeNewton, End, Evaluation
from cvxrelu.solvers.working_set.working_blocks import WorkingBlocks

MOST_ENTRIES = 2e7  # of all A_b: time is not looked at within a Newton step
_FIRST_SIGMA = 1e4  # times 1 / lam: each step reduces the distance from the optimum as much
_FINAL_FRACTION, _NEXT_FRACTION = 0.5, 0.1  # of the tolerance; of the fraction of the round before
_IDLE_ROUNDS, _PROGRESS = 3, 0.9


def ridge_candidates(
    problem: ConvexReLU, blocks: FloatArray, limits: Limits, workspace: DualWorkspace
) -> Iterator[Iterate]:
    """Yield solutions to smaller and smaller gaps, until rounding stops progress.

    Parameters
    ----------
    problem : ConvexReLU
        Problem with squared_l2 penalty and a loss that is a sum over entries.
    blocks : ndarray of shape (2, c, P, d)
        Initial blocks.
    limits : Limits
        Tolerance and limits.
    workspace : DualWorkspace
        Workspace of the problem, for the projections.
    """
    n_blocks = blocks[..., 0].size
    X, D = np.ascontiguousarray(problem.operator.X), problem.cones.D
    projector = workspace.projector(problem.cones, n_blocks)
    if problem.cones.space is not None:  # not solved in its row space
        projector = ConeProjector(X, D, n_blocks)
    term = cast(DualTerm, dual_term(problem.loss, problem.Y))  # as `WorkingSet.check_problem` has found
    newton = RidgeNewton(problem, term, projector)
    working = WorkingBlocks(X, D, problem.n_outputs, np.arange(n_blocks))
    weights = problem.repair(problem.weights(blocks))
    u, t = problem.blocks(weights).reshape(n_blocks, -1), term.start(problem.predict(weights))
    best, idle, fraction = np.inf, 0, _FINAL_FRACTION
    while idle < _IDLE_ROUNDS:
        upper = problem.objective(weights)
        u, t = newton.minimise(working, u, t, upper, fraction * limits.tol * upper, Budget.of(limits))
        weights = problem.repair(problem.weights(u.reshape(blocks.shape)))
        dual = _dual_point(problem, newton, working, t)
        yield Iterate(weights=weights, n_iter=newton.n_steps, step=newton.sigma, dual=dual)
        gap = problem.objective(weights) - dual.value
        idle = 0 if gap < _PROGRESS * best else idle + 1
        best, fraction = min(best, gap), _NEXT_FRACTION * fraction


def _dual_point(problem: ConvexReLU, newton: "RidgeNewton", working: WorkingBlocks, t: FloatArray) -> DualPoint:
    """Return t with the multipliers of the last projections."""
    arguments = -working.adjoint(t)
    multipliers = newton.projector.multipliers(working.ids, arguments)
    value = -problem.loss.conjugate(t, problem.Y) - newton.conjugate(newton.projector.bounds(working.ids, arguments))
    return DualPoint(t, multipliers, value)


class RidgeNewton(ConeNewton):
    """Proximal-point solver with the squared norm: no block of a step is zero but where its projection is."""

    def __init__(self, problem: ConvexProblem, term: DualTerm, projector: ConeProjector) -> None:
        super().__init__(problem, term, projector)
        self._largest_sigma = self.sigma = _FIRST_SIGMA / problem.lam

    @property
    def _threshold(self) -> float:
        return 0.0

    def _shrinkage(self, sizes: FloatArray) -> FloatArray:
        return np.full(len(sizes), 1.0 / (1.0 + self.sigma * self.problem.lam))

    def _newton_step(self, blocks: WorkingBlocks, centre: FloatArray, point: Evaluation) -> Evaluation | End:
        """Take one Newton step; FAILED also where psi is minimal to rounding but its gradient is not small."""
        following = super()._newton_step(blocks, centre, point)
        return End.FAILED if following is End.CONVERGED else following

    def conjugate(self, sizes: FloatArray) -> float:
        """Return R* at arguments of the given norms."""
        return float(sizes @ sizes) / (2.0 * self.problem.lam)

    def _objective(self, prediction: FloatArray, norms: FloatArray) -> float:
        return self.problem.loss.value(prediction, self.problem.Y) + 0.5 * self.problem.lam * float(norms @ norms)

    def _gap(self, point: Evaluation) -> float:
        """Return the gap at t, scaled into the domain of F*."""
        scale = min(1.0, self.term.largest_multiple(point.t))
        dual = -self.problem.loss.conjugate(scale * point.t, self.problem.Y) - scale**2 * self.conjugate(point.bounds)
        return self._objective(point.prediction, point.shrinkage * point.sizes) - dual

    def _roots(self, blocks: WorkingBlocks, point: Evaluation) -> tuple[FloatArray, IndexArray]:
        """Return the stacked rows of Y_b, the basis of the face times the root of the shrinkage and of sigma."""
        roots, counts = self.projector.faces(blocks.ids[point.active])
        roots *= np.sqrt(self.sigma / (1.0 + self.sigma * self.problem.lam))
        return roots, counts
