import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

import cvxrelu as cr
from tests.helpers.estimators import CLASSIFIERS, REGRESSORS, draw, each_kind


def test_a_new_estimator_is_not_fitted():
    for kind in REGRESSORS + CLASSIFIERS:
        with pytest.raises(Exception, match="not fitted"):
            check_is_fitted(kind())


@each_kind
def test_clones_and_pickles_predict_the_same(kind):
    X, y, _ = draw(kind)
    model = kind(0.01, n_gates=10, random_state=0).fit(X, y)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict(X), model.predict(X))
    assert copy.certificate_.upper == model.certificate_.upper
    certificate = copy.certificate_
    assert cr.certify(certificate.problem, certificate.weights, certificate.dual).rel_gap <= 1e-6
    fresh = clone(model)
    assert fresh.get_params() == model.get_params()
    np.testing.assert_array_equal(fresh.fit(X, y).predict(X), model.predict(X))
