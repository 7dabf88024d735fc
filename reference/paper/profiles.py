"""Performance profiles: fraction of problems that a method solves within a given effort, and pairwise comparisons."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from reference.paper.published import KKT_TOLERANCE
from reference.paper.traces import TAUS, Trace

PROBLEM = ["data", "lam"]
SUBGRADIENT = f"kkt {KKT_TOLERANCE:g}"
_LEVEL_FACTOR = 1.05
_FAR = 1e-2


def solved_at(traces: Sequence[Trace], names: Mapping[str, str], limit: int) -> pd.DataFrame:
    """Return the effort and time in seconds at which each problem was solved in each sense; infinite if never.

    Parameters
    ----------
    traces : sequence of Trace
        Runs of the methods.
    names : mapping
        From names of methods to names of rows; if several methods have one name, the best of them counts.
    limit : int
        Limit of effort; more counts as never.

    Returns
    -------
    DataFrame
        Columns: data, lam, method, sense (a relative accuracy as text, or `SUBGRADIENT`), effort, seconds.
    """
    rows = []
    with_kkt = any(trace.kkt for trace in traces)
    for trace in traces:
        senses = [(f"{tau:g}", trace.accuracy, tau) for tau in TAUS]
        if with_kkt:
            senses.append((SUBGRADIENT, trace.kkt, KKT_TOLERANCE))
        for sense, values, target in senses:
            checks = zip(trace.effort, trace.seconds, values, strict=True)
            reached = ((effort, seconds) for effort, seconds, value in checks if value <= target and effort <= limit)
            rows.append((trace.data, trace.lam, names[trace.method], sense, *next(reached, (np.inf, np.inf))))
    frame = pd.DataFrame(rows, columns=[*PROBLEM, "method", "sense", "effort", "seconds"])
    return frame.groupby([*PROBLEM, "method", "sense"], sort=False, as_index=False).min()


def solved_table(solved: pd.DataFrame, methods: Sequence[str], unit: str) -> list[str]:
    """Return the percentage of problems solved, and medians of effort and seconds over all problems."""
    senses = list(dict.fromkeys(solved.sense))
    cells = solved.groupby(["method", "sense"])
    n_problems = len(solved[PROBLEM].drop_duplicates())
    percentage = cells.effort.agg(lambda effort: 100.0 * np.isfinite(effort).mean())
    parts = {
        f"solved, % of {n_problems}": percentage.map("{:.0f}".format),
        f"median {unit}": cells.effort.median().map("{:.0f}".format),
        "median seconds": cells.seconds.median().map("{:.2f}".format),
    }
    width = 2 + max(len(name) for name in (*parts, *methods))
    lines = []
    for title, values in parts.items():
        lines.append(f"{title:<{width}}" + "".join(f"{sense:>11}" for sense in senses))
        for method in methods:
            texts = (values[method, sense].replace("inf", "-") for sense in senses)
            lines.append(f"{method:<{width}}" + "".join(f"{text:>11}" for text in texts))
    return [*lines, "medians are over all problems; - if fewer than half of them are solved"]


def ahead(solved: pd.DataFrame, first: str, second: str, sense: str) -> tuple[int, int, int]:
    """Return on how many problems the first method needs less effort, more, or as much (to 5 %, or both fail)."""
    effort = solved[solved.sense == sense].pivot(index=PROBLEM, columns="method", values="effort")
    less = int((_LEVEL_FACTOR * effort[first] < effort[second]).sum())
    more = int((_LEVEL_FACTOR * effort[second] < effort[first]).sum())
    return less, more, len(effort) - less - more


def verdict(solved: pd.DataFrame, claim: str, pairs: Sequence[tuple[str, str]], senses: Sequence[str]) -> list[str]:
    """Judge whether the first method of each pair is ahead of the second, that is, ahead on more problems than behind.

    A claim does not hold if it is reversed for one of its pairs; otherwise it is open if one pair is level.
    """
    width = max(len(f"{first} / {second}") for first, second in pairs) + 2
    lines = [f"{'ahead, behind, level':<{width}}" + "".join(f"{sense:>16}" for sense in senses)]
    worst = dict.fromkeys(senses, 1)
    for first, second in pairs:
        counts = [ahead(solved, first, second, sense) for sense in senses]
        for sense, (less, more, _) in zip(senses, counts, strict=True):
            worst[sense] = min(worst[sense], int(np.sign(less - more)))
        cells = ("{}, {}, {}".format(*count) for count in counts)
        lines.append(f"{f'{first} / {second}':<{width}}" + "".join(f"{cell:>16}" for cell in cells))
    labels = {1: "holds", 0: "open", -1: "does NOT hold"}
    texts = [
        f"{label} at {', '.join(sense for sense in senses if worst[sense] == sign)}"
        for sign, label in labels.items()
        if sign in worst.values()
    ]
    return [*lines, f"{claim}: {'; '.join(texts)}"]


def spread(solved: pd.DataFrame, groups: Mapping[str, Sequence[str]], senses: Sequence[str]) -> list[str]:
    """Return the range of the percentages of problems solved over the methods of each group."""
    percentages = 100.0 * np.isfinite(solved.effort).groupby([solved.method, solved.sense]).mean().unstack()
    lines = []
    for name, methods in groups.items():
        least, largest = percentages.loc[list(methods)].min(), percentages.loc[list(methods)].max()
        texts = (f"{least[sense]:.0f} to {largest[sense]:.0f} % to {sense}" for sense in senses)
        lines.append(f"solved by {name}: {', '.join(texts)}")
    return lines


def criterion_accuracy(traces: Sequence[Trace]) -> list[str]:
    """Summarise the accuracy of the points that first meet the paper's criterion; empty if it was not evaluated."""
    checks = (zip(trace.kkt, trace.accuracy, strict=True) for trace in traces if trace.kkt)
    first = [next((accuracy for kkt, accuracy in each if kkt <= KKT_TOLERANCE), None) for each in checks]
    met = [accuracy for accuracy in first if accuracy is not None]
    if not met:
        return []
    far = sum(accuracy > _FAR for accuracy in met)
    return [
        f"{SUBGRADIENT} is first met in {len(met)} runs: (objective - bound) / bound is then {np.median(met):.1e} in "
        f"the median, {max(met):.1e} at most, and more than {_FAR:g} in {far} of them"
    ]


