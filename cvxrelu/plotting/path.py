"""Plot a regularisation path: active neurons and score against lam."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cvxrelu._validation import check_numeric
from cvxrelu.optimize.path import Path
from cvxrelu.plotting.figure import BLUE, RED, legend_above, log_x_axis, need_axes
from cvxrelu.status import Status

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_path(
    path: Path, scores: Any = None, ax: Axes | None = None, *, score_label: str = "test score (higher is better)"
) -> Axes:
    """Draw the number of active neurons along a path against lam, optionally with a score.

    Parameters
    ----------
    path : Path
        Result of `cvxrelu.regularization_path` with at least one finished point.
    scores : array_like of shape (k,), optional
        Score of each point, the higher the better, such as the accuracy on test data.
    ax : matplotlib Axes, optional
        Axes to draw on; by default those of a new pyplot figure.
    score_label : str
        Label of the axis of the scores.

    Returns
    -------
    matplotlib Axes
        The axes of the neurons, with lam decreasing to the right on a logarithmic axis. Hollow markers are points whose
        certified gap exceeds the tolerance. Scores have their own axis on the right, with the best one marked.

    Raises
    ------
    TypeError, ValueError
        If ``path`` is not a Path or has no point, or the scores have the wrong shape.
    ModuleNotFoundError
        If matplotlib is not installed.
    """
    if not isinstance(path, Path):
        raise TypeError(f"path must be a Path, from regularization_path; got {type(path).__name__}")
    if not len(path):
        raise ValueError("path must have at least one finished point; got none")
    if scores is not None:
        scores = check_numeric("scores", scores)
        if scores.shape != (len(path),):
            raise ValueError(f"scores must have shape ({len(path)},), one for each point; got {scores.shape}")
    ax = need_axes(ax)
    from matplotlib.ticker import MaxNLocator

    proven = np.array([status is Status.OPTIMAL for status in path.status])
    ax.plot(path.lams, path.n_active, color=BLUE, drawstyle="steps-mid", linewidth=1.2)
    for kind, fill, label in ((proven, BLUE, "active neurons"), (~proven, "white", "gap above the tolerance")):
        if kind.any():
            ax.plot(
                path.lams[kind],
                path.n_active[kind],
                linestyle="",
                marker="o",
                markersize=5,
                color=BLUE,
                markerfacecolor=fill,
                label=label,
            )
    ax.set(xlabel="lam", ylabel="active neurons")
    log_x_axis(ax)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    if not ax.xaxis_inverted():
        ax.invert_xaxis()
    ax.grid(alpha=0.3)
    if scores is None:
        if not proven.all():
            legend_above(ax)
        return ax
    right = ax.twinx()
    best = int(np.argmax(scores))
    (line,) = right.plot(path.lams, scores, color=RED, marker="s", markersize=4, linewidth=1.2)
    line.set_label(score_label)
    mark = right.axvline(path.lams[best], color=RED, linestyle=":", linewidth=1.2)
    mark.set_label(f"best: {scores[best]:.4g} at lam = {path.lams[best]:.3g}, {path.n_active[best]} neurons")
    right.set_ylabel(score_label, color=RED)
    right.tick_params(axis="y", colors=RED)
    ax.yaxis.label.set_color(BLUE)
    ax.tick_params(axis="y", colors=BLUE)
    legend_above(right, [*ax.get_legend_handles_labels()[0], line, mark])
    return ax
