r"""The programs of arXiv 2202.01331, written literally in CVXPY: slow, obvious and independent.

This module is the oracle of the tests. It imports only NumPy and CVXPY, and nothing of the package that it checks. Each
program is the formula of its docstring, with one dense diagonal matrix and one iteration of a Python loop for each
activation pattern. Use it for tens of rows, not thousands.

Source: Mishkin, Sahiner and Pilanci, "Fast Convex Optimization for Two-Layer ReLU Networks: Equivalent Model
Classes and Cone Decompositions" (ICML 2022), with the correction of its v4 (2025): the equivalence of gated
ReLU and ReLU holds for *non-singular* gates. Problems have the paper's names: NC-ReLU, NC-GReLU, C-ReLU, C-GReLU,
CD-SOCP, CD-A. CD-L2, CD-L1 and CD-F are our names for CD-SOCP with the other objectives that the authors' package
offers. Equation and theorem numbers are omitted.

Notation
--------
- X (n, d) data; Y (n, c) targets, or y (n,) for c = 1; D (n, P) bool, column i the activation pattern i.
- D_i = diag(D[:, i]) (n, n), and Xt_i = (2 D_i - I) X, the rows of X with the signs of pattern i.
- K_i = {w : Xt_i w >= 0}, the cone of the neurons with pattern i; K_i^o = {-Xt_i' g : g >= 0}, its polar.
- U_i (d, c), one matrix for each pattern; its column k is the block u_{k,i} that feeds output k.
- Every primal problem is F(prediction) + lam Omega(weights), and its dual is a problem in t (n, c).

Scaling
-------
F(f) = (1/n) sum_j loss(f_j, y_j), with 1/2 ||f_j - y_j||^2 for the squared loss. The paper has no 1/n:
with the same loss, its lambda is our n lam and its optimal value n times ours.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cvxpy as cp
import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[np.float64]
Conjugate: TypeAlias = tuple[cp.Expression, list[cp.Constraint]]
"""A conjugate function: its value, and the constraints of its domain."""

MAX_ROWS_FOR_ENUMERATION = 10


# ---------------------------------------------------------------------------------------------------------
# Programs and their variables
# ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Program:
    """A CVXPY problem; subclasses name its variables."""

    problem: cp.Problem

    @property
    def value(self) -> float:
        """The optimal value, once ``problem.solve()`` has been called."""
        if self.problem.value is None:
            raise RuntimeError("the program has no value yet: call .problem.solve() first")
        return float(self.problem.value)


@dataclass(frozen=True, eq=False)
class GatedPrimal(Program):
    """C-GReLU: U[i] is the variable U_i (d, c)."""

    U: list[cp.Variable]

    def weights(self) -> Array:
        """U as one array (c, P, d)."""
        return weights_of(self.U)


@dataclass(frozen=True, eq=False)
class ReLUPrimal(Program):
    """C-ReLU: V[i] and W[i] are the variables V_i and W_i (d, c)."""

    V: list[cp.Variable]
    W: list[cp.Variable]

    def weights(self) -> tuple[Array, Array]:
        """V and W as arrays (c, P, d) each."""
        return weights_of(self.V), weights_of(self.W)


@dataclass(frozen=True, eq=False)
class GatedDual(Program):
    """The dual of C-GReLU: t (n, c)."""

    t: cp.Variable


@dataclass(frozen=True, eq=False)
class ReLUDual(Program):
    """The dual of C-ReLU: t (n, c); g[i] and h[i] (n, c) are the multipliers of V_i and W_i in K_i."""

    t: cp.Variable
    g: list[cp.Variable]
    h: list[cp.Variable]


@dataclass(frozen=True, eq=False)
class Decomposition(Program):
    """A cone decomposition u = v - w: v and w (d,)."""

    v: cp.Expression
    w: cp.Expression


def weights_of(blocks: Sequence[cp.Expression]) -> Array:
    """Return the values of P matrices (d, c) as one array (c, P, d)."""
    return np.stack([np.asarray(B.value, dtype=float).T for B in blocks], axis=1)


def columns(Y: ArrayLike) -> Array:
    """Return Y (n, c) unchanged, y (n,) as one column (n, 1)."""
    Y = np.asarray(Y, dtype=float)
    return Y[:, np.newaxis] if Y.ndim == 1 else Y


def total(terms: Iterable[cp.Expression]) -> cp.Expression:
    """Return the sum of CVXPY expressions of one shape."""
    first, *others = terms
    for term in others:
        first = first + term
    return first


def diagonal(D: ArrayLike, i: int) -> Array:
    """D_i = diag(D[:, i]) (n, n)."""
    return np.diag(np.asarray(D, dtype=float)[:, i])


def signed_rows(X: Array, D: ArrayLike, i: int) -> Array:
    """Xt_i = (2 D_i - I) X (n, d): K_i = {w : Xt_i w >= 0}."""
    return (2 * diagonal(D, i) - np.eye(len(X))) @ X


# ---------------------------------------------------------------------------------------------------------
# Losses F and their conjugates F*(t) = sup_f <t, f> - F(f)
# ---------------------------------------------------------------------------------------------------------


def squared(f: cp.Expression, Y: Array) -> cp.Expression:
    """F(f) = 1/(2n) sum_j ||f_j - y_j||^2."""
    return cp.sum_squares(f - Y) / (2 * len(Y))


def squared_conjugate(t: cp.Expression, Y: Array) -> Conjugate:
    """F*(t) = n/2 ||t||^2 + <t, Y>."""
    return len(Y) / 2 * cp.sum_squares(t) + cp.sum(cp.multiply(Y, t)), []


def logistic(f: cp.Expression, Y: Array) -> cp.Expression:
    """F(f) = 1/n sum_{j,k} log(1 + exp(-y_{jk} f_{jk})), labels y in {-1, +1}."""
    if not np.isin(Y, (-1, 1)).all():
        raise ValueError("the logistic loss takes labels -1 and +1")
    return cp.sum(cp.logistic(-cp.multiply(Y, f))) / len(Y)


def logistic_conjugate(t: cp.Expression, Y: Array) -> Conjugate:
    """F*(t) = 1/n sum_{j,k} a log a + (1 - a) log(1 - a), with a = -n y_{jk} t_{jk} in [0, 1]."""
    a = -len(Y) * cp.multiply(Y, t)
    return -cp.sum(cp.entr(a) + cp.entr(1 - a)) / len(Y), [a >= 0, a <= 1]


def softmax(f: cp.Expression, Y: Array) -> cp.Expression:
    """F(f) = 1/n sum_j log(sum_k exp(f_{jk})) - <y_j, f_j>, with one-hot rows y_j."""
    if not (np.isin(Y, (0, 1)).all() and (Y.sum(axis=1) == 1).all()):
        raise ValueError("the softmax loss takes one-hot rows")
    return (cp.sum(cp.log_sum_exp(f, axis=1)) - cp.sum(cp.multiply(Y, f))) / len(Y)


def softmax_conjugate(t: cp.Expression, Y: Array) -> Conjugate:
    """F*(t) = 1/n sum_{j,k} p_{jk} log p_{jk}, with p_j = n t_j + y_j in the simplex."""
    p = len(Y) * t + Y
    return -cp.sum(cp.entr(p)) / len(Y), [p >= 0, cp.sum(p, axis=1) == 1]


def huber(f: cp.Expression, Y: Array, delta: float) -> cp.Expression:
    """F(f) = 1/n sum_{j,k} 1/2 r^2 where |r| <= delta, else delta |r| - delta^2 / 2, with r = f - Y."""
    return delta**2 * cp.sum(cp.huber((f - Y) / delta)) / (2 * len(Y))  # CVXPY's huber: x^2, then 2|x| - 1


def huber_conjugate(t: cp.Expression, Y: Array, delta: float) -> Conjugate:
    """F*(t) = n/2 ||t||^2 + <t, Y>, where |n t_{jk}| <= delta."""
    value, _ = squared_conjugate(t, Y)
    return value, [len(Y) * cp.abs(t) <= delta]


def loss_value(f: cp.Expression, Y: Array, loss: str, delta: float = 1.0) -> cp.Expression:
    """Return F(f) for the named loss."""
    if loss == "squared":
        return squared(f, Y)
    if loss == "logistic":
        return logistic(f, Y)
    if loss == "softmax":
        return softmax(f, Y)
    if loss == "huber":
        return huber(f, Y, delta)
    raise ValueError(f"loss {loss!r} is not one of squared, logistic, softmax, huber")


def F_at(f: Array, Y: Array, loss: str, delta: float = 1.0) -> float:
    """Return the number F(f) at an array f (n, c); loss name and labels are checked."""
    return float(np.asarray(loss_value(cp.Constant(f), Y, loss, delta).value).item())


def loss_conjugate(t: cp.Expression, Y: Array, loss: str, delta: float = 1.0) -> Conjugate:
    """Return F*(t) for the named loss."""
    F_at(np.zeros(Y.shape), Y, loss, delta)  # checks name and labels
    if loss == "squared":
        return squared_conjugate(t, Y)
    if loss == "logistic":
        return logistic_conjugate(t, Y)
    if loss == "softmax":
        return softmax_conjugate(t, Y)
    return huber_conjugate(t, Y, delta)


def loss_gradient_at_zero(Y: Array, loss: str, delta: float = 1.0) -> Array:
    """Return grad F(0) (n, c), the dual point t of the zero network."""
    F_at(np.zeros(Y.shape), Y, loss, delta)  # checks name and labels
    gradients = {
        "squared": -Y,
        "logistic": -Y / 2,
        "softmax": 1 / Y.shape[1] - Y,
        "huber": -np.clip(Y, -delta, delta),
    }
    gradient: Array = gradients[loss] / len(Y)
    return gradient


# ---------------------------------------------------------------------------------------------------------
# Penalties Omega of a list of matrices (d, c), and the conjugates of lam Omega
# ---------------------------------------------------------------------------------------------------------


def group_l1(blocks: Sequence[cp.Expression]) -> cp.Expression:
    """Omega(U) = sum_{k,i} ||u_{k,i}||_2, the convex form of weight decay."""
    return total(cp.norm(U_i[:, k], 2) for U_i in blocks for k in range(U_i.shape[1]))


def feature_group_l1(blocks: Sequence[cp.Expression]) -> cp.Expression:
    """Omega(U) = sum_j ||(row j of every U_i)||_2, without the factor sqrt(d) of the authors' package."""
    return total(cp.norm(row, 2) for row in feature_rows(blocks))


