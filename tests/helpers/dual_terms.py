"""Dual terms of the losses with points of their domains, and finite differences."""

import numpy as np
import pytest

from cvxrelu.losses.base import dual_term
from cvxrelu.losses.registry import get_loss
from tests.helpers.cases import make_targets

H = 1e-6
SIGMAS = [0.3, 40.0]
each_sigma = pytest.mark.parametrize("sigma", SIGMAS)


def draw(name, seed=0, n=9, c=3):
    """Return a term, its targets, a generator and predictions, with Huber residuals on both sides of delta."""
    rng = np.random.default_rng(seed)
    Y = make_targets(name, np.zeros((n, 2)), c, seed)
    return dual_term(get_loss(name), Y), Y, rng, 2.0 * rng.standard_normal((n, c))


def interior(name, Y, rng):
    """Return a point inside the domain of F*, not near its boundary."""
    n = len(Y)
    if name == "logistic":
        return -Y * rng.uniform(0.1, 0.9, Y.shape) / n
    if name == "softmax":
        p = rng.uniform(0.1, 1.0, Y.shape)
        return (p / p.sum(axis=1, keepdims=True) - Y) / n
    return 0.9 * rng.uniform(-1.0, 1.0, Y.shape) / n


def tangent(name, v):
    """Return the projection of v onto the affine hull of the domain."""
    return v - v.mean(axis=1, keepdims=True) if name == "softmax" else v


def difference(function, point, direction, h=H):
    """Return the central difference along a direction."""
    return (function(point + h * direction) - function(point - h * direction)) / (2 * h)
