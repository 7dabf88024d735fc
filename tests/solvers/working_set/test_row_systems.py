import numpy as np
import pytest

from cvxrelu.solvers.working_set import row_systems
from cvxrelu.solvers.working_set.row_systems import RowSystems
from tests.helpers.newton_systems import RESIDUAL_TOL, force, make_operator, make_step, residual, solve, systems_for


@pytest.mark.parametrize(
    ("loss", "sigma", "precise"),
    [("squared", 10.0, False), ("huber", 1e9, False), ("logistic", 10.0, False), ("squared", 1e9, True)],
)
def test_row_systems_switch_to_float64_when_ill_conditioned(monkeypatch, loss, sigma, precise):
    force(monkeypatch, "rows")
    used = []
    factor = RowSystems._factor
    monkeypatch.setattr(RowSystems, "_factor", lambda *args: used.append(args[-1]) or factor(*args))
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