def l1(blocks: Sequence[cp.Expression]) -> cp.Expression:
    """Omega(U) = sum of all |entries|."""
    return total(cp.sum(cp.abs(U_i)) for U_i in blocks)


def squared_l2(blocks: Sequence[cp.Expression]) -> cp.Expression:
    """Omega(U) = 1/2 sum of all squared entries."""
    return total(cp.sum_squares(U_i) for U_i in blocks) / 2


def nuclear(blocks: Sequence[cp.Expression]) -> cp.Expression:
    """Omega(U) = sum_i ||U_i||_*, the convex form of weight decay for gated networks with any c."""
    return total(cp.normNuc(U_i) for U_i in blocks)


def feature_rows(blocks: Sequence[cp.Expression]) -> list[cp.Expression]:
    """Return for each feature j the vector of row j of every matrix."""
    d = blocks[0].shape[0]
    return [cp.hstack([U_i[j, :] for U_i in blocks]) for j in range(d)]


PENALTIES: dict[str, Callable[[Sequence[cp.Expression]], cp.Expression]] = {
    "group_l1": group_l1,
    "feature_group_l1": feature_group_l1,
    "l1": l1,
    "squared_l2": squared_l2,
    "nuclear": nuclear,
    "none": lambda blocks: cp.Constant(0),
}


