"""Plot the certified gap against time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cvxrelu.numerics.rounding import EPS, TINY
from cvxrelu.optimize.solution import Solution
from cvxrelu.plotting.figure import labelled, legend_above, line_styles, log_x_axis, need_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_gap(solutions: Solution | Mapping[str, Solution], ax: Axes | None = None) -> Axes:
    """Draw the certified relative gap of each solver's best point against time.

    The gap is (upper - lower) / |upper|, comparable to ``tol``, at each check in ``history``, clipped to at least
    2.2e-16. CVXPY's solvers do not expose their iterations and have a point for each run.

    Parameters
    ----------
    solutions : Solution, or mapping of str to Solution
        Solutions by label; a single one is labelled by its solver.
    ax : matplotlib Axes, optional
        Axes to draw on; by default those of a new pyplot figure.

    Returns
    -------
    matplotlib Axes
        With a step line for each solution on logarithmic axes.

    Raises
    ------
    TypeError, ValueError
        If ``solutions`` has another type or is an empty mapping, or a solution has no history.
    ModuleNotFoundError
        If matplotlib is not installed.
    """
    found = labelled("solutions", solutions, (Solution,))
    for label, solution in found.items():
        if not solution.history:
            raise ValueError(f"solutions must have a history; that of {label or solution.solver!r} is empty")
    ax = need_axes(ax)
    for (label, solution), style in zip(found.items(), line_styles(len(found)), strict=True):
        times = [max(record.time, TINY) for record in solution.history]
        gaps = [max(record.rel_gap, EPS) for record in solution.history]
        ax.plot(times, gaps, drawstyle="steps-post", markersize=4, label=label or solution.solver, **style)
    ax.set(yscale="log", xlabel="seconds", ylabel="certified relative gap")
    log_x_axis(ax)
    ax.grid(alpha=0.3)
    legend_above(ax, columns=min(len(found), 3))
    return ax
