"""Table 1 of the paper: gated networks, their cone decompositions, and C-ReLU, on small real data sets."""

import argparse
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import pandas as pd

import cvxrelu as cr
from reference.datasets.paper import load_split
from reference.paper.published import N_TABLE1, TABLE1
from reference.runs import Record, add_options, run_all

_FIRST_SEED = 650
_LAM = 1e-3
_RHO = 1e-10
_GATED_TOL, _RELU_TOL = 1e-4, 1e-3
_ITERATIONS = 10_000


@dataclass(frozen=True)
class Row:
    """Result of one method on one data set with the gates of one seed.

    ``lower`` and ``upper`` are certified bounds on the optimal value of the method's program, C-GReLU for "R-FISTA" and
    C-ReLU for the others; ``apriori`` and ``witness`` are bounds on that of C-ReLU from the solution of C-GReLU.
    """

    data: str
    seed: int
    method: str
    accuracy: float
    norms: float
    seconds: float
    lower: float
    upper: float
    status: str
    apriori: float | None
    witness: float | None


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_options(parser)
    parser.add_argument("--gates", type=int, default=1000, help="number of gates (default: 1000, the paper's)")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds (default: 5, the paper's)")
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="time limit of AugmentedLagrangian in seconds (default: 10)"
    )


def run(arguments: argparse.Namespace) -> str:
    """Table 1: gated networks, their decompositions and C-ReLU: test accuracy, sum of norms, certified intervals.

    At the paper's scale, the limit of AugmentedLagrangian is the paper's 10,000 iterations instead of ``--seconds``.
    """
    seconds = None if arguments.full else arguments.seconds
    settings = {"gates": arguments.gates, "seconds": seconds, "version": cr.__version__}
    names = arguments.data or list(TABLE1)
    seeds = range(_FIRST_SEED, _FIRST_SEED + arguments.seeds)
    records = run_all(
        arguments.out / f"table1{'-full' if arguments.full else ''}.jsonl",
        settings,
        [(name, seed) for name in names for seed in seeds],
        partial(_records, n_gates=arguments.gates, seconds=seconds),
        arguments.n_jobs,
    )
    rows = [Row(**record) for record in records]
    limit = f"{_ITERATIONS:,} iterations" if seconds is None else f"{seconds:g} s"
    title = (
        f"{len(names)} sets, {sum(name in TABLE1 for name in names)} of them copies of the paper's {N_TABLE1}; "
        f"{arguments.gates} gates, lam = {_LAM:g} (for a loss divided by 2 n c), means of {len(seeds)} seeds from "
        f"{_FIRST_SEED}, one thread; AL at most {limit}"
    )
    return "\n".join([title, *_table(rows), "", *_looseness(rows), "", *_agreement(rows)])


def _records(name: str, seed: int, n_gates: int, seconds: float | None) -> list[Record]:
    return [asdict(row) for row in _runs(name, seed, n_gates, seconds)]


def _runs(name: str, seed: int, n_gates: int, seconds: float | None) -> Iterator[Row]:
    X, Y, test, classes = load_split(name)
    patterns = cr.sample_patterns(X, n_gates, seed=seed)
    lam = _LAM * (Y.shape[1] if Y.ndim == 2 else 1)  # the paper divides the loss by the number of outputs
    gated = cr.ConvexGatedReLU(X, Y, patterns, lam)
    relu = cr.ConvexReLU(X, Y, patterns, lam)

    def row(
        method: str, certificate: cr.Certificate, seconds: float, status: str, bound: cr.Bound | None = None
    ) -> Row:
        problem = certificate.problem
        prediction = cr.to_network(problem, certificate.weights).predict(test)
        predicted = prediction.argmax(axis=1) if prediction.ndim == 2 else (prediction > 0.0).astype(np.intp)
        return Row(
            data=name,
            seed=seed,
            method=method,
            accuracy=float(np.mean(predicted == classes)),
            norms=problem.penalty.value(problem.blocks(certificate.weights)),
            seconds=seconds,
            lower=certificate.lower,
            upper=certificate.upper,
            status=status,
            apriori=None if bound is None else bound.upper_apriori,
            witness=None if bound is None else bound.upper_witness,
        )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.ConvergenceWarning)  # the intervals are reported
        fit = cr.solve(gated, "RFISTA", tol=_GATED_TOL)
        yield row("R-FISTA", fit.certificate, fit.time, fit.status, cr.approximation_bound(relu, fit))
        for label, method in (("CD-SOCP", "socp"), ("CD-A", cr.ApproximateDecomposition(rho=_RHO))):
            started = time.perf_counter()
            weights = cr.decompose(relu, fit, method)
            spent = fit.time + time.perf_counter() - started
            yield row(label, cr.certify(relu, weights, fit.dual), spent, "feasible")
        iterations = _ITERATIONS if seconds is None else None
        augmented_lagrangian = cr.solve(
            relu, "AugmentedLagrangian", tol=_RELU_TOL, max_iter=iterations, time_limit=seconds
        )
        working_set = cr.solve(relu, "WorkingSet", tol=_RELU_TOL)
        for solution in (augmented_lagrangian, working_set):
            yield row(solution.solver, solution.certificate, solution.time, solution.status)


