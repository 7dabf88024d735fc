"""Domains of the conjugates: projections and scales of points outside them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvxrelu.losses.huber import Huber
from cvxrelu.losses.logistic import Logistic
from cvxrelu.losses.softmax import SoftmaxCrossEntropy
from tests.helpers.losses import BOUNDED, SEEDS, domain_point, each_loss, problem, properties, targets

each_bounded = pytest.mark.parametrize("loss", BOUNDED, ids=repr)


@pytest.mark.parametrize("excess", [1e-13, 1e-3, 10.0])
@pytest.mark.parametrize(
    ("loss", "Y", "inside", "outwards"),
    [
        (Logistic(), [[1.0]], [[-1.0]], [[-1.0]]),
        (Logistic(), [[-1.0]], [[0.0]], [[-1.0]]),
        (SoftmaxCrossEntropy(), [[1.0, 0.0, 0.0]], [[-0.5, 0.5, 0.0]], [[0.5, 0.5, -1.0]]),
        (SoftmaxCrossEntropy(), [[1.0, 0.0, 0.0]], [[-0.5, 0.5, 0.0]], [[0.0, 1.0, 0.0]]),
        (SoftmaxCrossEntropy(), [[1.0, 0.0, 0.0]], [[-0.5, 0.5, 0.0]], [[-1.0, 0.0, 0.0]]),
        (Huber(1.0), [[5.0]], [[1.0]], [[1.0]]),
        (Huber(1.0), [[5.0]], [[-1.0]], [[-1.0]]),
    ],
)
def test_conjugate_is_infinite_just_outside_the_domain(loss, Y, inside, outwards, excess):
    Y, inside, outwards = np.array(Y), np.array(inside), np.array(outwards)
    two_ulps = 5e-16 * outwards
    assert loss.conjugate(inside + two_ulps, Y) == pytest.approx(loss.conjugate(inside, Y), abs=1e-15)
    assert loss.conjugate(inside + excess * outwards, Y) == np.inf


@each_bounded
def test_one_entry_outside_the_domain_is_enough(loss):
    rng = np.random.default_rng(0)
    Y = targets(loss, rng, 6, 3)
    t = loss.gradient(rng.standard_normal(Y.shape), Y)
    assert loss.conjugate(t, Y) < np.inf
    t[4, 1] += 1.0
    assert loss.conjugate(t, Y) == np.inf


@each_loss
@properties
@given(seed=SEEDS, scale=st.sampled_from([1e-3, 1.0, 1e3, 1e9]))
def test_project_domain_is_the_projection(loss, seed, scale):
    rng, t, Y = problem(loss, seed, scale)
    p = loss.project_domain(t, Y)
    for _ in range(5):
        z = domain_point(loss, rng, Y)
        spread = np.linalg.norm(t - p) + np.linalg.norm(z - p)
        assert np.sum((t - p) * (z - p)) <= 1e-15 * (1 + np.linalg.norm(t)) * spread
        np.testing.assert_allclose(loss.project_domain(z, Y), z, rtol=0, atol=1e-15)


@pytest.mark.parametrize("c", [2, 3, 10, 300])
@each_loss
def test_scaled_projections_have_finite_conjugates(loss, c):
    rng = np.random.default_rng(c)
    for n in (1, 3, 7, 49, 100):
        Y = targets(loss, rng, n, c)
        for scale in (0.0, 1e-9, 1e-2, 1.0, 1e3, 1e12, 1e20):
            p = loss.project_domain(scale * rng.standard_normal((n, c)), Y)
            for alpha in (0.0, 1e-9, 1 / 3, rng.random(), 1 - 2**-53, 1.0):
                assert loss.conjugate(alpha * p, Y) < np.inf


@each_loss
def test_projection_is_float64_even_of_float32(loss):
    rng = np.random.default_rng(0)
    Y = targets(loss, rng, 5, 3)
    t = loss.gradient(rng.standard_normal((5, 3)).astype(np.float32), Y.astype(np.float32))
    p = loss.project_domain(t, Y)
    assert p.dtype == np.float64
    assert loss.conjugate(p, Y) < np.inf
    np.testing.assert_allclose(p, t, rtol=0, atol=1e-6)


@each_loss
@properties
@given(seed=SEEDS, limit=st.sampled_from([0.0, 0.2, 1.0, 3.0, np.inf]))
def test_best_scale_stays_within_the_limit_and_the_domain(loss, seed, limit):
    _, f, Y = problem(loss, seed)
    t = loss.gradient(f, Y)
    scale = loss.best_scale(t, Y, limit)
    assert 0 <= scale <= limit
    assert loss.conjugate(scale * t, Y) < np.inf


@each_bounded
def test_best_scale_of_other_losses_never_leaves_the_domain(loss):
    Y = targets(loss, np.random.default_rng(0), 3, 2)
    assert loss.best_scale(np.zeros_like(Y), Y, np.inf) == 1
    assert loss.best_scale(np.zeros_like(Y), Y, 0.3) == 0.3
