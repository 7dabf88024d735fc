"""Scaling of WorkingSet with the number of rows and of patterns, over a factor of 16 in each."""

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

import cvxrelu as cr
from reference.datasets.prepare import load

_DATA = "magic"
_ROWS, _GATES = 19020, 500
_SIZES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
_MOST_GATES = 2000
_RATIO = 0.03
_TOL = 1e-6
Times = list[tuple[int, float]]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--repeats", type=int, default=3, help="number of runs; medians are printed (default: 3)")
    parser.add_argument("--threads", type=int, default=1, help="threads (default: 1)")
    parser.add_argument("--out", type=Path, default=Path("build/growth.png"), help="file of the plot")


def run(arguments: argparse.Namespace) -> str:
    """Time WorkingSet as n and P grow by a factor of 16, and draw the result (matplotlib)."""
    return measure(arguments.repeats, arguments.threads, arguments.out)


def measure(repeats: int, threads: int, out: Path) -> str:
    """Return the times at each size, and the fitted exponents."""
    series = {
        f"rows n (P = {_GATES})": lambda fraction: (round(fraction * _ROWS), _GATES),
        f"patterns P (n = {_ROWS // 4:,})": lambda fraction: (_ROWS // 4, round(fraction * _MOST_GATES)),
    }
    lines = [
        f"{_DATA}, lam = {_RATIO:g} lam_max, certified relative gap {_TOL:g}, {threads} thread(s), medians of {repeats}"
    ]
    curves: dict[str, Times] = {}
    with threadpool_limits(threads):
        for k, (name, size) in enumerate(series.items()):
            curves[name] = list(_times(size, k, repeats))
            sizes, seconds = np.array(curves[name]).T
            slope = float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
            lines.append(name)
            lines.extend(f"  {int(size):>7,}  {time:8.3f} s" for size, time in curves[name])
            lines.append(f"  time grows like the size to the power {slope:.2f} (1 is linear)")
    _draw(curves, out)
    return "\n".join([*lines, f"drawn in {out}"])


def _times(size: Callable[[float], tuple[int, int]], varied: int, repeats: int) -> Iterator[tuple[int, float]]:
    for fraction in _SIZES:
        rows, n_gates = size(fraction)
        X, y = load(_DATA, rows)
        patterns = cr.sample_patterns(X, n_gates, seed=0)
        problem = cr.ConvexGatedReLU(X, y, patterns)
        problem = problem.with_lam(_RATIO * problem.lam_max())
        seconds = []
        for _ in range(repeats):
            fresh = cr.ConvexGatedReLU(X, y, patterns, problem.lam)  # nothing cached
            started = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("error", cr.ConvergenceWarning)
                cr.solve(fresh, "WorkingSet", tol=_TOL)
            seconds.append(time.perf_counter() - started)
        yield (problem.n, len(patterns))[varied], float(np.median(seconds))


def _draw(curves: dict[str, Times], out: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, (name, times) in zip(figure.subplots(1, 2), curves.items(), strict=True):
        sizes, seconds = np.array(times).T
        axes.loglog(sizes, seconds, "o-", label="measured")
        axes.loglog(sizes, seconds[-1] * sizes / sizes[-1], "--", color="grey", label="linear")
        axes.set(xlabel=name, ylabel="seconds to a certified gap of 1e-6")
        axes.set_xticks(sizes, [f"{size:,.0f}" for size in sizes])
        axes.xaxis.minorticks_off()
        axes.legend()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
