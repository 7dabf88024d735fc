import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.numerics.gaps import check_bounds, contradict, relative_gap


@pytest.mark.parametrize(
    ("lower", "upper", "gap"),
    [
        (1.0, 2.0, 0.5),
        (-2.0, -1.0, 1.0),
        (2.0, 2.0, 0.0),
        (2.0 + 1e-15, 2.0, 0.0),
        (0.0, 0.0, 0.0),
        (-1.0, 0.0, 2.0**1022),
        (-np.inf, 1.0, np.inf),
        (np.nan, 1.0, 0.0),
    ],
)
def test_relative_gap(lower, upper, gap):
    assert relative_gap(lower, upper) == gap


def test_bounds_contradict_only_beyond_rounding():
    assert not contradict(1.0, 2.0, 0.0)
    assert not contradict(1.0 + 5e-10, 1.0, 0.0)
    assert contradict(1.0 + 5e-9, 1.0, 0.0)
    assert not contradict(5e-9, 0.0, 10.0)  # near zero, rounding is relative to the terms
    assert contradict(5e-8, 0.0, 10.0)
    assert contradict(np.nextafter(1.0, 2.0), 1.0, np.inf, rounding=0.0)
    assert not contradict(np.nan, 1.0, 1.0)


def test_lower_bound_is_clipped_to_the_upper_one():
    assert check_bounds(1.0, 2.0, 1.0, "it") == 1.0
    assert check_bounds(1.0 + 1e-12, 1.0, 1.0, "it") == 1.0
    with pytest.raises(cr.CertificateError, match=r"lower bound 1\.1 exceeds upper bound 1\.0 of the network: please"):
        check_bounds(1.1, 1.0, 1.0, "the network")
