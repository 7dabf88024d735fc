import numpy as np
import pytest

from cvxrelu.problems.operators.gated_operator import GatedOperator
from cvxrelu.solvers.working_set import newton_systems
from cvxrelu.solvers.working_set.data_products import DataProducts
from cvxrelu.solvers.working_set.newton_systems import NewtonSystems
from tests.helpers.newton_systems import ALL_PATTERNS, RESIDUAL_TOL, D, force, make_operator, make_step, matrices


@pytest.mark.parametrize("penalty", ["group_l1", "l1", "nuclear"])
@pytest.mark.parametrize("loss", ["logistic", "softmax", "huber"])
def test_small_systems_are_factored_with_output_couplings(monkeypatch, penalty, loss):
    """Columns of 1e-2 to 1e2 and curvatures near 0 take conjugate gradients alone hundreds of iterations."""
    force(monkeypatch, "dense")
    counts = []
    iterate = newton_systems.conjugate_gradients

    def counted(*arguments):
        found = iterate(*arguments)
        counts.append(found[1])
        return found

    monkeypatch.setattr(newton_systems, "conjugate_gradients", counted)
    original = make_operator()
    operator = GatedOperator(original.X * np.logspace(-2.0, 2.0, D), original.D)
    for sigma in (1.0, 1e3):
        step = make_step(loss, penalty, operator, 3, sigma=sigma)
        systems = NewtonSystems(constant_curvature=False, products=DataProducts(operator.X))
        systems.enter(operator, ALL_PATTERNS)
        found = systems.direction(step)
        Q, AMA = matrices(operator, step)
        # Multiplied by Q, which may be singular: (I + sigma Q A M A') dt = -Q g.
        right = -(Q @ step.gradient.ravel())
        left = found.ravel() + sigma * Q @ (AMA @ found.ravel())
        assert np.linalg.norm(left - right) <= RESIDUAL_TOL * np.linalg.norm(right)
    assert max(counts) <= 2
