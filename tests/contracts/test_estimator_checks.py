"""All of scikit-learn's estimator checks, on all eight estimators."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

import cvxrelu as cr

# Fewer gates, alphas and folds than the defaults, for speed; everything else has its default.
ESTIMATORS = [
    cr.ConvexReLURegressor(n_gates=10),
    cr.GatedReLURegressor(n_gates=10),
    cr.ConvexReLUClassifier(n_gates=10),
    cr.GatedReLUClassifier(n_gates=10),
    cr.ConvexReLURegressorCV(n_gates=5, alphas=3, cv=2),
    cr.GatedReLURegressorCV(n_gates=5, alphas=3, cv=2),
    cr.ConvexReLUClassifierCV(n_gates=5, alphas=3, cv=2),
    cr.GatedReLUClassifierCV(n_gates=5, alphas=3, cv=2),
]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_check(estimator, check):
    check(estimator)


OTHERS = [
    cr.ConvexReLURegressor(n_gates=10, loss="huber"),
    cr.GatedReLURegressor(n_gates=10, loss="huber"),
    cr.ConvexReLUClassifier(n_gates=10, loss="squared"),
    cr.GatedReLUClassifier(n_gates=10, loss="softmax"),
    *(type(estimator)() for estimator in ESTIMATORS),  # as they are by default
]


@pytest.mark.slow
@parametrize_with_checks(OTHERS)
def test_scikit_learn_check_of_other_parameters(estimator, check):
    check(estimator)


def test_all_estimators_are_checked():
    names = {name for name in cr.__all__ if name.endswith(("Regressor", "Classifier", "CV"))}
    assert {type(estimator).__name__ for estimator in ESTIMATORS} == names
    assert len(names) == 8
