import pytest

from cvxrelu.certificates import checker
from cvxrelu.penalties import registry
from cvxrelu.penalties.base import offers_rounded
from cvxrelu.penalties.group_norms import L1, GroupL1
from cvxrelu.penalties.registry import get_penalty
from tests.helpers.cases import GATED_PENALTIES


def test_get_penalty():
    penalty = L1()
    assert get_penalty(penalty) is penalty
    for name in registry.PENALTIES:
        assert get_penalty(name).name == name
    names = "'feature_group_l1', 'group_l1', 'l1', 'none', 'nuclear', 'squared_l2'"
    with pytest.raises(ValueError, match=f"penalty must be one of {names}; got 'l2'"):
        get_penalty("l2")
    for wrong in (None, 3, GroupL1):
        with pytest.raises(TypeError, match=r"penalty must be a Penalty or one of group_l1, .*, none; got"):
            get_penalty(wrong)


def test_every_penalty_of_the_package_offers_everything():
    assert all(offers_rounded(kind) for kind in registry.PENALTIES.values())
    assert set(checker.CHOICES["penalty"]) == set(registry.PENALTIES) == set(GATED_PENALTIES)