def _table(rows: list[Row]) -> list[str]:
    lines = [
        f"{'data':<14}{'method':<21}{'test acc.':>10}{'sum of norms':>14}{'seconds':>9}{'lower':>12}{'upper':>12}"
        f"{'rel. gap':>10}",
    ]
    for name in dict.fromkeys(row.data for row in rows):
        here = [row for row in rows if row.data == name]
        for method in dict.fromkeys(row.method for row in here):
            runs = [row for row in here if row.method == method]
            figures = {
                key: float(np.mean([getattr(row, key) for row in runs]))
                for key in ("accuracy", "norms", "seconds", "lower", "upper")
            }
            gap = np.mean([(row.upper - row.lower) / row.upper for row in runs])
            lines.append(
                f"{name:<14}{method:<21}{figures['accuracy']:>10.3f}{figures['norms']:>14.2f}{figures['seconds']:>9.2f}"
                f"{figures['lower']:>12.6f}{figures['upper']:>12.6f}{gap:>10.1e}"
            )
    return lines


def _looseness(rows: list[Row]) -> list[str]:
    """Compare the bounds on C-ReLU's optimum with its certified interval in each run."""
    lines = ["ratios of bounds on C-ReLU's optimum to WorkingSet's upper bound, median [min, max] over runs"]
    lines.append(f"{'data':<14}{'lower':>24}{'decomposed':>26}{'a priori':>30}{'witness':>30}  order")
    refuted = 0
    for name in dict.fromkeys(row.data for row in rows):
        here = {(row.seed, row.method): row for row in rows if row.data == name}
        ratios: dict[str, list[float]] = {"lower": [], "decomposed": [], "apriori": [], "witness": []}
        before = refuted
        for seed in dict.fromkeys(seed for seed, _ in here):
            exact, gated, decomposed = (here[seed, method] for method in ("WorkingSet", "R-FISTA", "CD-SOCP"))
            assert gated.apriori is not None
            assert gated.witness is not None
            bounds = (decomposed.lower, decomposed.upper, gated.apriori, gated.witness)
            for values, bound in zip(ratios.values(), bounds, strict=True):
                values.append(bound / exact.upper)
            # An upper bound below the certified interval, or a lower bound above it, would be refuted.
            refuted += decomposed.lower > exact.upper or min(bounds[1:]) < exact.lower
        cells = [f"{np.median(v):.3g} [{min(v):.3g}, {max(v):.3g}]" for v in ratios.values()]
        order = "held" if refuted == before else f"{refuted - before} BROKEN"
        lines.append(f"{name:<14}{cells[0]:>24}{cells[1]:>26}{cells[2]:>30}{cells[3]:>30}  {order}")
    return [*lines, f"runs in which the certified interval refutes a bound: {refuted}"]


def _agreement(rows: list[Row]) -> list[str]:
    """Summarise the differences between methods in test accuracy, sum of norms and certified gap."""
    means = pd.DataFrame([asdict(row) for row in rows]).groupby(["data", "method"]).mean(numeric_only=True)
    accuracy, norms = (means[column].unstack() for column in ("accuracy", "norms"))
    lines = []
    for method in ("R-FISTA", "CD-SOCP", "CD-A", "AugmentedLagrangian"):
        points = 100.0 * (accuracy[method] - accuracy["WorkingSet"])
        ratio = norms[method] / norms["WorkingSet"]
        lines.append(
            f"{method} against WorkingSet: test accuracy {points.mean():+.1f} points in the mean of {len(points)} sets,"
            f" at most {points.abs().max():.1f} apart, within 2 on {(points.abs() <= 2.0).sum()}; sum of norms in the "
            f"median {ratio.median():.3g} times as large [{ratio.min():.3g}, {ratio.max():.3g}]"
        )
    gaps = [(row.upper - row.lower) / row.upper for row in rows if row.method == "AugmentedLagrangian"]
    lines.append(
        f"AugmentedLagrangian reached a certified gap of {_RELU_TOL:g} in {sum(gap <= _RELU_TOL for gap in gaps)} of "
        f"{len(gaps)} runs; its largest is {max(gaps):.1e}"
    )
    return lines