def penalty_value(blocks: Sequence[cp.Expression], penalty: str) -> cp.Expression:
    """Return Omega for the named penalty."""
    if penalty not in PENALTIES:
        raise ValueError(f"penalty {penalty!r} is not one of {', '.join(PENALTIES)}")
    return PENALTIES[penalty](blocks)


def penalty_conjugate(blocks: Sequence[cp.Expression], lam: float | cp.Variable, penalty: str) -> Conjugate:
    r"""(lam Omega)*(Z) for Z = (Z_1, ..., Z_P), matrices (d, c).

    For a norm Omega it is 0 where the dual norm of Z is at most lam, and infinite elsewhere:

    - group_l1:          ||z_{k,i}||_2 <= lam for all k, i
    - feature_group_l1:  ||(row j of every Z_i)||_2 <= lam for all j
    - l1:                all |entries| <= lam
    - nuclear:           the spectral norm of every Z_i <= lam
    - squared_l2:        finite everywhere, 1/(2 lam) sum_i ||Z_i||_F^2
    - none, or lam = 0:  Z = 0
    """
    if penalty not in PENALTIES:
        raise ValueError(f"penalty {penalty!r} is not one of {', '.join(PENALTIES)}")
    zero = cp.Constant(0)
    if penalty == "none" or (not isinstance(lam, cp.Variable) and lam == 0):
        return zero, [Z_i == 0 for Z_i in blocks]
    if penalty == "group_l1":
        return zero, [cp.norm(Z_i[:, k], 2) <= lam for Z_i in blocks for k in range(Z_i.shape[1])]
    if penalty == "feature_group_l1":
        return zero, [cp.norm(row, 2) <= lam for row in feature_rows(blocks)]
    if penalty == "l1":
        return zero, [cp.abs(Z_i) <= lam for Z_i in blocks]
    if penalty == "nuclear":
        return zero, [cp.sigma_max(Z_i) <= lam for Z_i in blocks]
    return total(cp.sum_squares(Z_i) for Z_i in blocks) / (2 * lam), []


