"""Independent checks of answers: bounds recomputed in extended precision, and a model in CVXPY.

The formulas are deliberately written anew, in NumPy's longdouble and in CVXPY, without code of the package.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import cvxpy as cp
import numpy as np
from numpy.typing import NDArray

import cvxrelu as cr
from reference.fuzz.cases import Case

Long = NDArray[np.longdouble]
Array = NDArray[Any]
_ROUNDING = 1e-9  # rounding of sums in float64, relative to the scale of the objective
_FEASIBILITY = 1e-9


@dataclass(frozen=True, eq=False)
class Data:
    """A case as arrays: X (n, d), Y (n, c), D (n, P), row weights (n,), and the names of loss and penalty."""

    X: Array
    Y: Array
    D: NDArray[np.bool_]
    lam: float
    loss: str
    delta: float
    penalty: str
    row_weights: Array
    relu: bool

    @classmethod
    def of(cls, case: Case) -> "Data":
        """Return the data of a case."""
        problem = case.problem
        inner: Any = getattr(problem.loss, "loss", problem.loss)
        weights = np.ones(problem.n) if case.row_weights is None else case.row_weights
        return cls(
            np.asarray(problem.X, dtype=np.float64),
            np.asarray(problem.y, dtype=np.float64).reshape(problem.n, -1),
            np.asarray(problem.patterns.D),
            problem.lam,
            inner.name,
            getattr(inner, "delta", 1.0),
            problem.penalty.name,
            weights,
            isinstance(problem, cr.ConvexReLU),
        )

    def at_zero(self) -> float:
        """Return the objective of zero weights, the scale of all objectives."""
        return float(loss_value(self, np.zeros(self.Y.shape, dtype=np.longdouble)))


def faults(case: Case, solution: cr.Solution) -> list[str]:
    """Return the faults of an answer: in its upper bound, the proof of its lower bound, and its cones."""
    data = Data.of(case)
    scale = max(data.at_zero(), float(np.finfo(float).tiny))
    found = []
    blocks = np.stack(list(solution.weights)) if data.relu else np.asarray(solution.weights)[None]
    if not np.isfinite(blocks).all():
        return ["weights are not finite"]
    upper = objective(data, blocks)
    if abs(upper - solution.objective) > 1e-10 * abs(upper) + _ROUNDING * 1e-3 * scale:
        found.append(f"objective is {upper:.17g}, reported as {solution.objective:.17g}")
    if solution.objective > scale * (1 + 1e-9):
        found.append(f"worse than zero weights: {solution.objective:.6g} > {scale:.6g}")
    if data.relu and (largest := violation(data, blocks)) > 1e-12:
        found.append(f"weights violate their cones by {largest:.1e}, relative to |x_j|'|w|")
    value, excess = dual_value(data, solution.dual.t, solution.dual.multipliers)
    if excess > _FEASIBILITY:
        found.append(f"dual point is infeasible by {excess:.1e}")
    if solution.lower > value + 1e-10 * abs(value) + _ROUNDING * 1e-3 * scale:
        found.append(f"lower bound is reported as {solution.lower:.17g}, its proof gives {value:.17g}")
    return found


def contradictions(case: Case, solution: cr.Solution, other: float | None, tol: float) -> list[str]:
    """Return the contradictions between an answer and the objective ``other`` of the CVXPY model."""
    if other is None:
        return []
    scale = Data.of(case).at_zero()
    slack = 1e-5 * abs(other) + 1e-8 * scale
    found = []
    if solution.lower > other + slack:
        found.append(f"lower bound {solution.lower:.10g} is above the CVXPY model's objective {other:.10g}")
    if solution.status == "optimal" and solution.objective > other * (1 + tol) + slack:
        found.append(f"reported as optimal at {solution.objective:.10g}; the CVXPY model attains {other:.10g}")
    return found


def objective(data: Data, blocks: Array) -> float:
    """Return F(A u) + lam Omega(u) in extended precision, for blocks (1 or 2, c, P, d)."""
    u = blocks.astype(np.longdouble)
    combined = u[0] - u[1] if data.relu else u[0]
    products = np.einsum("nd,cpd->ncp", data.X.astype(np.longdouble), combined)
    prediction = np.einsum("ncp,np->nc", products, data.D.astype(np.longdouble))
    regulariser = data.lam * penalty_value(data, u) if data.lam > 0.0 else np.longdouble(0.0)
    return float(loss_value(data, prediction) + regulariser)


def loss_value(data: Data, f: Long) -> Any:
    """Return F(f) = (1/n) sum_j w_j loss(f_j, y_j)."""
    Y = data.Y.astype(np.longdouble)
    if data.loss == "squared":
        terms = (f - Y) ** 2 / 2
    elif data.loss == "huber":
        r = np.abs(f - Y)
        terms = np.where(r <= data.delta, r * r / 2, data.delta * r - np.longdouble(data.delta) ** 2 / 2)
    elif data.loss == "logistic":
        z = -Y * f
        terms = np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))
    else:
        z = f - np.sum(Y * f, axis=1, keepdims=True)
        top = z.max(axis=1, keepdims=True)
        terms = top + np.log(np.sum(np.exp(z - top), axis=1, keepdims=True))
    return np.sum(data.row_weights[:, None] * terms) / len(Y)


def penalty_value(data: Data, u: Long) -> Any:
    """Return Omega of blocks (s, c, P, d)."""
    if data.penalty == "group_l1":
        return np.sum(np.sqrt(np.sum(u * u, axis=-1)))
    if data.penalty == "l1":
        return np.sum(np.abs(u))
    if data.penalty == "feature_group_l1":
        return np.sum(np.sqrt(np.sum(u * u, axis=(0, 1, 2))))
    if data.penalty == "squared_l2":
        return np.sum(u * u) / 2
    if data.penalty == "nuclear":
        return np.sum(np.linalg.svd(u[0].transpose(1, 0, 2).astype(np.float64), compute_uv=False))
    return np.longdouble(0.0)


def violation(data: Data, blocks: Array) -> float:
    """Return the largest violation of a cone's row relative to |x_j|'|w|, which is scale-invariant."""
    X, signs = data.X.astype(np.longdouble), np.where(data.D, 1, -1)
    u = blocks.astype(np.longdouble)
    margins = np.einsum("nd,scpd->scpn", X, u) * signs.T
    sizes = np.einsum("nd,scpd->scpn", np.abs(X), np.abs(u))
    relative = np.divide(-margins, sizes, out=np.zeros_like(margins), where=sizes > 0)
    return float(max(relative.max(), 0.0))


def dual_value(data: Data, t: Array, multipliers: Any) -> tuple[float, float]:
    """Return the dual objective of t (n, c) and multipliers (2 c P, n), and their infeasibility.

    The infeasibility is relative to lam, or where A't must vanish, to the sum of the absolute values of its terms.
    """
    t = np.asarray(t).astype(np.longdouble).reshape(data.Y.shape)
    X, D = data.X.astype(np.longdouble), data.D.astype(np.longdouble)
    Z = np.einsum("nc,np,nd->cpd", t, D, X)
    sizes = np.einsum("nc,nd->cd", np.abs(t), np.abs(X))[:, None, :] + np.zeros_like(Z)
    argument = -Z[None]
    excess = 0.0
    if data.relu:
        argument, sizes = np.stack([-Z, Z]), np.stack([sizes, sizes])
        if multipliers is not None:
            gamma = np.asarray(multipliers.todense(), dtype=np.longdouble).reshape(*argument.shape[:3], len(X))
            excess = max(excess, float(-np.min(gamma, initial=0.0)))
            signs = np.where(data.D, 1, -1).T
            argument = argument + np.einsum("scpn,pn,nd->scpd", gamma, signs, X)
            sizes = sizes + np.einsum("scpn,nd->scpd", gamma, np.abs(X))
    value, outside = conjugate(data, t)
    excess = max(excess, outside)
    if data.lam == 0.0 or data.penalty == "none":
        largest = np.divide(np.abs(argument), sizes, out=np.zeros_like(argument), where=sizes > 0).max()
        return -value, max(excess, float(largest) - 1e-13 * len(X))
    if data.penalty == "squared_l2":
        return float(-value - np.sum(argument**2) / (2 * np.longdouble(data.lam))), excess
    size = {
        "group_l1": lambda: np.sqrt(np.sum(argument**2, axis=-1)).max(),
        "l1": lambda: np.abs(argument).max(),
        "feature_group_l1": lambda: np.sqrt(np.sum(argument**2, axis=(0, 1, 2))).max(),
        "nuclear": lambda: np.linalg.svd(argument[0].transpose(1, 0, 2).astype(np.float64), compute_uv=False).max(),
    }[data.penalty]()
    slack = 1e-14 * len(X) * float(sizes.max())
    return -value, max(excess, (float(size) - slack) / data.lam - 1.0)


def conjugate(data: Data, t: Long) -> tuple[float, float]:
    """Return F* at the point of its domain nearest to t, and their distance relative to the domain."""
    n, Y, w = len(data.Y), data.Y.astype(np.longdouble), data.row_weights[:, None].astype(np.longdouble)
    s = n * t / w  # the argument of each row's conjugate
    if data.loss == "squared":
        return float(np.sum(w * (s * s / 2 + s * Y)) / n), 0.0
    if data.loss == "huber":
        outside = float(np.abs(s).max() / data.delta - 1.0)
        s = np.clip(s, -data.delta, data.delta)
        return float(np.sum(w * (s * s / 2 + s * Y)) / n), outside
    p = -Y * s if data.loss == "logistic" else s + Y
    outside = float(max(-p.min(), p.max() - 1.0))
    if data.loss == "softmax":
        outside = max(outside, float(np.abs(p.sum(axis=1) - 1.0).max()))
    p = np.clip(p, 0, 1)
    terms = _xlogx(p) + (_xlogx(1 - p) if data.loss == "logistic" else 0)
    return float(np.sum(w * terms) / n), outside


def _xlogx(p: Long) -> Long:
    result: Long = p * np.log(np.where(p > 0, p, 1))
    return result


def optimum(case: Case) -> float | None:
    """Return the objective that Clarabel attains for an independent CVXPY model; None unless its status is "optimal".

    Affine changes of variables bring targets, columns and objective to unit size.
    """
    data = Data.of(case)
    y_size = float(np.sqrt(np.mean(data.Y**2))) if data.loss in ("squared", "huber") else 1.0
    y_size = y_size or 1.0
    c_size = np.abs(data.X).max(axis=0)
    c_size[c_size == 0.0] = 1.0
    X, Y, delta = data.X / c_size, data.Y / y_size, data.delta / y_size
    n, (P, c, d) = len(X), (data.D.shape[1], data.Y.shape[1], X.shape[1])
    parts = [[cp.Variable((d, c)) for _ in range(P)] for _ in range(2 if data.relu else 1)]
    combined = [parts[0][i] - parts[1][i] if data.relu else parts[0][i] for i in range(P)]
    f = sum((data.D[:, [i]] * X) @ combined[i] for i in range(P))
    w = data.row_weights[:, None]
    if data.loss == "squared":
        fit = cp.sum(cp.multiply(w, cp.square(f - Y))) / 2
    elif data.loss == "huber":
        fit = cp.sum(cp.multiply(w, delta**2 * cp.huber((f - Y) / delta))) / 2
    elif data.loss == "logistic":
        fit = cp.sum(cp.multiply(w, cp.logistic(-cp.multiply(Y, f))))
    else:
        fit = cp.sum(cp.multiply(w[:, 0], cp.log_sum_exp(f, axis=1) - cp.sum(cp.multiply(Y, f), axis=1)))
    unit = y_size**2 / n if data.loss in ("squared", "huber") else 1.0 / n
    # The weights are diag(y_size / c_size) times the variables.
    weights = [[cp.multiply(y_size / c_size[:, None], M) for M in part] for part in parts]
    total = fit + (data.lam / unit) * _omega(data.penalty, weights) if data.lam > 0.0 else fit
    constraints = []
    for part in parts if data.relu else []:
        constraints += [np.where(data.D[:, [i]], 1.0, -1.0) * X @ M >= 0 for i, M in enumerate(part)]
    size = max(data.at_zero() / unit, float(np.finfo(float).tiny))
    program = cp.Problem(cp.Minimize(n * total / size), constraints)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            program.solve(solver="CLARABEL", tol_gap_abs=1e-9, tol_gap_rel=1e-9, tol_feas=1e-9)
        except (cp.error.SolverError, ValueError):
            return None
    if program.status != cp.OPTIMAL:
        return None
    return float(program.value) * size / n * unit


def _omega(penalty: str, parts: list[list[cp.Expression]]) -> cp.Expression:
    matrices = [M for part in parts for M in part]
    if penalty == "group_l1":
        return sum(cp.sum(cp.norm(M, 2, axis=0)) for M in matrices)
    if penalty == "l1":
        return sum(cp.sum(cp.abs(M)) for M in matrices)
    if penalty == "feature_group_l1":
        return cp.sum(cp.norm(cp.hstack(matrices), 2, axis=1))
    if penalty == "squared_l2":
        return sum(cp.sum_squares(M) for M in matrices) / 2
    if penalty == "nuclear":
        return sum(cp.normNuc(M) for M in matrices)
    return cp.Constant(0.0)
