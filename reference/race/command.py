"""Race between our fastest certified solver and its peers, each at its fastest setting that is accurate enough."""

import argparse
import os
import platform
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cvxrelu as cr
from reference.machine import machine
from reference.race import path as race_path
from reference.race.cases import KINDS, Case, Kind, select
from reference.race.peers import Answer, Effort, enter, quiet, write_problem
from reference.race.results import Ours, Result, resume, save, summary, table
from reference.runs import comma_separated

Problem = cr.ConvexGatedReLU | cr.ConvexReLU
_TOLS: dict[Kind, float] = {"gated": 1e-6, "relu": 1e-6, "path": 1e-4}
_TIGHTER = 1e-3
_PACKAGES = ("cvxrelu", "numpy", "scipy", "cvxpy", "clarabel", "ecos", "scs")


@dataclass(frozen=True)
class Plan:
    """Settings of a race; tol and out default to those of the kind."""

    kind: Kind
    solver: str
    tol: float | None
    cases: list[str]
    peers: list[str]
    effort: Effort
    out: Path | None
    resume: bool


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("kind", choices=KINDS, help="kind of problem")
    parser.add_argument("--solver", default="auto", help="our solver, as named by cvxrelu.solve (default: auto)")
    parser.add_argument("--tol", type=float, help="certified gap required of ours (default: 1e-6; path: 1e-4)")
    parser.add_argument(
        "--cases", type=comma_separated, default=[], help="data sets or cases, comma separated (default: all)"
    )
    parser.add_argument("--peers", type=comma_separated, default=[], help="peers, comma separated (default: all)")
    parser.add_argument("--repeats", type=int, default=5, help="number of runs; medians are printed (default: 5)")
    parser.add_argument("--threads", type=int, default=1, help="threads of every solver (default: 1)")
    parser.add_argument("--timeout", type=float, default=150.0, help="time-out of one solve in seconds (default: 150)")
    parser.add_argument("--out", type=Path, help="results file (default: build/race-KIND.json)")
    parser.add_argument("--resume", action="store_true", help="resume from the cases in the results file")


def run(arguments: argparse.Namespace) -> str:
    """Race our solver against its peers, on gated or ReLU problems at equal accuracy or on a path of 50 lams."""
    return measure(
        Plan(
            kind=arguments.kind,
            solver=arguments.solver,
            tol=arguments.tol,
            cases=arguments.cases,
            peers=arguments.peers,
            effort=Effort(arguments.repeats, arguments.threads, arguments.timeout),
            out=arguments.out,
            resume=arguments.resume,
        )
    )


