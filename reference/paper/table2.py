"""Table 2 of the paper: C-GReLU and C-ReLU against random forests and support vector machines."""

import argparse
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

import cvxrelu as cr
from reference.datasets.paper import load_split
from reference.datasets.prepare import Array
from reference.paper.published import N_TABLE2, TABLE2
from reference.paper.selection import PROGRAMS, accuracy, classes_of, folds, train_path
from reference.runs import SMALL, Record, Scale, add_scale_options, chosen_scale, run_all

_LAMS: list[float] = np.logspace(-8, -3, 10)[::-1].tolist()
DEFAULT = Scale(data=[name for name in SMALL if name in TABLE2], lams=_LAMS[::2], gates=100, limit=2)
FULL = Scale(data=list(TABLE2), lams=_LAMS, gates=1000, limit=600)
_UNIT = "seconds for each lam"
_NEAR = 2.0  # points


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_scale_options(parser, DEFAULT, FULL, _UNIT)


def run(arguments: argparse.Namespace) -> str:
    """Table 2: validation accuracy of C-GReLU and C-ReLU, random forests, linear and RBF SVM, on binary sets."""
    scale = chosen_scale(arguments, DEFAULT, FULL)
    lams = sorted(scale.lams, reverse=True)
    settings = {"gates": scale.gates, "lams": lams, "limit": scale.limit, "version": cr.__version__}
    path = arguments.out / f"table2{'-full' if arguments.full else ''}.jsonl"
    work = partial(_scores, lams=lams, n_gates=scale.gates, limit=scale.limit)
    records = run_all(path, settings, [(name,) for name in scale.data], work, arguments.n_jobs)
    frame = pd.DataFrame(records)
    points = select(frame)
    convex = frame[frame.method.isin(PROGRAMS)]
    counts = frame.groupby("method", sort=False).setting.nunique()
    known = sum(name in TABLE2 for name in scale.data)
    return "\n".join(
        [
            f"{len(scale.data)} binary sets, {known} of them copies of the paper's {N_TABLE2}; {scale.gates} gates, "
            f"{len(lams)} lam from {min(lams):.1e} to {max(lams):.1e} (for a loss divided by 2 n c; paper: {len(_LAMS)}"
            f" from {min(_LAMS):.1e} to {max(_LAMS):.1e})",
            "median validation accuracy, %, over five folds, for the setting with the largest; settings tried: "
            + ", ".join(f"{method} {count}" for method, count in counts.items()),
            f"certified relative gap of the {len(convex)} x 5 convex programs, at most {scale.limit} s for each: "
            f"median {convex.median_gap.median():.0e}, above 1e-2 in {(convex.gap > 1e-2).sum()} settings, largest "
            f"{convex.gap.max():.0e}",
            "",
            *_table(points),
            "",
            *_agreement(points),
            *_edge(frame, max(lams)),
        ]
    )


def select(frame: pd.DataFrame) -> pd.DataFrame:
    """Return for each data set and method the largest median accuracy over settings, in per cent."""
    medians = 100.0 * frame.accuracies.map(np.median)
    best = medians.groupby([frame.data, frame.method], sort=False).max().unstack()
    return best.loc[list(dict.fromkeys(frame.data)), list(dict.fromkeys(frame.method))]


def _scores(name: str, lams: Sequence[float], n_gates: int, limit: int) -> list[Record]:
    """Return five validation accuracies for each method and setting, and the gaps of the convex programs."""
    X, y, _, _ = load_split(name)
    if y.ndim == 2:
        raise SystemExit(f"Table 2 is for binary data sets; {name!r} has {y.shape[1]} classes")
    runs: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for train, valid in folds(X):
        for method, setting, score, gap in _fits(X[train], y[train], X[valid], y[valid], lams, n_gates, limit):
            runs.setdefault((method, setting), []).append((score, gap))
    return [
        {
            "data": name,
            "method": method,
            "setting": setting,
            "accuracies": [score for score, _ in pairs],
            "gap": max(gap for _, gap in pairs),
            "median_gap": float(np.median([gap for _, gap in pairs])),
        }
        for (method, setting), pairs in runs.items()
    ]


