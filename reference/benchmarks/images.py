"""Digit images with ten outputs and a thousand gates: time to a certified gap, memory and test accuracy."""

import argparse
import resource
import time
import warnings
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import cvxrelu as cr

_TEST_FRACTION = 0.2
_KERNEL = 8


@dataclass(frozen=True)
class Plan:
    """Settings of the run, named as the options."""

    path: Path
    loss: str
    gates: str
    n_gates: int
    lam_ratio: float
    solver: str
    tol: float
    time_limit: float
    threads: int


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("path", type=Path, help="npz file with X and y")
    parser.add_argument("--loss", choices=("squared", "softmax"), default="squared", help="(default: squared)")
    parser.add_argument("--gates", choices=("dense", "convolutional"), default="dense", help="(default: dense)")
    parser.add_argument("--n-gates", type=int, default=1000, help="number of gates (default: 1000)")
    parser.add_argument("--lam-ratio", type=float, default=0.1, help="lam over lam_max (default: 0.1)")
    parser.add_argument("--solver", default="auto", help="a solver of cvxrelu.solve (default: auto)")
    parser.add_argument("--tol", type=float, default=1e-3, help="certified relative gap (default: 1e-3)")
    parser.add_argument("--time-limit", type=float, default=600.0, help="time limit in seconds (default: 600)")
    parser.add_argument("--threads", type=int, default=2, help="threads (default: 2)")


def run(arguments: argparse.Namespace) -> str:
    """Train on images from an npz file (X uint8 (n, h w), y (n,)): one output for each class, columns of unit norm."""
    return measure(Plan(**{each.name: getattr(arguments, each.name) for each in fields(Plan)}))


def measure(plan: Plan) -> str:
    """Return the problem's size, the gap, time and memory of the solve, and the accuracies."""
    X, Y, classes = load_images(plan.path, plan.loss)
    n_train = round((1.0 - _TEST_FRACTION) * len(X))
    train, test = X[:n_train], X[n_train:]
    options: dict[str, Any] = {"kernel_size": _KERNEL} if plan.gates == "convolutional" else {}
    patterns = cr.sample_patterns(train, plan.n_gates, plan.gates, seed=0, bias=True, **options)
    with threadpool_limits(plan.threads), warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.ConvergenceWarning)  # the gap is reported
        scaling = cr.ColumnScaling.fit(train)
        problem = scaling.problem(cr.ConvexGatedReLU(train, Y[:n_train], patterns, loss=plan.loss))
        problem = problem.with_lam(plan.lam_ratio * problem.lam_max())
        started = time.perf_counter()
        solution = cr.solve(problem, plan.solver, tol=plan.tol, time_limit=plan.time_limit, verbose=True)
        seconds = time.perf_counter() - started
    network = scaling.network(solution.network())
    accuracies = [
        np.mean(network.predict(part).argmax(axis=1) == labels) for part, labels in _split(train, test, classes)
    ]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return (
        f"{plan.loss}, {plan.gates} gates: n = {problem.n:,}, d = {problem.d}, P = {len(patterns):,}, "
        f"c = {problem.n_outputs}, lam = {plan.lam_ratio:g} lam_max, float32, {plan.threads} thread(s)\n"
        f"{solution.solver}: {solution.status}, relative gap {solution.certificate.rel_gap:.1e} in {seconds:.0f} s, "
        f"{solution.certificate.n_active} active blocks, peak memory {peak:.2f} GiB\n"
        f"accuracy: train {accuracies[0]:.4f}, test {accuracies[1]:.4f}"
    )


def load_images(path: Path, loss: str) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.intp]]:
    """Return pixels in [0, 1] with a last column of ones, the targets of the loss, and the classes."""
    with np.load(path) as arrays:
        pixels, labels = arrays["X"], arrays["y"]
    X = np.column_stack([pixels.reshape(len(pixels), -1) / 255.0, np.ones(len(pixels))]).astype(np.float32)
    names, classes = np.unique(labels, return_inverse=True)
    hot = np.eye(len(names))[classes]
    return X, hot if loss == "softmax" else 2.0 * hot - 1.0, classes


def _split(
    train: NDArray[np.float32], test: NDArray[np.float32], classes: NDArray[np.intp]
) -> list[tuple[NDArray[np.float32], NDArray[np.intp]]]:
    return [(train, classes[: len(train)]), (test, classes[len(train) :])]