def draw(
    path: Path, solved: pd.DataFrame, traces: Sequence[Trace], senses: Sequence[str], limit: int, unit: str
) -> None:
    """Plot a profile for each sense, and convergence on one problem against effort and against time."""
    from cycler import cycler
    from matplotlib.colors import TABLEAU_COLORS
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5 * len(senses), 8), layout="constrained")
    grid = figure.add_gridspec(2, 1)
    upper, lower = (figure.add_subfigure(cell) for cell in (grid[0], grid[1]))
    n_problems = len(solved[PROBLEM].drop_duplicates())
    profiles = upper.subplots(1, len(senses), sharex=True, sharey=True)
    styles = cycler(linestyle=["-", "--"]) * cycler(color=[*TABLEAU_COLORS][:5])
    for axes, sense in zip(profiles, senses, strict=True):
        axes.set_prop_cycle(styles)
        for method, runs in solved[solved.sense == sense].groupby("method", sort=False):
            axes.ecdf(np.minimum(runs.effort, 2 * limit), label=method)  # unsolved problems lie beyond the axis
        axes.set(title=f"solved to {sense}", xlabel=unit, xlim=(0, limit), ylim=(0, 1))
        axes.axhline(0.8, color="black", linestyle="--", linewidth=0.8)
    profiles[0].set_ylabel(f"fraction of {n_problems} problems solved")
    profiles[-1].legend(fontsize="small")
    data, lam = _example(traces)
    convergence = lower.subplots(1, 2, sharey=True)
    for axes, column in zip(convergence, ("effort", "seconds"), strict=True):
        axes.set_prop_cycle(styles)
        for trace in traces:
            if (trace.data, trace.lam) == (data, lam):
                accuracy = np.maximum(trace.accuracy, TAUS[-1] / 10.0)
                axes.loglog(getattr(trace, column), accuracy, marker=".", markersize=3, label=trace.method)
        axes.set(xlabel=unit if column == "effort" else column, title=f"{data}, lam = {lam:.1e}")
    convergence[0].set_ylabel("(objective - bound) / bound")
    convergence[-1].legend(fontsize="small")
    figure.savefig(path, dpi=120)


def _example(traces: Sequence[Trace]) -> tuple[str, float]:
    """Return the problem whose convergence is plotted: the first data set at the middle lam."""
    lams = sorted({trace.lam for trace in traces if trace.data == traces[0].data})
    return traces[0].data, lams[(len(lams) - 1) // 2]
