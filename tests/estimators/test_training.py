"""The gates and patterns of the estimators: seeds, kinds, enumeration and generation."""

import numpy as np
import pytest

import cvxrelu as cr
from tests.helpers.estimators import REGRESSORS, draw


def test_the_same_seed_draws_the_same_gates_whatever_the_rows():
    X, y, _ = draw(cr.ConvexReLURegressor)
    options = {"n_gates": 40, "standardize": False, "random_state": 5}
    gates = [
        {tuple(g) for g in kind(**options).fit(X[rows], y[rows]).certificate_.problem.patterns.G.T}
        for kind in REGRESSORS
        for rows in (slice(None), slice(15))
    ]
    every = set().union(*gates)
    assert len(every) <= 40
    assert gates[0] == gates[2]
    assert gates[1] < gates[0]  # fewer patterns on fewer rows
    other = cr.GatedReLURegressor(**(options | {"random_state": 6})).fit(X, y)
    assert not {tuple(g) for g in other.certificate_.problem.patterns.G.T} & every
    drawn = cr.GatedReLURegressor(random_state=np.random.RandomState(0)).fit(X, y)
    assert drawn.certificate_.problem.patterns.n_patterns > 1


@pytest.mark.parametrize(
    ("gate_kind", "options", "most"),
    [("sparse", {"order": 2}, 2), ("convolutional", {"image_shape": (2, 3), "kernel_size": 2}, 4)],
)
def test_other_kinds_of_gates_have_a_bias_each(gate_kind, options, most):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 6))
    y = np.abs(X[:, 0]) + X[:, 1]
    model = cr.GatedReLURegressor(n_gates=30, gate_kind=gate_kind, gate_options=options, random_state=0).fit(X, y)
    G = model.certificate_.problem.patterns.G
    used = np.count_nonzero(G[:-1], axis=0)
    assert used.max() == most
    assert G[-1].all()
    assert len(np.unique(G[-1])) == G.shape[1]


def test_enumerated_and_generated_patterns_have_the_global_optimum():
    rng = np.random.default_rng(2)
    X = rng.standard_normal((12, 1))
    y = np.sin(3 * X[:, 0])
    weights = rng.integers(1, 4, 12).astype(float)
    options = {"alpha": 0.01, "random_state": 0}
    generated = cr.ConvexReLURegressor(patterns="generate", n_gates=3, **options).fit(X, y, weights)
    enumerated = cr.ConvexReLURegressor(patterns="enumerate", **options).fit(X, y, weights)
    sampled = cr.ConvexReLURegressor(n_gates=3, **options).fit(X, y, weights)
    assert generated.certificate_.scope == "global"
    assert enumerated.certificate_.scope == sampled.certificate_.scope == "patterns"
    assert generated.certificate_.rel_gap <= 1e-6
    assert generated.certificate_.proof.method == "exact"
    assert enumerated.objective_ == pytest.approx(generated.objective_, rel=2e-6)
    assert (
        enumerated.certificate_.problem.patterns.n_patterns == cr.count_patterns(12, 2) - 1
    )  # without the zero pattern
    assert sampled.objective_ > generated.objective_ * 1.0001
    found = cr.solve_global(generated.certificate_.problem.X, generated.certificate_.problem.y, 0.01)
    assert found.objective == pytest.approx(generated.objective_, rel=2e-6)


@pytest.mark.parametrize("loss", ["logistic", "squared"])
def test_generated_patterns_for_classifiers_with_weights(loss):
    X, y, weights = draw(cr.ConvexReLUClassifier)
    model = cr.ConvexReLUClassifier(0.02, patterns="generate", loss=loss, random_state=0).fit(X[:, :1], y, weights)
    assert model.certificate_.scope == "global"
    assert model.certificate_.rel_gap <= 1e-6
    assert model.certificate_.problem.n == np.count_nonzero(weights)


def test_generate_starts_from_the_patterns_of_the_last_fit():
    X, y, _ = draw(cr.ConvexReLURegressor)
    model = cr.ConvexReLURegressor(0.02, patterns="generate", n_gates=2, random_state=0, warm_start=True)
    first = model.fit(X[:, :1], y).n_iter_
    objective = model.objective_
    assert model.fit(X[:, :1], y).n_iter_ < first
    assert model.objective_ == pytest.approx(objective, rel=2e-6)
