import numpy as np
import pytest

from cvxrelu.losses.base import dual_term
from cvxrelu.losses.huber import Huber
from cvxrelu.losses.registry import get_loss
from tests.helpers.dual_terms import difference, draw, each_sigma, interior


def test_huber_checks_its_parameter():
    assert repr(Huber(2)) == "Huber(delta=2.0)"
    for wrong in (0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="delta must be a finite number > 0"):
            Huber(wrong)
    with pytest.raises(TypeError, match="delta must be a finite number > 0; got '1'"):
        Huber("1")


def soft(v, threshold):
    return np.sign(v) * np.maximum(np.abs(v) - threshold, 0.0)


def test_huber_is_the_minimum_over_s():
    term, Y, rng, f = draw("huber")
    n, delta = len(Y), term.delta

    def with_block(s):
        return np.sum((f - Y - s) ** 2) / (2 * n) + delta / n * np.abs(s).sum()

    term.start(f)
    least = with_block(term.centre)
    assert 0 < np.count_nonzero(term.centre) < Y.size
    assert least == pytest.approx(term.loss.value(f, Y), rel=1e-13)
    for size in (1e-3, 0.1, 1.0):
        assert with_block(term.centre + size * rng.standard_normal(Y.shape)) >= least


@each_sigma
@pytest.mark.parametrize("size", [0.5, 3.0])
def test_huber_term_is_the_dual_of_a_proximal_step_on_s(size, sigma):
    """The term is n/2 ||t||^2 + <t, Y> + sup_s <t, s> - delta/n ||s||_1 - ||s - centre||^2 / (2 sigma)."""
    term, Y, rng, f = draw("huber")
    n, delta = len(Y), term.delta
    term.start(f)
    centre = term.centre.copy()

    def value(t):
        s = soft(centre + sigma * t, sigma * delta / n)
        inner = np.sum(t * s) - delta / n * np.abs(s).sum() - np.sum((s - centre) ** 2) / (2 * sigma)
        return n / 2 * np.sum(t * t) + np.sum(t * Y) + inner

    t = size * rng.uniform(-1.0, 1.0, Y.shape) * delta / n  # no box constraint: 3 is outside
    for _ in range(5):
        direction = rng.standard_normal(Y.shape) / n
        expected = difference(value, t, direction, 1e-5)
        assert np.vdot(term.gradient(t, sigma), direction) == pytest.approx(expected, rel=1e-6)


@each_sigma
def test_recentre_takes_the_proximal_step_of_s(sigma):
    term, Y, rng, f = draw("huber")
    term.start(f)
    t = rng.uniform(-2.0, 2.0, Y.shape) * term.delta / len(Y)
    moved = term.gradient(t, sigma) - len(Y) * t - Y
    term.recentre(t, sigma)
    np.testing.assert_allclose(term.centre, moved, atol=1e-13)
    kept = term.centre.copy()
    term.rows(2 * t, sigma)
    term.gradient(2 * t, sigma)
    np.testing.assert_array_equal(term.centre, kept)  # only recentre moves it


def test_repeated_recentring_sets_s_to_zero_inside_the_box():
    term, Y, rng, f = draw("huber")
    term.start(10 * f)
    t = interior("huber", Y, rng)
    for _ in range(1000):
        term.recentre(t, 10.0)
    assert not term.centre.any()


@pytest.mark.parametrize("delta", [0.1, 1.0, 5.0])
def test_largest_multiple_ends_at_the_boundary_of_the_box(delta):
    _, Y, rng, f = draw("huber")
    loss = type(get_loss("huber"))(delta)
    term = dual_term(loss, Y)
    assert term.largest_multiple(np.zeros_like(Y)) == np.inf
    for t in (rng.standard_normal(Y.shape), -1e-6 * f, 1e3 * f):
        multiple = term.largest_multiple(t)
        assert np.isfinite(loss.conjugate(multiple * t, Y))
        assert loss.conjugate(1.0001 * multiple * t, Y) == np.inf
