"""Losses F and their conjugates F*(t) = sup_f <t, f> - F(f)."""

from __future__ import annotations

import cvxpy as cp
import numpy as np

from reference.programs.base import Array, Conjugate


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