# ---------------------------------------------------------------------------------------------------------
# C-GReLU and its dual
# ---------------------------------------------------------------------------------------------------------


def c_gated_relu(
    X: ArrayLike,
    Y: ArrayLike,
    D: ArrayLike,
    lam: float,
    loss: str = "squared",
    penalty: str = "group_l1",
    delta: float = 1.0,
) -> GatedPrimal:
    r"""C-GReLU: min_U F(sum_i D_i X U_i) + lam Omega(U).

    Parameters
    ----------
    X, Y, D : array_like
        Data (n, d), targets (n, c) or (n,), patterns (n, P).
    lam : float
        Strength of the penalty, at least 0.
    loss, penalty : str
        Names of F and Omega; group_l1 gives the paper's problem.
    delta : float
        Threshold of the Huber loss.

    Returns
    -------
    GatedPrimal
        The problem and U, a list of P variables (d, c).
    """
    X, Y, D = check(X, Y, D, lam)
    d, c, P = X.shape[1], Y.shape[1], D.shape[1]
    U = [cp.Variable((d, c), name=f"U_{i}") for i in range(P)]
    prediction = total(diagonal(D, i) @ X @ U[i] for i in range(P))
    objective = loss_value(prediction, Y, loss, delta) + lam * penalty_value(U, penalty)
    return GatedPrimal(cp.Problem(cp.Minimize(objective)), U)


def c_gated_relu_dual(
    X: ArrayLike,
    Y: ArrayLike,
    D: ArrayLike,
    lam: float,
    loss: str = "squared",
    penalty: str = "group_l1",
    delta: float = 1.0,
) -> GatedDual:
    r"""Dual of C-GReLU: max_t -F*(t) - (lam Omega)*(Z), with Z_i = -X' D_i t.

    With group_l1: max_t -F*(t) subject to ||X' D_i t_k|| <= lam for all i and k.

    Parameters
    ----------
    X, Y, D, lam, loss, penalty, delta
        As for `c_gated_relu`.

    Returns
    -------
    GatedDual
        The problem and t (n, c), at the optimum the gradient of F at the optimal prediction.
    """
    X, Y, D = check(X, Y, D, lam)
    P = D.shape[1]
    t = cp.Variable(Y.shape, name="t")
    Z = [-X.T @ diagonal(D, i) @ t for i in range(P)]
    F_star, domain = loss_conjugate(t, Y, loss, delta)
    Omega_star, feasible = penalty_conjugate(Z, lam, penalty)
    return GatedDual(cp.Problem(cp.Maximize(-F_star - Omega_star), domain + feasible), t)


# ---------------------------------------------------------------------------------------------------------
# C-ReLU and its dual
# ---------------------------------------------------------------------------------------------------------


