"""Figures of a comparison: performance profiles, accuracy against time, ratios of times."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reference.compare.profiles import ACCURACIES, OURS, profile, ratios, times

# Okabe & Ito's palette, which is safe for colour-blind readers; ours is black.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#7F7F7F")
_DASHES = ("-", "--", "-.", ":")


def styles(solvers: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the line style of each solver, the same in all figures."""
    drawn: dict[str, dict[str, Any]] = {}
    for index, name in enumerate(name for name in solvers if name != OURS):
        cycle = index // len(_COLOURS)
        drawn[name] = {"color": _COLOURS[index % len(_COLOURS)], "linestyle": _DASHES[cycle % 4], "linewidth": 1.4}
    return {OURS: {"color": "black", "linestyle": "-", "linewidth": 2.6, "zorder": 5}} | drawn


def draw_profiles(table: pd.DataFrame, by: str = "ratio") -> Figure:
    """Plot a profile for each accuracy.

    Parameters
    ----------
    table : DataFrame
        As returned by `reference.compare.results.read`.
    by : {"ratio", "seconds"}
        "ratio": fraction of instances solved within a factor of the fastest solver's time (Dolan & Moré 2002).
        "seconds": within a time (Figure 4 of Mishkin, Sahiner & Pilanci 2022).
    """
    figure = Figure(figsize=(11.0, 6.4), layout="constrained")
    axes = figure.subplots(2, 3, sharey=True, sharex=True)
    seconds = {each: times(table, each) for each in ACCURACIES}
    values = {each: ratios(found) if by == "ratio" else found for each, found in seconds.items()}
    finite = np.concatenate([found.to_numpy().ravel() for found in values.values()])
    finite = finite[np.isfinite(finite)]
    right = 1.3 * finite.max(initial=10.0)
    left = 1.0 if by == "ratio" else 0.7 * finite.min(initial=1.0)
    solvers = list(seconds[ACCURACIES[0]].columns)
    for axis, each in zip(axes.ravel(), ACCURACIES, strict=True):
        for name, style in styles(solvers).items():
            if name not in solvers:
                continue
            x, fraction = profile(values[each][name].tolist())
            x, fraction = np.concatenate([[left], x, [right]]), np.concatenate([[0.0], fraction, fraction[-1:]])
            axis.step(x, fraction if len(fraction) == len(x) else np.zeros(len(x)), where="post", label=name, **style)
        axis.set(xscale="log", xlim=(left, right), ylim=(-0.02, 1.02), title=f"accuracy {each:g}")
        axis.grid(alpha=0.3)
    for axis in axes[:, 0]:
        axis.set_ylabel("fraction of instances solved")
    for axis in axes[1]:
        axis.set_xlabel("time / fastest time" if by == "ratio" else "seconds")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    _legend(figure, dict(zip(labels, handles, strict=True)))
    return figure


