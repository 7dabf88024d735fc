"""Squared loss without a penalty or with the squared l2 one: linear least squares, exactly."""

import math
import time
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, lsmr

from cvxrelu._validation import FloatArray, Weights, check_integer
from cvxrelu.exceptions import SolverError
from cvxrelu.losses.squared import Squared
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.gated_relu import ConvexGatedReLU
from cvxrelu.runtime.memory import fits
from cvxrelu.solvers.interface import Limits, SolverResult
from cvxrelu.status import Status

_KERNELS = 3  # matrices of n x n at a time
_MOST_WORK, _LARGEST = 1e10, 1e7  # of an orthogonal factor: operations, entries
_MOST_TRIANGLE_WORK = 5e10  # of the triangle alone
_WELL_CONDITIONED = 1e-8  # least to largest eigenvalue of the kernel
_SHARE = 0.1  # of tol
_FACTORS = 4  # arrays of A's size, with it
_WORTHWHILE = 0.5  # of the gap, what a refinement leaves


@dataclass(frozen=True)
class _Answer:
    """Weights, how they were found, t where it is known better than from them, and whether the gap is small enough."""

    weights: FloatArray
    way: str
    t: FloatArray | None = None
    sound: bool = True
    n_iter: int = 1


@dataclass(frozen=True, kw_only=True)
class LeastSquares:
    """Least squares for C-GReLU with squared loss, and no penalty (or lam = 0) or squared l2.

    With at most ``dense_rows`` rows, and where that fits in memory: the kernel A A' = (X X') o (D D') of size n x n and
    its eigenvalues or Cholesky factor, in n^2 numbers. It has the square of A's condition number: where that is seen to
    spoil the answer, an orthogonal factor of A itself, if A is small, and the dual variable from the same factor. Else:
    SciPy's LSMR on the operator, with damping sqrt(lam n), refined. At lam = 0 the solution of least norm.

    Parameters
    ----------
    dense_rows : int
        Largest n for which the kernel is formed.
    max_iter : int
        Iteration limit of LSMR, where `cvxrelu.solve` is given none.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.standard_normal((50, 3)), rng.standard_normal(50)
    >>> patterns = cr.sample_patterns(X, n_gates=5, seed=0)
    >>> ridge = cr.ConvexGatedReLU(X, y, patterns, lam=0.1, penalty="squared_l2")
    >>> print(cr.solve(ridge, cr.LeastSquares(), tol=1e-9).status)
    optimal
    >>> print(cr.solve(cr.ConvexGatedReLU(X, y, patterns, lam=0.0)).solver)  # "auto" chooses it
    LeastSquares
    """

    dense_rows: int = 3_000
    max_iter: int = 10_000

    def __post_init__(self) -> None:
        check_integer("dense_rows", self.dense_rows, minimum=0)
        check_integer("max_iter", self.max_iter, minimum=1)

    def check_problem(self, problem: ConvexProblem) -> None:
        """Raise SolverError if the problem is not a linear least-squares problem."""
        quadratic = problem.penalty.curvature is not None or problem.lam == 0.0
        if not (isinstance(problem, ConvexGatedReLU) and isinstance(problem.loss, Squared) and quadratic):
            raise SolverError(
                "LeastSquares solves ConvexGatedReLU with squared loss and penalty 'none' or 'squared_l2', or lam = 0; "
                f"got {problem!r}"
            )

    def run(self, problem: ConvexProblem, start: Weights | None, limits: Limits) -> SolverResult:
        """Solve the problem; a start is of no use here. See `cvxrelu.solve`."""
        self.check_problem(problem)
        started = time.perf_counter()
        damping = problem.n * problem.lam * (problem.penalty.curvature or 0.0)
        dense = problem.n <= self.dense_rows and fits(_KERNELS * 8.0 * problem.n**2)
        small = _is_small(problem)
        answer = _by_kernel(problem, damping, limits.tol) if dense else None
        if answer is None and not (small and (dense or damping == 0.0)):
            answer = _by_lsmr(problem, damping, limits)
        if answer is None or (small and not answer.sound):
            answer = _by_orthogonal_factor(problem, damping)
        return SolverResult(
            weights=answer.weights,
            t=answer.t,
            status=Status.MAX_ITER if answer.n_iter >= limits.max_iter > 1 else Status.INACCURATE,
            solver_status=f"LeastSquares: {answer.way}",
            n_iter=answer.n_iter,
            solve_time=time.perf_counter() - started,
        )


