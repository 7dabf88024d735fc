"""Figure 1 of the paper: SGD from ten seeds against C-ReLU over sampled patterns and over those that SGD visited."""

import argparse
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

import cvxrelu as cr
from reference.datasets.prepare import Array
from reference.datasets.synthetic import paper_classification
from reference.paper.published import FIGURE1_EPOCHS, FIGURE1_SEED, FIGURE1_STEP, PATTERN_SEED
from reference.paper.selection import accuracy, classes_of
from reference.runs import Record, has_pytorch, pytorch_on_one_thread, run_all

_N, _D, _HIDDEN, _LAM = 250, 50, 100, 1e-4
_CENTRED_SEED = 2  # with centred weights the paper's seed still favours one label, this one hardly
_STEPS = (10.0, 5.0, 1.0, 0.5, 0.1, 0.01, 0.001)
_SEEDS = 10
_BATCH = _N // 10
_TOL = 1e-4
_SOLVERS = ("WorkingSet", "AugmentedLagrangian")
_SAMPLED, _FULL_SAMPLED = (500, 1000), (500, 1000, 10_000)
_VISITED = 4000


@dataclass(frozen=True)
class Course:
    """One run: best objective so far against time, and the final certified gap and test accuracy.

    ``patterns`` names the patterns of the program, or the seed of SGD. The gap is relative to the objective; for SGD it
    is that of the program over the patterns of its network.
    """

    method: str
    patterns: str
    time: list[float]
    objective: list[float]
    gap: float
    accuracy: float


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--full", action="store_true", help="run at the paper's scale")
    parser.add_argument("--as-published", action="store_true", help="use the data of the authors' generator")
    parser.add_argument("--epochs", type=int, help=f"epochs of SGD (default: 300; full: {FIGURE1_EPOCHS})")
    parser.add_argument(
        "--visited", type=int, help=f"maximal number of visited patterns (default: {_VISITED}; full: all)"
    )
    parser.add_argument(
        "--limit", type=float, help="time limit of each convex program in seconds (default: 60; full: 3600)"
    )
    parser.add_argument("--n-jobs", type=int, default=1, help="concurrent runs, one thread each (default: 1)")
    parser.add_argument("--out", type=Path, default=Path("build/paper"), help="folder for results and plots")


def run(arguments: argparse.Namespace) -> str:
    """Figure 1: objective against time for SGD from ten seeds (PyTorch) and C-ReLU, on the paper's synthetic data."""
    if not has_pytorch():
        raise SystemExit("figure1 trains networks by SGD in PyTorch: pip install 'cvxrelu[torch]'")
    full = arguments.full
    n_epochs = arguments.epochs or (FIGURE1_EPOCHS if full else 300)
    visited = arguments.visited or (None if full else _VISITED)
    limit = arguments.limit or (3600.0 if full else 60.0)
    sampled = _FULL_SAMPLED if full else _SAMPLED
    settings = {
        "epochs": n_epochs,
        "visited": visited,
        "limit": limit,
        "as_published": arguments.as_published,
        "version": cr.__version__,
    }
    keys = [("SGD", seed) for seed in range(_SEEDS)]
    keys += [(solver, count) for count in (*sampled, 0) for solver in _SOLVERS]
    stem = f"figure1{'-full' if full else ''}{'-as-published' if arguments.as_published else ''}"
    path = arguments.out / f"{stem}.jsonl"
    work = partial(_run, n_epochs=n_epochs, visited=visited, limit=limit, as_published=arguments.as_published)
    courses = [Course(**record) for record in run_all(path, settings, keys, work, arguments.n_jobs)]
    plot = path.with_suffix(".png")
    _draw(plot, courses)
    generator = "as published" if arguments.as_published else "corrected (centred weights)"
    return "\n".join(
        [
            f"n = {_N}, d = {_D}, condition 10, {_HIDDEN} hidden units, lam = {_LAM:g} (for a loss divided by 2 n)",
            f"generator {generator}, {_labels(arguments.as_published)}",
            f"SGD: width {_HIDDEN}, {n_epochs} epochs (paper: {FIGURE1_EPOCHS}), batches of {_BATCH}, halved every 100 "
            f"epochs, the best of the steps {', '.join(f'{step:g}' for step in _STEPS)} for each seed (paper: "
            f"{FIGURE1_STEP:g}); its time is that of the best step alone",
            f"C-ReLU: certified gap {_TOL:g} or {limit:g} s; visited: patterns of the run of seed 0"
            + (f", {visited} of them, evenly spread over the run" if visited else ""),
            "",
            *_table(courses),
            "",
            *_findings(courses),
            "",
            f"drawn in {plot}",
        ]
    )


