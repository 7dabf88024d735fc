"""Compare the paths and scores of the estimators that choose alpha with fits of single alphas, fold by fold."""

import time

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.metrics import accuracy_score, log_loss, mean_squared_error
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import cvxrelu as cr
from cvxrelu.estimators.cross_validated import choose
from tests.helpers.clock import Clock

PAIRS = {
    cr.ConvexReLURegressorCV: cr.ConvexReLURegressor,
    cr.GatedReLURegressorCV: cr.GatedReLURegressor,
    cr.ConvexReLUClassifierCV: cr.ConvexReLUClassifier,
    cr.GatedReLUClassifierCV: cr.GatedReLUClassifier,
}
REGRESSORS = list(PAIRS)[:2]
CLASSIFIERS = list(PAIRS)[2:]
FOLDS = KFold(3, shuffle=True, random_state=0)
N = 45

each_kind = pytest.mark.parametrize("kind", PAIRS)
each_regressor = pytest.mark.parametrize("kind", REGRESSORS)
each_classifier = pytest.mark.parametrize("kind", CLASSIFIERS)


def draw(kind, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((N, 2)) * [2.0, 0.3]
    latent = np.abs(X[:, 0]) + 3.0 * X[:, 1] + 0.5 * rng.standard_normal(N)
    y = np.where(latent > np.median(latent), "yes", "no") if kind in CLASSIFIERS else 10.0 * latent
    return X, y, rng.integers(1, 4, N).astype(float)


def error_of(model, X, y, weights):
    if isinstance(model, tuple(CLASSIFIERS)) or hasattr(model, "classes_"):
        return accuracy_score(y, model.predict(X), sample_weight=weights)
    return mean_squared_error(y, model.predict(X), sample_weight=weights)


@pytest.mark.parametrize("weighted", [False, True])
@each_kind
def test_scores_are_those_of_single_fits(kind, weighted):
    X, y, weights = draw(kind)
    weights = weights if weighted else np.ones(N)
    options = {"n_gates": 8, "tol": 1e-9, "random_state": 1}
    model = kind(alphas=[0.3, 0.003, 0.03, 0.03], cv=FOLDS, **options).fit(X, y, weights if weighted else None)
    np.testing.assert_array_equal(model.alphas_, [0.3, 0.03, 0.003])
    path = model.scores_ if kind in CLASSIFIERS else model.mse_path_
    assert path.shape == (3, 3)
    for i, alpha in enumerate(model.alphas_):
        for fold, (train, test) in enumerate(FOLDS.split(X)):
            single = PAIRS[kind](alpha, **options).fit(X[train], y[train], weights[train])
            assert path[i, fold] == pytest.approx(error_of(single, X[test], y[test], weights[test]), rel=1e-4)
    means = path.mean(axis=1)
    assert model.alpha_ == model.alphas_[means.argmax() if kind in CLASSIFIERS else means.argmin()]
    refit = PAIRS[kind](model.alpha_, **options).fit(X, y, weights if weighted else None)
    np.testing.assert_array_equal(model.predict(X), refit.predict(X))
    assert model.objective_ == refit.objective_
    assert model.certificate_.rel_gap <= 1e-9
    assert model.n_iter_ == refit.n_iter_ > 0


@each_kind
def test_the_grid_begins_where_the_network_is_zero(kind):
    X, y, _ = draw(kind)
    options = {"n_gates": 8, "random_state": 1}
    model = kind(alphas=4, eps=0.01, cv=3, **options).fit(X, y)
    np.testing.assert_allclose(model.alphas_ / model.alphas_[0], np.geomspace(1.0, 0.01, 4))
    zero = PAIRS[kind](model.alphas_[0] * (1 + 1e-9), **options).fit(X, y)
    assert zero.certificate_.n_active == 0
    assert PAIRS[kind](0.99 * model.alphas_[0], **options).fit(X, y).certificate_.n_active > 0


@each_kind
def test_one_standard_error_chooses_the_largest_alpha_that_is_not_worse_by_more(kind):
    X, y, _ = draw(kind)
    options = {"alphas": 6, "n_gates": 6, "cv": 5, "random_state": 1, "tol": 1e-5}
    best = kind(**options).fit(X, y)
    model = kind(one_standard_error=True, **options).fit(X, y)
    scores = best.scores_ if kind in CLASSIFIERS else -best.mse_path_
    means, errors = scores.mean(axis=1), scores.std(axis=1, ddof=1) / np.sqrt(5)
    top = means.argmax()
    assert best.alpha_ == best.alphas_[top]
    assert model.alpha_ == max(
        a for a, mean in zip(best.alphas_, means, strict=True) if mean >= means[top] - errors[top]
    )


def test_choices_of_a_table_of_scores():
    spread = np.array([-0.4, 0.0, 0.4])  # its standard error is 0.4 / sqrt(3) = 0.231
    scores = np.array([1.0, 1.7, 1.8, 2.0, 1.9])[:, None] + spread
    assert choose(scores, one_standard_error=False) == 3
    assert choose(scores, one_standard_error=True) == 2
    assert choose(scores[:, ::-1] + [[0.0], [0.0], [0.2], [0.0], [0.0]], one_standard_error=False) == 2  # a tie


def test_the_largest_alpha_is_chosen_among_equal_scores():
    X, y, _ = draw(cr.GatedReLUClassifierCV)
    y = np.where(X[:, 0] > 0, "yes", "no")
    model = cr.GatedReLUClassifierCV(alphas=[0.02, 0.01, 0.005], n_gates=8, cv=3, random_state=1).fit(10 * X, y)
    ties = np.flatnonzero(model.scores_.mean(axis=1) >= model.scores_.mean(axis=1).max() - 1e-12)
    assert len(ties) > 1
    assert model.alpha_ == model.alphas_[ties[0]]


def test_groups_are_kept_together():
    X, y, _ = draw(cr.GatedReLURegressorCV)
    groups = np.arange(N) % 4
    by_groups = cr.GatedReLURegressorCV(alphas=3, n_gates=8, cv=GroupKFold(4), random_state=1).fit(X, y, groups=groups)
    folds = list(GroupKFold(4).split(X, y, groups))
    by_folds = cr.GatedReLURegressorCV(alphas=3, n_gates=8, cv=folds, random_state=1).fit(X, y)
    assert by_groups.mse_path_.shape == (3, 4)
    np.testing.assert_array_equal(by_groups.mse_path_, by_folds.mse_path_)
    with pytest.raises(ValueError, match="groups"):
        cr.GatedReLURegressorCV(cv=GroupKFold(4)).fit(X, y)
    pipeline = make_pipeline(StandardScaler(), cr.GatedReLURegressorCV(alphas=3, n_gates=8, cv=GroupKFold(4)))
    assert pipeline.fit(X, y, gatedreluregressorcv__groups=groups)[-1].mse_path_.shape == (3, 4)


@each_classifier
def test_folds_of_classifiers_are_stratified(kind):
    X, y = load_iris(return_X_y=True)  # sorted by class
    options = {"alphas": 3, "n_gates": 6, "random_state": 1, "tol": 1e-4}
    model = kind(cv=3, **options).fit(X, y)
    same = kind(cv=StratifiedKFold(3), **options).fit(X, y)
    np.testing.assert_array_equal(model.scores_, same.scores_)
    assert model.score(X, y) > 0.9
    assert model.predict_proba(X).shape == (150, 3)


def test_parallel_folds_change_nothing():
    X, y, _ = draw(cr.ConvexReLURegressorCV)
    options = {"alphas": 3, "n_gates": 8, "cv": 3, "random_state": 1}
    one = cr.ConvexReLURegressorCV(**options).fit(X, y)
    with joblib.parallel_config("threading"):
        two = cr.ConvexReLURegressorCV(n_jobs=2, **options).fit(X, y)
    np.testing.assert_array_equal(one.mse_path_, two.mse_path_)
    np.testing.assert_array_equal(one.predict(X), two.predict(X))


@pytest.mark.slow
def test_folds_in_processes_change_nothing():
    X, y, _ = draw(cr.ConvexReLUClassifierCV)
    options = {"alphas": 3, "n_gates": 8, "cv": 3, "random_state": 1}
    one = cr.ConvexReLUClassifierCV(**options).fit(X, y)
    two = cr.ConvexReLUClassifierCV(n_jobs=2, **options).fit(X, y)
    np.testing.assert_array_equal(one.scores_, two.scores_)


@each_classifier
def test_other_scores(kind):
    X, y, weights = draw(kind)
    options = {"n_gates": 8, "tol": 1e-9, "random_state": 1}
    model = kind(alphas=[0.1, 0.01], cv=FOLDS, scoring="neg_log_loss", **options).fit(X, y, weights)
    for fold, (train, test) in enumerate(FOLDS.split(X)):
        single = PAIRS[kind](0.01, **options).fit(X[train], y[train], weights[train])
        expected = log_loss(y[test], single.predict_proba(X[test]), sample_weight=weights[test])
        assert model.scores_[1, fold] == pytest.approx(-expected, rel=1e-4)

    def most_no(fitted, rows, labels):
        return np.mean(fitted.predict(rows) == "no")

    assert kind(alphas=[0.1], cv=3, scoring=most_no, **options).fit(X, y).scores_.shape == (1, 3)


def test_several_outputs():
    X, y, _ = draw(cr.ConvexReLURegressorCV)
    Y = np.column_stack([y, -0.1 * y + X[:, 0]])
    model = cr.ConvexReLURegressorCV(alphas=[0.01], n_gates=8, cv=FOLDS, tol=1e-9, random_state=1).fit(X, Y)
    train, test = next(FOLDS.split(X))
    single = cr.ConvexReLURegressor(0.01, n_gates=8, tol=1e-9, random_state=1).fit(X[train], Y[train])
    assert model.mse_path_[0, 0] == pytest.approx(mean_squared_error(Y[test], single.predict(X[test])), rel=1e-4)


@pytest.mark.parametrize("kind", [cr.ConvexReLURegressorCV, cr.ConvexReLUClassifierCV])
def test_generated_patterns(kind):
    X, y, weights = draw(kind)
    model = kind(alphas=[0.1, 0.03], patterns="generate", n_gates=4, cv=3, random_state=1, tol=1e-5)
    model.fit(X[:, :1], y, weights)
    assert model.certificate_.scope == "global"
    assert model.certificate_.rel_gap <= 1e-5


def test_constant_targets():
    X, _, _ = draw(cr.GatedReLURegressorCV)
    model = cr.GatedReLURegressorCV(n_gates=5, cv=3, alphas=3).fit(X, np.full(N, 2.5))
    np.testing.assert_array_equal(model.predict(X), 2.5)
    assert model.alpha_ == model.alphas_[0]
    assert not model.mse_path_.any()


@each_kind
def test_fits_that_stop_early_give_one_warning(kind):
    X, y, _ = draw(kind)
    with pytest.warns(cr.ConvergenceWarning) as caught:
        model = kind(alphas=[1e-4, 1e-5], n_gates=30, cv=3, max_iter=1, random_state=1).fit(X, y)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert message.startswith(
        f"{kind.__name__} ended with a certified relative gap of {model.certificate_.rel_gap:.2e}"
    )
    assert "The iteration limit was reached first" in message
    assert "points of the folds' paths at certified relative gaps above tol = 1.00e-06, the largest" in message
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"alphas": 0}, ValueError, "alphas must be an integer >= 1; got 0"),
        ({"alphas": [0.1, 0.0]}, ValueError, "alphas must be positive numbers, .*; got 0"),
        ({"alphas": "many"}, TypeError, "alphas must"),
        ({"alphas": [[0.1]]}, ValueError, "alphas must be a 1-D array"),
        ({"alphas": 3, "eps": 1.0}, ValueError, r"eps must be a number in \(0, 1\); got 1.0"),
        ({"eps": 0.0}, ValueError, "eps must be a finite number > 0"),
        ({"one_standard_error": 1}, TypeError, "one_standard_error must be True or False; got 1"),
        ({"cv": 1}, ValueError, "k-fold"),
        ({"n_gates": -1}, ValueError, "n_gates must be"),
    ],
)
def test_errors_name_the_parameter(options, error, message):
    X, y, _ = draw(cr.ConvexReLURegressorCV)
    with pytest.raises(error, match=message):
        cr.ConvexReLURegressorCV(**options).fit(X, y)


