"""Plot certified intervals on growing sets of patterns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvxrelu.analysis.nested_values import NestedValues
from cvxrelu.plotting.figure import BLUE, RED, need_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLORS = {"gated ReLU": BLUE, "ReLU": RED}


def plot_nested_values(result: NestedValues, ax: Axes | None = None) -> Axes:
    """Draw the certified intervals of `cvxrelu.nested_values` against the number of patterns.

    Parameters
    ----------
    result : NestedValues
        Result with at least one finished size.
    ax : matplotlib Axes, optional
        Axes to draw on; by default those of a new pyplot figure.

    Returns
    -------
    matplotlib Axes
        With lines for the upper and lower bounds of both values, and the intervals between them filled.

    Raises
    ------
    TypeError, ValueError
        If ``result`` is not a NestedValues or has no finished size.
    ModuleNotFoundError
        If matplotlib is not installed.
    """
    if not isinstance(result, NestedValues):
        raise TypeError(f"result must be a NestedValues; got {type(result).__name__}")
    if not len(result):
        raise ValueError("result must have at least one finished size; got none")
    ax = need_axes(ax)
    from matplotlib.ticker import LogLocator, StrMethodFormatter

    for (name, color), lower, upper, marker in zip(
        _COLORS.items(),
        (result.gated_lower, result.relu_lower),
        (result.gated_upper, result.relu_upper),
        "os",
        strict=True,
    ):
        ax.fill_between(result.sizes, lower, upper, color=color, alpha=0.3, linewidth=0.0)
        ax.plot(result.sizes, upper, color=color, marker=marker, markersize=4, label=f"{name}: certified interval")
        ax.plot(result.sizes, lower, color=color, linewidth=0.8)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    ax.xaxis.minorticks_off()
    ax.set(xlabel="number of patterns", ylabel="optimal value")
    ax.grid(alpha=0.3)
    ax.legend()
    return ax