def c_relu(
    X: ArrayLike,
    Y: ArrayLike,
    D: ArrayLike,
    lam: float,
    loss: str = "squared",
    penalty: str = "group_l1",
    delta: float = 1.0,
) -> ReLUPrimal:
    r"""C-ReLU: min_{V,W} F(sum_i D_i X (V_i - W_i)) + lam Omega(V, W), all columns of V_i and W_i in K_i.

    The cones are written out: (2 D_i - I) X V_i >= 0 and (2 D_i - I) X W_i >= 0.

    Parameters
    ----------
    X, Y, D, lam, loss, penalty, delta
        As for `c_gated_relu`, without the nuclear penalty.

    Returns
    -------
    ReLUPrimal
        The problem, V and W, lists of P variables (d, c) each.
    """
    X, Y, D = check(X, Y, D, lam)
    check_relu_penalty(penalty)
    d, c, P = X.shape[1], Y.shape[1], D.shape[1]
    V = [cp.Variable((d, c), name=f"V_{i}") for i in range(P)]
    W = [cp.Variable((d, c), name=f"W_{i}") for i in range(P)]
    prediction = total(diagonal(D, i) @ X @ (V[i] - W[i]) for i in range(P))
    objective = loss_value(prediction, Y, loss, delta) + lam * penalty_value(V + W, penalty)
    constraints = []
    for i in range(P):
        constraints += [signed_rows(X, D, i) @ V[i] >= 0, signed_rows(X, D, i) @ W[i] >= 0]
    return ReLUPrimal(cp.Problem(cp.Minimize(objective), constraints), V, W)


def c_relu_dual(
    X: ArrayLike,
    Y: ArrayLike,
    D: ArrayLike,
    lam: float,
    loss: str = "squared",
    penalty: str = "group_l1",
    delta: float = 1.0,
) -> ReLUDual:
    r"""Dual of C-ReLU: max_{t, g >= 0, h >= 0} -F*(t) - (lam Omega)*(Z).

    Z = (-X' D_i t + Xt_i' g_i, +X' D_i t + Xt_i' h_i : i = 1, ..., P), matrices (d, c).

    Derivation: the conjugate of lam Omega + indicator of K at z is the smallest (lam Omega)*(z - m) over m in the
    polar cone K^o = {-Xt' g : g >= 0}. With group_l1 the constraints read
    ||-X' D_i t_k + Xt_i' g_{i,k}|| <= lam and ||X' D_i t_k + Xt_i' h_{i,k}|| <= lam, and by Moreau's
    decomposition they hold for some g, h iff ||proj_{K_i}(-X' D_i t_k)|| and ||proj_{K_i}(X' D_i t_k)||
    are at most lam.

    Parameters
    ----------
    X, Y, D, lam, loss, penalty, delta
        As for `c_relu`.

    Returns
    -------
    ReLUDual
        The problem, t (n, c), g and h, lists of P variables (n, c) each.
    """
    X, Y, D = check(X, Y, D, lam)
    check_relu_penalty(penalty)
    P = D.shape[1]
    t = cp.Variable(Y.shape, name="t")
    g = [cp.Variable(Y.shape, nonneg=True, name=f"g_{i}") for i in range(P)]
    h = [cp.Variable(Y.shape, nonneg=True, name=f"h_{i}") for i in range(P)]
    Z_V = [-X.T @ diagonal(D, i) @ t + signed_rows(X, D, i).T @ g[i] for i in range(P)]
    Z_W = [+X.T @ diagonal(D, i) @ t + signed_rows(X, D, i).T @ h[i] for i in range(P)]
    F_star, domain = loss_conjugate(t, Y, loss, delta)
    Omega_star, feasible = penalty_conjugate(Z_V + Z_W, lam, penalty)
    return ReLUDual(cp.Problem(cp.Maximize(-F_star - Omega_star), domain + feasible), t, g, h)


# ---------------------------------------------------------------------------------------------------------
# The smallest lam with the zero network
# ---------------------------------------------------------------------------------------------------------


def gated_lam_max(
    X: ArrayLike,
    Y: ArrayLike,
    D: ArrayLike,
    loss: str = "squared",
    penalty: str = "group_l1",
    delta: float = 1.0,
) -> Program:
    r"""Smallest lam for which U = 0 solves C-GReLU: min lam such that t = grad F(0) is dual feasible.

    With group_l1 its value is max_{i,k} ||X' D_i t_k||. Undefined for squared_l2 and none.
    """
    X, Y, D = check(X, Y, D, 0.0)
    check_norm(penalty)
    t = loss_gradient_at_zero(Y, loss, delta)
    lam = cp.Variable(nonneg=True, name="lam")
    Z = [cp.Constant(-X.T @ diagonal(D, i) @ t) for i in range(D.shape[1])]
    _, feasible = penalty_conjugate(Z, lam, penalty)
    return Program(cp.Problem(cp.Minimize(lam), feasible))


