"""Least-squares fits of minimum penalty: the limit of C-GReLU and C-ReLU with squared loss as lam goes to zero."""

from dataclasses import dataclass

import numpy as np

from cvxrelu._validation import FloatArray, Weights, check_number, check_solver
from cvxrelu.decompositions.decompose import decompose
from cvxrelu.exceptions import SolverError
from cvxrelu.losses.squared import Squared
from cvxrelu.numerics.gaps import relative_gap
from cvxrelu.penalties.base import NormPenalty
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.cvxpy_backends import BACKENDS, Backend, require_available, solver_names
from cvxrelu.problems.cvxpy_programs import CANON_BACKEND
from cvxrelu.problems.cvxpy_values import read_dual, read_weights
from cvxrelu.problems.gated_relu import ConvexGatedReLU
from cvxrelu.problems.normalization import normalize
from cvxrelu.problems.relu import ConvexReLU
from cvxrelu.runtime.lazy_imports import cp
from cvxrelu.runtime.threads import cvxpy_alone
from cvxrelu.solvers.interface import Limits
from cvxrelu.solvers.least_squares import LeastSquares

_TOL_FRACTION = 1e-2  # of tol: the solver's tolerance
_MAX_ITER = 100_000


@dataclass(frozen=True, eq=False)
class MinimumNorm:
    """Weights of minimum norm among those with the least-squares prediction.

    Attributes
    ----------
    weights : ndarray (c, P, d), or pair of ndarrays (c, P, d)
        Feasible weights, whose prediction is the least-squares one up to ``residual``.
    norm : float
        Their penalty Omega.
    lower : float
        Dual bound: no weights with that prediction have a smaller penalty.
    residual : float
        Largest absolute difference between their prediction and the least-squares one.
    prediction : ndarray of shape (n, c)
        The least-squares prediction.
    """

    weights: Weights
    norm: float
    lower: float
    residual: float
    prediction: FloatArray

    @property
    def rel_gap(self) -> float:
        """Certified relative gap (norm - lower) / norm."""
        return relative_gap(self.lower, self.norm)


def minimum_norm(problem: ConvexProblem, solver: str = "CLARABEL", tol: float = 1e-6) -> MinimumNorm:
    """Return the least-squares fit of minimum penalty, with a lower bound on the penalty.

    minimise Omega(u) subject to A u = f, for C-ReLU with u = (V, W) in the cones, where f is the least-squares
    prediction of C-GReLU. With non-singular patterns f is that of C-ReLU too: both have the same optimal value at
    lam = 0 (arXiv 2202.01331, v4). The solver's answer is corrected to the prediction f by least squares, and for
    C-ReLU by the cone decomposition of that correction.

    Parameters
    ----------
    problem : ConvexGatedReLU or ConvexReLU
        With squared loss and a penalty that is a norm; lam is not used.
    solver : str
        A CVXPY solver.
    tol : float
        Intended relative gap: the solver's tolerance is a hundredth of it. `MinimumNorm.rel_gap` is the gap attained.

    Returns
    -------
    MinimumNorm
        The weights, their norm and its lower bound.

    Raises
    ------
    ValueError
        If the loss is not squared, the penalty is not a norm, or the correction has no decomposition.
    SolverError
        If the solver is not available, or found no point: with singular patterns C-ReLU may not attain the
        least-squares prediction.

    References
    ----------
    Mishkin, Sahiner & Pilanci, ICML 2022, arXiv 2202.01331: equivalence without regularisation.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.column_stack([np.linspace(-1, 1, 8), np.ones(8)])  # one feature, and the bias
    >>> y = np.abs(X[:, 0])
    >>> problem = cr.ConvexReLU(X, y, cr.enumerate_patterns(X))
    >>> least = cr.minimum_norm(problem)
    >>> round(least.norm, 4), least.rel_gap <= 1e-6
    (2.0, True)
    >>> least.residual < 1e-9  # it fits y = |x|
    True
    >>> cr.to_network(problem, cr.prune(problem, least.weights)).n_neurons <= len(y)
    True
    """
    if not isinstance(problem.loss, Squared):
        raise ValueError(f"loss must be 'squared' for least-squares fits; got {problem.loss!r}")
    penalty = problem.penalty
    if not isinstance(penalty, NormPenalty):
        raise ValueError(f"penalty must be a norm (group_l1, feature_group_l1, l1, nuclear); got {penalty!r}")
    solver = check_solver(solver, solver_names())
    tol = check_number("tol", tol, minimum=0.0, strict=True)
    normal = normalize(problem.with_lam(0.0))
    least = _solve_normalized(normal.problem, penalty, solver, tol)
    weights = normal.weights(least.weights)
    return MinimumNorm(
        weights=weights,
        norm=normal.weight(least.norm),
        lower=normal.weight(least.lower),
        residual=normal.activation(least.residual),
        prediction=np.ldexp(least.prediction, normal.y_exponent),
    )


def _solve_normalized(problem: ConvexProblem, penalty: NormPenalty, solver: str, tol: float) -> MinimumNorm:
    unit = problem.with_lam(1.0)
    free = ConvexGatedReLU.of(problem)
    prediction = free.predict(_least_squares(free))
    require_available(solver)
    settings = BACKENDS.get(solver, Backend(solver.lower())).settings(_TOL_FRACTION * tol, {})
    with cvxpy_alone():
        program = unit.to_cvxpy()
        fitted = program.var_dict["f"] == prediction
        program = cp.Problem(program.objective, [*program.constraints, fitted])
    try:
        with cvxpy_alone():
            program.solve(solver=solver, canon_backend=CANON_BACKEND, **settings)
        weights = problem.repair(read_weights(problem, program))
        t, multipliers = read_dual(problem, program)
    except (cp.error.SolverError, ValueError) as error:
        raise SolverError(
            f"{solver} found no weights with the least-squares prediction ({program.status}); with singular patterns "
            f"none may exist: patterns.is_singular(X) finds {int(problem.patterns.is_singular(problem.X).sum())}"
        ) from error
    weights = _with_prediction(problem, free, weights, prediction)
    argument, _ = unit.conjugate_argument(t, unit.check_multipliers(multipliers))
    size = float(penalty.dual_norm(argument))
    return MinimumNorm(
        weights=weights,
        norm=penalty.value(problem.blocks(weights)),
        lower=max(0.0, -float(np.vdot(t, prediction)) / size) if size > 0.0 else 0.0,
        residual=float(np.abs(problem.predict(weights) - prediction).max()),
        prediction=prediction,
    )


def _with_prediction(
    problem: ConvexProblem, free: ConvexGatedReLU, weights: Weights, prediction: FloatArray
) -> Weights:
    """Return the weights plus the least-norm correction to the given prediction."""
    correction = _least_squares(free.replace(y=prediction - problem.predict(weights)))
    blocks = problem.blocks(weights)
    if isinstance(problem, ConvexReLU):
        V, W = decompose(problem, correction)
        return problem.repair((blocks[0] + V, blocks[1] + W))
    return problem.weights(blocks + correction)


def _least_squares(problem: ConvexGatedReLU) -> FloatArray:
    result = LeastSquares().run(problem, None, Limits(tol=1e-12, max_iter=_MAX_ITER))
    return problem.blocks(result.weights)
