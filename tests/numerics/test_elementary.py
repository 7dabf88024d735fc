"""Exponential and logarithms of kernels against NumPy's, to a few units in the last place."""

import numpy as np
import pytest

from cvxrelu.numerics.elementary import exp, log, log1p
from cvxrelu.numerics.rounding import TINY
from cvxrelu.runtime.compilation import Kernel

EPS = np.finfo(float).eps
SIGNATURE = "(float64[::1], float64[::1])"


def exp_of_all(x, values):
    for j in range(len(x)):
        values[j] = exp(x[j])


def log_of_all(x, values):
    for j in range(len(x)):
        values[j] = log(x[j])


def log1p_of_all(x, values):
    for j in range(len(x)):
        values[j] = log1p(x[j])


def computed(function, x):
    x, values = np.array(x), np.empty(len(x))
    Kernel(function, SIGNATURE)(x, values)
    return values


def magnitudes(low, high):
    return np.logspace(low, high, 5_001)


def test_exp():
    x = -np.concatenate([[0.0], magnitudes(-320, 0), np.linspace(0.0, 750.0, 20_001), np.log(2.0) * np.arange(1_022)])
    expected = np.exp(x)
    normal = expected >= TINY
    values = computed(exp_of_all, x)
    np.testing.assert_allclose(values[normal], expected[normal], rtol=2 * EPS, atol=0.0)
    np.testing.assert_allclose(values[~normal], expected[~normal], rtol=0.0, atol=1e-323)
    assert computed(exp_of_all, [-0.0, -745.0, -746.0, -1e300, -np.inf]).tolist() == [1.0, 5e-324, 0.0, 0.0, 0.0]


def test_log():
    x = np.concatenate([[TINY], magnitudes(-307, 0), np.linspace(0.4, 2.5, 20_001), magnitudes(0, 307)])
    x = np.concatenate([x, 1.0 + EPS * np.arange(-10, 11), 2.0 ** np.arange(-1_022, 1_023)])
    np.testing.assert_allclose(computed(log_of_all, x), np.log(x), rtol=2 * EPS, atol=0.0)


def test_log1p():
    small = magnitudes(-320, 0)
    x = np.concatenate([[-0.5, 0.0, 1.0], small, -0.5 * small, np.linspace(-0.5, 1.0, 20_001)])
    edges = np.array([np.sqrt(2.0) - 1.0, np.sqrt(0.5) - 1.0])
    x = np.concatenate([x, np.nextafter(edges, -1.0), edges, np.nextafter(edges, 1.0)])
    np.testing.assert_allclose(computed(log1p_of_all, x), np.log1p(x), rtol=2 * EPS, atol=0.0)


@pytest.mark.parametrize("function", [exp_of_all, log_of_all, log1p_of_all])
def test_compiled_and_interpreted_values_are_equal(function, monkeypatch):
    x = np.array([0.7, 0.3, 1e-9, 1e-300]) * (-1.0 if function is exp_of_all else 1.0)
    values = computed(function, x)
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    for kernel in exp.callees | log.callees | log1p.callees:
        monkeypatch.setattr(kernel, "_compiled", None)
    interpreted = np.empty(len(x))
    function(x, interpreted)
    np.testing.assert_allclose(values, interpreted, rtol=2 * EPS, atol=0.0)
