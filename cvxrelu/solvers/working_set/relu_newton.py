"""Proximal-point steps for C-ReLU on a working set, by semismooth Newton on their duals.

A step from the centre u with parameter s is the minimum over t (n, c) of
psi(t) = F*(t) + sum_b (||p_b|| - s lam)_+^2 / (2 s),  p_b = proj_K(u_b - s A_b't),
and moves u_b to (1 - s lam / ||p_b||)_+ p_b. Blocks b = (sign, output, pattern) have A_b = +-D_i X.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
from scipy.linalg import blas, lapack

from cvxrelu._validation import BoolArray, FloatArray
from cvxrelu.cones.projection import ConeProjector
from cvxrelu.losses.base import DualTerm
from cvxrelu.losses.dual_steps import descent_step
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
_SLOPE_DROP = 0.6
_ROUNDING = 1e-14
_MAX_NEWTON = 50
_EASY = 2
_MAX_STEPS = 30
_SEARCHES = 30
_CHUNK = 1024  # rows whose temporaries, d or m numbers each, stay in the cache


class _End(Enum):
    """Outcome of a proximal-point step."""

    DONE = auto()
    CONVERGED = auto()
    FAILED = auto()


class WorkingBlocks:
    """The operators A_b and their adjoints for some blocks (sign, output, pattern) of a problem."""

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
        """Return A_b't_k (B, d) for t (n, c), with k the output of block b."""
        products = np.zeros((len(self.ids), self.X.shape[1]))
        for k, blocks in enumerate(self._of_output):
            masks = self._masks[blocks] if len(self._of_output) > 1 else self._masks
            for rows in self._chunks():
                products[blocks] += masks[:, rows] @ (t[rows, k, None] * self.X[rows])
        products *= self._signs[:, None]
        return products

    def forward(self, active: IndexArray, u: FloatArray) -> FloatArray:
        """Return sum_b A_b u_b (n, c) over the blocks at the sorted indices ``active``."""
        f = np.zeros((len(self.X), len(self._of_output)))
        for k, chosen in self._by_output(active):
            blocks = active[chosen]
            f[:, k] = self._masked_sum(blocks, self._signs[blocks, None] * u[chosen])
        return f

    def solve(
        self, active: IndexArray, roots: FloatArray, counts: IndexArray, response: FloatArray, g: FloatArray
    ) -> FloatArray:
        """Return (Q^-1 + sum_b A_b Y_b'Y_b A_b')^-1 g for the diagonal Q > 0, ``response`` (n, c).

        The rows of all Y_b, ``counts`` (B,) for each active block, are stacked in ``roots`` (m, d). Memory: 16 m^2
        bytes if m < n, else 8 n (m + 2 n).
        """
        z = response * g
        scale = np.sqrt(response)
        outputs = np.repeat(self._outputs[active], counts)
        for k, chosen in self._by_output(active):
            rows = roots[outputs == k] if len(chosen) < len(active) else roots
            z[:, k] = scale[:, k] * self._solve_output(active[chosen], rows, counts[chosen], scale[:, k], g[:, k])
        return z

    def _solve_output(
        self, blocks: IndexArray, roots: FloatArray, counts: IndexArray, scale: FloatArray, g: FloatArray
    ) -> FloatArray:
        """Return (I + B'B)^-1 Q^(1/2) g for B = Y A'Q^(1/2) (m, n), from I + B'B or I + BB', the smaller one."""
        m, n = len(roots), len(self.X)
        scaled = scale * g
        if m >= n:
            return _cholesky_solve(
                blas.dsyrk(1.0, self._rows_of_B(blocks, roots, counts, scale, slice(None)).T), scaled
            )
        gram, product = np.zeros((m, m), order="F"), np.zeros(m)
        for rows in self._chunks():
            B = self._rows_of_B(blocks, roots, counts, scale, rows)
            gram = blas.dsyrk(1.0, B.T, trans=1, beta=1.0, c=gram, overwrite_c=1)
            product += B @ scaled[rows]
        weights = _cholesky_solve(gram, product)
        starts = np.cumsum(counts) - counts
        used = counts > 0
        sums = np.zeros((len(blocks), roots.shape[1]))
        sums[used] = np.add.reduceat(weights[:, None] * roots, starts[used], axis=0)
        solution: FloatArray = scaled - scale * self._masked_sum(blocks, sums)
        return solution

    def _rows_of_B(
        self, blocks: IndexArray, roots: FloatArray, counts: IndexArray, scale: FloatArray, rows: slice
    ) -> FloatArray:
        B: FloatArray = roots @ self._columns[:, rows]
        B *= np.repeat(self._masks[blocks, rows], counts, axis=0)
        B *= scale[rows]
        return B

    def _masked_sum(self, blocks: IndexArray, u: FloatArray) -> FloatArray:
        """Return sum_b D_b X u_b (n,)."""
        f = np.empty(len(self.X))
        for rows in self._chunks():
            f[rows] = np.vecdot(self._masks[blocks, rows].T @ u, self.X[rows])
        return f

    def _chunks(self) -> Iterator[slice]:
        for start in range(0, len(self.X), _CHUNK):
            yield slice(start, start + _CHUNK)

    def _by_output(self, active: IndexArray) -> list[tuple[int, IndexArray]]:
        if len(self._of_output) == 1:
            return [(0, np.arange(len(active)))] if len(active) else []
        outputs = self._outputs[active]
        parts = ((k, np.flatnonzero(outputs == k)) for k in range(len(self._of_output)))
        return [(k, chosen) for k, chosen in parts if len(chosen)]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Evaluation of psi at t, with ``products`` A_b't of the working blocks, and the corresponding primal point.

    ``active`` are the blocks with ||p_b|| > s lam; ``p``, ``sizes``, ``shrinkage`` and ``u`` are their p_b, ||p_b||,
    1 - s lam / ||p_b|| and shrunk p_b; ``response`` is the diagonal of the inverse Hessian of F*. ``rounding`` is the
    absolute rounding error of psi, and ``largest`` bounds the dual constraint values of the working set.
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
    largest: float

    @property
    def residual(self) -> float:
        """The squared gradient in the norm of the inverse Hessian of F*."""
        return float(np.vdot(self.gradient, self.gradient * self.response))


