import numpy as np
import pytest

import cvxrelu as cr
from reference import programs as oracle
from tests.helpers.cases import make_data, make_targets, random_network


def test_network_objective_follows_its_definition():
    rng = np.random.default_rng(0)
    X, Y = make_data("tall"), make_targets("squared", make_data("tall"), 3)
    W1, w2, G = rng.standard_normal((5, 3)), rng.standard_normal((5, 3)), rng.standard_normal((3, 5))
    relu = cr.ReLUNetwork(W1, w2).objective(X, Y, 0.3)
    assert relu == pytest.approx(oracle.nc_relu_objective(X, Y, W1, w2, 0.3, "squared", 1.0), rel=1e-12)
    gated = cr.GatedReLUNetwork(G, W1, w2).objective(X, Y, 0.3)
    literal = oracle.nc_gated_relu_objective(X, Y, X @ G >= 0, W1, w2, 0.3, "squared", 1.0)
    assert gated == pytest.approx(literal, rel=1e-12)


def test_gated_network_predicts_new_data_by_its_gates():
    rng = np.random.default_rng(0)
    G, W1, w2 = rng.standard_normal((3, 4)), rng.standard_normal((4, 3)), rng.standard_normal(4)
    X = rng.standard_normal((20, 3))
    expected = sum(np.where(X @ G[:, i] >= 0, X @ W1[i], 0.0) * w2[i] for i in range(4))
    np.testing.assert_allclose(cr.GatedReLUNetwork(G, W1, w2).predict(X), expected)


@pytest.mark.parametrize("kind", ["relu", "gated"])
def test_the_objective_of_a_float32_network_is_computed_in_float64(kind):
    """Bounds are compared with the objective, and rounding to float32 would cause errors of 1e-7."""
    rng = np.random.default_rng(0)
    single = random_network(kind, rng, m=5, d=3, dtype=np.float32)
    double = type(single)(**{name: array.astype(np.float64) for name, array in vars(single).items()})
    X, y = make_data("tall"), make_targets("squared", make_data("tall"), 1)
    assert single.objective(X, y, 0.3) == double.objective(X, y, 0.3)
    (_, found), (_, expected) = cr.to_convex(single, X), cr.to_convex(double, X)
    np.testing.assert_array_equal(found, expected)


def test_empty_networks_have_a_float_type():
    empty = cr.ReLUNetwork(np.zeros((0, 3), int), np.zeros(0, np.float32))
    assert (empty.W1.dtype, empty.w2.dtype) == (np.float64, np.float32)


def test_bad_networks():
    with pytest.raises(ValueError, match=r"W1 and w2 must have shapes"):
        cr.ReLUNetwork(np.ones((3, 2)), np.ones(4))
    with pytest.raises(ValueError, match=r"W1 and w2 must have shapes"):
        cr.ReLUNetwork(np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match=r"W1 and w2 must have shapes"):
        cr.ReLUNetwork(np.ones((3, 2)), np.ones((3, 1, 1)))
    with pytest.raises(ValueError, match="W1 must be finite"):
        cr.ReLUNetwork(np.full((3, 2), np.nan), np.ones(3))
    with pytest.raises(ValueError, match=r"G must have shape \(d, m\)"):
        cr.GatedReLUNetwork(np.ones((3, 2)), np.ones((3, 2)), np.ones(3))
    network = cr.ReLUNetwork(np.ones((3, 2)), np.ones(3))
    with pytest.raises(ValueError, match="X must have the 2 columns"):
        network.predict(np.ones((4, 3)))
    with pytest.raises(ValueError, match="y must have 1 columns"):
        network.objective(np.ones((4, 2)), np.ones((4, 2)), 0.1)
    with pytest.raises(ValueError, match="lam"):
        network.objective(np.ones((4, 2)), np.ones(4), -0.1)
