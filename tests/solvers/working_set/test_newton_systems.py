"""Newton systems by every method against the explicit matrix: (Q^-1 + sigma A M A') dt = -g."""

from dataclasses import replace

import numpy as np
import pytest

from cvxrelu.penalties.registry import get_penalty
from cvxrelu.solvers.working_set.data_products import DataProducts
from cvxrelu.solvers.working_set.newton_step import NewtonStep
from cvxrelu.solvers.working_set.newton_systems import NewtonSystems
from tests.helpers.cases import LOSSES
from tests.helpers.newton_systems import (
    ALL_PATTERNS,
    METHODS,
    RESIDUAL_TOL,
    D,
    P,
    force,
    make_operator,
    make_step,
    residual,
    systems_for,
)


def supports(method, loss, penalty):
    """Return whether a method applies: rows need block norms and uncoupled outputs, dense factors block norms."""
    return method == "coarse" or (penalty == "group_l1" and (method == "dense" or loss != "softmax"))


CASES = [
    (method, loss, penalty, c)
    for method in METHODS
    for loss in LOSSES
    for penalty in ("group_l1", "l1", "nuclear")
    for c in (1, 3)
    if supports(method, loss, penalty) and (loss != "softmax" or c == 3)
]


@pytest.mark.parametrize("sigma", [0.1, 10.0, 1e3])
@pytest.mark.parametrize(("method", "loss", "penalty", "c"), CASES)
def test_every_method_solves_the_system(monkeypatch, method, loss, penalty, c, sigma):
    force(monkeypatch, method)
    operator = make_operator()
    systems = systems_for(loss, operator)
    for seed in range(3):
        step = make_step(loss, penalty, operator, c, seed=seed, sigma=sigma)
        assert 0 < len(step.active) < P
        dt = systems.direction(step)
        assert np.vdot(dt, step.gradient) < 0.0
        assert residual(operator, step, dt) <= RESIDUAL_TOL


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("method", METHODS)
def test_an_output_without_active_blocks(monkeypatch, method, loss):
    if not supports(method, loss, "group_l1"):
        pytest.skip("the rows cannot couple outputs")
    force(monkeypatch, method)
    operator = make_operator()
    step = make_step(loss, "group_l1", operator, 3, empty_output=True)
    assert not step.jacobian.shrinkage[0].any()
    assert step.jacobian.shrinkage[1:].any()
    dt = systems_for(loss, operator).direction(step)
    assert residual(operator, step, dt) <= RESIDUAL_TOL
    if step.rows.coupling is None:
        np.testing.assert_allclose(dt[:, 0], -step.rows.diagonal[:, 0] * step.gradient[:, 0], rtol=1e-6)


@pytest.mark.parametrize("penalty", ["group_l1", "l1", "nuclear"])
@pytest.mark.parametrize("loss", LOSSES)
def test_no_active_block_at_all(loss, penalty):
    operator = make_operator()
    step = make_step(loss, penalty, operator, 3)
    nothing = np.zeros(0, dtype=np.intp)
    jacobian = get_penalty(penalty).prox_jacobian(np.zeros((3, 0, D)), 0.7)
    step = NewtonStep(nothing, jacobian, step.rows, step.sigma, step.gradient)
    dt = systems_for(loss, operator).direction(step)
    np.testing.assert_allclose(dt, -step.rows.respond(step.gradient), atol=1e-15)
    assert residual(operator, step, dt) <= 1e-12


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("penalty", ["group_l1", "l1", "nuclear"])
@pytest.mark.parametrize(("n", "d", "patterns"), [(60, 2, 3), (6, 10, 5), (39, 5, 30), (3, 1, 2)])
def test_chosen_method_solves_the_system(loss, penalty, n, d, patterns):
    operator = make_operator(1, n, d, patterns)
    systems = systems_for(loss, operator, np.arange(patterns))
    for seed in range(3):
        step = make_step(loss, penalty, operator, 3, seed=seed)
        assert residual(operator, step, systems.direction(step)) <= RESIDUAL_TOL


@pytest.mark.parametrize("method", ["dense", "coarse"])
@pytest.mark.parametrize(
    "size",
    [1e-100, 1e-20, 1e20],
)
def test_gradients_of_any_size(monkeypatch, method, size):
    """Directions are homogeneous in the gradient, although inner iterations run in float32."""
    force(monkeypatch, method)
    operator = make_operator()
    step = make_step("squared", "group_l1", operator, 3)
    scaled = NewtonStep(step.active, step.jacobian, step.rows, step.sigma, size * step.gradient)
    dt = systems_for("squared", operator).direction(scaled)
    assert residual(operator, step, dt / size) <= RESIDUAL_TOL


# Caches kept from one working set to the next


WORKING_SETS = [[0, 2, 4, 6], [2, 3, 6, 7, 8], [6], [1, 2, 6, 8], [0, 3, 5], [0, 1, 2, 3, 4, 5, 6, 7, 8], [4, 5]]


