"""Compare the estimators with independent programs, and test them in typical use."""

import time
import warnings

import cvxpy as cp
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import cvxrelu as cr
from cvxrelu.patterns.activation_patterns import ActivationPatterns
from tests.helpers.clock import Clock
from tests.helpers.estimators import CLASSIFIERS, REGRESSORS, N, draw, each_kind, each_regressor


def literal_optimum(kind, model, X, y, weights):
    """Return the optimal value of the docstring's program, by loops and Clarabel, with weights as repeated rows."""
    rows = np.repeat(np.arange(N), weights.astype(int))
    X, y = X[rows], y[rows]
    if kind in REGRESSORS:
        Y = y.reshape(len(y), -1)
    else:
        classes = np.unique(y)
        Y = 2.0 * (y[:, None] == classes) - 1.0
        if model.loss == "softmax":
            Y = (Y + 1) / 2
        elif len(classes) == 2:
            Y = Y[:, 1:]
    if model.standardize:
        X = (X - (X.mean(axis=0) if model.fit_intercept else 0.0)) / X.std(axis=0)
        if kind in REGRESSORS:
            Y = (Y - (Y.mean(axis=0) if model.fit_intercept else 0.0)) / Y.std(axis=0)
    if model.fit_intercept:
        X = np.column_stack([X, np.ones(len(X))])
    n, d = X.shape
    c = Y.shape[1]
    prediction, norms, constraints = np.zeros((n, c)), 0.0, []
    for g in model.certificate_.problem.patterns.G.T:
        D = np.diag((X @ g >= 0).astype(float))
        if type(model).__name__.startswith("ConvexReLU"):
            V, W = cp.Variable((d, c)), cp.Variable((d, c))
            cone = (2 * D - np.eye(n)) @ X
            constraints += [cone @ V >= 0, cone @ W >= 0]
            prediction = prediction + D @ X @ (V - W)
            norms += cp.sum(cp.norm(V, axis=0)) + cp.sum(cp.norm(W, axis=0))
        else:
            U = cp.Variable((d, c))
            prediction = prediction + D @ X @ U
            norms += cp.sum(cp.norm(U, axis=0))
    if model.loss == "squared":
        loss = cp.sum_squares(prediction - Y) / 2
    elif model.loss == "huber":
        loss = cp.sum(cp.huber(prediction - Y, model.delta)) / 2
    elif model.loss == "logistic":
        loss = cp.sum(cp.logistic(-cp.multiply(Y, prediction)))
    else:
        loss = cp.sum(cp.log_sum_exp(prediction, axis=1)) - cp.sum(cp.multiply(Y, prediction))
    program = cp.Problem(cp.Minimize(loss / n + model.alpha * norms), constraints)
    return program.solve(solver="CLARABEL")


CASES = [
    *((kind, loss, 2) for kind in REGRESSORS for loss in ("squared", "huber")),
    *((kind, loss, 1) for kind in CLASSIFIERS for loss in ("squared", "logistic")),
    *((kind, loss, 2) for kind in CLASSIFIERS for loss in ("squared", "logistic")),
    (cr.GatedReLUClassifier, "softmax", 1),
    (cr.GatedReLUClassifier, "softmax", 2),
    (cr.ConvexReLUClassifier, "softmax", 2),
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("intercept", "standardize"), [(True, True), (False, True), (True, False), (False, False)])
@pytest.mark.parametrize(("kind", "loss", "outputs"), CASES)
def test_the_optimum_is_that_of_the_program_in_the_docstring(kind, loss, outputs, intercept, standardize, weighted):
    X, y, weights = draw(kind, outputs)
    model = kind(0.03, n_gates=4, loss=loss, fit_intercept=intercept, standardize=standardize, random_state=0)
    model.fit(X, y, weights if weighted else None)
    optimum = literal_optimum(kind, model, X, y, weights if weighted else np.ones(N))
    assert model.certificate_.rel_gap <= 1e-6
    assert model.lower_bound_ - 1e-7 * model.objective_ <= optimum <= model.objective_ * (1 + 1e-7)
    assert model.dual_gap_ == model.objective_ - model.lower_bound_


