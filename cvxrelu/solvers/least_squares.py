"""Squared loss without a penalty or with the squared l2 one: linear least squares, exactly."""

import time
from dataclasses import dataclass

import numpy as np
import scipy.linalg
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
_MOST_WORK = 1e9  # of singular values: the product of both sides of A with the lesser
_WELL_CONDITIONED = 1e-8  # least to largest eigenvalue of the kernel
_SHARE = 0.1  # of tol


@dataclass(frozen=True, kw_only=True)
class LeastSquares:
    """Least squares for C-GReLU with squared loss, and no penalty (or lam = 0) or squared l2.

    With at most ``dense_rows`` rows, and where that fits in memory: the kernel A A' = (X X') o (D D') of size n x n and
    its eigenvalues or Cholesky factor, in n^2 numbers. It has the square of A's condition number: where that is seen to
    spoil the weights, the singular values of A itself, if it is small. Else: SciPy's LSMR on the operator, with damping
    sqrt(lam n). At lam = 0 the solution of least norm.

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
        n_iter = 1
        weights, sound = _by_kernel(problem, damping, limits.tol) if dense else (None, False)
        way = "kernel"
        if not sound and dense and _work_of_singular_values(problem) <= _MOST_WORK:
            weights, way = _by_singular_values(problem, damping), "singular values"
        if weights is None:
            (weights, n_iter), way = _by_lsmr(problem, damping, limits), "LSMR"
        return SolverResult(
            weights=weights,
            status=Status.MAX_ITER if n_iter >= limits.max_iter > 1 else Status.INACCURATE,
            solver_status=f"LeastSquares: {way}",
            n_iter=n_iter,
            solve_time=time.perf_counter() - started,
        )


def _by_kernel(problem: ConvexProblem, damping: float, tol: float) -> tuple[FloatArray | None, bool]:
    """Return A'a with (A A' + damping I) a = Y, in the least-squares sense where that is singular; and if it is sound.

    With damping it is where the duality gap ||grad||^2 / (2 lam) is small, without where A has full rank by far.
    """
    X, D = problem.operator.X, np.asarray(problem.patterns.D, dtype=np.float64)
    kernel = (X @ X.T) * (D @ D.T)
    if damping > 0.0:
        kernel[np.diag_indices_from(kernel)] += damping
        try:
            dual = scipy.linalg.cho_solve(scipy.linalg.cho_factor(kernel, overwrite_a=True), problem.Y)
        except np.linalg.LinAlgError:
            return None, False
        weights = problem.operator.adjoint(dual)
        gradient = problem.operator.adjoint(problem.gradient_point(weights)) + problem.lam * weights
        gap = float(np.vdot(gradient, gradient)) / (2.0 * problem.lam)
        return weights, gap <= _SHARE * tol * problem.objective(weights)
    values, vectors = scipy.linalg.eigh(kernel, overwrite_a=True)
    kept = values > problem.n * np.finfo(np.float64).eps * max(values[-1], 0.0)
    sound = values[max(problem.n - len(problem.patterns) * problem.d, 0)] >= _WELL_CONDITIONED * values[-1]
    dual = vectors[:, kept] @ ((vectors[:, kept].T @ problem.Y) / values[kept, None])
    return problem.operator.adjoint(dual), bool(sound)


def _work_of_singular_values(problem: ConvexProblem) -> float:
    columns = len(problem.patterns) * problem.d
    return float(problem.n * columns * min(problem.n, columns))


def _by_singular_values(problem: ConvexProblem, damping: float) -> FloatArray:
    """Return the solution from the singular values of A: the one place where a native solver makes that matrix."""
    X, D = problem.operator.X, np.asarray(problem.patterns.D, dtype=np.float64)
    A = (D[:, :, None] * X[:, None, :]).reshape(problem.n, -1)
    left, values, right = scipy.linalg.svd(A, full_matrices=False, overwrite_a=True)
    kept = values > max(A.shape) * np.finfo(np.float64).eps * values[0]
    left, values, right = left[:, kept], values[kept], right[kept]
    solved: FloatArray = ((values / (values**2 + damping)) * (problem.Y.T @ left)) @ right
    return solved.reshape(problem.n_outputs, len(problem.patterns), problem.d)


def _by_lsmr(problem: ConvexProblem, damping: float, limits: Limits) -> tuple[FloatArray, int]:
    shape = (1, len(problem.patterns), problem.d)
    A = LinearOperator(
        (problem.n, int(np.prod(shape))),
        matvec=lambda u: problem.operator.forward(u.reshape(shape))[:, 0],
        rmatvec=lambda t: problem.operator.adjoint(t.reshape(-1, 1)).ravel(),
        dtype=np.float64,
    )
    accuracy = min(1e-8, limits.tol)
    outputs, n_iter = [], 0
    for target in problem.Y.T:
        answer = lsmr(
            A, target, damp=np.sqrt(damping), atol=accuracy, btol=accuracy, conlim=0.0, maxiter=limits.max_iter
        )
        outputs.append(answer[0].reshape(shape[1:]))
        n_iter = max(n_iter, answer[2])
    return np.stack(outputs), n_iter
