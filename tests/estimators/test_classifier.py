import numpy as np
import pytest
from scipy.special import expit, softmax

import cvxrelu as cr
from tests.helpers.estimators import N, draw, each_classifier


def test_a_single_class_of_positive_weight_is_rejected():
    X, y, _ = draw(cr.ConvexReLUClassifier)
    with pytest.raises(
        ValueError, match="y must hold at least two classes on rows of positive weight; got one class, .*low"
    ):
        cr.ConvexReLUClassifier().fit(X, y, (y == "low").astype(float))


@each_classifier
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("loss", ["logistic", "softmax"])
def test_probabilities(kind, outputs, loss):
    if kind is cr.ConvexReLUClassifier and loss == "softmax" and outputs == 2:
        outputs = 1
    X, y, _ = draw(kind, outputs)
    model = kind(0.01, n_gates=5, loss=loss, random_state=0).fit(X, y)
    probabilities, scores = model.predict_proba(X), model.decision_function(X)
    assert probabilities.shape == (N, outputs + 1)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-14)
    if outputs == 1:
        np.testing.assert_allclose(probabilities[:, 1], expit(scores), rtol=1e-12)
        np.testing.assert_array_equal(model.predict(X), model.classes_[(scores > 0).astype(int)])
    else:
        one_against_rest = expit(scores) / expit(scores).sum(axis=1, keepdims=True)
        expected = softmax(scores, axis=1) if loss == "softmax" else one_against_rest
        np.testing.assert_allclose(probabilities, expected, rtol=1e-12)
        np.testing.assert_array_equal(model.predict(X), model.classes_[scores.argmax(axis=1)])
    far = model.predict_proba(X * 1e6)
    assert np.isfinite(far).all()


def test_the_squared_loss_has_no_probabilities():
    X, y, _ = draw(cr.GatedReLUClassifier)
    model = cr.GatedReLUClassifier(n_gates=5, loss="squared").fit(X, y)
    assert not hasattr(model, "predict_proba")
    assert hasattr(model.set_params(loss="logistic"), "predict_proba")
    with pytest.raises(AttributeError, match="predict_proba"):
        model.set_params(loss="squared").predict_proba(X)
