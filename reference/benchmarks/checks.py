"""What a check of a certificate costs, beside the solve and the writing of the file, judged by limits."""

import argparse
import math
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer
from threadpoolctl import threadpool_limits

import cvxrelu as cr
from cvxrelu.cli.runs.demo import load_demo_split
from cvxrelu.cli.runs.solve import train_on_split
from cvxrelu.cli.settings import Kind, Settings
from reference.benchmarks.global_optima import CASES as GLOBAL_CASES
from reference.benchmarks.global_optima import cancer
from reference.benchmarks.images import load_images
from reference.benchmarks.rigor import rigor_table
from reference.datasets.prepare import Array, prepare
from reference.instances.catalogue import select
from reference.machine import machine
from reference.runs import comma_separated

_SLOWEST = 10
_NO_PROGRESS = 30.0  # time limit at ranks whose gaps do not close
_DEMO_GATES = ((Kind.GATED, 100), (Kind.RELU, 25))
_IMAGES, _RIGOR = ("images-gated", "images-relu"), "rigor"
_IMAGE_GATES, _IMAGE_RATIO, _IMAGE_TOL, _FEW = 50, 0.1, 1e-4, 50
_HEADS = ("case", "scope", "kind", "n", "d", "c", "arithmetic", "solve", "write", "check", "MB", "gap", "limit", "")
_TITLE = """\
solve, write, check: seconds of CPU time, one thread; write includes the check that decides whether a file is written.
gap: relative gap of the bounds that the check derived; limit: for the check, in seconds or as a share of the solve.
"""


@dataclass(frozen=True)
class Limit:
    """Largest cost of a check: seconds, or a share of the seconds of the solve."""

    most: float
    of_solve: bool = False

    def __str__(self) -> str:
        return f"{self.most:g} solve" if self.of_solve else f"{self.most:g} s"


@dataclass(frozen=True)
class Row:
    """Measurements of a certificate; seconds are of CPU time, sizes in megabytes."""

    case: str
    scope: str
    kind: str
    shape: tuple[int, int, int]
    arithmetic: str
    solve: float
    write: float
    check: float
    size: float
    rel_gap: float
    limit: Limit

    @property
    def within(self) -> bool:
        """Whether the check is within its limit."""
        return self.check <= self.limit.most * (self.solve if self.limit.of_solve else 1.0)

    def __str__(self) -> str:
        numbers = (f"{value:.2f}" for value in (self.solve, self.write, self.check, self.size))
        verdict = "within" if self.within else "MISSED"
        statement = (self.case, self.scope, self.kind, *self.shape, self.arithmetic)
        return f"| {' | '.join(map(str, (*statement, *numbers, f'{self.rel_gap:.1e}', self.limit, verdict)))} |"


@dataclass(frozen=True)
class Report:
    """Lines of the table, and whether each check of a case was verified and within its limit."""

    lines: Sequence[str]
    passed: bool


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--cases", type=comma_separated, default=[], help=f"{', '.join(_NAMES)} (default: all)")
    parser.add_argument("--images", type=Path, help="npz file with X and y as of 'images', for images-gated and -relu")
    parser.add_argument(
        "--time-limit", type=float, default=300.0, help="limit of each solve in seconds of wall time (default: 300)"
    )


def run(arguments: argparse.Namespace) -> str:
    """Measure what checks of certificates cost, and rigor "rounded"; exit with 1 if a limit is missed."""
    text, passed = measure(arguments.cases, arguments.images, arguments.time_limit)
    if not passed:
        raise SystemExit(text)
    return text


