"""Losses and their conjugates bounded from above, and dual points exactly in the domain of the conjugate."""

import math

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.losses.base import Loss
from cvxrelu.losses.huber import Huber
from cvxrelu.losses.logistic import Logistic
from cvxrelu.losses.softmax import SoftmaxCrossEntropy
from cvxrelu.losses.squared import Squared
from cvxrelu.numerics.enclosures import entropy_above, log_sum_exp_above
from cvxrelu.numerics.rounding import above, dot_radius

LOSSES = (Squared, Huber, Logistic, SoftmaxCrossEntropy)
_EPS = 2.0**-52


def loss_above(loss: Loss, f: FloatArray, radius: FloatArray, Y: FloatArray) -> float:
    """Return an upper bound of F at any prediction within ``radius`` of f, all (n, c)."""
    if not np.isfinite(f + radius).all():
        return np.inf
    n = len(Y)
    if isinstance(loss, Squared | Huber):
        sizes = above(np.abs(f - Y) + radius, 2)  # the losses grow with |f - Y|
        inner = np.minimum(sizes, loss.delta) if isinstance(loss, Huber) else sizes
        terms = above(inner * (sizes - 0.5 * inner), 3)
        return float(above(np.asarray(np.sum(terms) / n), terms.size + 1))
    if isinstance(loss, Logistic):
        margins: FloatArray = (radius - Y * f).reshape(-1, 1)  # Y is -1 or 1
    else:
        margins = f - np.sum(Y * f, axis=1, keepdims=True)  # Y is one-hot: the sum is exact
        of_label = np.sum(Y * radius, axis=1, keepdims=True)
        margins = _others(margins + above(radius + of_label + _EPS * np.abs(margins), 3), Y)
    margins = np.nextafter(margins, np.inf)
    total = log_sum_exp_above(margins) if np.isfinite(margins).all() else np.inf
    return math.nextafter(total / n, math.inf)


def into_domain(loss: Loss, t: FloatArray, Y: FloatArray) -> FloatArray:
    """Return a point near t (n, c) that is in the domain of F* in exact arithmetic."""
    if isinstance(loss, Squared):
        return t
    largest = loss.delta if isinstance(loss, Huber) else 1.0
    bound = math.nextafter(largest / len(Y), 0.0)  # n * bound <= largest: the quotient is off by half a unit at most
    if isinstance(loss, Huber):
        return np.clip(t, -bound, bound)
    if isinstance(loss, Logistic):
        return -Y * np.clip(-Y * t, 0.0, bound)
    c = Y.shape[1]
    shares = np.where(Y == 1.0, 0.0, np.maximum(t, 0.0))
    totals = np.sum(shares, axis=1, keepdims=True)
    shares = shares * np.minimum(1.0, (1.0 - (c + 8) * _EPS) * bound / np.maximum(totals, bound / 2))
    # Multiples of one power of 2, of which 2^52 are more than their sum: all sums are exact.
    exponents = np.frexp(c * shares.max(axis=1, keepdims=True))[1] + 1
    unit = np.ldexp(1.0, np.maximum(exponents - 52, -1074))
    shares = np.floor(shares / unit) * unit
    point: FloatArray = np.where(Y == 1.0, -np.sum(shares, axis=1, keepdims=True), shares)
    return point


def conjugate_above(loss: Loss, t: FloatArray, Y: FloatArray) -> float:
    """Return an upper bound of F*(t) for a t (n, c) from `into_domain`."""
    n = len(Y)
    if isinstance(loss, Squared | Huber):
        scaled = 0.5 * n * t
        terms, sizes = t * (scaled + Y), np.abs(t) * (np.abs(scaled) + np.abs(Y))
        value = float(np.sum(terms) + dot_radius(np.sum(sizes), t.size + 3))
        return math.nextafter(value, math.inf)
    shares = np.abs(t).reshape(-1, 1) if isinstance(loss, Logistic) else _others(t, Y)
    return math.nextafter(entropy_above(shares, n) / n, math.inf)


def _others(values: FloatArray, Y: FloatArray) -> FloatArray:
    """Return the entries (n, c - 1) of the classes that are not the label, for one-hot rows Y (n, c)."""
    others: FloatArray = values[Y == 0.0].reshape(len(Y), -1)
    return others