def _data(as_published: bool, seed: int | None = None) -> tuple[Array, Array, Array, NDArray[np.intp]]:
    """Return training rows with columns of unit norm, labels, and as many test rows with their classes."""
    if seed is None:
        seed = FIGURE1_SEED if as_published else _CENTRED_SEED
    X, y = paper_classification(2 * _N, _D, kappa=10.0, hidden=_HIDDEN, seed=seed, as_published=as_published)
    X = X / np.linalg.norm(X[:_N], axis=0)
    return X[:_N], y[:_N], X[_N:], classes_of(y[_N:])


def _labels(as_published: bool) -> str:
    """Describe the data's seed, the percentage of positive labels, and why the seed differs from the paper's."""
    paper, ours = (np.mean(_data(as_published, seed)[1] > 0.0) for seed in (FIGURE1_SEED, None))
    if as_published:
        return f"data seed {FIGURE1_SEED}: {paper:.0%} of labels positive"
    return (
        f"data seed {_CENTRED_SEED}: {ours:.0%} of labels positive (the paper's seed, {FIGURE1_SEED}, would give "
        f"{paper:.0%}, which makes test accuracy uninformative)"
    )


def _run(
    method: str, number: int, n_epochs: int, visited: int | None, limit: float, as_published: bool
) -> list[Record]:
    """Return the course of SGD with a seed, or of a solver with a number of sampled patterns (0: the visited ones)."""
    pytorch_on_one_thread()
    X, y, X_test, classes = _data(as_published)
    if method == "SGD":
        _, found, seconds = _sgd(X, y, number, n_epochs)
        certificate = cr.certify_network(found.network, X, y, _LAM, time_limit=limit)
        course = Course(
            method=method,
            patterns=f"seed {number}",
            time=np.linspace(0.0, seconds, len(found.history)).tolist(),
            objective=np.minimum.accumulate(found.history).tolist(),
            gap=(found.objective - certificate.lower) / found.objective,
            accuracy=accuracy(found.network.predict(X_test), classes),
        )
        return [asdict(course)]
    if number:
        patterns = cr.sample_patterns(X, number, seed=PATTERN_SEED)
    else:
        patterns = _subset(_visited(X, y, n_epochs), visited)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.ConvergenceWarning)  # the gap is reported
        solution = cr.solve(cr.ConvexReLU(X, y, patterns, _LAM), method, tol=_TOL, time_limit=limit)
    course = Course(
        method=method,
        patterns=f"{len(patterns)} {'sampled' if number else 'visited'}",
        time=[record.time for record in solution.history],
        objective=[record.objective for record in solution.history],
        gap=solution.certificate.rel_gap,
        accuracy=accuracy(solution.network().predict(X_test), classes),
    )
    return [asdict(course)]


def _sgd(X: Array, y: Array, seed: int, n_epochs: int) -> tuple[float, cr.TrainingRun, float]:
    """Return the best step size, its run, and the time of that run in seconds."""
    runs = []
    _train(X, y, seed, 1, _STEPS[-1])  # the first run includes start-up costs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.ConvergenceWarning)  # large steps diverge
        for step in _STEPS:
            started = time.perf_counter()
            runs.append((step, _train(X, y, seed, n_epochs, step), time.perf_counter() - started))
    return min(runs, key=lambda run: run[1].objective)