def measure(names: Sequence[str], images: Path | None, time_limit: float) -> tuple[str, bool]:
    """Return the tables of the cases, and whether all checks were verified and within their limits."""
    known = CASES if images is None else CASES | {name: partial(_images, name, images) for name in _IMAGES}
    chosen = names or [*known, _RIGOR]
    for name in chosen:
        if name not in (*known, _RIGOR):
            hint = "give its file by --images" if name in _IMAGES else f"choose from {', '.join(_NAMES)}"
            raise SystemExit(f"there is no case {name!r}; {hint}")
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.ConvergenceWarning)  # the gap is in the table
        reports = [known[name](time_limit) for name in chosen if name != _RIGOR]
        tables = [machine()]
        if reports:
            heads = [_TITLE, f"| {' | '.join(_HEADS)} |", "|---" * len(_HEADS) + "|"]
            tables.append("\n".join([*heads, *(line for report in reports for line in report.lines)]))
        if _RIGOR in chosen:
            reports.append(Report(*rigor_table()))
            tables.append("\n".join(reports[-1].lines))
    return "\n\n".join(tables), all(report.passed for report in reports)


def checked(case: str, solve: Callable[[], cr.Certificate], limit: Limit, *, interval: bool = False) -> Row:
    """Return the measurements of a certificate that is computed, saved and checked, with the whole statement given.

    Raises
    ------
    RejectedCertificate
        If the checker does not verify the file.
    """
    started = time.process_time()
    certificate = solve()
    solved = time.process_time()
    problem, scope = certificate.problem, certificate.scope
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file.cert")
        certificate.save(path)
        written = time.process_time()
        loaded = cr.load_certificate(path)
        verdict = loaded.verify(
            problem.X,
            problem.y,
            lam=problem.lam,
            loss=problem.loss.name,
            delta=getattr(problem.loss, "delta", None),
            penalty=problem.penalty.name,
            kind="relu" if problem.has_cones else "gated",
            scope=scope,
            patterns=problem.patterns.D if scope == "patterns" else None,
            interval=interval,
            max_memory=math.inf,
        )
        ended = time.process_time()
        size = path.stat().st_size / 1e6
    return Row(
        case=case,
        scope=scope if loaded.proof is None else f"{scope}, {loaded.proof}",
        kind=loaded.kind,
        shape=(problem.n, problem.d, problem.n_outputs),
        arithmetic=verdict.arithmetic,
        solve=solved - started,
        write=written - solved,
        check=ended - written,
        size=size,
        rel_gap=verdict.gap / verdict.upper,
        limit=limit,
    )


def report(rows: Sequence[Row]) -> Report:
    """Return the lines of the rows."""
    return Report([str(row) for row in rows], all(row.within for row in rows))


def together(case: str, rows: Sequence[Row]) -> Row:
    """Return the sums of the rows, and their largest gap."""
    sums = {name: sum(getattr(row, name) for row in rows) for name in ("solve", "write", "check", "size")}
    kinds = " + ".join(row.kind for row in rows)
    return replace(rows[0], case=case, kind=kinds, rel_gap=max(row.rel_gap for row in rows), **sums)


def slowest(case: str, problems: Sequence[tuple[str, Callable[[], cr.Certificate]]], limit: Limit) -> Report:
    """Return the rows of the slowest checks, their number and maximum, and the cases without a verified file."""
    rows, failures = [], []
    for name, solve in problems:
        try:
            rows.append(checked(name, solve, limit))
        except (cr.RejectedCertificate, cr.SolverError, ValueError) as error:
            failures.append(f"| {name} | FAILED: {error} |")
    rows.sort(key=lambda row: -row.check)
    missed = [row for row in rows if not row.within]
    shown = rows[: max(_SLOWEST, len(missed))]
    largest = f", the longest in {rows[0].check:.2f} s" if rows else ""
    count = f"{case}: {len(rows)} of {len(problems)} verified{largest}, {len(missed)} above {limit}"
    return Report([*map(str, shown), *failures, f"| {count} |"], not missed and not failures)


def _demo(_: float) -> Report:
    split, limit = load_demo_split(0), Limit(10.0)

    def trained(kind: Kind, gates: int) -> cr.Certificate:
        return train_on_split(split, Settings(kind, gates, 1e-3, seed=0, solver="CLARABEL", tol=1e-6)).certificate

    rows = [checked("demo", partial(trained, kind, gates), limit) for kind, gates in _DEMO_GATES]
    return report([together("demo, two files", rows)])


