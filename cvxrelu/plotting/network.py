"""Plot networks of one or two features: data, prediction, activation regions and neurons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cvxrelu._validation import FloatArray, check_matrix, check_targets
from cvxrelu.networks.layers import as_columns
from cvxrelu.networks.network import GatedReLUNetwork, Network, ReLUNetwork
from cvxrelu.patterns.activation_patterns import ActivationPatterns
from cvxrelu.plotting.figure import BLUE, RED, legend_above, need_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POINTS_1D, _POINTS_2D = 600, 200
_MARGIN = 0.12  # on each side of the data, as a fraction of its range
_ARROW = 0.11  # the longest arrow, as a fraction of the diagonal
_POSITIVE, _NEGATIVE = "neuron of positive output weight", "neuron of negative output weight"
_SMALLEST = 1e-3  # smallest neuron drawn, as a fraction of the largest


def plot_network(
    network: Network, X: Any, y: Any, patterns: ActivationPatterns | None = None, ax: Axes | None = None
) -> Axes:
    """Draw a network of one or two features, its neurons, and the regions in which it is linear.

    Neuron i is drawn at its activation boundary: in 1-D a triangle on the prediction at its kink, pointing to the
    active side; in 2-D a line with an orthogonal arrow to the active side, the longer the larger ||W1_i|| |w2_i|. For a
    gated network the boundary is that of the gate. Neurons of positive output weight are blue, those of negative output
    weight red. The network is linear in the activation regions between the lines. Boundaries outside the drawn area are
    omitted.

    Parameters
    ----------
    network : ReLUNetwork or GatedReLUNetwork
        A network of one output.
    X : array_like of shape (n, d)
        Data of one or two features, followed by a non-zero constant column if the network has biases.
    y : array_like of shape (n,)
        Targets.
    patterns : ActivationPatterns, optional
        Patterns with gates, whose boundaries are drawn in grey, whether or not a neuron uses them.
    ax : matplotlib Axes, optional
        Axes to draw on; by default those of a new pyplot figure.

    Returns
    -------
    matplotlib Axes
        In 2-D with the prediction as filled contours and the targets as points in the same colours; a colour bar is
        added to the figure.

    Raises
    ------
    TypeError, ValueError
        If an argument has another type, the network does not fit X, X has more than two features, or the patterns have
        no gates.
    ModuleNotFoundError
        If matplotlib is not installed.
    """
    if not isinstance(network, ReLUNetwork | GatedReLUNetwork):
        raise TypeError(f"network must be a ReLUNetwork or GatedReLUNetwork; got {type(network).__name__}")
    data = check_matrix("X", X).astype(np.float64)
    targets = check_targets(y, len(data))
    if targets.shape[1] != 1 or as_columns(network.w2).shape[1] != 1:
        raise ValueError("network and y must have one output; draw several outputs one by one")
    if patterns is not None and not isinstance(patterns, ActivationPatterns):
        raise TypeError(f"patterns must be an ActivationPatterns; got {type(patterns).__name__}")
    gates: FloatArray = np.empty((data.shape[1], 0))
    if patterns is not None:
        if patterns.G is None:
            raise ValueError("patterns must have gates, which define the lines; got masks only")
        if len(patterns.G) != data.shape[1]:
            raise ValueError(f"patterns must be of X, of {data.shape[1]} columns; got gates of {len(patterns.G)}")
        gates = patterns.G
    n_features, constant = _features(data)
    network.predict(data[:1])  # raises where X does not fit
    ax = need_axes(ax)
    draw = _draw_line if n_features == 1 else _draw_plane
    draw(ax, network, data[:, :n_features], constant, targets[:, 0], gates)
    return ax


def _features(data: FloatArray) -> tuple[int, FloatArray]:
    """Return the number of features of X, 1 or 2, and the constant that follows them in each row, if any."""
    d = data.shape[1]
    has_bias = d > 1 and data[0, -1] != 0.0 and bool(np.ptp(data[:, -1]) == 0.0)
    n_features = d - 1 if has_bias else d
    if n_features > 2:
        raise ValueError(
            f"X must have one or two features, optionally followed by a constant column; got {n_features} features"
        )
    return n_features, data[0, n_features:]


def _rows(points: FloatArray, constant: FloatArray) -> FloatArray:
    """Return points (k, 1 or 2) as rows of X."""
    return np.column_stack([points, np.tile(constant, (len(points), 1))])


def _boundaries(network: Network) -> tuple[FloatArray, NDArray[np.intp]]:
    """Return the normals (m, d) of the activation boundaries, pointing to the active side, and the neurons to draw."""
    normals = network.G.T if isinstance(network, GatedReLUNetwork) else network.W1
    sizes = _sizes(network)
    return normals, np.flatnonzero(sizes > _SMALLEST * sizes.max(initial=0.0))


def _sizes(network: Network) -> FloatArray:
    sizes: FloatArray = np.linalg.norm(network.W1, axis=1) * np.abs(as_columns(network.w2)[:, 0])
    return sizes


def _draw_line(
    ax: Axes, network: Network, data: FloatArray, constant: FloatArray, targets: FloatArray, gates: FloatArray
) -> None:
    low, high = data.min(), data.max()
    margin = _MARGIN * (high - low) or 1.0
    low, high = low - margin, high + margin
    normals, drawn = _boundaries(network)
    kinks, slopes = _kinks(normals, constant)
    x = np.linspace(low, high, _POINTS_1D)
    inside = drawn[(kinks[drawn] > low) & (kinks[drawn] < high)]
    # Points on both sides of each kink, where a gated network jumps.
    x = np.sort(
        np.concatenate([x, np.nextafter(kinks[inside], -np.inf), kinks[inside], np.nextafter(kinks[inside], np.inf)])
    )
    for kink in _kinks(gates.T, constant)[0]:
        if low < kink < high:
            ax.axvline(kink, color="0.6", linewidth=0.6, alpha=0.6, zorder=0.5)
    ax.scatter(data[:, 0], targets, s=16, color="0.25", alpha=0.7, linewidth=0.0, label="data", zorder=2)
    ax.plot(x, network.predict(_rows(x[:, None], constant)), color="black", linewidth=1.8, label="prediction", zorder=3)
    signs = as_columns(network.w2)[:, 0]
    heights = network.predict(_rows(kinks[:, None], constant)) if len(inside) else kinks
    handles = ax.get_legend_handles_labels()[0]
    for sign, color, label in ((1.0, BLUE, _POSITIVE), (-1.0, RED, _NEGATIVE)):
        of_sign = inside[np.sign(signs[inside]) == sign]
        for side, marker in ((1.0, ">"), (-1.0, "<")):
            chosen = of_sign[np.sign(slopes[of_sign]) == side]
            shape: dict[str, Any] = {
                "marker": marker,
                "s": 64,
                "color": color,
                "edgecolor": "white",
                "linewidth": 0.8,
                "zorder": 4,
            }
            neurons = ax.scatter(kinks[chosen], heights[chosen], label=label, **shape)
            if len(chosen) and label not in [handle.get_label() for handle in handles]:
                handles.append(neurons)
    ax.set(xlim=(low, high), xlabel="x", ylabel="y")
    ax.grid(alpha=0.3)
    legend_above(ax, handles)


def _kinks(normals: FloatArray, constant: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the kinks of neurons of one feature, NaN for those without one, and their slopes."""
    slopes = normals[:, 0]
    shifts = normals[:, 1] * constant[0] if len(constant) else np.zeros(len(normals))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(slopes != 0.0, -shifts / slopes, np.nan), slopes


