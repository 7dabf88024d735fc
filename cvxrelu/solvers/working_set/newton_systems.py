"""The linear systems of the semismooth Newton method on the dual of a proximal-point step of C-GReLU.

(Q^-1 + sigma A M A') dt = -g, with Q the inverse Hessian of the dual term (within rows), M the Jacobian of the prox and
A on the active patterns. Each step uses the method with the least predicted work:

- in the rows, by Cholesky, for at most 10,000 rows that fit into memory: see `row_systems`;
- in the columns, by conjugate gradients in float32 (float64 for small systems) until the residual in the rows is a
  tenth of g. The preconditioner is a Cholesky factor of the k d x k d matrix, with the blocks X'(D_i D_j)X kept between
  steps, or its diagonal blocks and a coarse space of the directions of the active blocks. The factor takes one or two
  iterations, until the shift is small beside the rounding errors of float32; once these cost more iterations than
  float64 would, it is computed in float64 for this and larger sigma. If c k d is small, the factor is that of the whole
  matrix, couplings of the outputs included, in float64: on ill-conditioned data and with curvature near 0, conjugate
  gradients would take hundreds of iterations.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.losses.base import ConjugateDerivatives
from cvxrelu.penalties.prox_jacobians import GroupJacobian, ProxJacobian
from cvxrelu.problems.operators.gated_operator import GatedOperator
from cvxrelu.runtime.memory import fits
from cvxrelu.solvers.working_set.data_products import DataProducts
from cvxrelu.solvers.working_set.preconditioners import (
    CholeskyFactors,
    ColumnFactor,
    Diagonal,
    DiagonalBlocks,
    OverlapInverse,
    Preconditioner,
    WithDirections,
    coupled_factor,
)
from cvxrelu.solvers.working_set.row_systems import RowSystems, bytes_needed

_MOST_ROWS = 10_000
_MOST_COLUMNS, _MOST_PRECISE = 8000, 5600  # of factors in float32 and in float64, in as much memory
_MOST_COUPLED = 1500
_EXPECTED_CG = 20.0
_DIRECT_CG = 3
_SOLUTION = 40.0  # work of the solution with a factor, for each of its entries: it reads them from memory
_SKINNY = 1.5
_SMALL = 1e6
_OVERHEAD = 4e6
_CG_LIMIT = 300
_CG_TOLERANCE = 0.1
_CAUTION = 1.3
_REFINEMENTS = 6
_REFINEMENT = 0.01
_AMORTISED = 0.25
_BLOCK_FEATURES = 100


@dataclass(frozen=True, eq=False)
class NewtonStep:
    """A Newton system: active patterns, prox Jacobian on them, derivatives of the dual term, sigma, gradient (n, c)."""

    active: np.ndarray
    jacobian: ProxJacobian
    rows: ConjugateDerivatives
    sigma: float
    gradient: FloatArray


class NewtonSystems:
    """Solver of the Newton systems that caches reusable products from one working set to the next.

    Parameters
    ----------
    constant_curvature : bool
        Whether Q is the same at every point (squared loss), so that Gram matrices of the patterns can be kept.
    products : DataProducts
        Products of the data, shared with solvers of other outputs.
    """

    operator: GatedOperator
    _pattern_ids: np.ndarray

    def __init__(self, constant_curvature: bool, products: DataProducts) -> None:
        self.constant_curvature = constant_curvature
        self._products = products
        self._expected_iterations = _EXPECTED_CG
        self._precise_from = np.inf  # sigma whose factors in the columns are in float64
        self._lost = 0.0  # work of iterations that factors in float64 would have saved
        self._rows = RowSystems(products)
        self._gram = np.zeros((0, 0), dtype=np.float32)
        self._gram_ids = np.zeros(0, dtype=np.intp)
        self._blocks: dict[int, FloatArray] = {}

    def enter(self, operator: GatedOperator, index: np.ndarray) -> None:
        """Switch to a working set: A on its patterns, and their indices (k,) among all patterns."""
        self.operator = operator
        self._rounded: GatedOperator | None = None
        self._pattern_ids = index
        if len(self._gram_ids):
            kept = np.flatnonzero(np.isin(self._gram_ids, index))
            columns = _columns_of(kept, operator.n_features)
            self._gram_ids, self._gram = self._gram_ids[kept], self._gram.take(columns, axis=0).take(columns, axis=1)

    def direction(self, step: NewtonStep) -> FloatArray:
        """Return dt (n, c)."""
        if len(step.active) == 0:
            return -step.rows.respond(step.gradient)
        in_rows, in_columns, iterative = self._costs(step)
        if in_rows <= min(in_columns, iterative):
            found = self._rows_of(step)
            if found is not None:
                return found
        return self._in_columns(step, dense=in_columns <= iterative)

    def _costs(self, step: NewtonStep) -> tuple[float, float, float]:
        """Predict the work of the three methods, in float64 operations of a large matrix product."""
        n, d = self.operator.X.shape
        c, k = step.gradient.shape[1], len(step.active)
        iteration = self._iteration(step)
        iterative = (self._expected_iterations + 5.0) * iteration
        if c * k * d <= _MOST_COUPLED:
            gram = 0.5 * n * (k * d) ** 2 * (c if step.rows.coupling is None else 0.5 * c * (c + 1))
            columns = gram + (c * k * d) ** 2 * (2.0 * c * d + c * k * d / 3.0) + _DIRECT_CG * iteration
        elif not isinstance(step.jacobian, GroupJacobian) or k * d > _MOST_COLUMNS:
            columns = np.inf
        else:
            columns = self._factor_work(step, precise=self._is_precise(step)) + _DIRECT_CG * iteration
        rows = np.inf
        if isinstance(step.jacobian, GroupJacobian) and step.rows.coupling is None and self._rows_fit:
            rows = self._rows.cost(d, np.count_nonzero(step.jacobian.shrinkage, axis=1))
        return rows, columns, iterative

    def _iteration(self, step: NewtonStep) -> float:
        """Predict the work of an iteration of conjugate gradients in float32."""
        n, d = self.operator.X.shape
        return 0.5 * _SKINNY * 4.0 * n * len(step.active) * d * step.gradient.shape[1] + _OVERHEAD

    def _factor_work(self, step: NewtonStep, *, precise: bool) -> float:
        """Predict the work of factors in the columns, in float64 or in float32."""
        n, d = self.operator.X.shape
        c, k = step.gradient.shape[1], len(step.active)
        gram = n * (k * d) ** 2 * c
        if self.constant_curvature:  # later steps use it too
            known = self._gram_ids if (self._gram.dtype == np.float64) == precise else self._gram_ids[:0]
            new = np.count_nonzero(~np.isin(self._pattern_ids[step.active], known))
            gram = _AMORTISED * 2.0 * n * new * d * (len(known) + 0.5 * new) * d
        work = gram + c * (k * d) ** 3 / 3.0 + 30.0 * c * (k * d) ** 2
        return work if precise else 0.5 * work

    def _is_precise(self, step: NewtonStep) -> bool:
        """Return whether factors in the columns are in float64."""
        return step.sigma >= self._precise_from and len(step.active) * self.operator.n_features <= _MOST_PRECISE

    @cached_property
    def _rows_fit(self) -> bool:
        """Whether XX', which is kept, and a system in the rows fit into memory, looked at once."""
        n = len(self._products.X)
        return n <= _MOST_ROWS and fits(bytes_needed(n))

    def _rows_of(self, step: NewtonStep) -> FloatArray | None:
        assert isinstance(step.jacobian, GroupJacobian)
        active = self.operator.take(step.active)
        return self._rows.solve(active, step.jacobian, step.rows.diagonal, step.sigma, step.gradient)

    @property
    def _single(self) -> GatedOperator:
        """A on the working set in float32."""
        if self._rounded is None:
            self._rounded = self.operator.astype(np.float32)
        return self._rounded

    def _in_columns(self, step: NewtonStep, dense: bool) -> FloatArray:
        """Solve in the columns, by preconditioned conjugate gradients."""
        system = _Columns.of(self.operator.take(step.active), step, np.float64)
        right = system.adjoint(step.gradient)
        tol = _CG_TOLERANCE * system.shift * float(np.linalg.norm(step.gradient))
        small = right.size * len(step.gradient) <= _SMALL or right.size <= _MOST_COUPLED
        precise = small or (dense and self._is_precise(step))
        dtype: type[np.floating] = np.float64 if precise else np.float32
        rough = system if precise else _Columns.of(self._single.take(step.active), step, dtype)
        precondition: Preconditioner | None = None
        if dense and right.size <= _MOST_COUPLED:
            precondition = coupled_factor(system.A, system.M, system.Q, system.shift)
        elif dense:
            precondition = self._dense_preconditioner(step.active, rough)
        if precondition is None:
            precondition = self._rough_preconditioner(step.active, rough)
        x, r, total = np.zeros_like(right), right, 0
        for _ in range(_REFINEMENTS):
            largest = float(np.abs(r).max())
            if largest == 0.0:  # solved, or the right-hand side underflows
                break
            scaled: FloatArray = (r / largest).astype(dtype)
            part, count, residual = conjugate_gradients(rough, scaled, precondition, tol / largest)
            x, total = x + largest * part.astype(np.float64), total + count
            if residual * largest <= tol or total >= _CG_LIMIT:
                break
            r = right - system.shift * x - system.adjoint(system.forward(x))
        if not dense:
            self._expected_iterations = _CAUTION * total
        elif not precise:
            self._expected_iterations = max(self._expected_iterations, total)  # without a factor, there would be more
            self._lost += max(total - _DIRECT_CG, 0) * (self._iteration(step) + _SOLUTION * right.size**2)
            if self._lost > self._factor_work(step, precise=True) - self._factor_work(step, precise=False):
                self._precise_from, self._lost = step.sigma, 0.0
        found = -step.rows.respond(step.gradient - system.forward(x))
        # Rounding may spoil the descent property; without the low-rank part it always holds.
        return found if np.vdot(found, step.gradient) < 0.0 else -step.rows.respond(step.gradient)

    def _dense_preconditioner(self, active: np.ndarray, system: "_Columns") -> CholeskyFactors | None:
        """Factor shift I + M^(1/2) A'(nQ)A M^(1/2) of each output, without couplings; None if that fails."""
        A, M, weights = system.A, system.M, system.Q.own
        assert isinstance(M, GroupJacobian)
        if self.constant_curvature:
            kept = self._gram_of(active, A.X.dtype)
        factors = []
        for output, (shrinkage, directions) in enumerate(zip(M.shrinkage, M.directions, strict=True)):
            if self.constant_curvature:
                gram = kept.copy()
            else:
                gram = _gram_columns(A, np.arange(len(active)), 0, weights[:, output])
            try:
                factors.append(ColumnFactor(gram, shrinkage, directions, system.shift))
            except np.linalg.LinAlgError:
                return None
        return CholeskyFactors(factors)

    def _rough_preconditioner(self, active: np.ndarray, system: "_Columns") -> Preconditioner:
        """Return a preconditioner that does not form the matrix."""
        A, M, weights, shift = system.A, system.M, system.Q.own, system.shift
        if not isinstance(M, GroupJacobian):
            squares = A.on_data(A.X**2)
            return Diagonal(1.0 / (M.diagonal(squares.adjoint(weights)) + A.X.dtype.type(shift)))
        other: Preconditioner
        if self.constant_curvature and A.n_features <= _BLOCK_FEATURES:
            eye = np.eye(A.n_features, dtype=A.X.dtype)
            root = np.sqrt(M.shrinkage)[..., None, None]
            half = root * eye + (1 - root) * (M.directions[..., :, None] * M.directions[..., None, :])
            other = DiagonalBlocks(np.linalg.inv(half @ self._diagonal_blocks(active, A) @ half + shift * eye))
        else:
            other = OverlapInverse(A, M, weights, shift, self._products.spectrum)
        return WithDirections(other, A, M, weights, shift)

    def _diagonal_blocks(self, active: np.ndarray, A: GatedOperator) -> FloatArray:
        """Return X'D_i X for each pattern, cached."""
        ids = self._pattern_ids[active].tolist()
        for j, pattern in enumerate(ids):
            if pattern not in self._blocks:
                Xi = A.X[A.D[:, j]]
                self._blocks[pattern] = Xi.T @ Xi
        return np.array([self._blocks[pattern] for pattern in ids])

    def _gram_of(self, active: np.ndarray, dtype: np.dtype[np.floating]) -> FloatArray:
        """Return the Gram matrix of the patterns' blocks; add new patterns to the cache, which has one precision."""
        A, d = self.operator if dtype == np.float64 else self._single, self.operator.n_features
        if self._gram.dtype != dtype:
            self._gram, self._gram_ids = np.zeros((0, 0), dtype=dtype), self._gram_ids[:0]
        new = np.setdiff1d(self._pattern_ids[active], self._gram_ids)
        if len(new):
            known = len(self._gram)
            self._gram_ids = np.concatenate([self._gram_ids, new])
            right = _gram_columns(A, np.searchsorted(self._pattern_ids, self._gram_ids), known // d)
            gram = np.empty((len(right), len(right)), dtype=dtype)
            gram[:known, :known] = self._gram
            gram[:, known:] = right
            gram[known:, :known] = right[:known].T
            self._gram = gram
        order = np.argsort(self._gram_ids)
        index = order[np.searchsorted(self._gram_ids, self._pattern_ids[active], sorter=order)]
        columns = _columns_of(index, d)
        gram_of_active: FloatArray = self._gram.take(columns, axis=0).take(columns, axis=1)
        return gram_of_active


@dataclass(frozen=True, eq=False)
class _Columns:
    """The matrix shift I + B'(nQ)B in the columns, B = A M^(1/2), shift = n / sigma, in a given precision."""

    A: GatedOperator
    M: ProxJacobian
    Q: ConjugateDerivatives
    shift: float

    @classmethod
    def of(cls, A: GatedOperator, step: NewtonStep, dtype: type[np.floating]) -> Self:
        """Return the matrix of a step."""
        n, rows = len(A.X), step.rows
        coupling = None if rows.coupling is None else (np.sqrt(n) * rows.coupling).astype(dtype)
        Q = ConjugateDerivatives(rows.gradient, (n * rows.diagonal).astype(dtype), coupling)
        return cls(A, step.jacobian.astype(dtype), Q, n / step.sigma)

    def forward(self, x: FloatArray) -> FloatArray:
        """Return B x."""
        return self.A.forward(self.M.half(x))

    def adjoint(self, v: FloatArray) -> FloatArray:
        """Return B'(nQ) v."""
        return self.M.half(self.A.adjoint(self.Q.respond(v), self.M.support()))


def conjugate_gradients(
    system: _Columns, right: FloatArray, precondition: Preconditioner, tol: float
) -> tuple[FloatArray, int, float]:
    """Return x, the number of iterations, and ||B r||, stopping at ``tol`` or at a hundredth of the initial value.

    The residual of the Newton system in the rows is -(sigma / n) B r; computing it costs half an iteration.
    """
    r = right
    x = np.zeros_like(r)
    shift = r.dtype.type(system.shift)
    threshold = max(tol, _REFINEMENT * float(np.linalg.norm(system.forward(r))))
    residual = np.inf
    z = precondition(r)
    p, rz = z, float(np.vdot(r, z))
    count = 0
    while count < _CG_LIMIT and rz > 0.0:
        count += 1
        Sp = shift * p + system.adjoint(system.forward(p))
        length = r.dtype.type(rz / float(np.vdot(p, Sp)))
        x, r = x + length * p, r - length * Sp
        if count % 4 == 0 or count <= 2:
            residual = float(np.linalg.norm(system.forward(r)))
            if residual <= threshold:
                break
        z = precondition(r)
        previous, rz = rz, float(np.vdot(r, z))
        p = z + r.dtype.type(rz / previous) * p
    return x, count, residual


def _columns_of(patterns: np.ndarray, d: int) -> np.ndarray:
    """Return the columns of the patterns' blocks of d."""
    columns: np.ndarray = (patterns[:, None] * d + np.arange(d)).ravel()
    return columns


def _gram_columns(A: GatedOperator, patterns: np.ndarray, first: int, weights: FloatArray | None = None) -> FloatArray:
    """Return the columns of the patterns from ``first`` on of the Gram matrix (k d, k d) of the blocks D_i X."""
    k, d = len(patterns), A.n_features
    row, column = np.nonzero(np.arange(k)[:, None] <= np.arange(first, k))  # those below the diagonal by symmetry
    blocks = A.gram(patterns[row], patterns[first + column], weights)
    gram = np.empty((k, d, k - first, d), dtype=blocks.dtype)
    gram[row, :, column] = blocks
    later = row >= first
    gram[first + column[later], :, row[later] - first] = blocks[later]
    return gram.reshape(k * d, (k - first) * d)
