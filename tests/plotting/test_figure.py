"""Invalid input is rejected by all figures, and a missing matplotlib is reported with its extra."""

import dataclasses
import sys

import numpy as np
import pytest

from tests.helpers.needs import reason

pytest.importorskip("matplotlib", reason=reason("matplotlib"), exc_type=ImportError)

from matplotlib.figure import Figure

import cvxrelu as cr
from cvxrelu.plotting import (
    plot_certificates,
    plot_gap,
    plot_network,
    plot_path,
    plot_performance_profile,
)

REFUSED = [
    (plot_gap, ([1],), TypeError, "solutions must be a Solution, or a mapping of labels to these; got list"),
    (plot_gap, ({},), ValueError, "got an empty mapping"),
    (plot_gap, ({"a": 1},), TypeError, "got int for 'a'"),
    (plot_path, ([1],), TypeError, "path must be a Path, from regularization_path; got list"),
    (plot_certificates, (1.0,), TypeError, "Certificate or NetworkCertificate or Verdict"),
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
def test_wrong_input_is_rejected(plot, arguments, error, words):
    with pytest.raises(error, match=words):
        plot(*arguments)


def test_more_wrong_input_is_rejected(solution, path):
    with pytest.raises(ValueError, match="history"):
        plot_gap({"mine": dataclasses.replace(solution, history=())})
    with pytest.raises(ValueError, match=r"scores must have shape \(5,\)"):
        plot_path(path, [1.0])
    with pytest.raises(ValueError, match="path must have at least one finished point"):
        plot_path(dataclasses.replace(path, solutions=()))
    masks = cr.ActivationPatterns(np.ones((2, 1)))
    with pytest.raises(ValueError, match="patterns must have gates"):
        plot_network(cr.ReLUNetwork(np.eye(2), np.ones(2)), np.eye(2), np.ones(2), masks)
    with pytest.raises(TypeError, match="ax must be a matplotlib Axes; got Figure"):
        plot_gap(solution, Figure())


@pytest.mark.parametrize("plot", [plot_gap, plot_path, plot_certificates, plot_network, plot_performance_profile])
def test_the_extra_is_named_if_matplotlib_is_missing(plot, solution, path, problem, monkeypatch):
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