def relu_lam_max(
    X: ArrayLike,
    Y: ArrayLike,
    D: ArrayLike,
    loss: str = "squared",
    penalty: str = "group_l1",
    delta: float = 1.0,
) -> Program:
    r"""Smallest lam for which V = W = 0 solves C-ReLU: min lam over g, h >= 0, with t = grad F(0).

    With group_l1 its value is max_{i,k} max(||proj_{K_i}(-X' D_i t_k)||, ||proj_{K_i}(X' D_i t_k)||).
    """
    X, Y, D = check(X, Y, D, 0.0)
    check_relu_penalty(penalty)
    check_norm(penalty)
    t = loss_gradient_at_zero(Y, loss, delta)
    lam = cp.Variable(nonneg=True, name="lam")
    Z = []
    for i in range(D.shape[1]):
        g, h = cp.Variable(Y.shape, nonneg=True), cp.Variable(Y.shape, nonneg=True)
        Z += [-X.T @ diagonal(D, i) @ t + signed_rows(X, D, i).T @ g]
        Z += [+X.T @ diagonal(D, i) @ t + signed_rows(X, D, i).T @ h]
    _, feasible = penalty_conjugate(Z, lam, penalty)
    return Program(cp.Problem(cp.Minimize(lam), feasible))


# ---------------------------------------------------------------------------------------------------------
# Cone decompositions: u = v - w with v and w in K = {w : Xt w >= 0}, Xt = (2 diag(pattern) - I) X
# ---------------------------------------------------------------------------------------------------------


def cd_socp(X: ArrayLike, pattern: ArrayLike, u: ArrayLike) -> Decomposition:
    """CD-SOCP: min ||v||_2 + ||w||_2 subject to v - w = u, Xt v >= 0, Xt w >= 0.

    Parameters
    ----------
    X, pattern, u : array_like
        Data (n, d), one activation pattern (n,) bool, one block of gated weights (d,).

    Returns
    -------
    Decomposition
        The problem, v and w (d,). Infeasible for some u iff the pattern is singular.
    """
    v, w, decomposed = decomposition_of(X, pattern, u)
    return Decomposition(cp.Problem(cp.Minimize(cp.norm(v, 2) + cp.norm(w, 2)), decomposed), v, w)


def cd_l2(X: ArrayLike, pattern: ArrayLike, u: ArrayLike) -> Decomposition:
    """CD-L2: min ||v||_2^2 + ||w||_2^2 subject to v - w = u, Xt v >= 0, Xt w >= 0."""
    v, w, decomposed = decomposition_of(X, pattern, u)
    return Decomposition(cp.Problem(cp.Minimize(cp.sum_squares(v) + cp.sum_squares(w)), decomposed), v, w)


def cd_l1(X: ArrayLike, pattern: ArrayLike, u: ArrayLike) -> Decomposition:
    """CD-L1: min ||v||_1 + ||w||_1 subject to v - w = u, Xt v >= 0, Xt w >= 0."""
    v, w, decomposed = decomposition_of(X, pattern, u)
    return Decomposition(cp.Problem(cp.Minimize(cp.norm(v, 1) + cp.norm(w, 1)), decomposed), v, w)


def cd_feasible(X: ArrayLike, pattern: ArrayLike, u: ArrayLike) -> Decomposition:
    """CD-F: find v and w with v - w = u, Xt v >= 0, Xt w >= 0."""
    v, w, decomposed = decomposition_of(X, pattern, u)
    return Decomposition(cp.Problem(cp.Minimize(0), decomposed), v, w)


def cd_approximate(X: ArrayLike, pattern: ArrayLike, u: ArrayLike, rho: float) -> Decomposition:
    """CD-A: min_w 1/2 ||(-Xt w)_+||^2 + 1/2 ||(-Xt (u + w))_+||^2 + rho ||w||_2, and v = u + w.

    v - w = u holds exactly, the cones only as rho -> 0. Arguments as for `cd_socp`, and rho >= 0.
    """
    X, u = np.asarray(X, dtype=float), np.asarray(u, dtype=float)
    Xt = signed_rows(X, np.reshape(pattern, (-1, 1)), 0)
    w = cp.Variable(X.shape[1], name="w")
    v = u + w
    violation = cp.sum_squares(cp.pos(-Xt @ w)) / 2 + cp.sum_squares(cp.pos(-Xt @ v)) / 2
    return Decomposition(cp.Problem(cp.Minimize(violation + rho * cp.norm(w, 2))), v, w)


