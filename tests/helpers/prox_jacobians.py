"""Finite differences of proximal maps, and thresholds between their kinks."""

import numpy as np
import pytest

from cvxrelu.penalties.registry import get_penalty

SHAPES = [(1, 4, 3), (2, 3, 5), (3, 2, 3), (4, 3, 2), (3, 4, 1), (1, 1, 1), (5, 1, 2)]
H = 1e-6
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def kinks(name, w):
    """Return the thresholds at which the map has kinks: norms, entries or singular values."""
    if name == "l1":
        return np.abs(w).ravel()
    if name == "group_l1":
        return np.linalg.norm(w, axis=-1).ravel()
    return np.linalg.svd(w.transpose(1, 0, 2), compute_uv=False).ravel()


def middle_threshold(name, w):
    """Return a threshold half-way between two kinks, or below the only one, so that some parts vanish."""
    sizes = np.sort(kinks(name, w))
    middle = len(sizes) // 2
    return 0.5 * (sizes[middle] + (sizes[middle - 1] if middle else 0.0))


def twice(jacobian, v):
    return jacobian.half(jacobian.half(v))


def matrix(function, shape):
    """Return the matrix of a linear map on arrays of a shape."""
    return np.array([function(e.reshape(shape)).ravel() for e in np.eye(int(np.prod(shape)))]).T


def assert_is_the_derivative(name, w, threshold, rng, atol=1e-7):
    penalty, jacobian = get_penalty(name), get_penalty(name).prox_jacobian(w, threshold)
    for _ in range(5):
        v = rng.standard_normal(w.shape)
        change = (penalty.prox(w + H * v, threshold) - penalty.prox(w - H * v, threshold)) / (2 * H)
        np.testing.assert_allclose(twice(jacobian, v), change, atol=atol)
