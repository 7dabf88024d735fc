import numpy as np
import pandas as pd
import pytest

from tests.helpers.needs import reason

pytest.importorskip("matplotlib", reason=reason("matplotlib"), exc_type=ImportError)

from matplotlib.figure import Figure

from cvxrelu.plotting import plot_performance_profile


def test_performance_profile_by_hand(ax):
    seconds = {"a": [1.0, 2.0, np.inf, np.nan], "b": [2.0, 1.0, 4.0, np.inf]}
    plot_performance_profile(seconds, ax)

    def fraction(line, x):
        positions, fractions = line.get_data()
        return fractions[np.searchsorted(positions, x, side="right") - 1]

    a, b = ax.lines
    assert [fraction(a, x) for x in (1.0, 1.99, 2.0)] == [0.25, 0.25, 0.5]
    assert [fraction(b, x) for x in (1.0, 1.99, 2.0)] == [0.5, 0.5, 0.75]
    other = Figure().subplots()
    plot_performance_profile(pd.DataFrame(seconds), other)
    for one, two in zip(ax.lines, other.lines, strict=True):
        np.testing.assert_array_equal(one.get_xydata(), two.get_xydata())


def test_many_lines_are_told_apart(ax):
    plot_performance_profile({f"s{k}": [1.0 + k] for k in range(15)}, ax)
    assert len({(line.get_color(), line.get_linestyle()) for line in ax.lines}) == 15
