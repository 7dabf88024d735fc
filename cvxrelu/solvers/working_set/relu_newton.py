"""Proximal-point steps of the C-ReLU program on a working set, by semismooth Newton on their duals.

A step from the centre u with parameter s is the minimum over t (n, c) of
psi(t) = F*(t) + sum_b (||p_b|| - s lam)_+^2 / (2 s),  p_b = proj_K(u_b - s A_b't),
and moves u_b to (1 - s lam / ||p_b||)_+ p_b. Blocks b = (sign, output, pattern) have A_b = +-D_i X.
"""

from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
from scipy.linalg import blas, lapack

from cvxrelu._validation import BoolArray, FloatArray
from cvxrelu.cones.projection import ConeProjector
from cvxrelu.losses.base import DualTerm
from cvxrelu.losses.dual_steps import downhill
from cvxrelu.numerics.active_set import IndexArray
from cvxrelu.numerics.rounding import TINY
from cvxrelu.numerics.rows import row_norms
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.solvers.interface import Budget

_FIRST_SIGMA = 0.5
_SMALLEST_SIGMA, _LARGEST_SIGMA = 1e-6, 1e9
_GROWTH = 4.0  # of sigma after few Newton steps; it shrinks as much after many
_FEW, _MANY = 4, 10
_DROP = 0.1
_RECOVERY = 2.0
_INEXACT = 0.25  # residual of a step, relative to what it moves
_SLOPE_DROP = 0.3
_ROUNDING = 1e-14
_MAX_NEWTON = 50
_EASY = 2
_MAX_STEPS = 30
_SEARCHES = 30


class _End(Enum):
    """How a proximal-point step ended."""

    DONE = auto()
    CONVERGED = auto()
    FAILED = auto()


