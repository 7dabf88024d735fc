import sys

import numpy as np
import pytest

from tests.helpers.needs import reason

pytest.importorskip("matplotlib", reason=reason("matplotlib"), exc_type=ImportError)

from matplotlib.figure import Figure

import cvxrelu as cr
from cvxrelu.plotting import plot_nested_values

SIZES = np.array([2, 10, 50, 200])
LOWER, UPPER = np.array([4.0, 2.0, 1.5, 1.4]), np.array([4.5, 2.2, 1.9, 1.8])


def made(k=4):
    """Return a result of k sizes whose ReLU values exceed the gated ones by one."""
    active, seconds = np.arange(k), np.ones(k)
    low, high = LOWER[:k], UPPER[:k]
    return cr.NestedValues(SIZES[:k], low, high, low + 1, high + 1, active, active, seconds, seconds, SIZES)


def test_both_intervals_are_drawn_over_a_logarithmic_axis(tmp_path):
    figure = Figure()
    ax = figure.subplots()
    assert plot_nested_values(made(), ax) is ax
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == "number of patterns"
    assert ax.get_ylabel() == "optimal value"
    assert [text.get_text().split(":")[0] for text in ax.get_legend().get_texts()] == ["gated ReLU", "ReLU"]
    for band, shift in zip(ax.collections, (0.0, 1.0), strict=True):
        corners = band.get_paths()[0].vertices
        for size, low, high in zip(SIZES, LOWER + shift, UPPER + shift, strict=True):
            assert {low, high} <= set(corners[corners[:, 0] == size, 1])
    figure.savefig(tmp_path / "figure.png")
    ticks = [label.get_text() for label in ax.get_xticklabels()]
    assert {"2", "10", "50", "200"} <= set(ticks)


def test_without_axes_a_new_figure_is_made():
    from matplotlib import pyplot

    pyplot.switch_backend("agg")
    first, second = plot_nested_values(made()), plot_nested_values(made(1))
    assert first.figure is not second.figure
    pyplot.close(first.figure)
    pyplot.close(second.figure)


def test_invalid_results_are_rejected():
    with pytest.raises(TypeError, match="result must be a NestedValues; got list"):
        plot_nested_values([1, 2])
    with pytest.raises(ValueError, match="finished size"):
        plot_nested_values(made(0))


def test_the_extra_is_named_for_nested_values(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'cvxrelu\[plot\]'"):
        plot_nested_values(made())
