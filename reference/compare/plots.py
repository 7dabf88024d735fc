"""The figures of a comparison: performance profiles, accuracy against time, ratios of times."""

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from reference.compare.profiles import ACCURACIES, OURS, profile, ratios, times

# Okabe & Ito's palette, which the colour-blind can tell apart; ours is black.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#7F7F7F")
_DASHES = ("-", "--", "-.", ":")


def styles(solvers: Sequence[str]) -> dict[str, dict[str, object]]:
    """Return how each solver is drawn, the same in all figures."""
    drawn: dict[str, dict[str, object]] = {}
    for place, name in enumerate(name for name in solvers if name != OURS):
        turn = place // len(_COLOURS)
        drawn[name] = {"color": _COLOURS[place % len(_COLOURS)], "linestyle": _DASHES[turn % 4], "linewidth": 1.4}
    return {OURS: {"color": "black", "linestyle": "-", "linewidth": 2.6, "zorder": 5}} | drawn


def draw_profiles(table: pd.DataFrame, by: str = "ratio") -> Figure:
    """Draw a profile for each of the accuracies.

    Parameters
    ----------
    table : DataFrame
        Of `reference.compare.results.read`.
    by : {"ratio", "seconds"}
        "ratio": share of instances solved within a factor of the fastest solver's time (Dolan & Moré 2002).
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
            x, share = profile(values[each][name].tolist())
            x, share = np.concatenate([[left], x, [right]]), np.concatenate([[0.0], share, share[-1:]])
            axis.step(x, share if len(share) == len(x) else np.zeros(len(x)), where="post", label=name, **style)
        axis.set(xscale="log", xlim=(left, right), ylim=(-0.02, 1.02), title=f"accuracy {each:g}")
        axis.grid(alpha=0.3)
    for axis in axes[:, 0]:
        axis.set_ylabel("share of instances solved")
    for axis in axes[1]:
        axis.set_xlabel("time / fastest time" if by == "ratio" else "seconds")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 8), frameon=False)
    return figure


def draw_curves(table: pd.DataFrame, instances: Sequence[str] = ()) -> Figure:
    """Draw accuracy against time: each solver's runs at the accuracies asked, on some instances.

    Parameters
    ----------
    table : DataFrame
        Of `reference.compare.results.read`.
    instances : sequence of str
        Their names; by default, of each size and kind the one that most solvers answered.
    """
    chosen = list(instances) or _telling(table)
    rows = -(-len(chosen) // 2)
    figure = Figure(figsize=(11.0, 3.4 * rows), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, 2, squeeze=False)).ravel()
    solvers = list(times(table, 1.0).columns)
    for axis, name in zip(axes, chosen, strict=False):
        here = table[(table["instance"] == name) & (table["status"] == "answered")]
        floor = max(float(here["accuracy"].clip(lower=0.0).replace(0.0, np.nan).min()), 1e-12)
        for solver, style in styles(solvers).items():
            runs = here[here["solver"] == solver].sort_values("asked", ascending=False)
            if len(runs):
                y = runs["accuracy"].clip(lower=floor)
                axis.plot(runs["seconds"], y, marker="o", markersize=4, label=solver, **style)
        axis.set(xscale="log", yscale="log", title=name, xlabel="seconds", ylabel="relative distance to the optimum")
        axis.grid(alpha=0.3)
    for axis in axes[len(chosen) :]:
        axis.set_axis_off()
    found = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    names = [name for name in styles(solvers) if name in found]
    figure.legend(
        [found[name] for name in names], names, loc="outside lower center", ncols=min(len(names), 8), frameon=False
    )
    return figure


def draw_ratios(table: pd.DataFrame, accuracy: float) -> Figure:
    """Draw instances x solvers: each one's time over ours, on a logarithmic colour scale; grey: not solved."""
    seconds = times(table, accuracy)
    quotient = seconds.drop(columns=OURS).div(seconds[OURS], axis=0)
    shown = np.log10(quotient.where(np.isfinite(quotient) & (quotient > 0.0)).to_numpy())
    limit = max(float(np.nanmax(np.abs(shown))) if np.isfinite(shown).any() else 1.0, 1.0)
    height = max(1.2 + 0.17 * len(quotient), 4.0)
    figure = Figure(figsize=(2.5 + 0.8 * quotient.shape[1], height), layout="constrained")
    axis = figure.subplots()
    colours = matplotlib.colormaps["RdBu"].with_extremes(bad="#bbbbbb")
    image = axis.imshow(np.ma.masked_invalid(shown), aspect="auto", cmap=colours, vmin=-limit, vmax=limit)
    axis.set_xticks(range(quotient.shape[1]), [str(name) for name in quotient.columns], rotation=45, ha="right")
    axis.set_yticks(range(len(quotient)), [str(name) for name in quotient.index], fontsize=6)
    axis.set_title(f"time over ours at accuracy {accuracy:g}\n(blue: ours is faster; grey: not solved)", fontsize=9)
    bar = figure.colorbar(image, ax=axis, shrink=0.6)
    bar.set_label("log10 of time / our time")
    return figure


def _telling(table: pd.DataFrame) -> list[str]:
    """Return, for each size and kind, the instance that most solvers answered."""
    answered = table[table["status"] == "answered"]
    counts = answered.groupby(["size", "kind", "instance"])["solver"].nunique().reset_index()
    best = counts.sort_values("solver", ascending=False, kind="stable").groupby(["size", "kind"], sort=False).head(1)
    return sorted(best["instance"].astype(str))