def _fits(
    X: Array, y: Array, X_valid: Array, y_valid: Array, lams: Sequence[float], n_gates: int, limit: int
) -> Iterator[tuple[str, str, float, float]]:
    """Yield method, setting, validation accuracy and, for the convex programs, certified gap."""
    truth = classes_of(y_valid)
    for method in PROGRAMS:
        for solution in train_path(method, X, y, lams, n_gates, limit):
            prediction = solution.network().predict(X_valid)
            yield method, f"{solution.problem.lam:.3g}", accuracy(prediction, truth), solution.certificate.rel_gap
    for method, setting, model in _baselines(X.shape[1]):
        predicted: NDArray[np.intp] = model.fit(X, classes_of(y)).predict(X_valid)
        yield method, setting, float(np.mean(predicted == truth)), np.nan


def _baselines(d: int) -> Iterator[tuple[str, str, ClassifierMixin]]:
    """Yield the methods of scikit-learn with their grids of settings, for d features."""
    for depth in (4, 8, None):
        yield "random forest", f"depth {depth}", RandomForestClassifier(100, max_depth=depth, random_state=0)
    for C in (1e-3, 1e-2, 1e-1, 1.0, 10.0):
        model = LinearSVC(C=C, dual=False, max_iter=10_000)
        yield "linear SVM", f"C {C:g}", make_pipeline(StandardScaler(), model)
    for C in (0.1, 1.0, 10.0, 100.0):
        for width in (0.1, 1.0, 10.0):
            yield "RBF SVM", f"C {C:g}, gamma {width:g}/d", make_pipeline(StandardScaler(), SVC(C=C, gamma=width / d))


def _table(points: pd.DataFrame) -> list[str]:
    published = [f"paper {method}" for method in PROGRAMS]
    lines = ["".join([f"{'data':<16}", *(f"{name:>15}" for name in [*points.columns, *published])])]
    for name, row in points.iterrows():
        theirs = TABLE2.get(str(name), (np.nan, np.nan))
        lines.append("".join([f"{name:<16}", *(f"{_cell(value):>15}" for value in [*row, *theirs])]))
    known = [TABLE2[name] for name in points.index if name in TABLE2]
    means = [*points.mean(), *(np.mean(known, axis=0) if known else ())]
    return [*lines, "".join([f"{'mean':<16}", *(f"{value:>15.1f}" for value in means)])]


def _cell(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.1f}"


def _agreement(points: pd.DataFrame) -> list[str]:
    """Compare the convex networks with the published results, with each other and with the other methods."""
    lines = []
    known = points.loc[[name for name in points.index if name in TABLE2]]
    for index, method in enumerate(PROGRAMS):
        if len(known):
            diff = known[method] - [TABLE2[name][index] for name in known.index]
            furthest = str(diff.abs().idxmax())
            lines.append(
                f"{method} against the paper's: {diff.mean():+.1f} points in the mean of {len(diff)} sets, within "
                f"{_NEAR:g} on {(diff.abs() <= _NEAR).sum()}; furthest on {furthest}, "
                f"{diff[furthest]:+.1f}"
            )
    for index, method in enumerate(PROGRAMS):
        for other in points.columns:
            if other in list(PROGRAMS)[: index + 1]:
                continue
            diff = points[method] - points[other]
            lines.append(
                f"{method} against {other}: {diff.mean():+.1f} points in the mean, ahead on {(diff > 0).sum()}, "
                f"behind on {(diff < 0).sum()}, level on {(diff == 0).sum()}"
            )
    return lines


def _edge(frame: pd.DataFrame, largest: float) -> list[str]:
    """Count how often the largest lam of the grid is selected, so that a larger one may be better."""
    lines = []
    for method in PROGRAMS:
        here = frame[frame.method == method]
        medians = here.accuracies.map(np.median).groupby(here.data)
        selected = here.setting[medians.idxmax()]
        count = int((selected == f"{largest:.3g}").sum())
        lines.append(f"{method}: the largest lam of the grid is selected on {count} of {len(selected)} sets")
    return lines
