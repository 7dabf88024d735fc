"""Saved proofs by branch and bound, both kept ones and those from a new search."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cvxrelu as cr
from cvxrelu.certificates import checker
from cvxrelu.certificates.certificate import over_all_networks
from cvxrelu.pricing import branch_and_bound, cone_stack, proofs
from cvxrelu.pricing.bounds import bound_neurons, feasible_multiple
from cvxrelu.pricing.neuron_problem import RowLines
from tests.helpers.forgery import as_contents
from tests.helpers.neurons import KINDS, SEEDS, make_rows


@pytest.fixture
def data():
    rng = np.random.default_rng(1)
    X = np.column_stack([rng.standard_normal((30, 2)), np.ones(30)])
    return X, np.maximum(X[:, 0], 0.0) - np.abs(X[:, 1])


@pytest.fixture
def searches(monkeypatch):
    """Record the limits of the searches that saving starts."""
    found = []

    def record(objective, limit, known=branch_and_bound.record):
        found.append(limit)
        return known(objective, limit)

    monkeypatch.setattr(proofs, "record", record)
    return found


def verified(certificate, path):
    certificate.save(path)
    verdict = cr.load_certificate(path).verify(certificate.problem.X, certificate.problem.y)
    assert verdict.scope == "global"
    assert verdict.lower == pytest.approx(certificate.lower, rel=1e-9)
    return verdict


@pytest.mark.parametrize("loss", ["squared", "logistic", "huber"])
@pytest.mark.parametrize("n_features", [2, 3])
def test_save_writes_the_cones_that_proved_the_bound(loss, n_features, searches, tmp_path):
    rng = np.random.default_rng(n_features)
    X = np.column_stack([rng.standard_normal((25, n_features)), np.ones(25)])
    y = np.maximum(X[:, 0], 0.0) - np.abs(X[:, 1])
    y = np.where(y > -0.3, 1.0, -1.0) if loss == "logistic" else y
    certificate = cr.solve_global(X, y, 0.02, loss).certificate
    assert certificate.proof.method == "branch_and_bound"
    verdict = verified(certificate, tmp_path / "a.cert")
    assert searches == []
    # A new search finds a proof too.
    bare = dataclasses.replace(certificate, proof=dataclasses.replace(certificate.proof, cones=None))
    assert verified(bare, tmp_path / "b.cert").lower == pytest.approx(verdict.lower, rel=1e-9)
    assert len(searches) == 2


@pytest.mark.parametrize("solve", [True, False])
def test_save_of_a_certified_network_needs_no_search(solve, data, searches, tmp_path):
    network = cr.solve_global(*data, 0.02, tol=1e-7).network()
    certificate = cr.certify_network(network, *data, 0.02, scope="global", solve=solve)
    assert certificate.proof.method == "branch_and_bound"
    certificate.save(tmp_path / "a.cert")
    assert searches == []
    cr.load_certificate(tmp_path / "a.cert").verify(*data)


@settings(max_examples=40)
@given(SEEDS, st.sampled_from(KINDS), st.integers(3, 4), st.floats(0.5, 1.5))
def test_cones_that_are_kept_prove_the_bound(seed, kind, d, factor):
    """The target may be attainable or raised during the search, which is the same to the bit."""
    rng = np.random.default_rng(seed)
    X, t = make_rows(kind, 8, d, rng), rng.standard_normal(8)
    lines = RowLines(X)
    if lines.rank < 3:
        return
    target = factor * cr.find_neuron(X, t).value
    bound, plain = (bound_neurons(X, lines, t, target, keep_tree=keep) for keep in (True, False))
    assert (bound.upper, bound.n_nodes) == (plain.upper, plain.n_nodes)
    np.testing.assert_array_equal(bound.candidates, plain.candidates)
    assert plain.cones is None
    y, lam = rng.standard_normal(8), 0.3
    problem = cr.ConvexReLU(X, y, cr.ActivationPatterns(np.ones((8, 1), dtype=bool)), lam)
    point = feasible_multiple(problem.loss, problem.Y, lam, t, bound.upper)
    contents = as_contents(over_all_networks(cr.certify(problem, problem.zero_weights()), point, bound))
    checker.check(contents, X, y)
    if point.t.any():
        cuts = np.concatenate([bound.cones.plus.cuts, bound.cones.minus.cuts])
        np.testing.assert_array_equal(contents.arrays["cuts"], cuts)


def test_cones_of_other_rows_or_another_point_are_not_used(data, searches):
    X, y = data
    certificate = cr.solve_global(X, y, 0.02).certificate
    t, cones = certificate.dual.t[:, 0], certificate.proof.cones
    order = np.random.default_rng(0).permutation(len(X))
    other = t + 1e-6 * np.abs(t).max() * np.random.default_rng(0).standard_normal(len(t))
    for rows, point in ((X[order], t[order]), (X, 0.9 * other), (np.vstack([X, X[:1]]), np.append(t, 0.0))):
        before = len(searches)
        proofs.cone_proof(rows, point, 0.02 * (1.0 + 1e-3), cones)
        assert len(searches) == before + 2
    proofs.cone_proof(X, 0.5 * t, 0.02, cones)
    assert len(searches) == before + 2


def test_estimators_save_proofs_on_the_rows_given(tmp_path):
    """The search was on the distinct rows, in another order."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20, 2))
    X, y = np.vstack([X, X[:3]]), np.append(np.abs(X[:, 0]), np.abs(X[:3, 0]))
    model = cr.ConvexReLURegressor(0.02, patterns="generate", random_state=0, n_gates=5).fit(X, y)
    verified(model.certificate_, tmp_path / "a.cert")


def test_too_many_cones_are_not_kept(data, searches, monkeypatch, tmp_path):
    monkeypatch.setattr(branch_and_bound, "_MAX_KEPT", 20)
    monkeypatch.setattr(cone_stack, "_PART", 4)
    certificate = cr.solve_global(*data, 0.02).certificate
    assert certificate.proof.cones is None
    verified(certificate, tmp_path / "a.cert")
    assert len(searches) == 2


def test_an_unfinished_search_keeps_no_cones(data):
    X, y = data
    lines, t = RowLines(X), y / len(y)
    bound = bound_neurons(X, lines, t, 1e-6, max_nodes=5, keep_tree=True)
    assert bound.cones is None
    plain = bound_neurons(X, lines, t, 1e-6, max_nodes=5)
    assert bound.upper == plain.upper <= max(lines.objective(sign * t).lipschitz for sign in (1.0, -1.0)) * (1 + 1e-9)
