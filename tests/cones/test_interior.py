import numpy as np

from cvxrelu.cones.interior import NUDGE, rounding, steps_along


def test_steps_make_up_missing_margins_on_every_row():
    rng = np.random.default_rng(0)
    missing, gains = rng.standard_normal((30, 5)), rng.uniform(0.1, 1.0, (30, 5))
    steps = steps_along(missing, gains)
    assert np.all(NUDGE * steps * gains >= missing)
    tight = (steps * (1.0 - 1e-12)) * gains < missing
    assert tight.any(axis=0).all()


def test_steps_without_missing_margins_or_gains():
    assert np.array_equal(steps_along(-np.ones((3, 2)), np.ones((3, 2))), [0.0, 0.0])
    assert np.array_equal(steps_along(np.ones((3, 2)), np.array([[0.0, 1.0], [-1.0, 2.0], [0.0, 4.0]])), [0.0, 1.0])
    assert np.array_equal(steps_along(np.ones((0, 2)), np.ones((0, 2))), [0.0, 0.0])
    assert steps_along(np.array([2.0, 3.0]), np.array([4.0, 4.0])) == 0.75  # one point


def test_rounding_bound_of_inner_products():
    rng = np.random.default_rng(1)
    for d in (1, 7, 200):
        x, w = rng.standard_normal((2, 50, d)) * 10.0 ** rng.integers(-8, 8, (2, 50, d))
        exact = np.einsum("ij,ij->i", x.astype(np.longdouble), w.astype(np.longdouble))
        bound = rounding(d) * np.linalg.norm(x, axis=1) * np.linalg.norm(w, axis=1)
        assert np.all(np.abs(np.einsum("ij,ij->i", x, w) - exact) <= bound)