def test_one_standard_error_needs_two_folds():
    X, y, _ = draw(cr.ConvexReLURegressorCV)
    split = [(np.arange(30), np.arange(30, N))]
    with pytest.raises(ValueError, match="one_standard_error needs two folds or more; got 1"):
        cr.ConvexReLURegressorCV(alphas=2, n_gates=3, cv=split, one_standard_error=True).fit(X, y)
    assert cr.ConvexReLURegressorCV(alphas=2, n_gates=3, cv=split).fit(X, y).mse_path_.shape == (2, 1)


def test_folds_without_weight_are_rejected():
    X, y, _ = draw(cr.GatedReLURegressorCV)
    weights = np.r_[np.zeros(15), np.ones(N - 15)]
    with pytest.raises(ValueError, match="sample_weight must not be zero on all rows of a fold"):
        cr.GatedReLURegressorCV(alphas=2, n_gates=3, cv=3).fit(X, y, weights)
    split = [(np.arange(15), np.arange(15, N))]
    with pytest.raises(ValueError, match="sample_weight must not be zero on all training rows"):
        cr.GatedReLURegressorCV(alphas=2, n_gates=3, cv=split).fit(X, y, weights)


def test_scores_must_be_finite():
    X, y, _ = draw(cr.GatedReLUClassifierCV)
    with pytest.raises(ValueError, match="scores must be finite; got nan"):
        cr.GatedReLUClassifierCV(alphas=2, n_gates=3, cv=3, scoring=lambda *_: np.nan).fit(X, y)


@pytest.mark.parametrize(("kind", "solver"), [(REGRESSORS[0], "WorkingSet"), (REGRESSORS[1], "RFISTA")])
def test_the_time_limit_covers_the_whole_fit(kind, solver, monkeypatch):
    X, y, _ = draw(kind)
    model = kind(alphas=8, eps=0.03, cv=FOLDS, n_gates=4, solver=solver, tol=1e-4, random_state=0)
    clock = Clock(tick=1.0)
    monkeypatch.setattr(time, "perf_counter", clock)
    full = model.fit(X, y).mse_path_
    limit = 0.4 * (clock.now - 1000.0)
    clock.now = 1000.0
    with pytest.warns(cr.ConvergenceWarning, match=r"the \d+ smallest alphas not considered"):
        model.set_params(time_limit=limit).fit(X, y)
    assert clock.now - 1000.0 <= 1.2 * limit
    reached = np.isfinite(model.mse_path_)
    assert reached[0].all()
    assert not reached.all()
    assert np.all(reached[1:] <= reached[:-1])
    assert model.mse_path_.shape == full.shape
    assert model.alpha_ in model.alphas_[reached.all(axis=1)]
    assert model.lower_bound_ <= model.objective_