def _visited(X: Array, y: Array, n_epochs: int) -> cr.ActivationPatterns:
    """Return the patterns that the best run of seed 0 visited."""
    step, _, _ = _sgd(X, y, 0, n_epochs)
    patterns = _train(X, y, 0, n_epochs, step, track_patterns=True).patterns
    assert patterns is not None
    return patterns


def _train(X: Array, y: Array, seed: int, n_epochs: int, step: float, track_patterns: bool = False) -> cr.TrainingRun:
    return cr.train_network(
        X,
        y,
        _HIDDEN,
        _LAM,
        optimizer="sgd",
        learning_rate=step,
        batch_size=_BATCH,
        n_epochs=n_epochs,
        seed=seed,
        track_patterns=track_patterns,
    )


def _subset(patterns: cr.ActivationPatterns, count: int | None) -> cr.ActivationPatterns:
    """Return ``count`` of the patterns, evenly spaced from the first to the last."""
    if count is None or count >= len(patterns):
        return patterns
    indices = np.linspace(0, len(patterns) - 1, count).round().astype(np.intp)
    assert patterns.G is not None
    return cr.ActivationPatterns(np.asarray(patterns.D)[:, indices], patterns.G[:, indices])


def _table(courses: Sequence[Course]) -> list[str]:
    lines = [f"{'method':<22}{'patterns':>14}{'objective':>12}{'test acc.':>11}{'seconds':>9}{'rel. gap':>10}"]
    for course in courses:
        lines.append(
            f"{course.method:<22}{course.patterns:>14}{course.objective[-1]:>12.6f}{course.accuracy:>11.3f}"
            f"{course.time[-1]:>9.2f}{course.gap:>10.1e}"
        )
    return lines


def _findings(courses: Sequence[Course]) -> list[str]:
    """Summarise the figure and the certified gaps."""
    sgd = [course for course in courses if course.method == "SGD"]
    ours, theirs = ([course for course in courses if course.method == solver] for solver in _SOLVERS)
    ends = [course.objective[-1] for course in sgd]
    gaps = [course.gap for course in sgd]
    lines = [
        f"SGD ends between {min(ends):.6f} and {max(ends):.6f}, and does not know how good that is: the certified "
        f"gaps, over each network's own patterns, are {min(gaps):.1e} to {max(gaps):.1e}"
    ]
    for course, other in zip(ours, theirs, strict=True):
        best = min(course.objective[-1], other.objective[-1])
        above = sum(end > best for end in ends)
        lines.append(
            f"C-ReLU over {course.patterns} patterns is below {above} of the {len(sgd)} runs of SGD, "
            f"{best / min(ends):.3f} times the best of them; certified gap {course.gap:.1e} by "
            f"{course.method} in {course.time[-1]:.2f} s, {other.gap:.1e} by {other.method} in {other.time[-1]:.2f} s"
        )
    return lines


def _draw(path: Path, courses: Sequence[Course]) -> None:
    """Plot the objectives against time, with colours for patterns and dashes for solvers."""
    figure = Figure(figsize=(9.0, 4.5), layout="constrained")
    axes = figure.subplots()
    sets = dict.fromkeys(course.patterns for course in courses if course.method != "SGD")
    colours = {patterns: f"C{i}" for i, patterns in enumerate(sets)}
    for course in courses:
        if course.method == "SGD":
            label = "SGD, ten seeds" if course is courses[0] else None
            axes.plot(course.time, course.objective, color="0.7", linewidth=1.0, label=label)
        else:
            style = "-" if course.method == _SOLVERS[0] else "--"
            label = f"{course.method}, {course.patterns} patterns"
            axes.plot(course.time, course.objective, style, color=colours[course.patterns], marker=".", label=label)
    axes.set_xscale("symlog", linthresh=0.1)
    axes.set(yscale="log", xlabel="seconds", ylabel="objective")
    figure.legend(fontsize="small", loc="outside right upper")
    figure.savefig(path, dpi=120)
