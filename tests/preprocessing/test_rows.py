import numpy as np
import pytest
from sklearn.base import clone

import cvxrelu as cr
from tests.helpers.estimators import CLASSIFIERS, REGRESSORS, N, draw, each_kind


@pytest.mark.parametrize(("intercept", "standardize"), [(True, True), (False, True), (True, False), (False, False)])
@pytest.mark.parametrize("outputs", [1, 2])
@each_kind
def test_the_network_on_raw_data_predicts_what_the_program_on_standardised_data_does(
    kind, outputs, intercept, standardize
):
    X, y, weights = draw(kind, outputs)
    model = kind(0.003, n_gates=10, fit_intercept=intercept, standardize=standardize, random_state=0)
    model.fit(X, y, weights)
    problem, kept = model.certificate_.problem, weights > 0
    expected = problem.predict(model.certificate_.weights)
    if kind in REGRESSORS:  # rows of X and y are scaled by the roots of their weights
        Y = y.reshape(N, -1)
        roots = np.sqrt(weights[kept] / weights[kept].mean())[:, None]
        expected = expected / roots
        if standardize:
            mean = np.average(Y, axis=0, weights=weights)
            scale = np.sqrt(np.average((Y - mean) ** 2, axis=0, weights=weights))
            expected = expected * scale + (mean if intercept else 0.0)
    raw = np.column_stack([X, np.ones(N)]) if intercept else X
    by_network = model.network_.predict(raw)
    by_model = model.predict(X) if kind in REGRESSORS else model.decision_function(X)
    np.testing.assert_array_equal(by_network, by_model)
    np.testing.assert_allclose(
        by_network[kept].reshape(kept.sum(), -1), expected, rtol=1e-9, atol=1e-9 * np.ptp(expected)
    )
    assert model.n_neurons_ == model.network_.n_neurons > 1
    relu = type(model).__name__.startswith("ConvexReLU")
    assert type(model.network_) is (cr.ReLUNetwork if relu else cr.GatedReLUNetwork)


@pytest.mark.parametrize("loss", ["squared", "huber", "logistic", "softmax"])
@pytest.mark.parametrize("relu", [True, False])
def test_weights_are_repetition_and_the_order_of_rows_does_not_matter_to_the_last_bit(relu, loss):
    kind = (REGRESSORS if loss in ("squared", "huber") else CLASSIFIERS)[0 if relu else 1]
    if relu and loss == "softmax":
        loss = "squared"
    X, y, weights = draw(kind, 1)
    X[::5] = 0.0  # of either sign
    X[::10] = -0.0
    model = kind(0.01, n_gates=10, loss=loss, random_state=3)
    order = np.random.default_rng(0).permutation(N)
    repeated = np.repeat(np.arange(N), weights.astype(int))
    fits = [
        clone(model).fit(X, y, weights),
        clone(model).fit(X[order], y[order], 2.0 * weights[order]),
        clone(model).fit(X[repeated], y[repeated]),
    ]
    fresh = np.random.default_rng(1).standard_normal((50, 3)) + X.mean(axis=0)
    for other in fits[1:]:
        np.testing.assert_array_equal(other.predict(fresh), fits[0].predict(fresh))
        np.testing.assert_array_equal(other.network_.W1, fits[0].network_.W1)
        assert other.objective_ == pytest.approx(fits[0].objective_, rel=1e-12)
        assert other.lower_bound_ == pytest.approx(fits[0].lower_bound_, rel=1e-12)
