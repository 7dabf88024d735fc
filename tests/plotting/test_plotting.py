"""Figures: what is drawn, not how it looks; without a display."""

import dataclasses
import sys

import numpy as np
import pandas as pd
import pytest

from tests.helpers.needs import reason

pytest.importorskip("matplotlib", reason=reason("matplotlib"), exc_type=ImportError)

from matplotlib.figure import Figure

import cvxrelu as cr
from cvxrelu.plotting import (
    plot_certificates,
    plot_gap,
    plot_nested_values,
    plot_network,
    plot_path,
    plot_performance_profile,
)

SIZES = np.array([2, 10, 50, 200])
LOWER, UPPER = np.array([4.0, 2.0, 1.5, 1.4]), np.array([4.5, 2.2, 1.9, 1.8])


def made(k=4):
    """Return a result of k sizes: the ReLU values are one above the gated ones."""
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


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(TypeError, match="result must be a NestedValues; got list"):
        plot_nested_values([1, 2])
    with pytest.raises(ValueError, match="finished size"):
        plot_nested_values(made(0))


@pytest.fixture
def ax():
    return Figure().subplots()


def small(seed=0, n=30, d=2):
    """Return data of d - 1 features and a constant."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.uniform(-1.0, 1.0, (n, d - 1)), np.ones(n)])
    return X, np.abs(X[:, 0]) - 0.2


@pytest.fixture(scope="module")
def problem():
    X, y = small(d=3)
    return cr.ConvexReLU(X, y, cr.sample_patterns(X, 8), 0.02)


@pytest.fixture(scope="module")
def solution(problem):
    return cr.solve(problem, tol=1e-8)


@pytest.fixture(scope="module")
def path(problem):
    return cr.regularization_path(problem, n_lams=5, eps=1e-2)


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


def test_kinks_of_one_feature_are_where_the_network_bends(ax):
    X = np.column_stack([np.linspace(-2, 2, 9), np.full(9, 0.5)])
    network = cr.ReLUNetwork(W1=[[1.0, -2.0], [-2.0, -2.0], [1.0, 20.0]], w2=[1.0, -3.0, 0.1])
    plot_network(network, X, network.predict(X), ax=ax)
    places = {}
    for collection in ax.collections[1:]:  # the first are the data
        for place in collection.get_offsets():
            places[float(place[0])] = (collection.get_label(), float(place[1]))
    assert places == {
        1.0: ("neuron of positive output weight", pytest.approx(network.predict([[1.0, 0.5]])[0])),
        -0.5: ("neuron of negative output weight", pytest.approx(network.predict([[-0.5, 0.5]])[0])),
    }
    x, y = ax.lines[-1].get_data()
    np.testing.assert_allclose(y, network.predict(np.column_stack([x, np.full(len(x), 0.5)])))


def test_lines_of_two_features_are_where_the_neurons_turn_on(solution, problem, ax, tmp_path):
    network = solution.network()
    plot_network(network, problem.X, problem.y, problem.patterns, ax)
    lines = [line.get_xydata() for line in ax.lines]
    inside = [_crosses(w, *ax.get_xlim(), *ax.get_ylim()) for w in network.W1]  # the others are active everywhere
    W1 = network.W1[inside]
    assert len(W1) == 2
    ends = np.concatenate(lines[-len(W1) :])
    rows = np.column_stack([ends, np.ones(len(ends))])
    products = np.abs(rows @ W1.T) / np.linalg.norm(W1, axis=1)
    assert products.min(axis=1).max() < 1e-12
    arrows = [text for text in ax.texts if text.arrow_patch is not None]
    assert len(arrows) == len(W1)
    for arrow, w in zip(arrows, W1, strict=True):  # from the line to the active side
        foot, tip = np.array(arrow.xyann), np.array(arrow.xy)
        assert abs(w @ [*foot, 1.0]) < 1e-12
        assert w @ [*tip, 1.0] > 0.0
    drawn = sum(_crosses(gate, *ax.get_xlim(), *ax.get_ylim()) for gate in problem.patterns.G.T)
    assert len(ax.lines) == drawn + len(W1)
    ax.figure.savefig(tmp_path / "network.png")


def _crosses(gate, left, right, low, high):
    corners = np.array([[a, b, 1.0] for a in (left, right) for b in (low, high)])
    return np.ptp(np.sign(corners @ gate)) > 0


@pytest.mark.parametrize("columns", [1, 2])
def test_networks_without_a_constant_and_gated_ones(columns, ax):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20, columns))
    problem = cr.ConvexGatedReLU(X, X[:, 0], cr.sample_patterns(X, 5), 0.01)
    plot_network(cr.solve(problem).network(), X, X[:, 0], ax=ax)
    assert ax.get_xlabel() == ("x" if columns == 1 else "x1")


def test_certificates_are_intervals(solution, problem, ax, tmp_path):
    network = cr.certify_network(cr.ReLUNetwork(np.eye(3), [1.0, 1.0, -1.0]), problem.X, problem.y, 0.02)
    solution.certificate.save(tmp_path / "a.cert")
    loaded = cr.load_certificate(tmp_path / "a.cert")
    plot_certificates({"a": solution.certificate, "b": network, "c": loaded}, ax)
    for bar, each in zip(ax.patches, (solution.certificate, network, loaded), strict=True):
        assert bar.get_x() == each.lower
        assert bar.get_width() == pytest.approx(each.upper - each.lower)
    words = [label.get_text() for label in ax.get_yticklabels()]
    assert words[0].startswith("a\nrelative gap")
    assert "claimed" in words[2]
    assert "claimed" not in words[0] + words[1]
    (diamond,) = [line for line in ax.lines if line.get_marker() == "D"]
    assert list(diamond.get_xdata()) == [network.improved_objective]
    ax.figure.savefig(tmp_path / "certificates.png")


def test_performance_profile_by_hand(ax):
    seconds = {"a": [1.0, 2.0, np.inf, np.nan], "b": [2.0, 1.0, 4.0, np.inf]}
    plot_performance_profile(seconds, ax)

    def share(line, x):
        places, shares = line.get_data()
        return shares[np.searchsorted(places, x, side="right") - 1]

    a, b = ax.lines
    assert [share(a, x) for x in (1.0, 1.99, 2.0)] == [0.25, 0.25, 0.5]
    assert [share(b, x) for x in (1.0, 1.99, 2.0)] == [0.5, 0.5, 0.75]
    other = Figure().subplots()
    plot_performance_profile(pd.DataFrame(seconds), other)
    for one, two in zip(ax.lines, other.lines, strict=True):
        np.testing.assert_array_equal(one.get_xydata(), two.get_xydata())


def test_many_lines_are_told_apart(ax):
    plot_performance_profile({f"s{k}": [1.0 + k] for k in range(15)}, ax)
    assert len({(line.get_color(), line.get_linestyle()) for line in ax.lines}) == 15


REFUSED = [
    (plot_gap, ([1],), TypeError, "solutions must be a Solution, or a mapping of labels to such; got list"),
    (plot_gap, ({},), ValueError, "got an empty one"),
    (plot_gap, ({"a": 1},), TypeError, "got int for 'a'"),
    (plot_path, ([1],), TypeError, "path must be a Path, from regularization_path; got list"),
    (plot_certificates, (1.0,), TypeError, "Certificate or NetworkCertificate or PortableCertificate"),
    (plot_performance_profile, ([1],), TypeError, "seconds must be a DataFrame"),
    (plot_performance_profile, ({},), ValueError, "got shapes none"),
    (plot_performance_profile, ({"a": [1.0], "b": [1.0, 2.0]},), ValueError, r"'a' \(1,\), 'b' \(2,\)"),
    (plot_performance_profile, ({"a": [1.0, 0.0]},), ValueError, "seconds must be > 0"),
    (plot_performance_profile, ({"a": ["x"]},), TypeError, "seconds must be numbers"),
    (plot_network, (1, np.eye(2), np.ones(2)), TypeError, "network must be a ReLUNetwork"),
    (plot_network, (cr.ReLUNetwork(np.eye(2), np.eye(2)), np.eye(2), np.eye(2)), ValueError, "one output"),
    (plot_network, (cr.ReLUNetwork(np.eye(4), np.ones(4)), np.eye(4), np.ones(4)), ValueError, "got 4 features"),
    (plot_network, (cr.ReLUNetwork(np.eye(3), np.ones(3)), np.eye(2), np.ones(2)), ValueError, "3 columns"),
    (plot_network, (cr.ReLUNetwork(np.eye(2), np.ones(2)), np.eye(2), np.ones(2), [1]), TypeError, "patterns must be"),
]


@pytest.mark.parametrize(("plot", "arguments", "error", "words"), REFUSED)
def test_wrong_input_is_refused(plot, arguments, error, words):
    with pytest.raises(error, match=words):
        plot(*arguments)


def test_more_wrong_input_is_refused(solution, path):
    with pytest.raises(ValueError, match="history"):
        plot_gap({"mine": dataclasses.replace(solution, history=())})
    with pytest.raises(ValueError, match=r"scores must have shape \(5,\)"):
        plot_path(path, [1.0])
    with pytest.raises(ValueError, match="path must have a finished point"):
        plot_path(dataclasses.replace(path, solutions=()))
    masks = cr.ActivationPatterns(np.ones((2, 1)))
    with pytest.raises(ValueError, match="patterns must have gates"):
        plot_network(cr.ReLUNetwork(np.eye(2), np.ones(2)), np.eye(2), np.ones(2), masks)
    with pytest.raises(TypeError, match="ax must be a matplotlib Axes; got Figure"):
        plot_gap(solution, Figure())


@pytest.mark.parametrize("plot", [plot_gap, plot_path, plot_certificates, plot_network, plot_performance_profile])
def test_the_extra_is_named_where_matplotlib_is_missing(plot, solution, path, problem, monkeypatch):
    arguments = {
        plot_gap: (solution,),
        plot_path: (path,),
        plot_certificates: (solution.certificate,),
        plot_network: (solution.network(), problem.X, problem.y),
        plot_performance_profile: ({"a": [1.0]},),
    }[plot]
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'cvxrelu\[plot\]'"):
        plot(*arguments)


def test_the_extra_is_named_for_nested_values(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'cvxrelu\[plot\]'"):
        plot_nested_values(made())
