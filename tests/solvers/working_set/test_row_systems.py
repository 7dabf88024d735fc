import numpy as np
import pytest

from cvxrelu.solvers.working_set import data_products, row_systems
from cvxrelu.solvers.working_set.data_products import DataProducts
from cvxrelu.solvers.working_set.row_systems import RowSystems
from tests.helpers.newton_systems import RESIDUAL_TOL, force, make_operator, make_step, residual, solve, systems_for


@pytest.mark.parametrize(
    ("loss", "sigma", "precise"),
    [("squared", 10.0, False), ("huber", 1e9, False), ("logistic", 10.0, False), ("squared", 1e9, True)],
)
def test_row_systems_switch_to_float64_when_ill_conditioned(monkeypatch, loss, sigma, precise):
    force(monkeypatch, "rows")
    used = []
    matrix = row_systems._System.matrix
    monkeypatch.setattr(row_systems._System, "matrix", lambda *args: used.append(args[-1]) or matrix(*args))
    operator = make_operator()
    systems = systems_for(loss, operator)
    for seed in range(3):
        step = make_step(loss, "group_l1", operator, 1, seed=seed, sigma=sigma)
        dt = systems.direction(step)
        exact = solve(operator, step)
        np.testing.assert_allclose(dt, exact, atol=(1e-5 if precise else 1e-4) * np.abs(exact).max())
    assert (used[-1] == np.float64) == precise
    assert used == sorted(used, key=lambda dtype: dtype == np.float64)  # never back to float32


def test_failed_factorization_in_the_rows_falls_back_to_the_columns(monkeypatch):
    """The identity may be lost to rounding in the row system, whose Cholesky factorization may then fail."""
    operator = make_operator()
    step = make_step("squared", "group_l1", operator, 1)
    force(monkeypatch, "rows")
    for name in ("spotrf", "dpotrf"):
        monkeypatch.setattr(row_systems.lapack, name, lambda H, **options: (H, 1))
    dt = systems_for("squared", operator).direction(step)
    assert residual(operator, step, dt) <= RESIDUAL_TOL


@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("with_data", [False, True])
def test_kept_factors_precondition_later_steps(monkeypatch, loss, with_data):
    """Active patterns, sigma, curvature and outputs change, and no new factor is needed."""
    force(monkeypatch, "rows")
    operator = make_operator()
    systems = systems_for(loss, operator)
    systems.direction(make_step(loss, "group_l1", operator, 2))
    monkeypatch.setattr(RowSystems, "_iteration", lambda *args: (1.0, 1.0))
    monkeypatch.setattr(RowSystems, "_costs", lambda *args: (2.0, float(with_data), float(not with_data)))
    for seed, sigma in ((0, 10.0), (1, 10.0), (2, 100.0), (3, 1.0)):
        step = make_step(loss, "group_l1", operator, 2, seed=seed, sigma=sigma)
        with monkeypatch.context() as patch:
            patch.setattr(RowSystems, "_factor", lambda *args: pytest.fail("a new factor"))
            dt = systems.direction(step)
        assert residual(operator, step, dt) <= RESIDUAL_TOL


def test_factors_that_serve_badly_are_replaced(monkeypatch):
    force(monkeypatch, "rows")
    operator = make_operator()
    systems = systems_for("squared", operator)
    systems.direction(make_step("squared", "group_l1", operator, 1, sigma=1e-3))
    monkeypatch.setattr(RowSystems, "_costs", lambda *args: (1.0, 0.0, 1.0))
    monkeypatch.setattr(RowSystems, "_iteration", lambda self, columns: (np.inf, np.inf))  # so that two are the most
    factors, factor = [], RowSystems._factor
    monkeypatch.setattr(RowSystems, "_factor", lambda *args: factors.append(args[1]) or factor(*args))
    step = make_step("squared", "group_l1", operator, 1, seed=1, sigma=1e4)
    assert residual(operator, step, systems.direction(step)) <= RESIDUAL_TOL
    assert factors == [0]


def test_the_oldest_factors_make_room(monkeypatch):
    products = DataProducts(make_operator().X)
    factor = np.zeros((8, 8))
    monkeypatch.setattr(data_products, "_MOST_FACTORS", 2 * factor.nbytes)
    for key in "abac":
        products.keep(key, factor)
    assert list(products.factors) == ["a", "c"]
    products.keep("d", np.zeros((16, 16)))
    assert not products.factors


def test_products_of_rows_are_charged_once():
    products = DataProducts(np.random.default_rng(0).standard_normal((40, 3)))
    systems = RowSystems(products)
    first = systems.cost(3, np.array([5.0]))
    products.kernel(np.float32)
    assert systems.cost(3, np.array([5.0])) < first
