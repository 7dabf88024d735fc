import numpy as np
import pytest

import cvxrelu as cr
from tests.helpers.estimators import N, draw


@pytest.mark.parametrize("weights", [np.zeros(N), -np.ones(N), np.r_[np.nan, np.ones(N - 1)], np.ones(3)])
def test_bad_weights_are_rejected(weights):
    X, y, _ = draw(cr.ConvexReLURegressor)
    with pytest.raises(ValueError, match="[Ss]ample.?weight"):
        cr.ConvexReLURegressor().fit(X, y, weights)
