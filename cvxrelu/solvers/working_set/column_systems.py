"""Newton systems of C-GReLU in the columns, (shift I + B'(nQ)B) x = B'(nQ) g with B = A M^(1/2) and shift = n / sigma.

They are solved by conjugate gradients in float32 (float64 for small systems), refined until the residual in the rows is
a tenth of g, with one of these preconditioners:

- if c k d is small, a Cholesky factor of the whole matrix in float64, couplings of the outputs included: on
  ill-conditioned data and with curvature near 0, conjugate gradients would take hundreds of iterations;
- a Cholesky factor of the matrix of each output on its active blocks, for losses that couple the outputs with their
  couplings (`coupled_factors`), in float32, which takes one or two iterations until the shift is small beside rounding
  errors; once these cost more iterations than float64 would, factors are in float64;
- diagonal blocks, or a model of the overlap of patterns, and a coarse space of the directions of the active blocks.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.losses.base import ConjugateDerivatives
from cvxrelu.penalties.prox_jacobians import GroupJacobian, ProxJacobian
from cvxrelu.problems.operators.gated_operator import GatedOperator
from cvxrelu.solvers.working_set.coupled_factors import coupled_entries, coupled_inverse, coupled_work
from cvxrelu.solvers.working_set.data_products import DataProducts
from cvxrelu.solvers.working_set.newton_step import NewtonStep
from cvxrelu.solvers.working_set.preconditioners import (
    CholeskyFactors,
    ColumnFactor,
    Diagonal,
    DiagonalBlocks,
    OverlapInverse,
    Preconditioner,
    WithDirections,
    coupled_factor,
    gram_columns,
)

_MOST_COLUMNS, _MOST_PRECISE = 8000, 5600  # of factors in float32 and in float64, in as much memory
_MOST_COUPLED = 1500
_SMALL = 1e6
_CHEAP = 5e7  # work of a factor
_SKINNY, _OVERHEAD = 1.5, 4e6  # of an iteration: factor by which it takes longer than a large product; fixed cost
_SOLUTION = 60.0  # work of the solution with a factor, for each of its entries: it reads them from memory
_AMORTISED = 0.25  # part of the work of a Gram matrix that is kept, which a step is charged
_DIRECT, _EXPECTED_ROUGH = 3, 20.0  # iterations with a factor and without one
_CAUTION, _UNSOLVED = 1.3, 4.0  # iterations to expect, by those of the last system if they sufficed, and if not
_MOST_ITERATIONS = 300
_TOLERANCE = 0.1
_REFINEMENTS, _REFINED = 6, 2 / 3  # products are exact again once that part of the digits has been gained
_BLOCK_FEATURES = 100


class ColumnSystems:
    """Solver of (Q^-1 + sigma A M A') dt = -g in the columns.

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
        self._gram = np.zeros((0, 0), dtype=np.float32)
        self._gram_ids = np.zeros(0, dtype=np.intp)
        self._blocks: dict[int, FloatArray] = {}
        self._expected_rough, self._rough_sigma = _EXPECTED_ROUGH, np.inf
        self._precise_from = np.inf  # sigma whose factors are in float64
        self._lost = 0.0  # work of iterations that factors in float64 would have saved

    def enter(self, operator: GatedOperator, index: np.ndarray) -> None:
        """Switch to a working set: A on its patterns, and their indices (k,) among all patterns."""
        self.operator = operator
        self._rounded: GatedOperator | None = None
        self._pattern_ids = index
        if len(self._gram_ids):
            kept = np.flatnonzero(np.isin(self._gram_ids, index))
            columns = _columns_of(kept, operator.n_features)
            self._gram_ids, self._gram = self._gram_ids[kept], self._gram.take(columns, axis=0).take(columns, axis=1)

    def costs(self, step: NewtonStep) -> tuple[float, float]:
        """Predict the work with a factor and without one, in float64 operations of a large matrix product."""
        n, d = self.operator.X.shape
        c, k = step.gradient.shape[1], len(step.active)
        rough = 0.5 * _SKINNY * 4.0 * n * k * d * c + _OVERHEAD
        if self._rough_sigma == np.inf:
            self._rough_sigma = step.sigma
        growth = np.sqrt(max(step.sigma / self._rough_sigma, 1.0))
        without = (growth * self._expected_rough + 5.0) * rough
        if c * k * d <= _MOST_COUPLED and not _couples_groups(step):
            gram = 0.5 * n * (k * d) ** 2 * (c if step.rows.coupling is None else 0.5 * c * (c + 1))
            return gram + (c * k * d) ** 2 * (2.0 * c * d + c * k * d / 3.0) + _DIRECT * rough, without
        if not isinstance(step.jacobian, GroupJacobian) or self._entries(step) > _MOST_COLUMNS**2:
            return np.inf, without
        precise = self._is_precise(step)
        work, iteration = self._factor_work(step, precise=precise), self._iteration(step, precise=precise)
        return work + _DIRECT * iteration, without

    def solve(self, step: NewtonStep, *, dense: bool) -> FloatArray:
        """Return dt (n, c), with a factor (``dense``) or without one."""
        system = _Columns.of(self.operator.take(step.active), step, np.float64)
        right = system.adjoint(step.gradient)
        tol = _TOLERANCE * system.shift * float(np.linalg.norm(step.gradient))
        if dense and right.size <= _MOST_COUPLED and not _couples_groups(step):
            x = self._coupled(step, system, right, tol)
        elif dense:
            x = self._factored(step, system, right, tol)
        else:
            x = self._unfactored(step, system, right, tol)
        found = -step.rows.respond(step.gradient - system.forward(x))
        # Rounding may spoil the descent property; without the low-rank part it always holds.
        return found if np.vdot(found, step.gradient) < 0.0 else -step.rows.respond(step.gradient)

    def _coupled(self, step: NewtonStep, system: "_Columns", right: FloatArray, tol: float) -> FloatArray:
        factor = coupled_factor(system.A, system.M, system.Q, system.shift)
        if factor is None:
            return self._unfactored(step, system, right, tol)
        return _refined(system, system, right, factor, tol, _MOST_ITERATIONS)[0]

    def _factored(self, step: NewtonStep, system: "_Columns", right: FloatArray, tol: float) -> FloatArray:
        """Solve with factors in float32, or in float64 if these take too many iterations."""
        if not self._is_precise(step):
            x, solved = self._with_factor(step, system, self._in_float32(step), right, tol)
            if solved or not self._is_precise(step):
                return x
        return self._with_factor(step, system, system, right, tol)[0]

    def _with_factor(
        self, step: NewtonStep, system: "_Columns", rounded: "_Columns", right: FloatArray, tol: float
    ) -> tuple[FloatArray, bool]:
        """Solve with factors of a precision; return whether the residual has come down to ``tol``."""
        precise, iteration = rounded is system, self._iteration(step, precise=rounded is system)
        factors = self._factors_of(step.active, rounded)
        if factors is None:
            return self._unfactored(step, system, right, tol), True
        limit, extra = _MOST_ITERATIONS, np.inf
        if not precise and self._fits_in_float64(step):
            extra = self._factor_work(step, precise=True) - self._factor_work(step, precise=False)
            limit = min(limit, _DIRECT + max(0, int((extra - self._lost) / iteration)))
        x, count, solved = _refined(system, rounded, right, factors, tol, limit)
        if not precise:
            if self._expected_rough < count:  # without a factor, there would be more
                self._expected_rough, self._rough_sigma = float(count), step.sigma
            self._lost += max(count - _DIRECT, 0) * iteration
            if extra < np.inf and (self._lost > extra or not solved):
                self._precise_from, self._lost = step.sigma, 0.0
        return x, solved

    def _unfactored(self, step: NewtonStep, system: "_Columns", right: FloatArray, tol: float) -> FloatArray:
        """Solve with a preconditioner that does not form the matrix."""
        small = right.size * len(step.gradient) <= _SMALL or right.size <= _MOST_COUPLED
        rounded = system if small else self._in_float32(step)
        precondition = self._rough_preconditioner(step.active, rounded)
        x, count, solved = _refined(system, rounded, right, precondition, tol, _MOST_ITERATIONS)
        self._expected_rough, self._rough_sigma = (_CAUTION if solved else _UNSOLVED) * count, step.sigma
        return x

    def _in_float32(self, step: NewtonStep) -> "_Columns":
        return _Columns.of(self._single.take(step.active), step, np.float32)

    def _iteration(self, step: NewtonStep, *, precise: bool) -> float:
        """Predict the work of an iteration with factors, in float64 or in float32."""
        n, d = self.operator.X.shape
        work = float(_SKINNY * 4.0 * n * step.columns(d).sum() + _OVERHEAD + _SOLUTION * self._entries(step))
        return work if precise else 0.5 * work

    def _entries(self, step: NewtonStep) -> float:
        """Return the number of entries of factors."""
        n, d = self.operator.X.shape
        columns = step.columns(d)
        return float(np.sum(columns**2)) if step.rows.coupling is None else coupled_entries(n, columns)

    def _factor_work(self, step: NewtonStep, *, precise: bool) -> float:
        """Predict the work of new factors, in float64 or in float32."""
        n, d = self.operator.X.shape
        columns = step.columns(d)
        squares = float(np.sum(columns**2))
        gram = n * squares
        if self.constant_curvature:  # later steps use it too
            known = self._gram_ids if (self._gram.dtype == np.float64) == precise else self._gram_ids[:0]
            new = np.count_nonzero(~np.isin(self._pattern_ids[step.active], known))
            gram = _AMORTISED * 2.0 * n * new * d * (len(known) + 0.5 * new) * d
        factor = float(np.sum(columns**3)) / 3.0 if step.rows.coupling is None else coupled_work(n, columns)
        work = float(gram + factor + 30.0 * squares)
        return work if precise else 0.5 * work

    def _is_precise(self, step: NewtonStep) -> bool:
        """Return whether factors are in float64: also those that take less time than an iteration."""
        late = step.sigma >= self._precise_from
        cheap = step.rows.coupling is not None and self._factor_work(step, precise=True) <= _CHEAP
        return (late or cheap) and self._fits_in_float64(step)

    def _fits_in_float64(self, step: NewtonStep) -> bool:
        return self._entries(step) <= _MOST_PRECISE**2 and self.operator.X.dtype == np.float64

    @property
    def _single(self) -> GatedOperator:
        """A on the working set in float32."""
        if self._rounded is None:
            self._rounded = self.operator.astype(np.float32)
        return self._rounded

    def _factors_of(self, active: np.ndarray, system: "_Columns") -> Preconditioner | None:
        """Factor shift I + M^(1/2) A'(nQ)A M^(1/2); None if that fails."""
        A, M, Q = system.A, system.M, system.Q
        assert isinstance(M, GroupJacobian)
        try:
            if Q.coupling is not None:
                return coupled_inverse(A, M, Q, system.shift)
            factors = []
            for output, shrinkage in enumerate(M.shrinkage):
                used = np.flatnonzero(shrinkage)
                if len(used) == 0:
                    continue
                if self.constant_curvature:
                    gram = self._gram_of(active[used], A.X.dtype)
                else:
                    gram = gram_columns(A, used, 0, Q.diagonal[:, output])
                factor = ColumnFactor(gram, shrinkage[used], M.directions[output, used], system.shift)
                factors.append((output, used, factor))
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
            right = gram_columns(A, np.searchsorted(self._pattern_ids, self._gram_ids), known // d)
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


def _refined(
    system: _Columns, rough: _Columns, right: FloatArray, precondition: Preconditioner, tol: float, limit: int
) -> tuple[FloatArray, int, bool]:
    """Return x by conjugate gradients on a rounded system, the iterations, and whether ||B r|| has come down to tol."""
    x, r, count = np.zeros_like(right), right, 0
    for _ in range(_REFINEMENTS):
        largest = float(np.abs(r).max())
        if largest == 0.0:  # solved, or the right-hand side underflows
            return x, count, True
        scaled: FloatArray = (r / largest).astype(rough.Q.diagonal.dtype)
        part, taken, residual = conjugate_gradients(rough, scaled, precondition, tol / largest, limit)
        x, count = x + largest * part.astype(np.float64), count + taken
        if residual * largest <= tol:
            return x, count, True
        if count >= limit:
            break
        r = right - system.shift * x - system.adjoint(system.forward(x))
    return x, count, False


def conjugate_gradients(
    system: _Columns, right: FloatArray, precondition: Preconditioner, tol: float, limit: int
) -> tuple[FloatArray, int, float]:
    """Return x, the number of iterations, and ||B r||, stopping at ``tol`` or where rounding may matter.

    The residual of the Newton system in the rows is -(sigma / n) B r. Computing it costs half an iteration, so this is
    done only once it is expected to be small enough: it decreases about as the square root of r'z.
    """
    r = right
    x = np.zeros_like(r)
    shift = r.dtype.type(system.shift)
    residual = float(np.linalg.norm(system.forward(r)))
    threshold = max(tol, float(np.finfo(r.dtype).eps) ** _REFINED * residual)
    z = precondition(r)
    p, rz = z, float(np.vdot(r, z))
    ratio = residual / np.sqrt(rz) if rz > 0.0 else np.inf
    count = 0
    while count < limit and rz > 0.0:
        count += 1
        Sp = shift * p + system.adjoint(system.forward(p))
        length = r.dtype.type(rz / float(np.vdot(p, Sp)))
        x, r = x + length * p, r - length * Sp
        z = precondition(r)
        previous, rz = rz, float(np.vdot(r, z))
        if not ratio * np.sqrt(max(rz, 0.0)) > threshold or count == limit:
            residual = float(np.linalg.norm(system.forward(r)))
            if residual <= threshold:
                break
            ratio = residual / np.sqrt(rz) if rz > 0.0 else np.inf
        p = z + r.dtype.type(rz / previous) * p
    return x, count, residual


def _couples_groups(step: NewtonStep) -> bool:
    """Return whether the factors of a step are those of coupled outputs with their own active blocks."""
    return step.rows.coupling is not None and isinstance(step.jacobian, GroupJacobian)


def _columns_of(patterns: np.ndarray, d: int) -> np.ndarray:
    """Return the columns of the patterns' blocks of d."""
    columns: np.ndarray = (patterns[:, None] * d + np.arange(d)).ravel()
    return columns