def _cancer(name: str, time_limit: float) -> Report:
    make, lam = GLOBAL_CASES[name]
    return _global(name, *make(), lam, 180.0, time_limit)


def _unit_variance(time_limit: float) -> Report:
    """Columns of unit variance, not norm: lam is smaller by sqrt(n) in effect, and the tree of cones far larger."""
    X, y = cancer(569, 5)
    return _global("cancer-569x5, unit variance", X * len(X) ** 0.5, y, 1e-3, 180.0, time_limit)


def _relaxation(time_limit: float) -> Report:
    features = prepare(load_breast_cancer().data[:200])[:, :-1]
    first, second = np.triu_indices(features.shape[1])
    products = (features[:, first] * features[:, second])[:, : 63 - features.shape[1]]
    return _global(
        "cancer with products",
        prepare(np.column_stack([features, products])),
        cancer(200, 2)[1],
        1e-2,
        60.0,
        time_limit,
    )


def _global(case: str, X: Array, y: Array, lam: float, seconds: float, time_limit: float) -> Report:
    def solve() -> cr.Certificate:
        return cr.solve_global(X, y, lam, time_limit=time_limit).certificate

    cr.solve_global(*cancer(30, 3), 1e-2)  # compiles
    return report([checked(case, solve, Limit(seconds))])


def _suite(time_limit: float) -> Report:
    def solve(problem: cr.ConvexGatedReLU | cr.ConvexReLU) -> cr.Certificate:
        return cr.solve(problem, tol=1e-8, time_limit=time_limit).certificate

    problems = [(each.name, partial(solve, each.problem())) for each in select(["small"])]
    return slowest("suite, scope patterns", problems, Limit(60.0))


def _suite_global(time_limit: float) -> Report:
    """Check those that `solve_global` takes."""
    limit = min(time_limit, _NO_PROGRESS)

    def solve(p: cr.ConvexGatedReLU | cr.ConvexReLU) -> cr.Certificate:
        return cr.solve_global(p.X, p.y, p.lam, p.loss, time_limit=limit, patterns=p.patterns).certificate

    cr.solve_global(*cancer(30, 3), 1e-2)  # compiles
    chosen = [each for each in select(["small"]) if each.kind == "relu" and each.penalty == "group_l1"]
    problems = [(each.name, each.problem()) for each in chosen if each.loss != "softmax"]
    single = [(name, partial(solve, problem)) for name, problem in problems if problem.n_outputs == 1]
    return slowest("suite, scope global", single, Limit(60.0))


def _images(name: str, path: Path, time_limit: float) -> Report:
    X, Y, _ = load_images(path, "squared")
    patterns = cr.sample_patterns(X, _IMAGE_GATES, seed=0, bias=True)
    cls = cr.ConvexGatedReLU if name == "images-gated" else cr.ConvexReLU
    few = cls(X[:_FEW], Y[:_FEW], cr.sample_patterns(X[:_FEW], 5, seed=0, bias=True))
    cr.solve(few.with_lam(_IMAGE_RATIO * few.lam_max()))  # compiles
    scaling = cr.ColumnScaling.fit(X)
    # That of C-ReLU would need projections onto a thousand cones of 10,000 rows.
    lam_max = scaling.problem(cr.ConvexGatedReLU(X, Y, patterns)).lam_max()
    problem = scaling.problem(cls(X, Y, patterns)).with_lam(_IMAGE_RATIO * lam_max)

    def solve() -> cr.Certificate:
        return cr.solve(problem, tol=_IMAGE_TOL, time_limit=time_limit).certificate

    return report([checked(name, solve, Limit(0.5, of_solve=True), interval=True)])


CASES: dict[str, Callable[[float], Report]] = {
    "demo": _demo,
    "cancer-569x4": partial(_cancer, "cancer-569x4"),
    "cancer-569x5": partial(_cancer, "cancer-569x5"),
    "unit-variance": _unit_variance,
    "relaxation": _relaxation,
    "suite": _suite,
    "suite-global": _suite_global,
}
_NAMES = (*CASES, *_IMAGES, _RIGOR)
