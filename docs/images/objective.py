"""Draw objective.svg: SGD, Adam and `cvxrelu.solve_global` against processor time, above the proven lower bound.

``python docs/images/objective.py`` needs the extras ``plot`` and ``torch``, and about a minute. Everything runs on one
thread, after compilation. Processor time is independent of other load; that of a baseline is spread evenly over its
epochs.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_breast_cancer
from threadpoolctl import threadpool_limits

import cvxrelu as cr

LAM, WIDTH, SEEDS = 2e-3, 50, range(3)
BASELINES: dict[str, tuple[str, dict[str, Any]]] = {
    "SGD, three starts": ("C1", {"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 64, "n_epochs": 600}),
    "Adam, three starts": ("C2", {"optimizer": "adam", "learning_rate": 0.01, "batch_size": 64, "n_epochs": 600}),
}


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the processor time of a call in seconds, and its result."""
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def main() -> None:
    """Train, print the objectives reached, and draw the figure."""
    torch.set_num_threads(1)
    features, classes = load_breast_cancer(return_X_y=True)
    features = features[:, :3]
    X = np.column_stack([(features - features.mean(axis=0)) / features.std(axis=0), np.ones(len(features))])
    y = 2.0 * classes - 1.0
    mpl.rcParams["svg.hashsalt"] = "cvxrelu"  # identical element ids in each run
    figure = Figure(figsize=(7.5, 3.6), layout="constrained")
    axes = figure.subplots()
    with threadpool_limits(1):
        cr.solve_global(X[:50], y[:50], LAM)  # compiles
        cr.train_network(X, y, WIDTH, LAM, n_epochs=1)
        rounds: list[tuple[float, float]] = []
        started = time.process_time()
        best = cr.solve_global(
            X, y, LAM, callback=lambda round_: rounds.append((time.process_time() - started, round_.objective))
        )
        end = time.process_time() - started
        for label, (colour, options) in BASELINES.items():
            ends = []
            for seed in SEEDS:
                seconds, run = timed(lambda: cr.train_network(X, y, WIDTH, LAM, seed=seed, **options))  # noqa: B023
                epochs = np.unique(np.geomspace(1, len(run.history) - 1, 200).astype(int))
                times = seconds * epochs / epochs[-1]
                axes.plot(times, run.history[epochs], colour, linewidth=0.8, label=label if seed == 0 else None)
                ends.append(run.objective)
            print(f"{label}: best objective of each {', '.join(f'{end:.5f}' for end in ends)}")
    print(f"solve_global: {best.status}, [{best.lower:.6f}, {best.objective:.6f}] in {end:.2f} s")
    times, objectives = np.array([*rounds, (end, best.objective)]).T
    axes.plot(times, objectives, "C0", marker=".", linewidth=2.0, label="cvxrelu: solve_global")
    axes.axhline(best.lower, color="k", linestyle="--", linewidth=1.2, label="proven lower bound, any width")
    axes.axvline(end, color="C0", linestyle=":", linewidth=1.2)
    axes.annotate("proven optimal ", (end, 0.13), xycoords=("data", "axes fraction"), ha="right", color="C0")
    axes.set(xscale="log", xlabel="processor seconds, one thread", ylabel="objective: loss and weight decay")
    axes.set_ylim(0.97 * best.lower, 1.55 * best.lower)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_title("Breast cancer, 569 rows, 3 features: squared loss, lam = 0.002", fontsize="medium")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="upper right")
    figure.savefig(Path(__file__).with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
