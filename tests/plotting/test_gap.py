import numpy as np
import pytest

from tests.helpers.needs import reason

pytest.importorskip("matplotlib", reason=reason("matplotlib"), exc_type=ImportError)

import cvxrelu as cr
from cvxrelu.plotting import plot_gap


def test_gap_against_time_holds_the_history(solution, problem, ax):
    other = cr.solve(problem, "CLARABEL", tol=1e-8)
    assert plot_gap({"ours": solution, "Clarabel": other}, ax) is ax
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["ours", "Clarabel"]
    for line, each in zip(ax.lines, (solution, other), strict=True):
        times, gaps = line.get_data()
        assert list(times) == [record.time for record in each.history]
        expected = [max(record.gap / record.objective, 2.0**-52) for record in each.history]
        np.testing.assert_allclose(gaps, expected, rtol=1e-12)
    assert len({line.get_color() for line in ax.lines}) == 2


def test_one_solution_is_labelled_by_its_solver(solution, ax):
    plot_gap(solution, ax)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["WorkingSet"]
