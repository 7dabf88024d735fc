"""The smoothed ReLU: kernels against NumPy, and against their formulas."""

import numpy as np
import pytest

from cvxrelu.numerics.smoothed_relu import activate, activate_by_numpy, chain, chain_by_numpy
from cvxrelu.runtime.compilation import PreparedArray


def products(b, m, seed=0):
    rng = np.random.default_rng(seed)
    widths = rng.uniform(0.01, 2.0, m).astype(np.float32)
    return rng.standard_normal((b, m)).astype(np.float32), widths, rng


def prepared(array):
    return PreparedArray(array.copy())


@pytest.mark.parametrize("function", [activate, activate_by_numpy])
def test_activations_are_the_integral_of_their_derivatives(function):
    Z, widths, _ = products(40, 7)
    A, D = prepared(Z), prepared(Z)
    function(A, D, widths)
    e = widths.astype(np.float64)
    ramp = np.clip((Z + e) / (2 * e), 0.0, 1.0)
    inside = (Z + e) ** 2 / (4 * e)
    np.testing.assert_allclose(D.array, ramp, atol=1e-6)
    np.testing.assert_allclose(A.array, np.where(e < Z, Z, np.where(-e > Z, 0.0, inside)), atol=1e-6)


@pytest.mark.parametrize("function", [activate, activate_by_numpy])
def test_the_width_goes_to_zero(function):
    Z, widths, _ = products(40, 7)
    A, D = prepared(Z), prepared(Z)
    function(A, D, 1e-30 * widths)
    np.testing.assert_allclose(A.array, np.maximum(Z, 0.0), atol=1e-7)
    np.testing.assert_array_equal(D.array, Z > 0.0)


@pytest.mark.parametrize("c", [1, 3])
@pytest.mark.parametrize("function", [chain, chain_by_numpy])
def test_the_chain_rule_is_that_of_matrices(function, c):
    _, _, rng = products(40, 7)
    D, R, V = (rng.random((40, 7)), rng.standard_normal((40, c)), rng.standard_normal((c, 7)))
    given, sums = prepared(D.astype(np.float32)), np.ones(7, dtype=np.float32)
    function(given, R.astype(np.float32), V.astype(np.float32), sums, np.empty(7, dtype=np.float32))
    expected = (R @ V) * D
    np.testing.assert_allclose(given.array, expected, atol=1e-5)
    np.testing.assert_allclose(sums, 1.0 + (expected * (1.0 - D)).sum(axis=0), atol=1e-4)