class ConeNewton:
    """Proximal-point solver on working sets, with sigma and the faces of the cones kept from one set to the next.

    Parameters
    ----------
    problem : ConvexReLU
        Problem with group_l1 penalty.
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
        self._smallest_sigma, self._largest_sigma = _SMALLEST_SIGMA * self.sigma, _LARGEST_SIGMA * self.sigma

    def minimise(
        self, blocks: WorkingBlocks, centre: FloatArray, t: FloatArray, gap_tol: float, budget: Budget
    ) -> tuple[FloatArray, FloatArray]:
        """Return blocks u (B, d) in their cones and t (n, c) with a duality gap of at most ``gap_tol`` on the set.

        The gap may be larger if the budget or rounding ends the steps.
        """
        products = blocks.adjoint(t)
        before = self.n_steps
        nonzero = np.flatnonzero(centre.any(axis=1))
        objective = self._objective(blocks.forward(nonzero, centre[nonzero]), row_norms(centre[nonzero]))
        for _ in range(_MAX_STEPS):
            entered = self.n_steps
            point, outcome = self._step(blocks, centre, t, products, gap_tol, budget)
            t, products = point.t, point.products
            reached = self._objective(point.prediction, point.shrinkage * point.sizes)
            if outcome is not _End.FAILED or reached < objective:
                objective = reached
                centre = np.zeros_like(centre)
                centre[point.active] = point.u
            if outcome is _End.FAILED:  # too ill-conditioned: a shorter proximal-point step
                self._largest_sigma = 0.5 * self.sigma
                self.sigma *= _DROP
                if self.sigma < self._smallest_sigma:
                    break
                continue
            if outcome is _End.CONVERGED or self.n_steps - before <= _EASY:  # or easy: lengthen the next step
                self.term.recentre(t, self.sigma)
                self._largest_sigma *= _RECOVERY
                taken = self.n_steps - entered
                growth = _GROWTH if taken <= _FEW else 1.0 if taken <= _MANY else 1.0 / _GROWTH
                self.sigma = min(growth * self.sigma, self._largest_sigma)
            if outcome is _End.DONE:
                break
        return centre, min(1.0, self.term.largest_multiple(t)) * t

    def _step(
        self,
        blocks: WorkingBlocks,
        centre: FloatArray,
        t: FloatArray,
        products: FloatArray,
        gap_tol: float,
        budget: Budget,
    ) -> tuple[Evaluation, _End]:
        """Take one proximal-point step; return its last point and the outcome."""
        point = self._evaluate(blocks, centre, t, products)
        for _ in range(_MAX_NEWTON):
            if self._gap(point) <= gap_tol or budget.spent(self.n_steps):
                return point, _End.DONE
            if self._is_solved(point, centre):
                return point, _End.CONVERGED
            self.n_steps += 1
            next_point = self._newton_step(blocks, centre, point)
            if isinstance(next_point, _End):
                return point, next_point
            point = next_point
        return point, _End.FAILED

    def _evaluate(self, blocks: WorkingBlocks, centre: FloatArray, t: FloatArray, products: FloatArray) -> Evaluation:
        threshold = self.sigma * self.problem.lam
        active, p, sizes = self._project(blocks.ids, centre - self.sigma * products, threshold)
        rows = self.term.rows(t, self.sigma)
        shrinkage = 1.0 - threshold / sizes
        u = shrinkage[:, None] * p
        prediction = blocks.forward(active, u)
        conjugate = self.term.value(t, self.sigma)
        beyond = sizes - threshold
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
            rounding=_ROUNDING * (abs(conjugate) + squares),
            largest=float(self.projector.bounds(blocks.ids, -products).max()),
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
        return upper - self.term.bound(point.t, self.problem.lam, point.largest)

    def _is_solved(self, point: Evaluation, centre: FloatArray) -> bool:
        before = centre[point.active]
        change = point.u - before
        moved = np.vdot(centre, centre) - np.vdot(before, before) + np.vdot(change, change)
        return bool(point.residual <= _INEXACT / self.sigma * moved)

    def _newton_step(self, blocks: WorkingBlocks, centre: FloatArray, point: Evaluation) -> Evaluation | _End:
        """Take one Newton step, shortened until the slope of psi is sufficiently reduced; FAILED if no length works.

        If psi would change by less than its rounding error, the residual must be halved instead; if it is not, psi is
        minimal to rounding: CONVERGED.
        """
        step = -blocks.solve(point.active, *self._roots(blocks, point), point.response, point.gradient)
        step = descent_step(self.term, point.t, step, point.gradient)
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
