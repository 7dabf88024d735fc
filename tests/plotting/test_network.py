import numpy as np
import pytest

from tests.helpers.needs import reason

pytest.importorskip("matplotlib", reason=reason("matplotlib"), exc_type=ImportError)

import cvxrelu as cr
from cvxrelu.plotting import plot_network


def test_kinks_of_one_feature_are_where_the_network_bends(ax):
    X = np.column_stack([np.linspace(-2, 2, 9), np.full(9, 0.5)])
    network = cr.ReLUNetwork(W1=[[1.0, -2.0], [-2.0, -2.0], [1.0, 20.0]], w2=[1.0, -3.0, 0.1])
    plot_network(network, X, network.predict(X), ax=ax)
    positions = {}
    for collection in ax.collections[1:]:  # the first holds the data
        for position in collection.get_offsets():
            positions[float(position[0])] = (collection.get_label(), float(position[1]))
    assert positions == {
        1.0: ("neuron of positive output weight", pytest.approx(network.predict([[1.0, 0.5]])[0])),
        -0.5: ("neuron of negative output weight", pytest.approx(network.predict([[-0.5, 0.5]])[0])),
    }
    x, y = ax.lines[-1].get_data()
    np.testing.assert_allclose(y, network.predict(np.column_stack([x, np.full(len(x), 0.5)])))


def test_lines_of_two_features_are_the_activation_boundaries(solution, problem, ax, tmp_path):
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
