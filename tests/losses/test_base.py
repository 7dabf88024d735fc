"""A common contract of all losses: gradients, conjugates, CVXPY expressions and accepted targets."""

import dataclasses
import math

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvxrelu.losses import registry
from cvxrelu.losses.base import Loss
from cvxrelu.losses.huber import Huber
from cvxrelu.losses.logistic import Logistic
from cvxrelu.losses.registry import get_loss
from cvxrelu.losses.softmax import SoftmaxCrossEntropy
from cvxrelu.losses.squared import Squared
from tests.helpers.losses import BOUNDED, SEEDS, domain_point, each_loss, problem, properties, targets, terms

SCALES = st.sampled_from([1e-3, 1.0, 30.0])


@pytest.mark.parametrize(
    ("loss", "f", "Y", "expected"),
    [
        (Squared(), [[3.0], [1.0]], [[1.0], [2.0]], (4 + 1) / 4),
        (Squared(), [[3.0, 1.0]], [[1.0, 2.0]], (4 + 1) / 2),
        (Logistic(), [[0.0], [math.log(3)]], [[1.0], [-1.0]], (math.log(2) + math.log(4)) / 2),
        (
            SoftmaxCrossEntropy(),
            [[math.log(3), 0.0], [0.0, 0.0]],
            [[1.0, 0.0], [0.0, 1.0]],
            math.log(8 / 3) / 2,
        ),
        (Huber(), [[0.5], [3.0]], [[0.0], [0.0]], (0.125 + 2.5) / 2),
        (Huber(2.0), [[-3.0, 1.0]], [[0.0, 0.0]], 2 * 3 - 2 + 0.5),
    ],
)
def test_values_by_hand(loss, f, Y, expected):
    assert loss.value(np.array(f), np.array(Y)) == pytest.approx(expected, rel=1e-15)


@each_loss
@properties
@given(seed=SEEDS, scale=SCALES)
def test_gradient_matches_the_value(loss, seed, scale):
    _, f, Y = problem(loss, seed, scale)
    if loss.name == "huber":  # differences across a kink of the gradient are less accurate
        f = np.where(np.abs(np.abs(f - Y) - loss.delta) < 1e-3, Y, f)
    step = 1e-5
    numeric = np.empty_like(f)
    for index in np.ndindex(f.shape):
        move = np.zeros_like(f)
        move[index] = step
        numeric[index] = (loss.value(f + move, Y) - loss.value(f - move, Y)) / (2 * step)
    np.testing.assert_allclose(loss.gradient(f, Y), numeric, rtol=0, atol=1e-9 * (1 + loss.value(f, Y)))


@each_loss
@properties
@given(seed=SEEDS, scale=SCALES)
def test_fenchel_young(loss, seed, scale):
    rng, f, Y = problem(loss, seed, scale)
    t = domain_point(loss, rng, Y)
    excess = loss.value(f, Y) + loss.conjugate(t, Y) - np.sum(t * f)
    assert excess < np.inf
    assert excess >= -1e-13 * terms(loss, f, t, Y)


@each_loss
@properties
@given(seed=SEEDS, scale=SCALES)
def test_fenchel_young_is_an_equality_at_the_gradient(loss, seed, scale):
    _, f, Y = problem(loss, seed, scale)
    t = loss.gradient(f, Y)
    excess = loss.value(f, Y) + loss.conjugate(t, Y) - np.sum(t * f)
    assert abs(excess) <= 1e-13 * terms(loss, f, t, Y)


@pytest.mark.parametrize("c", [2, 50, 1000])
@each_loss
def test_conjugate_is_finite_at_gradients(loss, c):
    rng = np.random.default_rng(c)
    for n in (1, 3, 7, 49, 1000):
        Y = targets(loss, rng, n, c)
        for scale in (1e-8, 1.0, 1e3, 1e8):
            assert loss.conjugate(loss.gradient(scale * rng.standard_normal((n, c)), Y), Y) < np.inf


@pytest.mark.parametrize(
    ("loss", "Y", "t", "expected"),
    [
        (Squared(), [[1.0], [2.0]], [[3.0], [-1.0]], 10 + 3 - 2),
        (Logistic(), [[1.0], [-1.0]], [[-0.25], [0.25]], -math.log(2)),
        (Logistic(), [[1.0], [-1.0]], [[-0.5], [0.0]], 0.0),
        (SoftmaxCrossEntropy(), [[1.0, 0.0]], [[-0.5, 0.5]], -math.log(2)),
        (SoftmaxCrossEntropy(), [[1.0, 0.0]], [[-1.0, 1.0]], 0.0),
        (Huber(2.0), [[1.0], [3.0]], [[1.0], [-1.0]], 2 + 1 - 3),
    ],
)
def test_conjugate_by_hand_inside_and_on_the_boundary(loss, Y, t, expected):
    assert loss.conjugate(np.array(t), np.array(Y)) == pytest.approx(expected, rel=1e-15, abs=1e-15)