class WorkingBlocks:
    """The maps A_b and their adjoints for some of the blocks (sign, output, pattern) of a problem."""

    def __init__(self, X: FloatArray, D: BoolArray, n_outputs: int, ids: IndexArray) -> None:
        n_patterns = D.shape[1]
        self.ids = ids
        self.X = X
        self._columns = np.ascontiguousarray(X.T)
        self._signs = np.where(ids < n_outputs * n_patterns, 1.0, -1.0)
        self._masks = np.ascontiguousarray(D[:, ids % n_patterns].T, dtype=np.float64)
        self._outputs = (ids // n_patterns) % n_outputs
        self._of_output = [np.flatnonzero(self._outputs == k) for k in range(n_outputs)]

    def adjoint(self, t: FloatArray) -> FloatArray:
        """Return A_b't_k for t (n, c), each block for its output: shape (B, d)."""
        products = np.empty((len(self.ids), self.X.shape[1]))
        for k, blocks in enumerate(self._of_output):
            products[blocks] = self._masks[blocks] @ (t[:, k, None] * self.X)
        products *= self._signs[:, None]
        return products

    def forward(self, active: IndexArray, u: FloatArray) -> FloatArray:
        """Return sum_b A_b u_b (n, c) over the blocks at the sorted places ``active``."""
        f = np.zeros((len(self.X), len(self._of_output)))
        for k, chosen in self._by_output(active):
            blocks = active[chosen]
            signed = self._signs[blocks, None] * u[chosen]
            f[:, k] = np.einsum("ij,ij->i", self._masks[blocks].T @ signed, self.X)
        return f

    def solve(
        self, active: IndexArray, roots: FloatArray, counts: IndexArray, response: FloatArray, g: FloatArray
    ) -> FloatArray:
        """Return (Q^-1 + sum_b A_b Y_b'Y_b A_b')^-1 g for the diagonal Q > 0, ``response`` (n, c).

        The rows of all Y_b, ``counts`` (B,) for each active block, are stacked in ``roots`` (m, d).
        """
        z = response * g
        scale = np.sqrt(response)
        outputs = np.repeat(self._outputs[active], counts)
        for k, chosen in self._by_output(active):
            rows = roots[outputs == k] if len(chosen) < len(active) else roots
            B = rows @ self._columns
            B *= np.repeat(self._masks[active[chosen]], counts[chosen], axis=0)
            B *= scale[:, k]
            z[:, k] = scale[:, k] * _solve_shifted(B, scale[:, k] * g[:, k])
        return z

    def _by_output(self, active: IndexArray) -> list[tuple[int, IndexArray]]:
        if len(self._of_output) == 1:
            return [(0, np.arange(len(active)))] if len(active) else []
        outputs = self._outputs[active]
        parts = ((k, np.flatnonzero(outputs == k)) for k in range(len(self._of_output)))
        return [(k, chosen) for k, chosen in parts if len(chosen)]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """psi at a point t, with A_b't of the working blocks, and the primal point that belongs to it.

    ``active`` are the blocks with ||p_b|| > s lam, ``p``, ``sizes``, ``shares`` and ``u`` their p_b, ||p_b||,
    1 - s lam / ||p_b|| and shrunk p_b; ``response`` is the diagonal of the inverse Hessian of F*. ``rounding`` is the
    precision to which psi is known, and ``largest`` bounds the values of the dual constraints of the working set.
    """

    t: FloatArray
    products: FloatArray
    active: IndexArray
    p: FloatArray
    sizes: FloatArray
    shares: FloatArray
    u: FloatArray
    prediction: FloatArray
    gradient: FloatArray
    response: FloatArray
    rounding: float
    largest: float

    @property
    def residual(self) -> float:
        """The squared gradient in the norm of the inverse Hessian of F*."""
        return float(np.sum(self.gradient**2 * self.response))


class ConeNewton:
    """Proximal-point steps on working sets: sigma and the faces of the cones go on from one set to the next.

    Parameters
    ----------
    problem : ConvexReLU
        With group_l1 penalty.
    term : DualTerm
        F* of its loss, which must act on the entries of t one by one.
    projector : ConeProjector
        Projections onto the cones of all blocks.
    """

    def __init__(self, problem: ConvexProblem, term: DualTerm, projector: ConeProjector) -> None:
        self.problem = problem
        self.term = term
        self.projector = projector
        X = problem.operator.X
        row = max(float(np.mean(np.einsum("ij,ij->i", X, X))), TINY)
        self.sigma = _FIRST_SIGMA / (problem.loss.smoothness(problem.n) * row)
        self.n_steps = 0
        self._smallest_sigma, self._largest_sigma = _SMALLEST_SIGMA * self.sigma, _LARGEST_SIGMA * self.sigma

    def minimise(
        self, blocks: WorkingBlocks, centre: FloatArray, t: FloatArray, target: float, budget: Budget
    ) -> tuple[FloatArray, FloatArray]:
        """Return blocks u (B, d) in their cones and t (n, c) with a duality gap of the working set below ``target``.

        The target may be missed if rounding stops the steps.
        """
        products = blocks.adjoint(t)
        before = self.n_steps
        nonzero = np.flatnonzero(centre.any(axis=1))
        objective = self._objective(blocks.forward(nonzero, centre[nonzero]), row_norms(centre[nonzero]))
        for _ in range(_MAX_STEPS):
            entered = self.n_steps
            point, end = self._step(blocks, centre, t, products, target, budget)
            t, products = point.t, point.products
            reached = self._objective(point.prediction, point.shares * point.sizes)
            if end is not _End.FAILED or reached < objective:
                objective = reached
                centre = np.zeros_like(centre)
                centre[point.active] = point.u
            if end is _End.FAILED:  # too ill-conditioned: a shorter proximal-point step
                self._largest_sigma = 0.5 * self.sigma
                self.sigma *= _DROP
                if self.sigma < self._smallest_sigma:
                    break
                continue
            if end is _End.CONVERGED or self.n_steps - before <= _EASY:  # or so easy that the next may be longer
                self.term.recentre(t, self.sigma)
                self._largest_sigma *= _RECOVERY
                taken = self.n_steps - entered
                growth = _GROWTH if taken <= _FEW else 1.0 if taken <= _MANY else 1.0 / _GROWTH
                self.sigma = min(growth * self.sigma, self._largest_sigma)
            if end is _End.DONE:
                break
        return centre, min(1.0, self.term.largest_multiple(t)) * t

    def _step(
        self,
        blocks: WorkingBlocks,
        centre: FloatArray,
        t: FloatArray,
        products: FloatArray,
        target: float,
        budget: Budget,
    ) -> tuple[Evaluation, _End]:
        """Return the last point of one proximal-point step, and how it ended."""
        point = self._evaluate(blocks, centre, t, products)
        for _ in range(_MAX_NEWTON):
            if self._gap(point) <= target or budget.spent(self.n_steps):
                return point, _End.DONE
            if self._is_solved(point, centre):
                return point, _End.CONVERGED
            self.n_steps += 1
            following = self._newton(blocks, centre, point)
            if isinstance(following, _End):
                return point, following
            point = following
        return point, _End.FAILED

    def _evaluate(self, blocks: WorkingBlocks, centre: FloatArray, t: FloatArray, products: FloatArray) -> Evaluation:
        threshold = self.sigma * self.problem.lam
        active, p, sizes = self._project(blocks.ids, centre - self.sigma * products, threshold)
        rows = self.term.rows(t, self.sigma)
        shares = 1.0 - threshold / sizes
        u = shares[:, None] * p
        prediction = blocks.forward(active, u)
        conjugate = self.term.value(t, self.sigma)
        squares = float(np.sum((sizes - threshold) ** 2)) / (2 * self.sigma)
        return Evaluation(
            t=t,
            products=products,
            active=active,
            p=p,
            sizes=sizes,
            shares=shares,
            u=u,
            prediction=prediction,
            gradient=rows.gradient - prediction,
            response=rows.diagonal,
            rounding=_ROUNDING * (abs(conjugate) + squares),
            largest=float(self.projector.bounds(blocks.ids, -products).max()),
        )

    def _project(self, ids: IndexArray, x: FloatArray, threshold: float) -> tuple[IndexArray, FloatArray, FloatArray]:
        """Return the places of the blocks whose projections are longer than the threshold, those, and their lengths."""
        places = np.flatnonzero(self.projector.bounds(ids, x) > threshold)
        p = self.projector.project(ids[places], x[places], threshold)
        sizes = row_norms(p)
        longer = sizes > threshold
        return places[longer], p[longer], sizes[longer]

    def _objective(self, prediction: FloatArray, norms: FloatArray) -> float:
        return self.problem.loss.value(prediction, self.problem.Y) + self.problem.lam * float(np.sum(norms))

    def _gap(self, point: Evaluation) -> float:
        upper = self._objective(point.prediction, point.shares * point.sizes)
        return upper - self.term.bound(point.t, self.problem.lam, point.largest)

    def _is_solved(self, point: Evaluation, centre: FloatArray) -> bool:
        moved = np.sum(centre**2) - np.sum(centre[point.active] ** 2) + np.sum((point.u - centre[point.active]) ** 2)
        return bool(point.residual <= _INEXACT / self.sigma * moved)

    def _newton(self, blocks: WorkingBlocks, centre: FloatArray, point: Evaluation) -> Evaluation | _End:
        """Return the point after one Newton step, at most that long, where the slope of psi has dropped enough.

        FAILED if there is none. Where psi would change by less than its rounding the residual has to halve in its
        place; if it does not, psi is as small as can be: CONVERGED.
        """
        step = -blocks.solve(point.active, *self._roots(blocks, point), point.response, point.gradient)
        step = downhill(self.term, point.t, step, point.gradient)
        change = blocks.adjoint(step)

        def moved(length: float) -> Evaluation:
            return self._evaluate(blocks, centre, point.t + length * step, point.products + length * change)

        slope = float(np.vdot(point.gradient, step))
        length = 1.0
        if -slope <= point.rounding:
            trial = moved(length)
            return trial if trial.residual <= 0.5 * point.residual else _End.CONVERGED
        low, at_low, high, at_high = 0.0, slope, np.inf, np.inf
        for _ in range(_SEARCHES):
            trial = moved(length)
            here = float(np.vdot(trial.gradient, step))
            if abs(here) <= _SLOPE_DROP * -slope or (here < 0.0 and high == np.inf):
                return trial
            if here < 0.0:
                low, at_low = length, here
            else:
                high, at_high = length, here
            length = low + (high - low) * float(np.clip(-at_low / (at_high - at_low), 0.1, 0.9))
        return _End.FAILED

    def _roots(self, blocks: WorkingBlocks, point: Evaluation) -> tuple[FloatArray, IndexArray]:
        """Return the stacked rows of Y_b and their numbers; Y_b'Y_b is sigma times the derivative of the shrunk p_b.

        That is w^2 N N' + (1 - w^2) q q' for the face's basis N, q = p / ||p|| and w^2 = 1 - sigma lam / ||p||,
        the square of w N N' + (1 - w) q q'.
        """
        basis, free = self.projector.faces(blocks.ids[point.active])
        directions = point.p / point.sizes[:, None]
        w = np.sqrt(point.shares)
        inner = np.matmul(basis, directions[:, :, None])[:, :, 0] * (1.0 - w)[:, None]
        roots = w[:, None, None] * basis + inner[:, :, None] * directions[:, None, :]
        return np.sqrt(self.sigma) * roots[free], free.sum(axis=1)


def _solve_shifted(B: FloatArray, g: FloatArray) -> FloatArray:
    """Return (I + B'B)^-1 g for B (m, n), by a Cholesky factor of the smaller of I + B'B and I + BB'."""
    m, n = B.shape
    if m < n:
        solution: FloatArray = g - B.T @ _cholesky_solve(blas.dsyrk(1.0, B.T, trans=1), B @ g)
        return solution
    return _cholesky_solve(blas.dsyrk(1.0, B.T), g)


def _cholesky_solve(gram: FloatArray, g: FloatArray) -> FloatArray:
    """Return (I + gram)^-1 g from the upper triangle of gram; a larger shift if rounding makes it indefinite."""
    shift = 1.0
    while True:
        shifted = gram.copy(order="F")
        shifted.ravel(order="K")[:: len(gram) + 1] += shift
        factor, failed = lapack.dpotrf(shifted, overwrite_a=1, clean=0)
        if not failed:
            solution: FloatArray = lapack.dpotrs(factor, g)[0]
            return solution
        shift = max(10.0 * shift, 1e-14 * float(np.trace(gram)))
