"""Squared loss with no penalty or the squared l2 penalty: linear least squares."""

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

_KERNELS = 3  # n x n matrices held at a time
_MOST_WORK, _LARGEST = 1e10, 1e7  # limits of an orthogonal factorization: operations, entries
_MOST_TRIANGLE_WORK = 5e10  # limit for the triangle alone
_WELL_CONDITIONED = 1e-8  # smallest over largest eigenvalue of the kernel
_GAP_FRACTION = 0.1  # of tol
_FACTORS = 4  # arrays of the size of A held at a time
_MIN_IMPROVEMENT = 0.5  # factor by which a refinement must reduce the gap


@dataclass(frozen=True)
class _Candidate:
    """Weights with their method, a t more accurate than the gradient there, if any, and whether the gap is small."""

    weights: FloatArray
    method: str
    t: FloatArray | None = None
    accurate: bool = True
    n_iter: int = 1


@dataclass(frozen=True, kw_only=True)
class LeastSquares:
    """Least-squares solver for C-GReLU with squared loss and no penalty (or lam = 0) or squared l2.

    With at most ``dense_rows`` rows, if it fits in memory, forms the n x n kernel A A' = (X X') o (D D') and takes its
    eigenvalues or Cholesky factor. The kernel squares the condition number of A: if that makes the solution inaccurate
    and A is small, uses an orthogonal factorization of A itself, also for the dual variable. Otherwise runs SciPy's
    LSMR on the operator, with damping sqrt(lam n) and refinement. At lam = 0 it returns the minimum-norm solution.

    Parameters
    ----------
    dense_rows : int
        Largest n for which the kernel is formed.
    max_iter : int
        Iteration limit of LSMR, if `cvxrelu.solve` is given none.

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
        """Solve the problem; ``start`` is ignored. See `cvxrelu.solve`."""
        self.check_problem(problem)
        started = time.perf_counter()
        damping = problem.n * problem.lam * (problem.penalty.curvature or 0.0)
        dense = problem.n <= self.dense_rows and fits(_KERNELS * 8.0 * problem.n**2)
        small = _is_small(problem)
        candidate = _by_kernel(problem, damping, limits.tol) if dense else None
        if candidate is None and not (small and (dense or damping == 0.0)):
            candidate = _by_lsmr(problem, damping, limits)
        if candidate is None or (small and not candidate.accurate):
            candidate = _by_orthogonal_factor(problem, damping)
        return SolverResult(
            weights=candidate.weights,
            t=candidate.t,
            status=Status.MAX_ITER if candidate.n_iter >= limits.max_iter > 1 else Status.INACCURATE,
            solver_status=f"LeastSquares: {candidate.method}",
            n_iter=candidate.n_iter,
            solve_time=time.perf_counter() - started,
        )


def _by_kernel(problem: ConvexProblem, damping: float, tol: float) -> _Candidate | None:
    """Return A'a for (A A' + damping I) a = Y, by least squares if singular; None if the factorization fails.

    With damping it is accurate if the duality gap is small; otherwise t is -lam a, which is insensitive to the rounding
    of rows with large entries. Without damping it is accurate if A is well conditioned, of full rank.
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
        threshold = _GAP_FRACTION * tol * problem.objective(weights)
        accurate = _gap(problem, weights, problem.gradient_point(weights)) <= threshold
        return _Candidate(weights, "kernel", None if accurate else -problem.lam * dual, accurate)
    values, vectors = scipy.linalg.eigh(kernel, overwrite_a=True)
    kept = values > problem.n * np.finfo(np.float64).eps * max(values[-1], 0.0)
    accurate = values[max(problem.n - len(problem.patterns) * problem.d, 0)] >= _WELL_CONDITIONED * values[-1]
    dual = vectors[:, kept] @ ((vectors[:, kept].T @ problem.Y) / values[kept, None])
    return _Candidate(problem.operator.adjoint(dual), "kernel", None, bool(accurate))


def _is_small(problem: ConvexProblem) -> bool:
    """Return whether an orthogonal factorization of A, extended by the damping, is cheap."""
    columns = len(problem.patterns) * problem.d
    smaller, total = min(problem.n, columns), float(problem.n + columns)
    return total * smaller**2 <= _MOST_WORK and total * smaller <= _LARGEST and fits(_FACTORS * 8.0 * total * smaller)


def _by_orthogonal_factor(problem: ConvexProblem, damping: float) -> _Candidate:
    """Return the solution from A itself, a matrix that no other native method forms.

    It is accurate for rows of A of very different size: these are columns of A', or rows are sorted by decreasing size
    and columns pivoted (Cox & Higham, "Stability of Householder QR factorization for weighted least squares problems",
    1998).
    """
    X, D = problem.operator.X, np.asarray(problem.patterns.D, dtype=np.float64)
    A = (D[:, :, None] * X[:, None, :]).reshape(problem.n, -1)
    if math.sqrt(damping) <= np.finfo(np.float64).eps * np.abs(A).max():
        return _Candidate(_blocks(problem, _undamped(A, problem.Y)), "orthogonal factor")
    blocks, t = (_min_norm if A.shape[0] <= A.shape[1] else _min_residual)(A, damping, problem.Y)
    return _Candidate(_blocks(problem, blocks), "orthogonal factor", t)