def draw_curves(table: pd.DataFrame, instances: Sequence[str] = ()) -> Figure:
    """Plot accuracy against time: each solver's runs and time-outs on some instances.

    Parameters
    ----------
    table : DataFrame
        As returned by `reference.compare.results.read`.
    instances : sequence of str
        Their names; by default, for each size and kind the instance that most solvers answered.
    """
    chosen = list(instances) or _most_answered(table)
    rows = -(-len(chosen) // 2)
    figure = Figure(figsize=(11.0, 3.4 * rows), layout="constrained")
    axes = figure.subplots(rows, 2, squeeze=False).ravel()
    drawn = styles(list(times(table, 1.0).columns))
    for axis, name in zip(axes, chosen, strict=False):
        _draw_curve(axis, table[table["instance"] == name], drawn)
        axis.set_title(name)
    for axis in axes[len(chosen) :]:
        axis.set_axis_off()
    found = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    late = Line2D([], [], color="grey", linestyle=":", marker="x", label="out of time")
    _legend(figure, {name: found[name] for name in drawn if name in found} | {"out of time": late})
    return figure


def _draw_curve(axis: Axes, here: pd.DataFrame, drawn: dict[str, dict[str, Any]]) -> None:
    """Plot one instance; a dotted line leads from a solver's last answer to the time-out of its next run."""
    answered = here[here["status"] == "answered"]
    floor = max(1e-12, float(answered["accuracy"].clip(lower=0.0).replace(0.0, np.nan).min()))
    limit, unanswered = float(here["timeout"].max()), 0
    seconds = answered.loc[answered["seconds"] > 0.0, "seconds"]
    left = min(0.7 * float(seconds.min()), 0.05 * limit)  # more than a decade, so that the axis has labels
    for solver, style in drawn.items():
        runs = answered[answered["solver"] == solver].sort_values("asked", ascending=False)
        x, y = runs["seconds"].clip(lower=left).tolist(), runs["accuracy"].clip(lower=floor).tolist()
        if x:
            axis.plot(x, y, marker="o", markersize=4, label=solver, **style)
        if ((here["solver"] == solver) & (here["status"] == "timeout")).any():
            late: dict[str, Any] = {"color": style["color"], "marker": "x", "clip_on": False, "zorder": 6}
            if x:
                axis.plot([x[-1], limit], [y[-1]] * 2, linestyle=":", linewidth=1.0, markevery=[1], **late)
            else:  # no accuracy to plot: mark the upper edge
                height = 0.96 - 0.06 * unanswered
                axis.plot(limit, height, linestyle="", transform=axis.get_xaxis_transform(), **late)
                unanswered += 1
    axis.set(xscale="log", yscale="log", xlim=(left, 1.2 * limit), xlabel="seconds", ylabel="distance to the optimum")
    axis.grid(alpha=0.3)


def draw_ratios(table: pd.DataFrame, accuracy: float) -> Figure:
    """Plot a heat map of times relative to ours for instances x solvers, on a logarithmic colour scale.

    Grey cells are not solved by the solver; a cross marks those that it solved and ours did not.
    """
    seconds = times(table, accuracy)
    quotient = seconds.drop(columns=OURS).div(seconds[OURS], axis=0)
    shown = np.log10(quotient.where(np.isfinite(quotient) & (quotient > 0.0)).to_numpy())
    limit = max(float(np.nanmax(np.abs(shown))) if np.isfinite(shown).any() else 1.0, 1.0)
    ahead = (np.isfinite(seconds.drop(columns=OURS)).T & np.isinf(seconds[OURS])).T.to_numpy()
    height = max(1.4 + 0.17 * len(quotient), 4.0)
    figure = Figure(figsize=(2.5 + 0.8 * quotient.shape[1], height), layout="constrained")
    axis = figure.subplots()
    colours = matplotlib.colormaps["RdBu"].with_extremes(bad="#bbbbbb")
    shown[ahead] = -limit
    image = axis.imshow(np.ma.masked_invalid(shown), aspect="auto", cmap=colours, vmin=-limit, vmax=limit)
    down, across = np.nonzero(ahead)
    axis.scatter(across, down, marker="x", color="white", s=25)
    axis.set_xticks(range(quotient.shape[1]), [str(name) for name in quotient.columns], rotation=45, ha="right")
    axis.set_yticks(range(len(quotient)), [str(name) for name in quotient.index], fontsize=6)
    axis.set_title(
        f"time relative to ours at accuracy {accuracy:g}\n"
        "blue: ours is faster; grey: not solved; cross: not solved by ours",
        fontsize=9,
    )
    bar = figure.colorbar(image, ax=axis, shrink=0.6)
    bar.set_label("log10 (time / our time)")
    return figure


def _legend(figure: Figure, drawn: Mapping[str, Artist]) -> None:
    rows = -(-len(drawn) // 8)
    columns = -(-len(drawn) // rows)
    figure.legend(drawn.values(), drawn.keys(), loc="outside lower center", ncols=columns, frameon=False)


def _most_answered(table: pd.DataFrame) -> list[str]:
    """Return for each size and kind the instance that most solvers answered."""
    answered = table[table["status"] == "answered"]
    counts = answered.groupby(["size", "kind", "instance"])["solver"].nunique().reset_index()
    best = counts.sort_values("solver", ascending=False, kind="stable").groupby(["size", "kind"], sort=False).head(1)
    return sorted(best["instance"].astype(str))