def _by_kernel(problem: ConvexProblem, damping: float, tol: float) -> _Answer | None:
    """Return A'a with (A A' + damping I) a = Y, in the least-squares sense where that is singular; None if it is not.

    With damping it is sound where the duality gap is small; else t is -lam a, which the rounding of rows of large
    entries does not spoil. Without damping it is sound where A has full rank by far.
    """
    X, D = problem.operator.X, np.asarray(problem.patterns.D, dtype=np.float64)
    kernel = (X @ X.T) * (D @ D.T)
    if damping > 0.0:
        kernel[np.diag_indices_from(kernel)] += damping
        try:
            dual = scipy.linalg.cho_solve(scipy.linalg.cho_factor(kernel, overwrite_a=True), problem.Y)
        except np.linalg.LinAlgError:
            return None
        weights = problem.operator.adjoint(dual)
        goal = _SHARE * tol * problem.objective(weights)
        sound = _gap(problem, weights, problem.gradient_point(weights)) <= goal
        return _Answer(weights, "kernel", None if sound else -problem.lam * dual, sound)
    values, vectors = scipy.linalg.eigh(kernel, overwrite_a=True)
    kept = values > problem.n * np.finfo(np.float64).eps * max(values[-1], 0.0)
    sound = values[max(problem.n - len(problem.patterns) * problem.d, 0)] >= _WELL_CONDITIONED * values[-1]
    dual = vectors[:, kept] @ ((vectors[:, kept].T @ problem.Y) / values[kept, None])
    return _Answer(problem.operator.adjoint(dual), "kernel", None, bool(sound))


def _is_small(problem: ConvexProblem) -> bool:
    """Return whether an orthogonal factor of A, with the damping below or beside it, is cheap."""
    columns = len(problem.patterns) * problem.d
    short, both = min(problem.n, columns), float(problem.n + columns)
    return both * short**2 <= _MOST_WORK and both * short <= _LARGEST and fits(_FACTORS * 8.0 * both * short)


def _by_orthogonal_factor(problem: ConvexProblem, damping: float) -> _Answer:
    """Return the solution from A itself: the one place where a native solver makes that matrix.

    Rows of A of very different size cost no accuracy: they are columns of A', or the largest come first among the rows
    and columns are pivoted (Cox & Higham, "Stability of Householder QR factorization for weighted least squares
    problems", 1998).
    """
    X, D = problem.operator.X, np.asarray(problem.patterns.D, dtype=np.float64)
    A = (D[:, :, None] * X[:, None, :]).reshape(problem.n, -1)
    if math.sqrt(damping) <= np.finfo(np.float64).eps * np.abs(A).max():
        return _Answer(_blocks(problem, _undamped(A, problem.Y)), "orthogonal factor")
    blocks, t = (_of_least_norm if A.shape[0] <= A.shape[1] else _of_least_residual)(A, damping, problem.Y)
    return _Answer(_blocks(problem, blocks), "orthogonal factor", t)