def decomposition_of(
    X: ArrayLike, pattern: ArrayLike, u: ArrayLike
) -> tuple[cp.Variable, cp.Variable, list[cp.Constraint]]:
    """Return variables v, w (d,) and the constraints v - w = u, Xt v >= 0, Xt w >= 0."""
    X, u = np.asarray(X, dtype=float), np.asarray(u, dtype=float)
    Xt = signed_rows(X, np.reshape(pattern, (-1, 1)), 0)
    v, w = cp.Variable(X.shape[1], name="v"), cp.Variable(X.shape[1], name="w")
    return v, w, [v - w == u, Xt @ v >= 0, Xt @ w >= 0]


# ---------------------------------------------------------------------------------------------------------
# The non-convex problems, and the maps from convex weights to networks
# ---------------------------------------------------------------------------------------------------------


def nc_relu_objective(
    X: ArrayLike,
    Y: ArrayLike,
    W1: ArrayLike,
    w2: ArrayLike,
    lam: float,
    loss: str = "squared",
    delta: float = 1.0,
) -> float:
    r"""NC-ReLU: F(sum_i (X W1_i)_+ w2_i') + lam/2 sum_i (||W1_i||^2 + ||w2_i||^2).

    Parameters
    ----------
    X, Y : array_like
        Data (n, d), targets (n, c) or (n,).
    W1, w2 : array_like
        First layer (m, d), second layer (m,) or (m, c); row i is neuron i.
    lam, loss, delta
        As for `c_relu`.

    Returns
    -------
    float
        The value of the objective at this network.
    """
    X, Y, W1, w2 = np.asarray(X, dtype=float), columns(Y), np.asarray(W1, dtype=float), columns(w2)
    prediction, decay = np.zeros(Y.shape), 0.0
    for a, b in zip(W1, w2, strict=True):
        prediction += np.outer(np.maximum(X @ a, 0), b)
        decay += a @ a + b @ b
    return F_at(prediction, Y, loss, delta) + lam / 2 * float(decay)


def nc_gated_relu_objective(
    X: ArrayLike,
    Y: ArrayLike,
    D: ArrayLike,
    W1: ArrayLike,
    w2: ArrayLike,
    lam: float,
    loss: str = "squared",
    delta: float = 1.0,
) -> float:
    r"""NC-GReLU: F(sum_i D_i X W1_i w2_i') + lam/2 sum_i (||W1_i||^2 + ||w2_i||^2), the gates D_i fixed.

    Parameters
    ----------
    X, Y, W1, w2, lam, loss, delta
        As for `nc_relu_objective`.
    D : array_like
        Patterns (n, m): column i is the gate of neuron i; repeat a column for neurons with the same gate.

    Returns
    -------
    float
        The value of the objective at this network.
    """
    X, Y, W1, w2 = np.asarray(X, dtype=float), columns(Y), np.asarray(W1, dtype=float), columns(w2)
    prediction, decay = np.zeros(Y.shape), 0.0
    for i, (a, b) in enumerate(zip(W1, w2, strict=True)):
        prediction += np.outer(diagonal(D, i) @ X @ a, b)
        decay += a @ a + b @ b
    return F_at(prediction, Y, loss, delta) + lam / 2 * float(decay)


def relu_network(V: Array, W: Array) -> tuple[Array, Array]:
    r"""Map C-ReLU weights to a network: v -> (v / sqrt||v||, +sqrt||v||), w -> (w / sqrt||w||, -sqrt||w||).

    Parameters
    ----------
    V, W : ndarray
        Blocks (c, P, d) in their cones. Zero blocks are dropped.

    Returns
    -------
    W1, w2 : ndarray
        First layer (m, d) and second layer (m, c): neuron i feeds the one output of its block.
    """
    c, P, d = V.shape
    W1, w2 = [np.zeros((0, d))], [np.zeros((0, c))]
    for k, i in itertools.product(range(c), range(P)):
        for block, sign in ((V[k, i], 1.0), (W[k, i], -1.0)):
            root = np.sqrt(np.linalg.norm(block))
            if root > 0:
                W1.append(block[np.newaxis] / root)
                w2.append(sign * root * np.eye(c)[[k]])
    return np.concatenate(W1), np.concatenate(w2)


