"""Plot performance profiles of solvers."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.plotting.figure import line_styles, log_x_axis, need_axes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def plot_performance_profile(seconds: pd.DataFrame | Mapping[str, Any], ax: Axes | None = None) -> Axes:
    """Draw the fraction of instances that each solver solved within a factor of the fastest solver's time.

    Parameters
    ----------
    seconds : DataFrame, or mapping of str to array_like of shape (k,)
        Times > 0 of each solver (column or key) on each of k instances (rows); infinite or NaN if unsolved.
    ax : matplotlib Axes, optional
        Axes to draw on; by default those of a new pyplot figure.

    Returns
    -------
    matplotlib Axes
        With a step line for each solver: at 1 the fraction of instances on which it was the fastest, at the right end
        the fraction it solved at all. Instances that no solver solved count.

    Raises
    ------
    TypeError, ValueError
        If ``seconds`` has another type, is empty, has columns of different lengths, or a number that is not > 0.
    ModuleNotFoundError
        If matplotlib is not installed.

    References
    ----------
    Dolan & Moré, "Benchmarking optimization software with performance profiles", Math. Program. 91, 2002.
    """
    solvers, times = _checked(seconds)
    ax = need_axes(ax)
    least = times.min(axis=1, keepdims=True)
    ratios = times / np.where(np.isfinite(least), least, 1.0)
    finite = ratios[np.isfinite(ratios)]
    right = 1.3 * max(float(finite.max(initial=1.0)), 2.0)
    for solver, column, style in zip(solvers, ratios.T, line_styles(len(solvers)), strict=True):
        steps = np.sort(column[np.isfinite(column)])
        fractions = np.arange(1, len(steps) + 1) / len(column)
        x = np.concatenate([[1.0], steps, [right]])
        y = np.concatenate([[0.0], fractions, [fractions[-1] if len(fractions) else 0.0]])
        ax.plot(x, y, drawstyle="steps-post", label=solver, **style | {"marker": ""})
    ax.set(xlim=(1.0, right), ylim=(-0.02, 1.02))
    log_x_axis(ax)
    ax.set(xlabel="time / fastest time", ylabel="fraction of instances solved")
    ax.grid(alpha=0.3)
    ax.legend(loc="lower right")
    return ax


def _checked(seconds: Any) -> tuple[list[str], FloatArray]:
    """Return the solvers' names and their times (k, solvers), infinite where unsolved."""
    pandas = sys.modules.get("pandas")  # if not imported, there can be no DataFrame
    if not (isinstance(seconds, Mapping) or (pandas is not None and isinstance(seconds, pandas.DataFrame))):
        raise TypeError(
            "seconds must be a DataFrame with a column for each solver, or a mapping of solvers to times; "
            f"got {type(seconds).__name__}"
        )
    columns = {str(name): np.asarray(seconds[name]) for name in seconds}
    lengths = {column.shape for column in columns.values()}
    if len(lengths) != 1 or any(len(shape) != 1 or shape[0] == 0 for shape in lengths):
        found = ", ".join(f"{name!r} {column.shape}" for name, column in columns.items()) or "none"
        raise ValueError(f"seconds must have one time per solver and instance; got shapes {found}")
    try:
        times = np.column_stack([column.astype(np.float64) for column in columns.values()])
    except (TypeError, ValueError) as error:
        raise TypeError(f"seconds must be numbers; {error}") from error
    times = np.where(np.isnan(times), np.inf, times)
    if times.min() <= 0.0:
        raise ValueError(f"seconds must be > 0, infinite or NaN where unsolved; got {times.min():g}")
    return list(columns), times
