import numpy as np
import pytest

from tests.helpers.needs import reason

pytest.importorskip("matplotlib", reason=reason("matplotlib"), exc_type=ImportError)

import cvxrelu as cr
from cvxrelu.plotting import plot_certificates


def test_certificates_are_intervals(solution, problem, ax, tmp_path):
    network = cr.certify_network(cr.ReLUNetwork(np.eye(3), [1.0, 1.0, -1.0]), problem.X, problem.y, 0.02)
    solution.certificate.save(tmp_path / "a.cert")
    verdict = cr.load_certificate(tmp_path / "a.cert").verify(problem.X, problem.y)
    plot_certificates({"a": solution.certificate, "b": network, "c": verdict}, ax)
    for bar, each in zip(ax.patches, (solution.certificate, network, verdict), strict=True):
        assert bar.get_x() == each.lower
        assert bar.get_width() == pytest.approx(each.upper - each.lower)
    words = [label.get_text() for label in ax.get_yticklabels()]
    assert words[0].startswith("a\nrelative gap")
    assert "scope patterns\nverified, exact arithmetic" in words[2]
    assert "verified" not in words[0] + words[1]
    (diamond,) = [line for line in ax.lines if line.get_marker() == "D"]
    assert list(diamond.get_xdata()) == [network.improved_objective]
    ax.figure.savefig(tmp_path / "certificates.png")