def gated_network(U: Array) -> tuple[Array, Array, list[int]]:
    r"""Map C-GReLU weights to a network by the singular value decompositions U_i = sum_r s_r a_r b_r'.

    Each triple is one neuron, (sqrt(s_r) a_r, sqrt(s_r) b_r), so that its weight decay adds up to the nuclear
    norm, the minimum over gated networks with these U_i. For c = 1 that is the group_l1 penalty.

    Parameters
    ----------
    U : ndarray
        Blocks (c, P, d).

    Returns
    -------
    W1, w2, gates
        First layer (m, d), second layer (m, c), and the index of each neuron's pattern.
    """
    c, P, d = U.shape
    W1, w2, gates = [], [], []
    for i in range(P):
        a, s, b = np.linalg.svd(U[:, i].T, full_matrices=False)
        for r in np.flatnonzero(s):
            W1.append(np.sqrt(s[r]) * a[:, r])
            w2.append(np.sqrt(s[r]) * b[r])
            gates.append(i)
    return np.reshape(W1, (-1, d)), np.reshape(w2, (-1, c)), gates


# ---------------------------------------------------------------------------------------------------------
# All patterns, by one linear program each
# ---------------------------------------------------------------------------------------------------------


def all_patterns(X: ArrayLike, tol: float = 1e-6) -> NDArray[np.bool_]:
    r"""Return all non-singular activation patterns of X, by a linear program for each of the 2^n sign vectors.

    The pattern with signs s in {-1, +1}^n is realised, and its cone has interior points, iff

        max_{g, r} r  subject to  s_j x_j' g >= r for every row x_j != 0,  -1 <= g <= 1

    is positive. A zero row is active in every pattern, as 1[0 >= 0] = 1.

    Parameters
    ----------
    X : array_like
        Data (n, d), n at most 10.
    tol : float
        Rows are scaled to unit norm; a margin r above tol counts as positive.

    Returns
    -------
    ndarray
        D (n, P) bool, the pattern without active rows included where it is realised. For rows in general
        position and rank r there are 2 sum_{k<r} C(n - 1, k) of them.
    """
    X = np.asarray(X, dtype=float)
    n, d = X.shape
    if n > MAX_ROWS_FOR_ENUMERATION:
        raise ValueError(
            f"X has {n} rows; all 2^n sign vectors are tried, so at most {MAX_ROWS_FOR_ENUMERATION} are allowed"
        )
    norms = np.linalg.norm(X, axis=1)
    rows = np.flatnonzero(norms > 0)
    signs = cp.Parameter(len(rows))
    g, margin = cp.Variable(d), cp.Variable()
    unit_rows = X[rows] / norms[rows, np.newaxis]
    inside = [cp.multiply(signs, unit_rows @ g) >= margin, cp.abs(g) <= 1, margin <= 1]
    problem = cp.Problem(cp.Maximize(margin), inside)
    patterns = []
    for s in itertools.product((1.0, -1.0), repeat=len(rows)):
        signs.value = np.array(s)
        problem.solve(solver=cp.CLARABEL)
        if problem.value > tol:
            pattern = np.ones(n, dtype=bool)
            pattern[rows] = signs.value > 0
            patterns.append(pattern)
    return np.stack(patterns, axis=1)


# ---------------------------------------------------------------------------------------------------------
# Checks of the arguments
# ---------------------------------------------------------------------------------------------------------


def check(X: ArrayLike, Y: ArrayLike, D: ArrayLike, lam: float) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return X (n, d), Y (n, c) and D (n, P) as arrays, after checks of shapes and lam >= 0."""
    X, Y, D = np.asarray(X, dtype=float), columns(Y), np.asarray(D, dtype=bool)
    if not (X.ndim == Y.ndim == D.ndim == 2 and len(X) == len(Y) == len(D)):
        raise ValueError(f"X (n, d), Y (n, c) and D (n, P) do not match: {X.shape}, {Y.shape}, {D.shape}")
    if not lam >= 0:
        raise ValueError(f"lam is {lam}; it must be at least 0")
    return X, Y, D


def check_relu_penalty(penalty: str) -> None:
    """Raise ValueError for the nuclear penalty, which is defined for gated networks only."""
    if penalty == "nuclear":
        raise ValueError("the nuclear penalty is for the gated problem only")


def check_norm(penalty: str) -> None:
    """Raise ValueError for penalties that are not norms, which have no lam_max."""
    if penalty in ("squared_l2", "none"):
        raise ValueError(f"there is no lam_max for the penalty {penalty!r}: it is not a norm")
