import numpy as np

from cvxrelu.losses.base import dual_term
from cvxrelu.losses.dual_steps import descent_step
from cvxrelu.losses.registry import get_loss


def test_damped_ascent_directions_are_shortened():
    """The decreasing entry is damped to almost zero; the remaining step would then be an ascent direction."""
    Y = np.ones((2, 1))
    term = dual_term(get_loss("logistic"), Y)
    t = -np.array([[1e-6], [0.5]]) / 2
    step, gradient = np.array([[0.1], [-0.1]]), np.array([[-1.0], [-0.9]])
    assert np.vdot(gradient, step) < 0.0 < np.vdot(gradient, term.damped(t, step))
    damped_step = descent_step(term, t, step, gradient)
    assert np.vdot(gradient, damped_step) < 0.0
    assert np.abs(damped_step).max() > 1e-9