@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("method", METHODS)
def test_caches_do_not_change_solutions(monkeypatch, method, loss):
    """A wrong block would still precondition, but inexact solutions would not agree to five digits."""
    force(monkeypatch, method)
    operator = make_operator()
    kept = systems_for(loss, operator)
    for k, names in enumerate(WORKING_SETS):
        index = np.array(names)
        part = operator.take(index)
        kept.enter(part, index)
        for seed in (k, k + 10, k):  # other active patterns, then the first ones again
            step = make_step(loss, "group_l1", part, 3, seed=seed)
            dt = kept.direction(step)
            assert residual(part, step, dt) <= RESIDUAL_TOL
            fresh = systems_for(loss, part, index).direction(step)
            np.testing.assert_allclose(dt, fresh, atol=1e-5 * np.abs(fresh).max())


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_kept_gram_blocks_are_those_of_their_patterns(dtype):
    operator = make_operator()
    kept = NewtonSystems(constant_curvature=True, products=DataProducts(operator.X))
    rng = np.random.default_rng(0)
    for names in WORKING_SETS:
        index = np.array(names)
        part = operator.take(index)
        kept.enter(part, index)
        for _ in range(3):
            active = np.sort(rng.permutation(len(index))[: rng.integers(1, len(index) + 1)])
            blocks = np.hstack([part.D[:, [i]] * part.X for i in active])
            np.testing.assert_allclose(kept._columns._gram_of(active, np.dtype(dtype)), blocks.T @ blocks, atol=1e-4)
            each = [blocks[:, i * D : (i + 1) * D] for i in range(len(active))]
            diagonal = kept._columns._diagonal_blocks(active, part.take(active).astype(np.float32))
            np.testing.assert_allclose(diagonal, [block.T @ block for block in each], atol=1e-4)


def test_gram_matrices_are_extended_by_new_patterns():
    operator = make_operator()
    kept = NewtonSystems(constant_curvature=True, products=DataProducts(operator.X))
    kept.enter(operator, ALL_PATTERNS)
    kept._columns._gram_of(np.array([1, 4]), np.dtype(np.float32))
    blocks = np.hstack([operator.D[:, [i]] * operator.X for i in (0, 1, 2, 4, 8)])
    np.testing.assert_allclose(
        kept._columns._gram_of(np.array([0, 1, 2, 4, 8]), np.dtype(np.float32)), blocks.T @ blocks, atol=1e-4
    )


# Memory


@pytest.mark.parametrize("free", [True, False])
def test_rows_that_do_not_fit_into_memory_are_left_alone(monkeypatch, free):
    """Systems in the columns are solved instead, and memory is looked at once."""
    asked, n = [], len(make_operator().X)
    module = "cvxrelu.solvers.working_set.newton_systems"
    monkeypatch.setattr(
        "cvxrelu.solvers.working_set.column_systems._OVERHEAD", 1e12
    )  # so that the rows are the cheapest
    monkeypatch.setattr(f"{module}.fits", lambda needed: asked.append(needed) or free)
    operator = make_operator()
    systems = systems_for("squared", operator)
    for seed in range(3):
        step = make_step("squared", "group_l1", operator, 3, seed=seed)
        assert residual(operator, step, systems.direction(step)) <= RESIDUAL_TOL
    assert asked == [28.0 * n**2]
    assert bool(systems._products._kernels) == free


# Ill-conditioned


@pytest.mark.parametrize("sigma", [1e5, 1e8])
@pytest.mark.parametrize(("loss", "c"), [("squared", 1), ("squared", 3), ("logistic", 3)])
@pytest.mark.parametrize("method", METHODS)
def test_long_proximal_steps(monkeypatch, method, loss, c, sigma):
    force(monkeypatch, method)
    operator = make_operator()
    systems = systems_for(loss, operator)
    for seed in range(3):
        step = make_step(loss, "group_l1", operator, c, seed=seed, sigma=sigma)
        dt = systems.direction(step)
        assert np.vdot(dt, step.gradient) < 0.0
        assert residual(operator, step, dt) <= RESIDUAL_TOL


@pytest.mark.parametrize("penalty", ["l1", "nuclear"])
@pytest.mark.parametrize("loss", LOSSES)
def test_long_proximal_steps_with_other_penalties(loss, penalty):
    operator = make_operator()
    systems = systems_for(loss, operator)
    for seed in range(3):
        step = make_step(loss, penalty, operator, 3, seed=seed, sigma=1e5)
        assert residual(operator, step, systems.direction(step)) <= RESIDUAL_TOL


@pytest.mark.parametrize(
    ("method", "loss", "penalty"),
    [("coarse", "huber", "nuclear"), ("coarse", "softmax", "nuclear"), ("dense", "softmax", "group_l1")],
)
def test_very_long_proximal_steps(monkeypatch, method, loss, penalty):
    force(monkeypatch, method)
    operator = make_operator()
    systems = systems_for(loss, operator)
    steps = [make_step(loss, penalty, operator, 3, seed=seed, sigma=1e8) for seed in range(4)]
    assert max(residual(operator, step, systems.direction(step)) for step in steps) <= 1.0


@pytest.mark.parametrize("method", METHODS)
def test_a_gradient_without_products_gives_the_step_of_the_loss_alone(monkeypatch, method):
    force(monkeypatch, method)
    operator = make_operator()
    step = replace(make_step("logistic", "group_l1", operator, 1), gradient=np.zeros((len(operator.X), 1)))
    systems = NewtonSystems(constant_curvature=False, products=DataProducts(operator.X))
    systems.enter(operator, ALL_PATTERNS)
    np.testing.assert_array_equal(systems.direction(step), 0.0)
