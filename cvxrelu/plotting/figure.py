"""Shared helpers for figures: axes, labels, legends and colours; matplotlib is imported on first use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

# Okabe & Ito's palette, distinguishable by the colour-blind.
BLUE, RED, GREEN, PINK, ORANGE, SKY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"
COLORS = (BLUE, RED, GREEN, PINK, ORANGE, SKY)
_DASHES = ("-", "--", ":")
_MARKERS = "os^Dvp"
_SHORT_RANGE = 150.0  # ratio of the ends of a logarithmic axis


def need_axes(ax: Axes | None) -> Axes:
    """Return the given axes, or those of a new pyplot figure.

    Raises
    ------
    TypeError
        If ``ax`` is not an Axes.
    ModuleNotFoundError
        If matplotlib is not installed.
    """
    try:
        from matplotlib import axes, pyplot
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("matplotlib is needed to plot: pip install 'cvxrelu[plot]'") from error
    if ax is None:
        return pyplot.subplots(layout="constrained")[1]
    if not isinstance(ax, axes.Axes):
        raise TypeError(f"ax must be a matplotlib Axes; got {type(ax).__name__}")
    return ax


def labelled(name: str, given: Any, kinds: tuple[type[Any], ...]) -> dict[str, Any]:
    """Return the given objects by label; a single object has the label "".

    Raises
    ------
    TypeError, ValueError
        If it is neither of the given kinds nor a mapping of labels to them, or the mapping is empty.
    """
    if isinstance(given, kinds):
        return {"": given}
    listed = " or ".join(kind.__name__ for kind in kinds)
    accepts = f"{name} must be a {listed}, or a mapping of labels to these"
    if not isinstance(given, Mapping):
        raise TypeError(f"{accepts}; got {type(given).__name__}")
    if not given:
        raise ValueError(f"{accepts}; got an empty mapping")
    for label, value in given.items():
        if not isinstance(value, kinds):
            raise TypeError(f"{accepts}; got {type(value).__name__} for {label!r}")
    return {str(label): value for label, value in given.items()}


def log_x_axis(ax: Axes) -> None:
    """Make the x axis logarithmic, with plain numbers at 1, 2 and 5 if its range is short."""
    from matplotlib.ticker import LogLocator

    ax.set_xscale("log")
    ends = sorted(ax.get_xlim())
    if ends[1] < _SHORT_RANGE * ends[0]:
        ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.xaxis.set_major_formatter("{x:,g}")
        ax.tick_params(axis="x", which="minor", labelbottom=False)


def legend_above(ax: Axes, handles: Sequence[Artist] | None = None, columns: int = 2) -> None:
    """Put a legend above the axes, where it covers no curve."""
    position: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": columns}
    handles = ax.get_legend_handles_labels()[0] if handles is None else handles
    ax.legend(handles=handles, frameon=False, fontsize="small", **position)


def line_styles(n: int) -> list[dict[str, Any]]:
    """Return a style for each of n lines: colours and markers cycle together, then the dashes change."""
    styles = zip(cycle(COLORS), cycle(_MARKERS), strict=False)
    return [
        {"color": color, "marker": marker, "linestyle": _DASHES[index // len(COLORS) % len(_DASHES)]}
        for index, (color, marker) in zip(range(n), styles, strict=False)
    ]
