"""Proofs of the dual constraint over all neurons, judged in rational arithmetic."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cvxrelu as cr
from cvxrelu.pricing import branch_and_bound, cone_stack
from cvxrelu.pricing.bounds import bound_neurons
from cvxrelu.pricing.neuron_problem import RowLines
from cvxrelu.pricing.proofs import global_proof
from cvxrelu.pricing.relaxation import ascended_bound
from tests.helpers.exact_proofs import is_proven
from tests.helpers.neurons import KINDS, SEEDS, make_rows


def degenerate_rows(kind, n, d, rng):
    """Return rows as `make_rows`, or with columns that depend on others up to 1e-13."""
    if kind != "dependent":
        return make_rows(kind, n, d, rng)
    X = rng.standard_normal((n, d))
    X[:, -1] = X[:, 0] + 1e-13 * rng.standard_normal(n)
    return X


def scaled(t, lam, bound):
    return (lam / bound.upper if bound.upper > 0.0 else 1.0) * t


def assert_proven(X, t, lam, bound):
    """Check that t, scaled to the bound, is proven feasible as it is up to rounding, and not with a larger multiple."""
    point = scaled(t, lam, bound)
    proof = global_proof(X, point, lam, bound)
    assert is_proven(X, lam, proof)
    np.testing.assert_allclose(proof.t, point, rtol=1e-9)
    assert np.all(np.abs(proof.t) <= np.abs(point))
    tight = bound.upper <= 1.01 * abs(cr.find_neuron(X, t).value)
    if tight and point[X.any(axis=1)].any() and bound.method != "relaxation":
        assert not is_proven(X, lam, proof._replace(t=1.02 * proof.t))
    return proof


@settings(max_examples=60)
@given(
    SEEDS,
    st.sampled_from([*KINDS, "dependent"]),
    st.integers(1, 7),
    st.integers(1, 4),
    st.sampled_from([0.5, 1.0, 1.5]),
    st.sampled_from([1e-100, 1e-8, 1.0, 1e8, 1e100]),
    st.sampled_from([1e-100, 1e-8, 1.0, 1e8, 1e100]),
)
def test_every_bound_is_proven_exactly(seed, kind, n, d, factor, x_size, t_size):
    rng = np.random.default_rng(seed)
    X, t = degenerate_rows(kind, n, d, rng), rng.standard_normal(n)
    t[rng.random(n) < 0.1] = 0.0
    found = cr.find_neuron(X, t).value
    X, t = x_size * X, t_size * t
    lines = RowLines(X)
    bound = bound_neurons(X, lines, t, (factor * found or 1.0) * x_size * t_size)
    assert_proven(X, t, 0.7 * x_size * t_size, bound)


@pytest.mark.parametrize("d", [5, 6])
def test_cones_of_higher_rank(d):
    rng = np.random.default_rng(d)
    X, t = rng.standard_normal((8, d)), rng.standard_normal(8)
    bound = bound_neurons(X, RowLines(X), t, 1.1 * cr.find_neuron(X, t).value)
    proof = assert_proven(X, t, 0.3, bound)
    assert proof.kind == "cones"


@settings(max_examples=40)
@given(
    SEEDS,
    st.sampled_from([*KINDS, "dependent"]),
    st.integers(1, 8),
    st.integers(1, 4),
    st.sampled_from([1e-100, 1e-8, 1.0, 1e8, 1e100]),
)
def test_every_relaxation_is_proven_exactly(seed, kind, n, d, size):
    rng = np.random.default_rng(seed)
    X, t = degenerate_rows(kind, n, d, rng), rng.standard_normal(n)
    X = size * X
    if X.any():
        proof = assert_proven(X, t, 0.3 * size, ascended_bound(RowLines(X), t, steps=20))
        assert proof.kind == "relaxation"


def test_rows_of_both_signs_on_one_line():
    """The weight of the line is a rounding error of the rows' parts."""
    X = np.array([[1.0, 0.0, 0.0], [0.1, 0.0, 0.0], [-3.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    t = np.array([0.1, -0.7, -0.01, 0.3, 0.2])
    assert_proven(X, t, 0.01, bound_neurons(X, RowLines(X), t, 0.3))


def test_no_rows_and_no_dual_point():
    X = np.random.default_rng(0).standard_normal((4, 5))
    for rows, t in ((X, np.zeros(4)), (0.0 * X, np.ones(4)), (np.diag([1.0, 0.0, 2.0]), np.array([0.0, 1.0, 0.0]))):
        proof = global_proof(rows, t, 1e-300, None)
        assert proof.kind == "maximum"
        assert is_proven(rows, 1e-300, proof)
        np.testing.assert_array_equal(proof.t, t)


@pytest.mark.parametrize("limit", [{"max_nodes": 0}, {"max_nodes": 7}, {"max_nodes": 60}, {"deadline": 0.0}])
def test_a_search_ended_by_a_limit_has_a_proof(limit):
    rng = np.random.default_rng(2)
    X, t = rng.standard_normal((10, 4)), rng.standard_normal(10)
    lines = RowLines(X)
    bound = bound_neurons(X, lines, t, 1e-6, **limit)
    assert bound.upper <= max(lines.objective(sign * t).lipschitz for sign in (1.0, -1.0)) * (1.0 + 1e-9)
    point = scaled(t, 0.3, bound)
    proof = global_proof(X, point, 0.3, bound)
    np.testing.assert_allclose(proof.t, point, rtol=1e-9)
    assert is_proven(X, 0.3, proof)


def test_cones_too_deep_to_be_cut_are_leaves(monkeypatch):
    monkeypatch.setattr(cone_stack, "_DEPTH", 2)
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    monkeypatch.setattr(cone_stack._search, "_compiled", None)
    for name in ("bound_cone", "dot", "least", "largest", "move_out"):
        monkeypatch.setattr(getattr(cone_stack, name), "_compiled", None)
    X, t = np.random.default_rng(0).standard_normal((6, 3)), np.random.default_rng(1).standard_normal(6)
    bound = bound_neurons(X, RowLines(X), t, 1e-6)
    assert bound.upper > 1.001 * cr.find_neuron(X, t).value
    point = scaled(t, 0.3, bound)
    assert is_proven(X, 0.3, global_proof(X, point, 0.3, bound))


def test_too_many_cones_are_not_kept(monkeypatch):
    monkeypatch.setattr(branch_and_bound, "_MAX_KEPT", 20)
    monkeypatch.setattr(cone_stack, "_PART", 4)
    X, t = np.random.default_rng(0).standard_normal((6, 3)), np.random.default_rng(1).standard_normal(6)
    bound = bound_neurons(X, RowLines(X), t, 1e-6)
    with pytest.raises(ValueError, match="no proof was kept .* too many cones"):
        global_proof(X, t, bound.upper, bound)


def test_a_bound_of_something_else_is_refused():
    rng = np.random.default_rng(0)
    X, t = rng.standard_normal((6, 3)), rng.standard_normal(6)
    bound = bound_neurons(X, RowLines(X), t, 1e-6)
    with pytest.raises(ValueError, match="above lam"):
        global_proof(X, 1.001 * t, bound.upper, bound)
    with pytest.raises(ValueError, match="another dual point"):
        global_proof(X, 0.5 * t[::-1], bound.upper, bound)
    with pytest.raises(ValueError, match="no proof was kept"):
        global_proof(X, t, bound.upper, dataclasses.replace(bound, cones=None))
    with pytest.raises(ValueError, match="no proof was kept"):
        global_proof(X, t, 1.0, None)


def test_copies_of_rows_and_another_order_need_no_search():
    """Estimators search on the distinct rows; rows that differ by 1e-10 are on one line."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((7, 3))
    X[1] = X[0] * (1.0 + 1e-10 * rng.standard_normal(3))
    X[2] = -2.0 * X[3]
    t = rng.standard_normal(7)
    bound = bound_neurons(X, RowLines(X), t, 1e-6)
    order = np.array([6, 0, 3, 3, 1, 5, 4, 2, 0])
    weights = 1.0 / np.bincount(order)[order]
    point = (0.3 / bound.upper) * weights * t[order]
    proof = global_proof(X[order], point, 0.3, bound)
    np.testing.assert_allclose(proof.t, point, rtol=1e-12)
    assert is_proven(X[order], 0.3, proof)


@pytest.mark.parametrize("loss", ["squared", "logistic", "huber"])
@pytest.mark.parametrize("n_features", [0, 1, 2, 3])
def test_results_of_solve_global_have_a_proof(loss, n_features):
    rng = np.random.default_rng(n_features)
    X = np.column_stack([rng.standard_normal((12, n_features)), np.ones(12)])
    y = np.maximum(X[:, 0], 0.0) - np.abs(X[:, -2:]).sum(axis=1) + rng.standard_normal(12)
    y = np.where(y > -0.3, 1.0, -1.0) if loss == "logistic" else y
    certificate = cr.solve_global(X, y, 0.05, loss, tol=1e-5).certificate
    t = certificate.dual.t[:, 0]
    proof = global_proof(X, t, 0.05, certificate.proof)
    np.testing.assert_allclose(proof.t, t, rtol=1e-9)
    assert is_proven(X, 0.05, proof)


@pytest.mark.parametrize("solve", [True, False])
def test_certified_networks_have_a_proof(solve):
    rng = np.random.default_rng(1)
    X = np.column_stack([rng.standard_normal((12, 2)), np.ones(12)])
    y = np.maximum(X[:, 0], 0.0) - np.abs(X[:, 1])
    network = cr.solve_global(X, y, 0.05, tol=1e-5).network()
    certificate = cr.certify_network(network, X, y, 0.05, scope="global", solve=solve)
    proof = global_proof(X, certificate.dual.t[:, 0], 0.05, certificate.proof)
    np.testing.assert_allclose(proof.t, certificate.dual.t[:, 0], rtol=1e-9)
    assert is_proven(X, 0.05, proof)