@each_loss
@properties
@given(seed=SEEDS, scale=SCALES)
def test_gradient_is_lipschitz(loss, seed, scale):
    rng, f, Y = problem(loss, seed, scale)
    g = f + scale * rng.standard_normal(f.shape)
    change = np.linalg.norm(loss.gradient(f, Y) - loss.gradient(g, Y))
    rounding = 1e-15 * (1 + np.linalg.norm(f) + np.linalg.norm(g) + np.linalg.norm(Y))
    assert change <= loss.smoothness(len(Y)) * (np.linalg.norm(f - g) + rounding)


@each_loss
def test_lipschitz_constant_is_attained(loss):
    Y = targets(loss, np.random.default_rng(0), 3, 2)
    steepest = np.zeros_like(Y) if loss.name in ("logistic", "softmax") else Y
    move = np.zeros_like(Y)
    move[1] = [1e-4, -1e-4]
    change = loss.gradient(steepest + move, Y) - loss.gradient(steepest - move, Y)
    ratio = np.linalg.norm(change) / np.linalg.norm(2 * move)
    assert loss.smoothness(3) == pytest.approx(ratio, rel=1e-7)


@each_loss
@properties
@given(seed=SEEDS)
def test_expression_has_the_value(loss, seed):
    _, f, Y = problem(loss, seed)
    variable = cp.Variable(f.shape, value=f)
    for given_targets in (Y, cp.Parameter(Y.shape, value=Y)):
        expression = loss.expression(variable, given_targets)
        assert expression.value == pytest.approx(loss.value(f, Y), rel=1e-12)
        assert expression.shape == ()


@each_loss
@properties
@given(seed=SEEDS)
def test_conjugate_expression_has_the_value_and_the_domain(loss, seed):
    rng, f, Y = problem(loss, seed)
    variable = cp.Variable(f.shape)
    conjugate, domain = loss.conjugate_expression(variable, cp.Parameter(Y.shape, value=Y))
    for t in (loss.gradient(f, Y), domain_point(loss, rng, Y)):
        variable.value = t
        assert max((np.max(part.violation()) for part in domain), default=0) <= 1e-14
        assert conjugate.value == pytest.approx(loss.conjugate(t, Y), rel=1e-12, abs=1e-12)
    exchange = np.zeros_like(t)
    exchange[:, 0] += 3
    exchange[:, -1] -= 3
    for outside in (t + 3, t - 3, t + exchange, t - exchange):
        variable.value = outside
        violated = any(np.max(part.violation()) > 1e-3 for part in domain)
        assert violated == (loss.conjugate(outside, Y) == np.inf)


@each_loss
def test_expressions_are_dpp_with_labelled_constraints(loss):
    Y = targets(loss, np.random.default_rng(0), 4, 2)
    parameter = cp.Parameter(Y.shape, value=Y)
    affine = np.ones((4, 3)) @ cp.Variable((3, 2)) + 1
    assert cp.Problem(cp.Minimize(loss.expression(affine, parameter))).is_dcp(dpp=True)
    conjugate, domain = loss.conjugate_expression(affine, parameter)
    assert cp.Problem(cp.Maximize(-conjugate), domain).is_dcp(dpp=True)
    assert all(part.label.startswith("domain") for part in domain)
    assert bool(domain) == (loss in BOUNDED)


@each_loss
def test_conjugate_and_biconjugate_by_cvxpy(loss):
    rng = np.random.default_rng(3)
    Y = targets(loss, rng, 4, 3)
    f = rng.standard_normal(Y.shape)
    t = loss.gradient(rng.standard_normal(Y.shape), Y)
    variable, parameter = cp.Variable(Y.shape), cp.Parameter(Y.shape, value=Y)
    supremum = cp.Maximize(cp.sum(cp.multiply(t, variable)) - loss.expression(variable, parameter))
    assert cp.Problem(supremum).solve(solver="CLARABEL") == pytest.approx(loss.conjugate(t, Y), abs=1e-7)
    conjugate, domain = loss.conjugate_expression(variable, parameter)
    dual = cp.Problem(cp.Maximize(cp.sum(cp.multiply(f, variable)) - conjugate), domain)
    assert dual.solve(solver="CLARABEL") == pytest.approx(loss.value(f, Y), abs=1e-7)
    np.testing.assert_allclose(variable.value, loss.gradient(f, Y), rtol=0, atol=1e-4)


@each_loss
def test_precision_follows_the_arrays(loss):
    rng = np.random.default_rng(0)
    Y = targets(loss, rng, 5, 3)
    f = rng.standard_normal(Y.shape)
    single = loss.gradient(f.astype(np.float32), Y.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, loss.gradient(f, Y), rtol=0, atol=1e-6)
    value = loss.value(f.astype(np.float32), Y.astype(np.float32))
    assert type(value) is float
    assert value == pytest.approx(loss.value(f, Y), rel=1e-5)


