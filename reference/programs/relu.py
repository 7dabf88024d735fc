"""C-ReLU, its dual, its lam_max, and the ReLU networks of its weights."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import cvxpy as cp
import numpy as np
from numpy.typing import ArrayLike

from reference.programs.base import Array, Program, check, check_norm, columns, diagonal, signed_rows, total, weights_of
from reference.programs.losses import F_at, loss_conjugate, loss_gradient_at_zero, loss_value
from reference.programs.penalties import penalty_conjugate, penalty_value


@dataclass(frozen=True, eq=False)
class ReLUPrimal(Program):
    """C-ReLU: V[i] and W[i] are the variables V_i and W_i (d, c)."""

    V: list[cp.Variable]
    W: list[cp.Variable]

    def weights(self) -> tuple[Array, Array]:
        """V and W as arrays (c, P, d) each."""
        return weights_of(self.V), weights_of(self.W)


@dataclass(frozen=True, eq=False)
class ReLUDual(Program):
    """The dual of C-ReLU: t (n, c); g[i] and h[i] (n, c) are the multipliers of V_i and W_i in K_i."""

    t: cp.Variable
    g: list[cp.Variable]
    h: list[cp.Variable]


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


def check_relu_penalty(penalty: str) -> None:
    """Raise ValueError for the nuclear penalty, which is defined for gated networks only."""
    if penalty == "nuclear":
        raise ValueError("the nuclear penalty is for the gated problem only")