@each_kind
def test_the_certificate_is_of_the_given_rows_standardised_in_their_order(kind, tmp_path):
    X, y, _ = draw(kind)
    model = kind(0.01, n_gates=10, random_state=0).fit(X, y)
    problem = model.certificate_.problem
    expected = np.column_stack([(X - X.mean(axis=0)) / X.std(axis=0), np.ones(N)])
    np.testing.assert_allclose(problem.X, expected, atol=1e-13)
    targets = (y - y.mean()) / y.std() if kind in REGRESSORS else np.where(y == "mid", 1.0, -1.0)
    np.testing.assert_allclose(problem.y, targets, atol=1e-13)
    assert problem.loss == (cr.Squared() if kind in REGRESSORS else cr.Logistic())  # though two rows are equal
    assert problem.lam == 0.01
    again = cr.certify(problem, model.certificate_.weights, model.certificate_.dual, rigor="rounded")
    assert again.upper == pytest.approx(model.objective_, rel=1e-9)
    assert again.rel_gap <= 2e-6
    model.certificate_.save(tmp_path / "fit.cert")
    assert cr.load_certificate(tmp_path / "fit.cert").verify(problem.X, problem.y)


def test_warm_start_begins_at_the_last_fit():
    X, y, _ = draw(cr.ConvexReLURegressor)
    for kind in REGRESSORS:
        model = kind(0.01, n_gates=30, random_state=0, warm_start=True)
        cold = model.fit(X, y).n_iter_
        objective = model.objective_
        assert model.fit(X, y).n_iter_ < cold
        assert model.objective_ == pytest.approx(objective, rel=2e-6)
        near = model.set_params(alpha=0.0098).fit(X, y).n_iter_
        again = clone(model).fit(X, y)
        assert near <= again.n_iter_
        assert model.objective_ == pytest.approx(again.objective_, rel=2e-6)
        model.set_params(n_gates=20).fit(X[:20, :2], y[:20])  # other data and gates: no warm start
        assert model.n_features_in_ == 2


# Convergence


@each_kind
def test_a_fit_that_stops_early_warns_once_and_is_usable(kind):
    X, y, _ = draw(kind)
    model = kind(1e-4, n_gates=50, max_iter=1, random_state=0)
    with pytest.warns(cr.ConvergenceWarning) as caught:
        assert model.fit(X, y) is model
    assert len(caught) == 1
    message = str(caught[0].message)
    assert message.startswith(f"{kind.__name__} ended with a certified relative gap of ")
    assert f"{model.certificate_.rel_gap:.2e}, above tol = 1.00e-06. The iteration limit was reached first" in message
    assert caught[0].filename == __file__
    assert model.dual_gap_ > 1e-6 * model.objective_
    assert len(model.predict(X)) == N


@each_regressor
@pytest.mark.parametrize("value", [0.0, -3.5, 1e8])
def test_constant_targets_are_predicted_exactly(kind, value):
    X, _, _ = draw(kind)
    model = kind(random_state=0).fit(X, np.full(N, value))
    np.testing.assert_array_equal(model.predict(X), np.full(N, value))
    assert model.objective_ == model.lower_bound_ == model.dual_gap_ == 0.0
    assert model.n_iter_ == 0


@each_regressor
def test_a_large_alpha_gives_the_mean(kind):
    X, y, weights = draw(kind)
    model = kind(1e3, random_state=0).fit(X, y, weights)
    np.testing.assert_allclose(model.predict(X), np.average(y, weights=weights), rtol=1e-13)
    assert model.n_neurons_ == 1


def test_no_regularisation_is_least_squares():
    X, y, weights = draw(cr.GatedReLURegressor)
    model = cr.GatedReLURegressor(0.0, n_gates=2, random_state=0).fit(X, y, weights)
    raw = np.column_stack([(X - np.average(X, axis=0, weights=weights)), np.ones(N)])
    masks = np.asarray(model.certificate_.problem.patterns.D)
    kept = weights > 0
    A = np.column_stack([masks[:, [i]] * raw[kept] for i in range(masks.shape[1])])
    roots = np.sqrt(weights[kept])[:, None]
    centred = y[kept] - np.average(y, weights=weights)
    best = np.linalg.lstsq(roots * A, roots[:, 0] * centred)[0]
    np.testing.assert_allclose(model.predict(X[kept]) - np.average(y, weights=weights), A @ best, rtol=1e-7, atol=1e-7)


# Typical use


def test_solvers_can_be_given_as_objects_through_clones():
    X, y, _ = draw(cr.GatedReLURegressor)
    model = cr.GatedReLURegressor(0.05, n_gates=5, solver=cr.RFISTA(restart="value"), tol=1e-4, random_state=0)
    assert clone(model).fit(X, y).certificate_.rel_gap <= 1e-4
    by_name = cr.ConvexReLURegressor(0.05, n_gates=5, solver="CLARABEL", random_state=0).fit(X, y)
    native = cr.ConvexReLURegressor(0.05, n_gates=5, random_state=0).fit(X, y)
    assert by_name.objective_ == pytest.approx(native.objective_, rel=2e-6)


