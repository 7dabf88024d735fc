"""Figure 5 of the paper: test accuracy and active neurons along a path, for several numbers of gates."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import cvxrelu as cr
from reference.datasets.paper import load_split
from reference.paper.published import FIGURE5, N_FIGURE5, PATTERN_SEED
from reference.paper.selection import TOL, accuracy, train_path
from reference.runs import Record, add_options, run_all

_SETS = ("australian", "breast_cancer", "heart", "ionosphere", "pima", "sonar")
_FULL_SETS = (*_SETS, "chess", "german", "mammographic", "tic-tac-toe")
_FULL_LAMS = np.concatenate([np.logspace(-6, -2, 20), np.logspace(-2, 0, 10)[1:]])[::-1]
_LAMS = _FULL_LAMS[1::3]
_SEEDS, _FULL_SEEDS = 3, 10
_GATES = (10, 100, 1000)


@dataclass(frozen=True)
class Point:
    """A point of a path: lam (for a loss divided by 2 n c), test accuracy, non-zero blocks, certified relative gap."""

    data: str
    gates: int
    seed: int
    lam: float
    accuracy: float
    active: int
    gap: float


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_options(parser)
    parser.add_argument("--gates", nargs="+", type=int, default=list(_GATES), help="numbers of gates")
    parser.add_argument(
        "--seeds", type=int, help=f"number of seeds of the gates (default: {_SEEDS}; full: {_FULL_SEEDS})"
    )
    parser.add_argument("--relu", action="store_true", help="use C-ReLU instead of C-GReLU")
    parser.add_argument("--limit", type=float, default=20.0, help="time limit of each lam in seconds (default: 20)")


def run(arguments: argparse.Namespace) -> str:
    """Figure 5: test accuracy and active neurons of C-GReLU (or C-ReLU) along a path, for 10, 100 and 1000 gates."""
    full = arguments.full
    lams = (_FULL_LAMS if full else _LAMS).tolist()
    seeds = arguments.seeds or (_FULL_SEEDS if full else _SEEDS)
    names = arguments.data or (_FULL_SETS if full else _SETS)
    method = "C-ReLU" if arguments.relu else "C-GReLU"
    path = arguments.out / f"figure5{'-relu' if arguments.relu else ''}{'-full' if full else ''}.jsonl"
    settings = {"lams": lams, "limit": arguments.limit, "version": cr.__version__}
    keys = [(name, gates, seed) for name in names for gates in arguments.gates for seed in range(seeds)]
    work = partial(_points, method=method, lams=lams, limit=arguments.limit)
    points = pd.DataFrame(run_all(path, settings, keys, work, arguments.n_jobs))
    plot = path.with_suffix(".png")
    _draw(plot, points)
    missed = points[points.gap > TOL]
    copies = sum(name in FIGURE5 for name in names)
    return "\n".join(
        [
            f"{method} on {len(names)} sets, {copies} of them copies of the paper's {N_FIGURE5}; {seeds} seeds of the "
            f"gates (paper: {_FULL_SEEDS}), {len(lams)} lam from {min(lams):.1e} to {max(lams):.1e} (for a loss "
            f"divided by 2 n c; paper: {len(_FULL_LAMS)} from {min(_FULL_LAMS):.1e} to {max(_FULL_LAMS):.1e})",
            f"certified gap {TOL:g} or {arguments.limit:g} s: missed at {len(missed)} of {len(points)} points, "
            f"largest gap {points.gap.max():.1e}",
            "",
            *_table(points),
            "",
            *_findings(points),
            "",
            f"drawn in {plot}",
        ]
    )


def _points(name: str, n_gates: int, seed: int, method: str, lams: Sequence[float], limit: float) -> list[Record]:
    X, Y, X_test, classes = load_split(name)
    solutions = train_path(method, X, Y, lams, n_gates, limit, PATTERN_SEED + seed)
    return [
        asdict(
            Point(
                data=name,
                gates=n_gates,
                seed=seed,
                lam=lam,
                accuracy=accuracy(solution.network().predict(X_test), classes),
                active=int(np.count_nonzero(np.any(solution.weights, axis=-1))),
                gap=solution.certificate.rel_gap,
            )
        )
        for lam, solution in zip(lams, solutions, strict=True)
    ]


def best(points: pd.DataFrame) -> pd.DataFrame:
    """Return the point with the best test accuracy on each path, and the sparsest of several."""
    ordered = points.sort_values(["accuracy", "active", "lam"], ascending=[False, True, False], kind="stable")
    return ordered.groupby(["data", "gates", "seed"], sort=False, as_index=False).first()


def _table(points: pd.DataFrame) -> list[str]:
    lines = [
        "best point of each path, by the test accuracy itself (mean [least, largest] of the seeds), its active neurons "
        "and lam (means)",
        f"{'data':<16}{'gates':>6}{'test accuracy':>24}{'active':>9}{'lam':>10}{'accuracy at least lam':>24}",
    ]
    peaks = best(points)
    densest = points[points.lam == points.lam.min()]
    for (name, gates), here in peaks.groupby(["data", "gates"]):
        last = densest[(densest.data == name) & (densest.gates == gates)].accuracy.mean()
        spread = f"{here.accuracy.mean():.3f} [{here.accuracy.min():.3f}, {here.accuracy.max():.3f}]"
        lam = np.exp(np.log(here.lam).mean())
        lines.append(f"{name:<16}{gates:>6}{spread:>24}{here.active.mean():>9.1f}{lam:>10.1e}{last:>24.3f}")
    return lines


def _findings(points: pd.DataFrame) -> list[str]:
    """Summarise the effects of more gates and of more regularisation."""
    peaks = best(points)
    of_gates = peaks.groupby(["data", "gates"]).accuracy
    means, spreads = of_gates.mean().unstack(), (of_gates.max() - of_gates.min()).unstack()
    lines = []
    for fewer, more in zip(means.columns[:-1], means.columns[1:], strict=True):
        diff = 100.0 * (means[more] - means[fewer])
        lines.append(
            f"{more} gates against {fewer}: best test accuracy {diff.mean():+.1f} points in the mean, higher on "
            f"{(diff > 0).sum()} of {len(diff)} sets; the seeds differ by {100.0 * spreads[more].mean():.1f} points "
            f"against {100.0 * spreads[fewer].mean():.1f}"
        )
    last = points[points.lam == points.lam.min()]
    joined = peaks.merge(last, on=["data", "gates", "seed"], suffixes=("", "_last"))
    lost = 100.0 * (joined.accuracy - joined.accuracy_last)
    lines.append(
        f"the best point of a path is {lost.mean():.1f} points better than its end at the least lam, with "
        f"{joined.active.median():.0f} active neurons against {joined.active_last.median():.0f} (medians)"
    )
    return lines


def _draw(path: Path, points: pd.DataFrame) -> None:
    """Plot test accuracy and active neurons against lam: medians over seeds, and bands from minimum to maximum."""
    names = list(dict.fromkeys(points.data))
    figure = Figure(figsize=(2.6 * len(names), 5.0), layout="constrained")
    axes = figure.subplots(2, len(names), sharex=True, squeeze=False)
    for column, name in enumerate(names):
        for gates, here in points[points.data == name].groupby("gates"):
            for row, quantity in enumerate(("accuracy", "active")):
                of_lam = here.groupby("lam")[quantity]
                middle = of_lam.median()
                axes[row, column].plot(middle.index, middle, label=f"{gates} gates")
                axes[row, column].fill_between(middle.index, of_lam.min(), of_lam.max(), alpha=0.2)
        axes[0, column].set(title=name, xscale="log")
        axes[1, column].set(xlabel="lam", yscale="symlog")
        axes[1, column].set_ylim(bottom=-0.1)
    axes[0, 0].set_ylabel("test accuracy")
    axes[1, 0].set_ylabel("active neurons")
    axes[0, 0].legend(fontsize="small")
    figure.savefig(path, dpi=120)
