"""Test accuracy of the CV estimators and of other classifiers on real data, in the spirit of the paper's Table 2."""

import argparse
import time
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedShuffleSplit
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import cvxrelu as cr
from reference.datasets.real import load_table
from reference.runs import Record, run_all

SETS = (
    "australian", "breast_cancer", "bupa", "hayes-roth", "heart", "ionosphere", "iris", "mammographic", "monk-2",
    "pima", "sonar", "vehicle", "wine",
)  # fmt: skip
OURS = ("C-ReLU", "C-GReLU")
_TEST_FRACTION = 0.25
_FOLDS = 3
_TOL = 1e-3


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--data", nargs="+", default=list(SETS), help=f"data sets (default: {' '.join(SETS)})")
    parser.add_argument("--splits", type=int, default=3, help="train/test splits of each data set (default: 3)")
    parser.add_argument("--gates", type=int, default=50, help="number of gates of the convex networks (default: 50)")
    parser.add_argument("--alphas", type=int, default=10, help="number of alphas of the convex networks (default: 10)")
    parser.add_argument("--n-jobs", type=int, default=2, help="concurrent runs, one thread each (default: 2)")
    parser.add_argument("--out", type=Path, default=Path("build/estimators.jsonl"), help="results file")


def run(arguments: argparse.Namespace) -> str:
    """Compare the CV estimators with random forests, RBF-SVM, logistic regression and MLPs by test accuracy."""
    settings = {"gates": arguments.gates, "alphas": arguments.alphas, "version": cr.__version__}
    keys = [(name, split) for name in arguments.data for split in range(arguments.splits)]
    work = partial(_accuracies, n_gates=arguments.gates, n_alphas=arguments.alphas)
    frame = pd.DataFrame(run_all(arguments.out, settings, keys, work, arguments.n_jobs))
    points = 100.0 * frame.pivot_table("accuracy", "data", "method", sort=False)
    ours = frame[frame.method.isin(OURS)]
    return "\n".join(
        [
            f"mean test accuracy, %, over {arguments.splits} splits, {_TEST_FRACTION:.0%} of the rows held out, the "
            f"same for all; settings chosen by {_FOLDS}-fold cross-validation on the training rows",
            f"C-ReLU, C-GReLU: ConvexReLUClassifierCV and GatedReLUClassifierCV, {arguments.gates} gates, "
            f"{arguments.alphas} alphas, tol {_TOL:g}; certified relative gap of the {len(ours)} networks: median "
            f"{ours.gap.median():.0e}, largest {ours.gap.max():.0e}",
            "",
            *_table(points, frame),
            "",
            *_sentences(points),
        ]
    )


def _accuracies(name: str, split: int, n_gates: int, n_alphas: int) -> list[Record]:
    """Return each method's test accuracy and time on one split, and the certified gap of the convex networks."""
    X, y = load_table(name)
    splitter = StratifiedShuffleSplit(split + 1, test_size=_TEST_FRACTION, random_state=0)
    train, test = list(splitter.split(X, y))[split]
    records = []
    for method, model in _methods(n_gates, n_alphas):
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # our gaps are reported; MLPs seldom converge
            model.fit(X[train], y[train])
        seconds = time.perf_counter() - started
        records.append(
            {
                "data": name,
                "split": split,
                "method": method,
                "accuracy": float(model.score(X[test], y[test])),
                "seconds": seconds,
                "gap": model.certificate_.rel_gap if method in OURS else None,
            }
        )
    return records


def _methods(n_gates: int, n_alphas: int) -> Iterator[tuple[str, BaseEstimator]]:
    """Yield the methods with their cross-validated grids of settings."""
    options: Record = {"n_gates": n_gates, "alphas": n_alphas, "tol": _TOL, "cv": _FOLDS, "random_state": 0}
    yield "C-ReLU", cr.ConvexReLUClassifierCV(**options)
    yield "C-GReLU", cr.GatedReLUClassifierCV(**options)
    yield "forest", _grid_search(RandomForestClassifier(100, random_state=0), max_depth=[4, 8, None])
    yield "RBF-SVM", _grid_search(SVC(), C=[0.1, 1.0, 10.0, 100.0], gamma=["scale", 0.01, 0.1])
    yield "logistic", _grid_search(LogisticRegression(max_iter=1000), C=[1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0])
    yield "MLP", _grid_search(MLPClassifier(max_iter=300, random_state=0), alpha=[1e-4, 1e-2, 1.0])


def _grid_search(model: BaseEstimator, **grid: list[float | str | None]) -> GridSearchCV:
    """Return a grid search on standardised features."""
    pipeline = make_pipeline(StandardScaler(), model)
    prefix = pipeline.steps[-1][0]
    return GridSearchCV(pipeline, {f"{prefix}__{name}": values for name, values in grid.items()}, cv=_FOLDS)


def _table(points: pd.DataFrame, frame: pd.DataFrame) -> list[str]:
    """Return a line for each data set, then mean, median and mean rank over the data sets, and seconds per split."""
    rows = {str(name): row.tolist() for name, row in points.iterrows()}
    rows |= {"mean": points.mean().tolist(), "median": points.median().tolist()}
    seconds = frame.groupby("method", sort=False).seconds.mean()
    footer = {
        "mean rank": points.rank(axis=1, ascending=False).mean().tolist(),
        "s per split": seconds[points.columns].tolist(),
    }
    return [
        "".join([f"{'data':<16}", *(f"{name:>10}" for name in points.columns)]),
        *("".join([f"{name:<16}", *(f"{value:>10.1f}" for value in row)]) for name, row in rows.items()),
        *("".join([f"{name:<16}", *(f"{value:>10.2f}" for value in row)]) for name, row in footer.items()),
    ]


def _sentences(points: pd.DataFrame) -> Iterator[str]:
    """Compare each of our estimators with every other method."""
    for method in OURS:
        for other in points.columns:
            if other in OURS[: OURS.index(method) + 1]:
                continue
            diff = points[method] - points[other]
            yield (
                f"{method} against {other}: {diff.mean():+.1f} points in the mean of {len(diff)} sets, "
                f"{diff.median():+.1f} in the median; ahead on {(diff > 0).sum()}, "
                f"behind on {(diff < 0).sum()}, level on {(diff == 0).sum()}"
            )
