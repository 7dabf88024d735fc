"""C-GReLU, its dual, its lam_max, and the gated networks of its weights."""

from __future__ import annotations

from dataclasses import dataclass

import cvxpy as cp
import numpy as np
from numpy.typing import ArrayLike

from reference.programs.base import Array, Program, check, check_norm, columns, diagonal, total, weights_of
from reference.programs.losses import F_at, loss_conjugate, loss_gradient_at_zero, loss_value
from reference.programs.penalties import penalty_conjugate, penalty_value


@dataclass(frozen=True, eq=False)
class GatedPrimal(Program):
    """C-GReLU: U[i] is the variable U_i (d, c)."""

    U: list[cp.Variable]

    def weights(self) -> Array:
        """U as one array (c, P, d)."""
        return weights_of(self.U)


@dataclass(frozen=True, eq=False)
class GatedDual(Program):
    """The dual of C-GReLU: t (n, c)."""

    t: cp.Variable


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
