"""Certificates of fits in files about the user's own data."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

import cvxrelu as cr
from tests.helpers.estimators import CLASSIFIERS, REGRESSORS, draw, each_kind, each_regressor

LABELS = {
    "strings": np.array(["low", "mid", "top"]),
    "integers": np.array([3, -1, 7]),
    "floats": np.array([1.0, 2.0, -3.0]),
    "booleans": np.array([False, True]),
}


def verified(model, path, X, y, **statement):
    model.save_certificate(path, X, y)
    return cr.load_certificate(path).verify(X, y, **statement)


def assert_same_bounds(verdict, model):
    assert verdict.lower == pytest.approx(model.lower_bound_, rel=1e-8)
    assert verdict.upper == pytest.approx(model.objective_, rel=1e-8)


@each_regressor
@pytest.mark.parametrize("options", [{}, {"fit_intercept": False}, {"standardize": False}, {"loss": "huber"}], ids=str)
@pytest.mark.parametrize("outputs", [1, 2])
def test_regressors(kind, options, outputs, tmp_path):
    X, y, _ = draw(kind, outputs)
    model = kind(0.05, n_gates=6, random_state=0, **options).fit(X, y)
    verdict = verified(model, tmp_path / "a.cert", X, y, lam=0.05, loss=options.get("loss", "squared"))
    assert_same_bounds(verdict, model)
    rows = verdict.statement["rows"]
    assert rows["bias"] is options.get("fit_intercept", True)
    assert rows["classes"] is None
    assert "rows" in verdict.statement["from_file"]
    with pytest.raises(cr.RejectedCertificate, match="data"):
        cr.load_certificate(tmp_path / "a.cert").verify(X, 1.5 * y)


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize("loss", ["squared", "logistic", "softmax"])
@pytest.mark.parametrize(
    ("labels", "count"), [(name, k) for name, all_names in LABELS.items() for k in sorted({2, len(all_names)})]
)
def test_classifiers(kind, loss, count, labels, tmp_path):
    X, y, _ = draw(kind, count - 1)
    names = LABELS[labels][:count]
    y = names[np.unique(y, return_inverse=True)[1]]
    model = kind(0.05, loss=loss, n_gates=6, random_state=0).fit(X, y)
    verdict = verified(model, tmp_path / "a.cert", X, y, lam=0.05, loss=loss)
    assert_same_bounds(verdict, model)
    assert verdict.statement["rows"]["classes"] == np.unique(y).tolist()
    assert verdict.statement["c"] == (1 if count == 2 and loss != "softmax" else count)
    swapped = np.where(y == names[0], names[1], np.where(y == names[1], names[0], y))
    with pytest.raises(cr.RejectedCertificate):
        cr.load_certificate(tmp_path / "a.cert").verify(X, swapped)


@each_kind
def test_without_data_it_is_the_certificate_of_the_problem(kind, tmp_path):
    X, y, _ = draw(kind)
    model = kind(0.05, n_gates=6, random_state=0).fit(X, y)
    model.save_certificate(tmp_path / "a.cert")
    problem = model.certificate_.problem
    verdict = cr.load_certificate(tmp_path / "a.cert").verify(problem.X, problem.y, lam=0.05)
    assert_same_bounds(verdict, model)
    assert verdict.statement["rows"] is None
    with pytest.raises(FileExistsError):
        model.save_certificate(tmp_path / "a.cert", X, y)
    model.save_certificate(tmp_path / "a.cert", X, y, overwrite=True)
    assert cr.load_certificate(tmp_path / "a.cert").verify(X, y).statement["rows"]


@each_kind
def test_other_data_than_those_of_the_fit(kind, tmp_path):
    X, y, _ = draw(kind)
    model = kind(0.05, n_gates=6, random_state=0).fit(X, y)
    for others in ((X[::-1], y), (X[:-1], y[:-1]), (X[:, :-1], y)):
        with pytest.raises(cr.RejectedCertificate):
            model.save_certificate(tmp_path / "a.cert", *others)
    for only in ((X, None), (None, y)):
        with pytest.raises(ValueError, match="together"):
            model.save_certificate(tmp_path / "a.cert", *only)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", REGRESSORS)
def test_weighted_fits_are_about_weighted_rows(kind, tmp_path):
    X, y, weights = draw(kind)
    model = kind(0.05, n_gates=6, random_state=0).fit(X, y, sample_weight=weights)
    with pytest.raises(ValueError, match="weighted rows"):
        model.save_certificate(tmp_path / "a.cert", X, y)
    model.save_certificate(tmp_path / "a.cert")
    problem = model.certificate_.problem
    assert_same_bounds(cr.load_certificate(tmp_path / "a.cert").verify(problem.X, problem.y), model)


@each_kind
def test_an_estimator_that_is_not_fitted_has_no_certificate(kind, tmp_path):
    X, y, _ = draw(kind)
    with pytest.raises(NotFittedError):
        kind().save_certificate(tmp_path / "a.cert", X, y)