@each_loss
def test_valid_targets_are_accepted_and_arguments_unchanged(loss):
    rng = np.random.default_rng(0)
    Y = targets(loss, rng, 5, 3)
    f = rng.standard_normal(Y.shape)
    t = loss.gradient(f, Y)
    for array in (Y, f, t):
        array.flags.writeable = False
    loss.check_targets(Y)
    loss.value(f, Y)
    loss.conjugate(t, Y)
    loss.project_domain(t, Y)
    loss.best_scale(t, Y, 1.0)


@pytest.mark.parametrize(
    ("loss", "Y", "message"),
    [
        ("logistic", [[1], [-1], [0.5]], r"y must hold labels -1 or \+1.*got 0.5 in row 2, column 0$"),
        ("logistic", [[1, 0], [1, 1]], r"got 0 in row 0, column 1; .*2 \* y - 1"),
        ("logistic", [[1], [0], [-1]], r"got 0 in row 1, column 0$"),
        ("softmax", [[1], [0]], r"y must hold one-hot rows.*two or more classes.*got shape \(2, 1\)"),
        ("softmax", [[1, 0], [1, 1]], r"y must hold one-hot rows.*got \[1.0, 1.0\] in row 1"),
        ("softmax", [[1, 0], [0, 1], [0, 0]], r"got \[0.0, 0.0\] in row 2"),
        ("softmax", [[0.5, 0.5]], r"got \[0.5, 0.5\] in row 0"),
        ("softmax", [[2, -1]], r"got \[2.0, -1.0\] in row 0"),
    ],
)
def test_invalid_targets_are_reported(loss, Y, message):
    with pytest.raises(ValueError, match=message):
        get_loss(loss).check_targets(np.array(Y, dtype=float))


@each_loss
def test_losses_are_values(loss):
    assert isinstance(loss, Loss)
    assert loss == dataclasses.replace(loss)
    assert hash(loss) == hash(dataclasses.replace(loss))
    with pytest.raises(dataclasses.FrozenInstanceError):
        loss.name = "other"


@each_loss
@properties
@given(seed=SEEDS, scale=SCALES, size=st.sampled_from([1e-2, 1.0, 50.0]))
def test_bregman_distance_matches_its_definition(loss, seed, scale, size):
    rng, f, Y = problem(loss, seed, scale)
    step = size * rng.standard_normal(f.shape)
    ahead, slope = loss.value(f + step, Y), float(np.vdot(loss.gradient(f, Y), step))
    expected = ahead - loss.value(f, Y) - slope
    rounding = 1e-14 * (len(Y) + 1) * (1 + ahead + loss.value(f, Y) + abs(slope))
    assert loss.bregman(step, f, Y) == pytest.approx(expected, rel=1e-12, abs=rounding)


@each_loss
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bregman_distance_of_tiny_steps_does_not_cancel(loss, dtype):
    # Halving a tiny step quarters the distance; a difference of values would be rounding noise.
    rng, f, Y = problem(loss, 3)
    f, Y = (0.1 * f + 0.1 * Y).astype(dtype), Y.astype(dtype)
    step = (1e-7 * (1.0 + rng.random(f.shape))).astype(dtype) * np.arange(1, f.shape[1] + 1, dtype=dtype)
    full, half = loss.bregman(step, f, Y), loss.bregman(0.5 * step, f, Y)
    assert full > 0.0 or (loss.name == "huber" and (np.abs(f - Y) > loss.delta).all())
    assert half == pytest.approx(0.25 * full, rel=1e-5)


@each_loss
@properties
@given(seed=SEEDS, scale=SCALES)
def test_bregman_distance_is_at_most_the_smoothness_bound(loss, seed, scale):
    rng, f, Y = problem(loss, seed, scale)
    step = rng.standard_normal(f.shape)
    assert 0.0 <= loss.bregman(step, f, Y) <= 0.5 * loss.smoothness(len(Y)) * np.sum(step**2) * (1 + 1e-12)


@pytest.mark.parametrize("name", registry.LOSSES)
def test_capabilities_hold(name):
    rng = np.random.default_rng(0)
    loss = get_loss(name)
    Y = {"logistic": np.sign(rng.standard_normal((5, 3))), "softmax": np.eye(3)[rng.integers(0, 3, 5)]}.get(
        name, rng.standard_normal((5, 3))
    )
    f = Y + 0.1 * rng.standard_normal((5, 3))  # between the kinks of Huber
    alone = np.zeros((5, 3))
    alone[2, 1] = 1e-5
    moved = loss.gradient(f + alone, Y) - loss.gradient(f, Y)
    assert (np.count_nonzero(moved) == 1) == loss.sums_over_entries
    assert loss.of_labels == (name in ("logistic", "softmax")) == (loss.rescaled(1.0) is None)
    assert loss.least_outputs == (2 if name == "softmax" else 1)