def _of_least_norm(A: FloatArray, damping: float, Y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return u (P d, c) and t (n, c), from the least z = [u; sqrt(damping) a] with [A, sqrt(damping) I] z = Y."""
    n, columns = A.shape
    Q, R = scipy.linalg.qr(np.vstack([A.T, math.sqrt(damping) * np.eye(n)]), mode="economic", overwrite_a=True)
    z = Q @ scipy.linalg.solve_triangular(R, Y, trans="T")
    return z[:columns], -(math.sqrt(damping) / n) * z[columns:]


def _of_least_residual(A: FloatArray, damping: float, Y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return u (P d, c) and t (n, c), from the least residual of [A; sqrt(damping) I] u = [Y; 0]."""
    n, columns = A.shape
    stacked = np.vstack([A, math.sqrt(damping) * np.eye(columns)])
    order = _largest_first(stacked)
    Q, R, pivots = scipy.linalg.qr(stacked[order], mode="economic", pivoting=True, overwrite_a=True)
    target = np.vstack([Y, np.zeros((columns, Y.shape[1]))])[order]
    coefficients = Q.T @ target
    u = np.empty((columns, Y.shape[1]))
    u[pivots] = scipy.linalg.solve_triangular(R, coefficients)
    rest = target - Q @ coefficients
    rest -= Q @ (Q.T @ rest)
    residual = np.empty_like(rest)
    residual[order] = rest
    return u, -residual[:n] / n


def _undamped(A: FloatArray, Y: FloatArray) -> FloatArray:
    """Return u (P d, c) of least norm, and what is left of rows that can be fitted, corrected for columns of unit size.

    The correction is small beside u, but not in the columns that no large row reaches.
    """
    order, cond = _largest_first(A), max(A.shape) * np.finfo(np.float64).eps
    u = scipy.linalg.lstsq(A[order], Y[order], cond=cond, lapack_driver="gelsy")[0]
    sizes = np.abs(A).max(axis=0)
    sizes[sizes == 0.0] = 1.0
    scaled, rest = A / sizes, Y - A @ u
    order = _largest_first(scaled)
    correction = scipy.linalg.lstsq(scaled[order], rest[order], cond=cond, lapack_driver="gelsy")[0] / sizes[:, None]
    better = np.linalg.norm(rest - A @ correction, axis=0) < np.linalg.norm(rest, axis=0)
    solved: FloatArray = u + np.where(better, correction, 0.0)
    return solved


def _largest_first(A: FloatArray) -> NDArray[np.intp]:
    return np.argsort(-np.abs(A).max(axis=1), kind="stable")


def _by_lsmr(problem: ConvexProblem, damping: float, limits: Limits) -> _Answer:
    """Return LSMR's solution; with damping, corrected by LSMR with a preconditioner where the gap is not small.

    The residual of [A; sqrt(damping) I] and [Y; 0] is moved by each correction, and not computed from the weights anew,
    where it would be spoilt by the rounding of rows of large entries.
    """
    accuracy = min(1e-8, limits.tol)

    def solve(A: LinearOperator, targets: FloatArray, damp: float = 0.0) -> tuple[FloatArray, int]:
        answers = [
            lsmr(A, target, damp=damp, atol=accuracy, btol=accuracy, conlim=0.0, maxiter=limits.max_iter)
            for target in targets.T
        ]
        return np.stack([answer[0] for answer in answers], axis=1), max(answer[2] for answer in answers)

    u, n_iter = solve(_stacked(problem, None), problem.Y, math.sqrt(damping))
    best = _Answer(_blocks(problem, u), "LSMR", n_iter=n_iter)
    if damping == 0.0:
        return best
    t = problem.gradient_point(best.weights)
    goal = _SHARE * limits.tol * problem.objective(best.weights)
    least = _gap(problem, best.weights, t)
    if least <= goal or (R := _triangle(problem, damping)) is None:
        return replace(best, sound=least <= goal)
    A = _stacked(problem, math.sqrt(damping))
    inverse = LinearOperator(
        R.shape,
        matvec=lambda u: scipy.linalg.solve_triangular(R, u),
        rmatvec=lambda u: scipy.linalg.solve_triangular(R, u, trans="T"),
        dtype=np.float64,
    )
    residual = np.vstack([-problem.n * t, -math.sqrt(damping) * u])
    while least > goal and n_iter < limits.max_iter:
        correction, more = solve(A @ inverse, residual)
        correction = inverse.matmat(correction)
        u, n_iter = u + correction, n_iter + more
        residual -= A.matmat(correction)
        weights, t = _blocks(problem, u), -residual[: problem.n] / problem.n
        gap = _gap(problem, weights, t)
        if gap > _WORTHWHILE * least:
            break
        best, least = _Answer(weights, "LSMR, preconditioned", t, n_iter=n_iter), gap
    return replace(best, sound=least <= goal)


def _triangle(problem: ConvexProblem, damping: float) -> FloatArray | None:
    """Return R with R'R = A'A + damping I, of a QR factorisation by blocks of rows; None where that is much work."""
    X, D, columns = problem.operator.X, np.asarray(problem.patterns.D), len(problem.patterns) * problem.d
    if 4.0 * problem.n * columns**2 > _MOST_TRIANGLE_WORK or not fits(_FACTORS * 8.0 * 2.0 * columns**2):
        return None
    R: FloatArray = np.zeros((0, columns))
    for rows in np.array_split(_largest_first(X), math.ceil(problem.n / columns)):
        active = np.asarray(D[rows], dtype=np.float64)
        block = (active[:, :, None] * X[rows][:, None, :]).reshape(len(rows), -1)
        R = scipy.linalg.qr(np.vstack([R, block]), mode="r", overwrite_a=True)[0][:columns]
    R = scipy.linalg.qr(np.vstack([R, math.sqrt(damping) * np.eye(columns)]), mode="r", overwrite_a=True)[0][:columns]
    return R if np.all(np.diag(R)) else None


def _stacked(problem: ConvexProblem, damping: float | None) -> LinearOperator:
    """Return A for one output, with damping times the identity below it, if any."""
    shape, n = (1, len(problem.patterns), problem.d), problem.n
    columns = math.prod(shape)

    def matvec(u: FloatArray) -> FloatArray:
        above = problem.operator.forward(u.reshape(shape))[:, 0]
        return above if damping is None else np.concatenate([above, damping * u.ravel()])

    def rmatvec(t: FloatArray) -> FloatArray:
        below = problem.operator.adjoint(t[:n].reshape(-1, 1)).ravel()
        return below if damping is None else below + damping * t[n:].ravel()

    return LinearOperator(
        (n if damping is None else n + columns, columns), matvec=matvec, rmatvec=rmatvec, dtype=np.float64
    )


def _gap(problem: ConvexProblem, weights: FloatArray, t: FloatArray) -> float:
    """Return the duality gap of weights and t, with damping: a sum of squares, without cancellation."""
    slope = problem.operator.adjoint(t) + problem.lam * weights
    rest = t - problem.gradient_point(weights)
    return float(np.vdot(slope, slope)) / (2.0 * problem.lam) + 0.5 * problem.n * float(np.vdot(rest, rest))


def _blocks(problem: ConvexProblem, u: FloatArray) -> FloatArray:
    return np.ascontiguousarray(u.T).reshape(problem.n_outputs, len(problem.patterns), problem.d)
