import math

import numpy as np
import pytest

from cvxrelu.losses.logistic import Logistic
from cvxrelu.losses.softmax import SoftmaxCrossEntropy


@pytest.mark.parametrize("margin", [-1e4, -40.0, -1.0, 1.0, 40.0, 1e4])
def test_extreme_margins_are_accurate(margin):
    exact = max(-margin, 0.0) + math.log1p(math.exp(-abs(margin)))
    slope = -1 / (1 + math.exp(margin)) if margin < 700 else 0.0
    assert Logistic().value(np.array([[-margin]]), np.array([[-1.0]])) == pytest.approx(exact, rel=1e-14, abs=0)
    assert Logistic().gradient(np.array([[margin]]), np.ones((1, 1)))[0, 0] == pytest.approx(slope, rel=1e-14)
    f, Y = np.array([[1e3, 1e3 + margin]]), np.array([[0.0, 1.0]])
    assert SoftmaxCrossEntropy().value(f, Y) == pytest.approx(exact, rel=1e-14, abs=1e-15)
    assert SoftmaxCrossEntropy().gradient(f, Y)[0] == pytest.approx([-slope, slope], rel=1e-14, abs=1e-16)
