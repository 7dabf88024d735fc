from dataclasses import replace

import numpy as np
import pytest

from cvxrelu.solvers.working_set import column_systems
from cvxrelu.solvers.working_set.column_systems import ColumnSystems
from cvxrelu.solvers.working_set.data_products import DataProducts
from tests.helpers.newton_systems import ALL_PATTERNS, RESIDUAL_TOL, make_operator, make_step, residual

STRETCHED = np.logspace(0.0, 3.0, 4)  # scales of columns whose products float32 cannot hold beside a small shift


@pytest.fixture
def counts(monkeypatch):
    """The iterations of each system, and the precision of its preconditioned matrix."""
    found, refine = [], column_systems._refined

    def counted(system, rounded, *arguments):
        x, count, solved = refine(system, rounded, *arguments)
        found.append((count, rounded.Q.diagonal.dtype))
        return x, count, solved

    monkeypatch.setattr(column_systems, "_refined", counted)
    monkeypatch.setattr(column_systems, "_MOST_COUPLED", 0)
    return found


def stretched(dtype=np.float64):
    operator = make_operator(n=60)
    return operator.on_data((operator.X * STRETCHED).astype(dtype))


def systems_for(operator, constant_curvature):
    systems = ColumnSystems(constant_curvature, DataProducts(operator.X))
    systems.enter(operator, ALL_PATTERNS)
    return systems


@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("c", [1, 2])
def test_factors_are_in_float64_once_float32_takes_more_iterations(counts, loss, c):
    operator = stretched()
    systems = systems_for(operator, loss == "squared")
    for seed in range(4):
        step = make_step(loss, "group_l1", operator, c, seed=seed, sigma=1e4)
        assert residual(operator, step, systems.solve(step, dense=True)) <= RESIDUAL_TOL
    assert counts[0][1] == np.float32
    assert all(count <= 3 and dtype == np.float64 for count, dtype in counts[-2:])
    assert systems._precise_from == 1e4
    shorter = make_step(loss, "group_l1", operator, c, sigma=1e-3)
    systems.solve(shorter, dense=True)
    assert counts[-1][0] <= 3
    assert counts[-1][1] == np.float32  # where rounding is harmless


def test_well_conditioned_systems_stay_in_float32(counts):
    operator = make_operator(n=60)
    systems = systems_for(operator, True)
    for seed in range(4):
        step = make_step("squared", "group_l1", operator, 2, seed=seed, sigma=1.0)
        assert residual(operator, step, systems.solve(step, dense=True)) <= RESIDUAL_TOL
    assert all(count <= 3 and dtype == np.float32 for count, dtype in counts)


def test_data_in_float32_and_too_many_columns_are_not_factored_in_float64(monkeypatch, counts):
    operator = stretched(np.float32)
    systems = systems_for(operator, True)
    systems.solve(make_step("squared", "group_l1", operator, 1, sigma=1e4), dense=True)
    assert systems._precise_from == np.inf
    monkeypatch.setattr(column_systems, "_MOST_PRECISE", 3)
    operator = stretched()
    systems = systems_for(operator, True)
    step = make_step("squared", "group_l1", operator, 1, sigma=1e4)
    systems.solve(step, dense=True)
    assert systems._precise_from == np.inf
    assert all(dtype == np.float32 for _, dtype in counts)


def test_more_iterations_are_expected_for_longer_proximal_steps_and_after_too_few(monkeypatch):
    operator = stretched()
    systems = systems_for(operator, True)
    step = make_step("squared", "group_l1", operator, 1, sigma=1.0)
    _, first = systems.costs(step)
    _, longer = systems.costs(replace(step, sigma=100.0))
    assert longer > first  # before any system has been solved
    systems.solve(step, dense=False)
    _, same = systems.costs(step)
    _, longer = systems.costs(replace(step, sigma=100.0))
    _, shorter = systems.costs(replace(step, sigma=0.01))
    assert longer > same == shorter
    monkeypatch.setattr(column_systems, "_MOST_ITERATIONS", 1)
    monkeypatch.setattr(column_systems, "_REFINEMENTS", 1)
    systems.solve(replace(step, sigma=1e6), dense=False)
    assert systems._expected_rough == column_systems._UNSOLVED


@pytest.mark.parametrize("dense", [True, False])
def test_few_products_measure_residuals(monkeypatch, dense):
    """Systems are solved to their tolerance, with a product for the start and one or two for the residual."""
    products = {"forward": 0, "adjoint": 0}
    for name in products:
        product = getattr(column_systems._Columns, name)

        def counted(self, v, name=name, product=product):
            products[name] += 1
            return product(self, v)

        monkeypatch.setattr(column_systems._Columns, name, counted)
    monkeypatch.setattr(column_systems, "_MOST_COUPLED", 0)
    operator = make_operator(n=60)
    systems = systems_for(operator, True)
    step = make_step("squared", "group_l1", operator, 1, sigma=10.0)
    assert residual(operator, step, systems.solve(step, dense=dense)) <= RESIDUAL_TOL
    assert products["forward"] <= products["adjoint"] + 4
