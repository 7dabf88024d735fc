"""Every loss with valid targets, predictions and dual points."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from cvxrelu.losses import registry
from cvxrelu.losses.huber import Huber
from cvxrelu.losses.registry import get_loss
from cvxrelu.losses.squared import Squared

LOSSES = [get_loss(name) for name in registry.LOSSES] + [Huber(0.3)]
BOUNDED = [loss for loss in LOSSES if not isinstance(loss, Squared)]
SEEDS = st.integers(0, 2**32 - 1)
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=repr)
properties = settings(max_examples=40, deadline=None, derandomize=True)


def sizes(loss, rng, most_rows=6):
    return int(rng.integers(1, most_rows + 1)), int(rng.integers(2 if loss.name == "softmax" else 1, 5))


def targets(loss, rng, n, c):
    if loss.name == "logistic":
        return rng.choice([-1.0, 1.0], (n, c))
    if loss.name == "softmax":
        return np.eye(c)[rng.integers(c, size=n)]
    return rng.standard_normal((n, c))


def domain_point(loss, rng, Y):
    """Return a point of the domain of F*, faces included, without using the loss."""
    n = len(Y)
    if loss.name == "logistic":
        return -Y * np.clip(rng.uniform(-0.5, 1.5, Y.shape), 0, 1) / n
    if loss.name == "softmax":
        weights = rng.exponential(size=Y.shape) * (rng.random(Y.shape) < 0.7) + 1e-3 * Y
        return (weights / weights.sum(axis=1, keepdims=True) - Y) / n
    if loss.name == "huber":
        return np.clip(rng.uniform(-2, 2, Y.shape), -1, 1) * loss.delta / n
    return rng.standard_normal(Y.shape)


def problem(loss, seed, scale=1.0):
    rng = np.random.default_rng(seed)
    n, c = sizes(loss, rng)
    Y = targets(loss, rng, n, c)
    return rng, scale * rng.standard_normal((n, c)), Y


def terms(loss, f, t, Y):
    """Return the size of the terms in the Fenchel-Young inequality."""
    return 1 + loss.value(f, Y) + np.sum(np.abs(t) * (np.abs(f) + np.abs(Y)))