def test_pandas_names_and_labels_in_pipelines_and_grid_searches():
    X, y = load_iris(return_X_y=True, as_frame=True)
    labels = y.map({0: "setosa", 1: "versicolor", 2: "virginica"})
    model = cr.GatedReLUClassifier(0.01, n_gates=10, random_state=0)
    pipeline = make_pipeline(StandardScaler(), model).set_output(transform="pandas")
    search = GridSearchCV(pipeline, {"gatedreluclassifier__alpha": [0.1, 0.01]}, cv=3).fit(X, labels)
    best = search.best_estimator_[-1]
    assert list(best.feature_names_in_) == list(X.columns)
    assert list(best.classes_) == ["setosa", "versicolor", "virginica"]
    assert set(search.predict(X)) <= set(labels)
    assert search.best_score_ > 0.9
    with pytest.raises(ValueError, match="feature names"):
        best.predict(X.rename(columns={X.columns[0]: "other"}))
    assert cross_val_score(model, X, labels, cv=3, params={"sample_weight": np.ones(len(X))}).min() > 0.9


def test_alpha_does_not_depend_on_the_units():
    X, y, _ = draw(cr.ConvexReLURegressor)
    model = cr.ConvexReLURegressor(0.01, n_gates=10, random_state=0)
    predicted = clone(model).fit(X, y).predict(X)
    scaled = clone(model).fit(1024.0 * X, 0.125 * y).predict(1024.0 * X)
    np.testing.assert_allclose(8.0 * scaled, predicted, rtol=1e-9)


def test_verbose_prints_the_gap(capsys):
    X, y, _ = draw(cr.ConvexReLURegressor)
    cr.ConvexReLURegressor(n_gates=5, verbose=True).fit(X, y)
    assert "relative gap" in capsys.readouterr().out


def test_time_limits_are_kept():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 8))
    with pytest.warns(cr.ConvergenceWarning, match="The time limit was reached first"):
        cr.ConvexReLURegressor(1e-4, patterns="generate", time_limit=1e-6).fit(X, np.sin(3 * X).sum(axis=1))


def test_the_score_is_that_of_unseen_data():
    """A network learns a function that no linear model fits from 200 rows."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (400, 2))
    y = np.abs(X[:, 0]) - np.maximum(X[:, 1], 0)
    for kind in REGRESSORS:
        model = kind(1e-4, random_state=0).fit(X[:200], y[:200])
        assert r2_score(y[200:], model.predict(X[200:])) > 0.98


def test_float32_and_integers_are_computed_in_float64():
    X, y, _ = draw(cr.ConvexReLURegressor)
    X = X.astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        single = cr.ConvexReLURegressor(n_gates=10, random_state=0).fit(X, y.astype(np.float32))
    double = cr.ConvexReLURegressor(n_gates=10, random_state=0).fit(
        X.astype(np.float64), y.astype(np.float32).astype(np.float64)
    )
    np.testing.assert_array_equal(single.predict(X), double.predict(X))


@pytest.mark.parametrize("kind", [cr.ConvexReLURegressor, cr.GatedReLURegressor])
def test_the_time_limit_covers_the_whole_fit(kind, monkeypatch):
    """Here it is the sampling of patterns that takes the time."""
    X, y, _ = draw(kind)
    clock = Clock(tick=1.0)
    make = ActivationPatterns.from_gates

    def slow(*arguments):
        clock.now += 1e5
        return make(*arguments)

    monkeypatch.setattr(time, "perf_counter", clock)
    monkeypatch.setattr(ActivationPatterns, "from_gates", slow)
    with pytest.warns(cr.ConvergenceWarning, match="The time limit was reached first"):
        model = kind(1e-5, n_gates=20, tol=1e-9, time_limit=1e5).fit(X, y)
    assert clock.now - 1000.0 <= 1e5 + 300.0
    assert model.lower_bound_ <= model.objective_


@pytest.mark.parametrize("estimator", [cr.ConvexReLUClassifier, cr.GatedReLUClassifier])
def test_separable_classes_without_a_penalty_are_reported_with_the_name_of_the_parameter(estimator):
    y = np.arange(40) % 2
    X = np.random.default_rng(8).standard_normal((40, 3)) + 6.0 * y[:, None]
    with pytest.warns(cr.ConvergenceWarning, match="not attained.*alpha > 0"):
        model = estimator(alpha=0.0, n_gates=5, random_state=0).fit(X, y)
    assert model.score(X, y) == 1.0
