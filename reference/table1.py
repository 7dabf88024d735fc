"""Table 1 of the paper: gated training, its cone decompositions, and C-ReLU, on small real data sets."""

import json
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from threadpoolctl import threadpool_limits

import cvxrelu as cr
from reference.data import Array, keel_folder, read_dat

DATA = (
    "australian",
    "bands",
    "breast_cancer",
    "bupa",
    "heart",
    "iris",
    "ionosphere",
    "mammographic",
    "monk-2",
    "pima",
    "sonar",
    "tae",
    "wine",
    "wisconsin",
)
_SKLEARN = {"breast_cancer": load_breast_cancer, "iris": load_iris, "wine": load_wine}
_SPLIT_SEED = 1995
_TEST_SHARE = 0.2
_FIRST_SEED = 650
_LAM = 1e-3
_RHO = 1e-10
_GATED_TOL, _RELU_TOL = 1e-4, 1e-3


@dataclass(frozen=True)
class Plan:
    """What is asked for on the command line; see `reference.__main__`."""

    data: list[str]
    gates: int
    seeds: int
    seconds: float
    threads: int
    out: Path


@dataclass(frozen=True)
class Row:
    """One method on one data set with the gates of one seed.

    ``lower`` and ``upper`` are certified bounds of the optimal value of the method's own program: C-GReLU for
    "R-FISTA", C-ReLU for the others; ``apriori`` and ``witness`` bound that of C-ReLU from C-GReLU's solution.
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


def measure(plan: Plan) -> str:
    """Run the table, from where its file ends: test accuracy, sum of block norms, seconds, certified interval."""
    rows = [Row(**row) for row in json.loads(plan.out.read_text())] if plan.out.exists() else []
    done = {(row.data, row.seed) for row in rows}
    plan.out.parent.mkdir(parents=True, exist_ok=True)
    with threadpool_limits(plan.threads):
        for name in plan.data or DATA:
            for seed in range(_FIRST_SEED, _FIRST_SEED + plan.seeds):
                if (name, seed) not in done:
                    rows += _runs(name, seed, plan)
                    plan.out.write_text(json.dumps([asdict(row) for row in rows], indent=1))
                    print(f"{name}, seed {seed}: done", flush=True)
    return _table(rows, plan)


def load_split(name: str) -> tuple[Array, Array, Array, Array]:
    """Return training rows and targets, test rows and classes, as the paper prepares them.

    A column of ones is appended; the first fifth of the rows, shuffled by ``default_rng(1995)``, is the test set;
    columns are divided by the norms of the training columns. Targets are -1 and +1, for one output if there are two
    classes, else one output for each.
    """
    if name in _SKLEARN:
        X, classes = _SKLEARN[name](return_X_y=True)
    else:
        X, classes = read_dat(keel_folder() / f"{name}.dat")
    X = np.column_stack([X, np.ones(len(X))])
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(X))
    X, classes = X[order], classes[order]
    n_test = int(_TEST_SHARE * len(X))
    test, train = X[:n_test], X[n_test:]
    norms = np.linalg.norm(train, axis=0)
    norms[norms == 0.0] = 1.0
    hot = 2.0 * np.eye(classes.max() + 1)[classes[n_test:]] - 1.0
    return train / norms, hot[:, 1] if hot.shape[1] == 2 else hot, test / norms, classes[:n_test]


def _runs(name: str, seed: int, plan: Plan) -> Iterator[Row]:
    X, Y, test, classes = load_split(name)
    patterns = cr.sample_patterns(X, plan.gates, seed=seed)
    lam = _LAM * (Y.shape[1] if Y.ndim == 2 else 1)  # the paper's loss is divided by the number of outputs, ours is not
    gated = cr.ConvexGatedReLU(X, Y, patterns, lam)
    relu = cr.ConvexReLU(X, Y, patterns, lam)

    def row(
        method: str, certificate: cr.Certificate, seconds: float, status: str, bound: cr.Bound | None = None
    ) -> Row:
        problem = certificate.problem
        prediction = cr.to_network(problem, certificate.weights).predict(test)
        guess = prediction.argmax(axis=1) if prediction.ndim == 2 else (prediction > 0.0).astype(np.intp)
        return Row(
            data=name,
            seed=seed,
            method=method,
            accuracy=float(np.mean(guess == classes)),
            norms=problem.penalty.value(problem.blocks(certificate.weights)),
            seconds=seconds,
            lower=certificate.lower,
            upper=certificate.upper,
            status=status,
            apriori=None if bound is None else bound.upper_apriori,
            witness=None if bound is None else bound.upper_witness,
        )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.ConvergenceWarning)  # the intervals say it
        fit = cr.solve(gated, "RFISTA", tol=_GATED_TOL)
        yield row("R-FISTA", fit.certificate, fit.time, fit.status, cr.approximation_bound(relu, fit))
        for label, method in (("CD-SOCP", "socp"), ("CD-A", cr.ApproximateDecomposition(rho=_RHO))):
            started = time.perf_counter()
            weights = cr.decompose(relu, fit, method)
            seconds = fit.time + time.perf_counter() - started
            yield row(label, cr.certify(relu, weights, fit.dual), seconds, "feasible")
        for label, limit in (("AugmentedLagrangian", plan.seconds), ("WorkingSet", 10.0 * plan.seconds)):
            solution = cr.solve(relu, label, tol=_RELU_TOL, time_limit=limit)
            yield row(label, solution.certificate, solution.time, solution.status)


def _table(rows: list[Row], plan: Plan) -> str:
    lines = [
        f"{plan.gates} gates, lam = {_LAM:g} (of a loss divided by 2 n c), means of {plan.seeds} seeds "
        f"from {_FIRST_SEED}, "
        f"{plan.threads} thread(s); AL at most {plan.seconds:g} s",
        f"{'data':<14}{'method':<21}{'test acc.':>10}{'sum of norms':>14}{'seconds':>9}{'lower':>12}{'upper':>12}"
        f"{'rel. gap':>10}",
    ]
    chosen = [row for row in rows if row.data in (plan.data or DATA)]
    for name in dict.fromkeys(row.data for row in chosen):
        here = [row for row in chosen if row.data == name]
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
    return "\n".join([*lines, "", *_looseness(chosen)])


def _looseness(rows: list[Row]) -> list[str]:
    """Compare the bounds of C-ReLU's optimum with its certified interval, run by run."""
    lines = [
        "bounds of C-ReLU's optimum over the optimum (WorkingSet's upper bound), median [least, largest] of the runs"
    ]
    lines.append(f"{'data':<14}{'lower':>24}{'decomposed':>26}{'a priori':>30}{'witness':>30}  order")
    wrong = 0
    for name in dict.fromkeys(row.data for row in rows):
        here = {(row.seed, row.method): row for row in rows if row.data == name}
        ratios: dict[str, list[float]] = {"lower": [], "decomposed": [], "apriori": [], "witness": []}
        before = wrong
        for seed in dict.fromkeys(seed for seed, _ in here):
            exact, gated, split = (here[seed, method] for method in ("WorkingSet", "R-FISTA", "CD-SOCP"))
            assert gated.apriori is not None
            assert gated.witness is not None
            bounds = (split.lower, split.upper, gated.apriori, gated.witness)
            for values, bound in zip(ratios.values(), bounds, strict=True):
                values.append(bound / exact.upper)
            # What would refute a bound: an upper one below the proven lower end, a lower one above the upper end.
            wrong += split.lower > exact.upper or min(bounds[1:]) < exact.lower
        cells = [f"{np.median(v):.3g} [{min(v):.3g}, {max(v):.3g}]" for v in ratios.values()]
        order = "held" if wrong == before else f"{wrong - before} BROKEN"
        lines.append(f"{name:<14}{cells[0]:>24}{cells[1]:>26}{cells[2]:>30}{cells[3]:>30}  {order}")
    return [*lines, f"runs in which a bound was beaten by the certified interval: {wrong}"]
