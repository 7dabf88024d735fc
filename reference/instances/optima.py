"""Optimal values of the instances: proven bounds, the solvers behind them, and their verification."""

import argparse
import json
import random
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cvxpy as cp
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

import cvxrelu as cr
from cvxrelu._files import write
from reference.instances import Instance, fingerprint, select
from reference.instances.instance import Posed, Problem

FILE = Path(__file__).parent / "optima.json"
INTERIOR_POINTS = ("CLARABEL", "ECOS", "CVXOPT", "QOCO")
N_AGREEING = 2  # number of interior-point solvers that must agree on a small instance
AGREEMENT = 1e-6
MAX_GAP = 1e-8
_TOL, _INTERIOR_TOL = 1e-9, 1e-7
_SECONDS = 900.0
_PACKAGES = {"CLARABEL": "clarabel", "ECOS": "ecos", "CVXOPT": "cvxopt", "QOCO": "qoco"}


@dataclass(frozen=True)
class Evidence:
    """Bounds from one solver's answer that hold in spite of all rounding, and the status that the solver reports."""

    lower: float
    upper: float
    status: str
    version: str

    @property
    def rel_gap(self) -> float:
        """Difference of the bounds relative to the upper bound."""
        return (self.upper - self.lower) / abs(self.upper)


@dataclass(frozen=True)
class Optimum:
    """Best bounds on the optimal value of an instance over all solvers, and the data that identify its problem.

    ``sha256`` is the `fingerprint` of X, y and D.
    """

    version: int
    sha256: str
    lam: float
    n: int
    d: int
    n_patterns: int
    n_outputs: int
    lower: float
    upper: float
    evidence: dict[str, Evidence]

    @property
    def rel_gap(self) -> float:
        """Difference of the bounds relative to the upper bound."""
        return (self.upper - self.lower) / abs(self.upper)

    @property
    def agreeing(self) -> list[str]:
        """Interior-point solvers whose certified interval has a relative width of at most `AGREEMENT`."""
        return [name for name in INTERIOR_POINTS if name in self.evidence and self.evidence[name].rel_gap <= AGREEMENT]

    def refutation(self, problem: Problem, instance: Posed) -> str | None:
        """Return why these are not the bounds of an instance's problem; None if they are consistent with it."""
        if self.version != instance.version:
            return f"is of version {self.version} of the instance, which is now {instance.version}"
        if self.lam != problem.lam:
            return f"is for lam = {self.lam!r}, the problem's is {problem.lam!r}"
        if self.sha256 != fingerprint(problem):
            return "is of other data or patterns: the fingerprint differs"
        return None


def stored(instance: Posed) -> Optimum | None:
    """Return the stored optimum of an instance; None if there is none of its version."""
    found = read().get(instance.name)
    return found if found is not None and found.version == instance.version else None


def read(path: Path = FILE) -> dict[str, Optimum]:
    """Return the optima in a file by name of the instance; an empty dictionary if there is no file."""
    if not path.exists():
        return {}
    return {
        name: Optimum(**entry | {"evidence": {key: Evidence(**value) for key, value in entry["evidence"].items()}})
        for name, entry in json.loads(path.read_text()).items()
    }


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument(
        "--instances", nargs="+", default=["small", "medium", "large"], help="sizes, names or glob patterns"
    )
    parser.add_argument("--check", action="store_true", help="solve again and compare with the stored optima")
    parser.add_argument("--sample", type=int, help="check a random sample of this size")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample (default: 0)")
    parser.add_argument("--n-jobs", type=int, default=2, help="concurrent instances, by joblib (default: 2)")
    parser.add_argument(
        "--out", type=Path, default=FILE, help="file of the optima (default: reference/instances/optima.json)"
    )


def run(arguments: argparse.Namespace) -> str:
    """Compute the optimal values missing from the file, or check those that it holds."""
    instances = select(arguments.instances)
    if arguments.check:
        return check(instances, arguments.out, arguments.sample, arguments.seed, arguments.n_jobs)
    return build(instances, arguments.out, arguments.n_jobs)


def build(instances: Sequence[Instance], path: Path, n_jobs: int) -> str:
    """Compute and store the optima missing from the file for the current versions; return a table of all."""
    found = read(path)
    missing = [each for each in instances if each.name not in found or found[each.name].version != each.version]
    work = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(delayed(_named)(each) for each in missing)
    for name, optimum in work:
        found[name] = optimum
        _write(path, found)
        print(_line(name, optimum), flush=True)
    rows = [(each, found[each.name]) for each in instances]
    wide = [each.name for each, optimum in rows if optimum.rel_gap > MAX_GAP]
    unconfirmed = [each.name for each, optimum in rows if each.size == "small" and len(optimum.agreeing) < N_AGREEING]
    return "\n".join(
        [
            *(_line(each.name, optimum) for each, optimum in rows),
            f"{len(rows)} instances, {len(rows) - len(wide)} with a relative gap of at most {MAX_GAP:g}"
            + (f"; wider: {', '.join(wide)}" if wide else ""),
            f"small instances on which {N_AGREEING} interior-point solvers agree to {AGREEMENT:g}: "
            f"{sum(each.size == 'small' for each, _ in rows) - len(unconfirmed)}"
            + (f"; not: {', '.join(unconfirmed)}" if unconfirmed else ""),
        ]
    )


