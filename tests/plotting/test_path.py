import numpy as np
import pytest

from tests.helpers.needs import reason

pytest.importorskip("matplotlib", reason=reason("matplotlib"), exc_type=ImportError)

import cvxrelu as cr
from cvxrelu.plotting import plot_path


def test_path_shows_neurons_and_the_best_score(path, ax, tmp_path):
    scores = [0.1, 0.5, 0.9, 0.7, 0.6]
    assert plot_path(path, scores, ax, score_label="accuracy") is ax
    assert ax.xaxis_inverted()
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), path.n_active)
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), path.lams)
    (right,) = [other for other in ax.figure.axes if other is not ax]
    np.testing.assert_array_equal(right.lines[0].get_ydata(), scores)
    assert right.lines[1].get_xdata()[0] == path.lams[2]
    assert right.get_ylabel() == "accuracy"
    words = [text.get_text() for text in right.get_legend().get_texts()]
    assert words[:2] == ["active neurons", "accuracy"]
    assert f"{path.n_active[2]} neurons" in words[2]
    ax.figure.savefig(tmp_path / "path.png")


def test_points_of_a_path_that_missed_the_tolerance_are_hollow(problem, ax):
    with pytest.warns(cr.ConvergenceWarning):
        path = cr.regularization_path(problem, [0.1, 0.01], solver="AugmentedLagrangian", max_iter=1, tol=1e-9)
    plot_path(path, ax=ax)
    missed = [str(status) != "optimal" for status in path.status]
    assert any(missed)
    (hollow,) = [line for line in ax.lines if line.get_markerfacecolor() == "white"]
    np.testing.assert_array_equal(hollow.get_xdata(), path.lams[missed])
