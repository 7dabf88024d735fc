"""Tolerances of the solvers for what is asked of all of them."""

from itertools import pairwise

import pytest

from reference.compare.tolerances import measured


@pytest.mark.parametrize("name", ["adelie", "pyscnn"])
@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_measured_tolerances_fall_with_what_is_asked_and_go_on_beyond_it(name, kind):
    asked = (1.0, 0.5, 1e-1, 3e-2, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
    tols = [measured(name, kind, each) for each in asked]
    assert all(tight < loose for loose, tight in pairwise(tols))


def test_measured_tolerances_are_those_of_the_table_and_of_lines_between():
    assert [measured("adelie", "relu", asked) for asked in (1e-1, 1e-2, 1e-4, 1e-6)] == pytest.approx(
        [1e-4, 1e-6, 1e-11, 1e-16], rel=1e-9
    )
    assert measured("adelie", "relu", 1e-5) == pytest.approx(10**-13.5, rel=1e-9)
    assert measured("adelie", "gated", 1e-8) == pytest.approx(1e-12, rel=1e-9)