def measure(plan: Plan) -> str:
    """Run the missing cases, save each result, and return the table with its notes."""
    tol = _TOLS[plan.kind] if plan.tol is None else plan.tol
    out = plan.out or Path("build") / f"race-{plan.kind}.json"
    header = {
        "kind": plan.kind,
        "solver": plan.solver,
        "tol": tol,
        "peers": plan.peers,
        "repeats": plan.effort.repeats,
        "threads": plan.effort.threads,
        "timeout": plan.effort.timeout,
        "machine": machine(),
        "versions": {name: _version(name) for name in _PACKAGES} | {"python": platform.python_version()},
    }
    try:
        cases = select(plan.kind, plan.cases, plan.peers)
        results = resume(out, header) if plan.resume else []
    except ValueError as error:
        raise SystemExit(str(error)) from error
    missing = [entrant for case in cases for entrant in case.entrants if not entrant.peer.python.exists()]
    if missing:
        raise SystemExit("the peers' environment is missing: run 'make peers' first")
    for case in cases:
        if any(result.case == case.name for result in results):
            continue
        print(f"{case.name}", flush=True)
        race = race_path.race if plan.kind == "path" else _race
        results.append(race(case, plan.solver, tol, plan.effort))
        save(out, header, results)
    selected = [result for result in results if any(result.case == case.name for case in cases)]
    return "\n".join(
        [_title(header), *table(selected), *_notes(plan.kind), *summary(selected), *_closing(header, selected)]
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # ECOS, without a wheel for this Python
        return None


def _race(case: Case, solver: str, tol: float, effort: Effort) -> Result:
    """Run one case: our solver at tol and at a smaller one, then the peers, judged by our certified bounds."""
    load = os.getloadavg()[0]
    problem = case.problem()
    ours, lower = _our_result(problem, solver, tol, effort)
    print(f"    ours      {ours.median:.3g} s  gap {ours.gap:.1e}, optimum known to {ours.width:.1e}", flush=True)

    def judge(answer: Answer) -> float:
        upper = problem.objective(problem.repair(problem.weights(answer.blocks)))
        return (upper - lower) / abs(upper)

    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "problem.npz"
        write_problem(given, problem)
        entries = [enter(entrant, given, judge, ours.width, effort) for entrant in case.entrants]
    with quiet(effort.threads):  # the machine's speed drifts: ours are timed before and after the peers
        ours.seconds.extend(_seconds(problem, solver, tol, effort))
    return Result(case.name, problem.n, problem.d, len(problem.patterns), problem.lam, load, ours, entries)


def _our_result(problem: Problem, solver: str, tol: float, effort: Effort) -> tuple[Ours, float]:
    """Return our result at tol, and the best lower bound on the optimum, of that run or of one at a smaller tol."""
    with quiet(effort.threads):
        seconds = _seconds(problem, solver, tol, effort)
        solution = cr.solve(problem, solver, tol=tol, time_limit=effort.timeout)
        tight = cr.solve(problem, solver, tol=_TIGHTER * tol, time_limit=effort.timeout)
    lower = max(solution.lower, tight.lower)
    ours = Ours(
        solver=solution.solver,
        seconds=seconds,
        reached=solution.certificate.rel_gap <= tol,
        gap=solution.certificate.rel_gap,
        violation=problem.violation(solution.weights),
        active=solution.certificate.n_active,
        lower=lower,
        upper=min(solution.objective, tight.objective),
    )
    return ours, lower


def _seconds(problem: Problem, solver: str, tol: float, effort: Effort) -> list[float]:
    """Return the times of our solver in seconds, with the certificate, on problems with nothing cached."""
    seconds = []
    for _ in range(effort.repeats):
        fresh = type(problem)(problem.X, problem.y, problem.patterns, problem.lam)
        started = time.perf_counter()
        cr.solve(fresh, solver, tol=tol, time_limit=effort.timeout)
        seconds.append(time.perf_counter() - started)
    return seconds


def _title(header: dict[str, Any]) -> str:
    return (
        f"{header['kind']}: ours to a certified relative gap of {header['tol']:g}, "
        f"{header['threads']} thread(s) for every solver, medians of {header['repeats']}"
    )


def _notes(kind: Kind) -> list[str]:
    if kind == "path":
        judged = "accuracy: largest relative difference of the objective from ours over the points of the path."
    else:
        judged = (
            "accuracy: (upper - lower) / upper, with the peer's objective after repair into the cones and our best "
            "certified lower bound. interval: relative width of the certified interval of the optimum, added to the "
            "accuracy required of peers."
        )
    return [
        judged,
        "violation: cone violation, ours after and the peers' before repair. A gap marked ! missed our tolerance.",
        "ratio: median time of the peer over ours; '>=' if the peer missed its accuracy, '<=' if we missed ours.",
        "seconds: ours are those of the whole call with the certificate, the peers' those of their solver alone.",
    ]


def _closing(header: dict[str, Any], results: list[Result]) -> list[str]:
    versions = dict(header["versions"])
    for result in results:
        for entry in result.entries:
            versions |= {name: found for name, found in entry.versions.items() if name not in header["versions"]}
    packages = ", ".join(f"{name} {found}" for name, found in versions.items())
    load = max((result.load for result in results), default=0.0)
    return [f"{header['machine']}, load before a case at most {load:.1f}; {header['threads']} thread(s); {packages}"]
