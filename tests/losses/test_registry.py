import pytest

from cvxrelu.certificates import checker
from cvxrelu.losses import registry
from cvxrelu.losses.base import offers_dual_term, offers_rounded
from cvxrelu.losses.huber import Huber
from cvxrelu.losses.registry import get_loss
from cvxrelu.losses.squared import Squared
from tests.helpers import cases


def test_get_loss():
    assert get_loss("huber") == Huber(1.0)
    loss = Huber(2)
    assert get_loss(loss) is loss
    for name in registry.LOSSES:
        assert get_loss(name).name == name
    with pytest.raises(ValueError, match="loss must be one of 'huber', 'logistic', 'softmax', 'squared'; got 'l2'"):
        get_loss("l2")
    for wrong in (None, 3, Squared):
        with pytest.raises(TypeError, match=r"loss must be a Loss or one of squared, .*, softmax; got"):
            get_loss(wrong)


def test_every_loss_of_the_package_offers_everything():
    assert all(offers_rounded(kind) and offers_dual_term(kind) for kind in registry.LOSSES.values())
    assert set(checker.CHOICES["loss"]) == set(registry.LOSSES) == set(cases.LOSSES)
