"""Plot certificates as intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from cvxrelu.analysis.network_certificate import NetworkCertificate
from cvxrelu.certificates.certificate import Certificate
from cvxrelu.certificates.portable import Verdict
from cvxrelu.numerics.gaps import relative_gap
from cvxrelu.numerics.rounding import TINY
from cvxrelu.plotting.figure import BLUE, GREEN, RED, labelled, legend_above, need_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AnyCertificate = Certificate | NetworkCertificate | Verdict
_HEIGHT = 0.28


def plot_certificates(certificates: AnyCertificate | Mapping[str, AnyCertificate], ax: Axes | None = None) -> Axes:
    """Draw certificates as intervals that contain the optimal value, from the lower bound to the objective.

    Parameters
    ----------
    certificates : Certificate, NetworkCertificate or Verdict, or mapping of str to these
        Certificates by label, drawn one below the other. A file has no bounds before it is verified: draw the `Verdict`
        of `PortableCertificate.verify`.
    ax : matplotlib Axes, optional
        Axes to draw on; by default those of a new pyplot figure.

    Returns
    -------
    matplotlib Axes
        With a bar for each interval, labelled by its relative gap and scope. A diamond marks the improved network of a
        `NetworkCertificate`, if any.

    Raises
    ------
    TypeError, ValueError
        If ``certificates`` has another type or is an empty mapping.
    ModuleNotFoundError
        If matplotlib is not installed.
    """
    found = labelled("certificates", certificates, (Certificate, NetworkCertificate, Verdict))
    ax = need_axes(ax)
    lowers = np.array([each.lower for each in found.values()])
    uppers = np.array([each.upper for each in found.values()])
    positions, reach = np.arange(len(found)), 0.75 * _HEIGHT
    ax.barh(positions, uppers - lowers, _HEIGHT, left=lowers, color=BLUE, alpha=0.3, label="contains the optimum")
    for values, color, label in ((lowers, BLUE, "lower bound"), (uppers, RED, "objective, upper bound")):
        ax.vlines(values, positions - reach, positions + reach, color=color, linewidth=2.2, label=label)
    improved = {
        position: each.improved_objective
        for position, each in enumerate(found.values())
        if isinstance(each, NetworkCertificate) and each.improved_objective is not None
    }
    if improved:
        ax.plot(
            list(improved.values()),
            list(improved),
            linestyle="",
            marker="D",
            markersize=6,
            color=GREEN,
            label="better network found",
        )
    left, right = lowers.min(), np.concatenate([uppers, list(improved.values())]).max()
    # Keep a margin for intervals of zero length.
    margin = max(0.08 * (right - left), 0.02 * max(abs(left), abs(right)), TINY)
    ax.set(xlim=(left - margin, right + margin), ylim=(len(found) - 0.4, -0.6), xlabel="objective")
    ax.set_yticks(positions, [f"{label}\n{_summary(each)}".strip() for label, each in found.items()])
    ax.tick_params(axis="y", length=0)
    ax.locator_params(axis="x", nbins=6)
    ax.grid(axis="x", alpha=0.3)
    legend_above(ax)
    return ax


def _summary(certificate: AnyCertificate) -> str:
    gap = relative_gap(certificate.lower, certificate.upper)
    if isinstance(certificate, Verdict):
        arithmetic = f"\nverified, {certificate.arithmetic} arithmetic"
        return f"relative gap {gap:.1e}\nscope {certificate.statement['scope']}{arithmetic}"
    return f"relative gap {gap:.1e}\nscope {certificate.scope}"
