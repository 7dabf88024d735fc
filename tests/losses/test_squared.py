import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvxrelu.losses.squared import Squared
from tests.helpers.losses import SEEDS, problem, properties, terms


@properties
@given(seed=SEEDS, limit=st.sampled_from([0.0, 0.2, 1.0, 3.0]))
def test_best_scale_of_the_squared_loss_is_optimal(seed, limit):
    _, f, Y = problem(Squared(), seed)
    t = Squared().gradient(f, Y)
    best = Squared().conjugate(Squared().best_scale(t, Y, limit) * t, Y)
    for scale in np.linspace(0, limit, 31):
        assert best <= Squared().conjugate(scale * t, Y) + 1e-14 * terms(Squared(), f, t, Y)


@pytest.mark.parametrize("size", [1e-200, 1.0, 1e100])
def test_best_scale_of_the_squared_loss_in_closed_form(size):
    Y = np.array([[1.0], [2.0]])
    assert Squared().best_scale(-size * Y, Y, np.inf) == pytest.approx(1 / (2 * size), rel=1e-14)
    assert Squared().best_scale(-size * Y, Y, 0.25 / size) == 0.25 / size
    assert Squared().best_scale(size * Y, Y, np.inf) == 0
    assert Squared().best_scale(0 * Y, Y, np.inf) == 0