def _draw_plane(
    ax: Axes, network: Network, data: FloatArray, constant: FloatArray, targets: FloatArray, gates: FloatArray
) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    low, high = data.min(axis=0), data.max(axis=0)
    margin = np.where(high > low, _MARGIN * (high - low), 1.0)
    low, high = low - margin, high + margin
    first, second = (np.linspace(a, b, _POINTS_2D) for a, b in zip(low, high, strict=True))
    grid = np.stack(np.meshgrid(first, second), axis=-1)
    values = network.predict(_rows(grid.reshape(-1, 2), constant)).reshape(grid.shape[:2])
    middle, reach = (targets.max() + targets.min()) / 2, 0.6 * np.ptp(targets) or 1.0
    levels = MaxNLocator(20).tick_values(middle - reach, middle + reach)
    colors: dict[str, Any] = {"cmap": "PRGn", "vmin": levels[0], "vmax": levels[-1]}
    filled = ax.contourf(first, second, values, levels=levels, extend="both", alpha=0.7, **colors)
    ax.scatter(data[:, 0], data[:, 1], c=targets, s=22, edgecolor="black", linewidth=0.6, zorder=3, **colors)
    for normal in gates.T:
        _draw_boundary(ax, normal, constant, low, high, color="0.35", linewidth=0.5, alpha=0.5)
    normals, drawn = _boundaries(network)
    signs, sizes = as_columns(network.w2)[:, 0], _sizes(network)
    longest = _ARROW * float(np.linalg.norm(high - low))
    arrow = {"arrowstyle": "-|>", "linewidth": 1.6, "shrinkA": 0, "shrinkB": 0}
    handles = {}
    for i in drawn:
        color, label = (BLUE, _POSITIVE) if signs[i] > 0.0 else (RED, _NEGATIVE)
        foot = _draw_boundary(ax, normals[i], constant, low, high, color=color, linewidth=1.4)
        if foot is not None:
            unit = normals[i, :2] / np.linalg.norm(normals[i, :2])
            tip = foot + unit * longest * (0.35 + 0.65 * sizes[i] / sizes.max())
            ax.annotate("", (tip[0], tip[1]), (foot[0], foot[1]), arrowprops=arrow | {"color": color}, zorder=4)
            handles[label] = Line2D([], [], color=color, label=label)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel="x1", ylabel="x2", aspect="equal")
    if handles:
        legend_above(ax, list(handles.values()))
    ax.figure.colorbar(filled, ax=ax, ticks=MaxNLocator(6), label="prediction (areas) and target (points)")


def _draw_boundary(
    ax: Axes, normal: FloatArray, constant: FloatArray, low: FloatArray, high: FloatArray, **style: Any
) -> FloatArray | None:
    """Draw the line normal'x = 0 inside the axes and return its midpoint; None if it misses them."""
    ends = _segment(normal, constant, low, high)
    if ends is None:
        return None
    ax.plot(ends[:, 0], ends[:, 1], **style)
    middle: FloatArray = ends.mean(axis=0)
    return middle


def _segment(normal: FloatArray, constant: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray | None:
    """Return the two ends (2, 2) of the part of the line inside the box; None if it misses the box."""
    slope = normal[:2]
    length = float(np.linalg.norm(slope))
    if length == 0.0:
        return None
    shift = float(normal[2] * constant[0]) if len(constant) else 0.0
    point, along = -shift / length * (slope / length), np.array([-slope[1], slope[0]]) / length
    first, last = -np.inf, np.inf
    for k in range(2):
        if along[k] == 0.0:
            if not low[k] <= point[k] <= high[k]:
                return None
            continue
        edges = sorted(((low[k] - point[k]) / along[k], (high[k] - point[k]) / along[k]))
        first, last = max(first, edges[0]), min(last, edges[1])
    return np.array([point + first * along, point + last * along]) if first < last else None
