"""The optimal values of the instances: proven bounds, the solvers that gave them, and the check of all that."""

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
ENOUGH = 2  # interior-point solvers that have to agree on a small instance
AGREEMENT = 1e-6
GOAL = 1e-8
_TOL, _INTERIOR_TOL = 1e-9, 1e-7
_SECONDS = 900.0
_PACKAGES = {"CLARABEL": "clarabel", "ECOS": "ecos", "CVXOPT": "cvxopt", "QOCO": "qoco"}


@dataclass(frozen=True)
class Evidence:
    """What one solver's answer proves: bounds that hold in spite of all rounding, and the solver's own word."""

    lower: float
    upper: float
    status: str
    version: str

    @property
    def rel_gap(self) -> float:
        """Upper less lower bound, relative to the upper one."""
        return (self.upper - self.lower) / abs(self.upper)


@dataclass(frozen=True)
class Optimum:
    """Bounds of the optimal value of an instance, the best of all solvers' answers; which problem they are of.

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
        """Upper less lower bound, relative to the upper one."""
        return (self.upper - self.lower) / abs(self.upper)

    @property
    def agreeing(self) -> list[str]:
        """The interior-point solvers whose own interval is narrow, and so contains the optimum to `AGREEMENT`."""
        return [name for name in INTERIOR_POINTS if name in self.evidence and self.evidence[name].rel_gap <= AGREEMENT]

    def refutation(self, problem: Problem, instance: Posed) -> str | None:
        """Return why these are not the bounds of an instance's problem, None if they may be."""
        if self.version != instance.version:
            return f"is of version {self.version} of the instance, which is now {instance.version}"
        if self.lam != problem.lam:
            return f"is for lam = {self.lam!r}, the problem's is {problem.lam!r}"
        if self.sha256 != fingerprint(problem):
            return "is of other data or patterns: the fingerprint differs"
        return None


def stored(instance: Posed) -> Optimum | None:
    """Return the stored optimum of an instance, None if there is none of its version."""
    found = read().get(instance.name)
    return found if found is not None and found.version == instance.version else None


def read(path: Path = FILE) -> dict[str, Optimum]:
    """Return what a file holds, by the names of the instances; nothing if there is no file."""
    if not path.exists():
        return {}
    return {
        name: Optimum(**entry | {"evidence": {key: Evidence(**value) for key, value in entry["evidence"].items()}})
        for name, entry in json.loads(path.read_text()).items()
    }


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--instances", nargs="+", default=["small", "medium", "large"], help="sizes, names or patterns")
    parser.add_argument("--check", action="store_true", help="solve anew and compare with what is stored")
    parser.add_argument("--sample", type=int, help="check this many of them only, drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: 0)")
    parser.add_argument("--n-jobs", type=int, default=2, help="instances at a time, by joblib (default: 2)")
    parser.add_argument("--out", type=Path, default=FILE, help="the file (default: reference/instances/optima.json)")


def run(arguments: argparse.Namespace) -> str:
    """Find the optimal values of the instances, from where the file ends, or check those that it holds."""
    instances = select(arguments.instances)
    if arguments.check:
        return check(instances, arguments.out, arguments.sample, arguments.seed, arguments.n_jobs)
    return build(instances, arguments.out, arguments.n_jobs)


def build(instances: Sequence[Instance], path: Path, n_jobs: int) -> str:
    """Find and store the optima that the file has not for the instances as they are now; return a table of them."""
    found = read(path)
    missing = [each for each in instances if each.name not in found or found[each.name].version != each.version]
    work = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(delayed(_named)(each) for each in missing)
    for name, optimum in work:
        found[name] = optimum
        _write(path, found)
        print(_line(name, optimum), flush=True)
    rows = [(each, found[each.name]) for each in instances]
    wide = [each.name for each, optimum in rows if optimum.rel_gap > GOAL]
    alone = [each.name for each, optimum in rows if each.size == "small" and len(optimum.agreeing) < ENOUGH]
    return "\n".join(
        [
            *(_line(each.name, optimum) for each, optimum in rows),
            f"{len(rows)} instances, {len(rows) - len(wide)} with a relative gap of at most {GOAL:g}"
            + (f"; wider: {', '.join(wide)}" if wide else ""),
            f"small ones on which {ENOUGH} interior-point solvers agree to {AGREEMENT:g}: "
            f"{sum(each.size == 'small' for each, _ in rows) - len(alone)}"
            + (f"; not: {', '.join(alone)}" if alone else ""),
        ]
    )


def check(instances: Sequence[Instance], path: Path, sample: int | None, seed: int, n_jobs: int) -> str:
    """Build and solve instances anew: fingerprints must be equal, and bounds must meet.

    Raises
    ------
    SystemExit
        If one of them is not reproduced; says which and why.
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
    """Solve an instance by ours and, if it is small, by interior-point solvers; prove bounds from every answer."""
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
    """Yield what interior-point solvers prove, until enough of them agree or none is left."""
    agreeing = 0
    for name in INTERIOR_POINTS:
        if agreeing == ENOUGH or name not in cp.installed_solvers():
            continue
        try:
            evidence = _evidence(problem, name, _INTERIOR_TOL, version(_PACKAGES[name]))
        except cr.SolverError:  # cones that it does not know
            continue
        agreeing += evidence.rel_gap <= AGREEMENT
        yield name, evidence


def _evidence(problem: Problem, solver: str, tol: float, its_version: str) -> Evidence:
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the bounds say how good the answer is
        solution = cr.solve(problem, solver, tol=tol, time_limit=_SECONDS)
        certificate = cr.certify(problem, solution, rigor="rounded")
    own_word = solution.status if solution.status is cr.Status.FAILED else solution.solver_status or solution.status
    return Evidence(certificate.lower, certificate.upper, str(own_word), its_version)


def _reproduce(instance: Instance, optimum: Optimum | None) -> str | None:
    """Return why an optimum is not reproduced, None if it is."""
    if optimum is None:
        return "is not stored"
    problem = instance.problem()
    refutation = optimum.refutation(problem, instance)
    if refutation is not None:
        return refutation
    anew = _evidence(problem, "auto", _TOL, version("cvxrelu"))
    if anew.lower > optimum.upper or anew.upper < optimum.lower:
        return f"[{anew.lower!r}, {anew.upper!r}] does not meet the stored [{optimum.lower!r}, {optimum.upper!r}]"
    if anew.rel_gap > max(GOAL, 2.0 * optimum.rel_gap):
        return f"the gap is {anew.rel_gap:.1e} ({anew.status}), that of the stored bounds {optimum.rel_gap:.1e}"
    return None


def _write(path: Path, found: dict[str, Optimum]) -> None:
    content: dict[str, Any] = {name: asdict(found[name]) for name in sorted(found)}
    write(path, (json.dumps(content, indent=1) + "\n").encode(), overwrite=True)


def _line(name: str, optimum: Optimum) -> str:
    return (
        f"{name:<52} [{optimum.lower:.12g}, {optimum.upper:.12g}]  gap {optimum.rel_gap:.1e}  "
        f"{', '.join(f'{solver} {each.rel_gap:.0e}' for solver, each in optimum.evidence.items())}"
    )