def check(instances: Sequence[Instance], path: Path, sample: int | None, seed: int, n_jobs: int) -> str:
    """Rebuild and solve instances: fingerprints must be equal, and intervals must intersect.

    Raises
    ------
    SystemExit
        If an instance is not reproduced; the message says which and why.
    """
    chosen = list(instances)
    if sample is not None:
        chosen = random.Random(seed).sample(chosen, min(sample, len(chosen)))
    found = read(path)
    outcomes = Parallel(n_jobs=n_jobs)(delayed(_reproduce)(each, found.get(each.name)) for each in chosen)
    failures = [
        f"{each.name}: {outcome}" for each, outcome in zip(chosen, outcomes, strict=True) if outcome is not None
    ]
    if failures:
        raise SystemExit("\n".join(["not reproduced:", *failures]))
    return f"{len(chosen)} of {len(instances)} stored optima reproduced"


def _named(instance: Instance) -> tuple[str, Optimum]:
    return instance.name, find(instance)


def find(instance: Instance) -> Optimum:
    """Solve an instance with cvxrelu and, if small, with interior-point solvers; certify bounds from every answer."""
    problem = instance.problem()
    evidence = {"cvxrelu": _evidence(problem, "auto", _TOL, version("cvxrelu"))}
    if instance.size == "small":
        evidence |= dict(_interior_points(problem))
    return Optimum(
        version=instance.version,
        sha256=fingerprint(problem),
        lam=problem.lam,
        n=problem.n,
        d=problem.d,
        n_patterns=len(problem.patterns),
        n_outputs=problem.n_outputs,
        lower=max(each.lower for each in evidence.values()),
        upper=min(each.upper for each in evidence.values()),
        evidence=evidence,
    )


def _interior_points(problem: Problem) -> Iterator[tuple[str, Evidence]]:
    """Yield the evidence of interior-point solvers until `N_AGREEING` of them agree."""
    agreeing = 0
    for name in INTERIOR_POINTS:
        if agreeing == N_AGREEING or name not in cp.installed_solvers():
            continue
        try:
            evidence = _evidence(problem, name, _INTERIOR_TOL, version(_PACKAGES[name]))
        except cr.SolverError:  # it lacks the cones
            continue
        agreeing += evidence.rel_gap <= AGREEMENT
        yield name, evidence


def _evidence(problem: Problem, solver: str, tol: float, its_version: str) -> Evidence:
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the bounds say how good the answer is
        solution = cr.solve(problem, solver, tol=tol, time_limit=_SECONDS)
        certificate = cr.certify(problem, solution, rigor="rounded")
    status = solution.status if solution.status is cr.Status.FAILED else solution.solver_status or solution.status
    return Evidence(certificate.lower, certificate.upper, str(status), its_version)


def _reproduce(instance: Instance, optimum: Optimum | None) -> str | None:
    """Return why an optimum is not reproduced; None if it is."""
    if optimum is None:
        return "is not stored"
    problem = instance.problem()
    refutation = optimum.refutation(problem, instance)
    if refutation is not None:
        return refutation
    evidence = _evidence(problem, "auto", _TOL, version("cvxrelu"))
    if evidence.lower > optimum.upper or evidence.upper < optimum.lower:
        return (
            f"[{evidence.lower!r}, {evidence.upper!r}] does not intersect the stored "
            f"[{optimum.lower!r}, {optimum.upper!r}]"
        )
    if evidence.rel_gap > max(MAX_GAP, 2.0 * optimum.rel_gap):
        return f"the gap is {evidence.rel_gap:.1e} ({evidence.status}), the stored one {optimum.rel_gap:.1e}"
    return None


def _write(path: Path, found: dict[str, Optimum]) -> None:
    content: dict[str, Any] = {name: asdict(found[name]) for name in sorted(found)}
    write(path, (json.dumps(content, indent=1) + "\n").encode(), overwrite=True)


def _line(name: str, optimum: Optimum) -> str:
    return (
        f"{name:<52} [{optimum.lower:.12g}, {optimum.upper:.12g}]  gap {optimum.rel_gap:.1e}  "
        f"{', '.join(f'{solver} {each.rel_gap:.0e}' for solver, each in optimum.evidence.items())}"
    )