def _min_norm(A: FloatArray, damping: float, Y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return u (P d, c) and t (n, c) from the minimum-norm z = [u; sqrt(damping) a] with [A, sqrt(damping) I] z = Y."""
    n, columns = A.shape
    Q, R = scipy.linalg.qr(np.vstack([A.T, math.sqrt(damping) * np.eye(n)]), mode="economic", overwrite_a=True)
    z = Q @ scipy.linalg.solve_triangular(R, Y, trans="T")
    return z[:columns], -(math.sqrt(damping) / n) * z[columns:]


def _min_residual(A: FloatArray, damping: float, Y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return u (P d, c) and t (n, c) from the least-squares solution of [A; sqrt(damping) I] u = [Y; 0]."""
    n, columns = A.shape
    stacked = np.vstack([A, math.sqrt(damping) * np.eye(columns)])
    order = _largest_first(stacked)
    Q, R, pivots = scipy.linalg.qr(stacked[order], mode="economic", pivoting=True, overwrite_a=True)
    target = np.vstack([Y, np.zeros((columns, Y.shape[1]))])[order]
    coefficients = Q.T @ target
    u = np.empty((columns, Y.shape[1]))
    u[pivots] = scipy.linalg.solve_triangular(R, coefficients)
    sorted_residual = target - Q @ coefficients
    sorted_residual -= Q @ (Q.T @ sorted_residual)
    residual = np.empty_like(sorted_residual)
    residual[order] = sorted_residual
    return u, -residual[:n] / n


def _undamped(A: FloatArray, Y: FloatArray) -> FloatArray:
    """Return the minimum-norm u (P d, c), with its residual corrected by a fit with columns of unit size.

    The correction is small relative to u, except in columns that are zero in all large rows.
    """
    order, cond = _largest_first(A), max(A.shape) * np.finfo(np.float64).eps
    u = scipy.linalg.lstsq(A[order], Y[order], cond=cond, lapack_driver="gelsy")[0]
    sizes = np.abs(A).max(axis=0)
    sizes[sizes == 0.0] = 1.0
    scaled, residual = A / sizes, Y - A @ u
    order = _largest_first(scaled)
    correction = (
        scipy.linalg.lstsq(scaled[order], residual[order], cond=cond, lapack_driver="gelsy")[0] / sizes[:, None]
    )
    better = np.linalg.norm(residual - A @ correction, axis=0) < np.linalg.norm(residual, axis=0)
    solved: FloatArray = u + np.where(better, correction, 0.0)
    return solved


def _largest_first(A: FloatArray) -> NDArray[np.intp]:
    return np.argsort(-np.abs(A).max(axis=1), kind="stable")


def _by_lsmr(problem: ConvexProblem, damping: float, limits: Limits) -> _Candidate:
    """Return the LSMR solution; with damping, refined by preconditioned LSMR until the gap is small.

    Each correction updates the residual of [A; sqrt(damping) I] and [Y; 0]: recomputing it from the weights would be
    inaccurate by the rounding of rows with large entries.
    """
    lsmr_tol = min(1e-8, limits.tol)

    def solve(A: LinearOperator, targets: FloatArray, damp: float = 0.0) -> tuple[FloatArray, int]:
        answers = [
            lsmr(A, target, damp=damp, atol=lsmr_tol, btol=lsmr_tol, conlim=0.0, maxiter=limits.max_iter)
            for target in targets.T
        ]
        return np.stack([candidate[0] for candidate in answers], axis=1), max(candidate[2] for candidate in answers)

    u, n_iter = solve(_stacked(problem, None), problem.Y, math.sqrt(damping))
    best = _Candidate(_blocks(problem, u), "LSMR", n_iter=n_iter)
    if damping == 0.0:
        return best
    t = problem.gradient_point(best.weights)
    threshold = _GAP_FRACTION * limits.tol * problem.objective(best.weights)
    smallest = _gap(problem, best.weights, t)
    if smallest <= threshold or (R := _triangle(problem, damping)) is None:
        return replace(best, accurate=smallest <= threshold)
    A = _stacked(problem, math.sqrt(damping))
    inverse = LinearOperator(
        R.shape,
        matvec=lambda u: scipy.linalg.solve_triangular(R, u),
        rmatvec=lambda u: scipy.linalg.solve_triangular(R, u, trans="T"),
        dtype=np.float64,
    )
    residual = np.vstack([-problem.n * t, -math.sqrt(damping) * u])
    while smallest > threshold and n_iter < limits.max_iter:
        correction, more = solve(A @ inverse, residual)
        correction = inverse.matmat(correction)
        u, n_iter = u + correction, n_iter + more
        residual -= A.matmat(correction)
        weights, t = _blocks(problem, u), -residual[: problem.n] / problem.n
        gap = _gap(problem, weights, t)
        if gap > _MIN_IMPROVEMENT * smallest:
            break
        best, smallest = _Candidate(weights, "LSMR, preconditioned", t, n_iter=n_iter), gap
    return replace(best, accurate=smallest <= threshold)


def _triangle(problem: ConvexProblem, damping: float) -> FloatArray | None:
    """Return R with R'R = A'A + damping I, by QR factorization of row blocks; None if too expensive or singular."""
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
    """Return A for one output, with damping times the identity stacked below it, if given."""
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
    """Return the duality gap of weights and t with damping, a sum of squares without cancellation."""
    gradient = problem.operator.adjoint(t) + problem.lam * weights
    residual = t - problem.gradient_point(weights)
    return float(np.vdot(gradient, gradient)) / (2.0 * problem.lam) + 0.5 * problem.n * float(
        np.vdot(residual, residual)
    )


def _blocks(problem: ConvexProblem, u: FloatArray) -> FloatArray:
    return np.ascontiguousarray(u.T).reshape(problem.n_outputs, len(problem.patterns), problem.d)
