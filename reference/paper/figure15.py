"""Figure 15 of the paper: penalty strength of the augmented Lagrangian on C-ReLU, fixed or by the window heuristic."""

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict
from unittest import mock

import cvxrelu as cr
from cvxrelu.solvers.first_order import augmented_lagrangian
from cvxrelu.solvers.interface import Iterate, Limits
from reference.paper.published import LAMS, PROFILES
from reference.paper.report import Figure, report
from reference.paper.traces import CHECK_GROWTH, TAUS, Trace, paper_problem, proven_lower
from reference.runs import Record, Scale, add_scale_options

DELTAS = (1.0, 10.0, 100.0, 1e3, 1e4)
_SETS = ("bands", "breast", "heart", "housevotes", "ionosphere", "monk-2", "sonar", "tae", "wine")
DEFAULT = Scale(data=_SETS, lams=LAMS[::2], gates=50, limit=5000)
FULL = Scale(data=tuple(PROFILES), lams=LAMS, gates=500, limit=10_000)


def run_deltas(data: str, lam: float, n_gates: int, limit: int) -> list[Record]:
    """Return the traces of all choices of delta on one problem, or an empty list if zero is optimal."""
    problem = paper_problem(cr.ConvexReLU, data, lam, n_gates)
    if problem.zero_is_optimal():
        return []
    lower, width = proven_lower(problem)
    traces = []
    for window in (True, False):
        for delta in DELTAS:
            trace = Trace(data, lam, _name(delta, window=window), width)
            monitor(problem, delta, lower, limit, trace, window=window)
            traces.append(asdict(trace))
    return traces


def monitor(problem: cr.ConvexReLU, delta: float, lower: float, limit: int, trace: Trace, *, window: bool) -> None:
    """Run AugmentedLagrangian from delta / n for at most ``limit`` iterations, or until the smallest tau is reached.

    Checks evaluate the point repaired into the cones, when the multipliers change and at most once in 5 % of the
    iterations, since small deltas change them often. The window phase has no checks.
    """

    def check(_: object, candidates: Iterator[Iterate], *__: object) -> None:
        seconds, next_check = 0.0, 0.0
        best = problem.objective(problem.zero_weights())
        while not trace.effort or trace.effort[-1] < limit:
            started = time.perf_counter()
            candidate = next(candidates)
            seconds += time.perf_counter() - started
            if candidate.n_iter < min(next_check, limit):
                continue
            next_check = CHECK_GROWTH * candidate.n_iter
            best = min(best, problem.objective(problem.repair(candidate.weights)))
            trace.effort.append(candidate.n_iter)
            trace.seconds.append(seconds)
            trace.accuracy.append((best - lower) / lower)
            if trace.accuracy[-1] <= TAUS[-1]:
                return

    first = delta * problem.n_outputs  # the paper's loss is divided by the number of outputs
    solver = cr.AugmentedLagrangian(delta="window" if window else first / problem.n, screen=False)
    with (
        mock.patch.object(augmented_lagrangian, "_FIRST_DELTA", first),
        mock.patch.object(augmented_lagrangian, "monitor", check),
    ):
        solver.run(problem, None, Limits(tol=TAUS[-1], max_iter=limit))


def _name(delta: float, *, window: bool) -> str:
    return f"{'window' if window else 'fixed'} {delta:g}"


_PAIRS = [(_name(delta, window=True), _name(delta, window=False)) for delta in DELTAS]
_FIGURE = Figure(
    name="figure15",
    default=DEFAULT,
    full=FULL,
    work=run_deltas,
    names={name: name for names in zip(*_PAIRS, strict=True) for name in names},
    claims={"the window ahead of the fixed delta that it starts from": _PAIRS},
    groups={
        "the window, from any of the five": [window for window, _ in _PAIRS],
        "a fixed delta, any of the five": [fixed for _, fixed in _PAIRS],
    },
    senses=("0.5", "0.1", "0.01"),
    unit="inner iterations",
    notes=(
        "penalty strength delta / n: fixed, or the initial one of the window heuristic. The paper's criterion, "
        "subgradient and violation, omits complementarity; here the objective after repair into the cones is evaluated",
    ),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_scale_options(parser, DEFAULT, FULL, _FIGURE.unit)


def run(arguments: argparse.Namespace) -> str:
    """Figure 15: AugmentedLagrangian with and without the window heuristic from five strengths, on C-ReLU."""
    return report(_FIGURE, arguments)
