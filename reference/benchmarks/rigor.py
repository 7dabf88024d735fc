"""The cost of rigor "rounded" against "floating_point" where the package says proved."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import cvxrelu as cr
from reference.benchmarks.global_optima import cancer, waves
from reference.datasets.prepare import Array

_REPEATS = 5
_MOST = 1.3  # ratio up to which "rounded" is the default
_HEADS = ("call", "data", "n", "d", "rounded", "floating_point", "ratio", "limit", "")
_RIGORS = ("rounded", "floating_point")
Call = Callable[..., Any]  # with the keyword rigor


def rigor_table(repeats: int = _REPEATS) -> tuple[list[str], bool]:
    """Return the lines of the table, and whether no call costs more than the limit."""
    lines = [
        f'rigor "rounded": medians of {repeats} alternating calls, seconds of CPU time',
        f"| {' | '.join(_HEADS)} |",
        "|---" * len(_HEADS) + "|",
    ]
    passed = True
    for call, data, X, work in _cases():
        rounded, estimated = seconds(work, repeats)
        within = rounded <= _MOST * estimated
        passed = passed and within
        numbers = f"{rounded:.3f} | {estimated:.3f} | {rounded / estimated:.2f} | {_MOST:g}"
        lines.append(f"| {call} | {data} | {len(X)} | {X.shape[1]} | {numbers} | {'within' if within else 'MISSED'} |")
    return lines, passed


def seconds(work: Call, repeats: int) -> list[float]:
    """Return the median CPU times of the two rigors, called in turn after a first call of each."""
    times: list[list[float]] = [[], []]
    for _ in range(1 + repeats):
        for spent, rigor in zip(times, _RIGORS, strict=True):
            started = time.process_time()
            work(rigor=rigor)
            spent.append(time.process_time() - started)
    return [float(np.median(spent[1:])) for spent in times]


def _cases() -> list[tuple[str, str, Array, Call]]:
    """Return name, data, X and the call of each case."""
    X, y = cancer(569, 31)
    few, labels = cancer(200, 4)
    trained = cr.solve(cr.ConvexReLU(X, y, cr.sample_patterns(X, 20, seed=0), lam=1e-3)).network()
    small = cr.solve(cr.ConvexReLU(few, labels, cr.sample_patterns(few, 10, seed=0), lam=1e-3)).network()
    solved: list[tuple[str, tuple[Array, Array], float, str]] = [
        ("waves", waves(2000), 1e-2, "squared"),
        ("cancer", cancer(200, 3), 1e-3, "squared"),
        ("cancer", cancer(200, 5), 1e-3, "squared"),
        ("cancer, logistic", cancer(200, 3), 1e-3, "logistic"),
        ("cancer, relaxation", cancer(60, 14), 1e-2, "squared"),
    ]
    cases: list[tuple[str, str, Array, Call]] = [
        ("solve_global", name, data[0], partial(cr.solve_global, *data, lam, loss)) for name, data, lam, loss in solved
    ]
    for told, network, data, targets, options in (
        ("certify_network", trained, X, y, {}),
        ("certify_network, solve=False", trained, X, y, {"solve": False}),
        ("certify_network, global", small, few, labels, {"scope": "global"}),
        ("certify_network, global, solve=False", small, few, labels, {"scope": "global", "solve": False}),
    ):
        cases.append((told, "cancer", data, partial(cr.certify_network, network, data, targets, 1e-3, **options)))
    return cases
