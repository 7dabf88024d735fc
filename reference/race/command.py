"""Race between our fastest certified solver and its peers, each at its fastest setting that is accurate enough."""

import argparse
import os
import platform
import time
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cvxrelu as cr
from reference.machine import machine
from reference.race import path as race_path
from reference.race.cases import KINDS, TOLS, Case, Kind, Problem, fresh, select
from reference.race.peers import Effort, compete, quiet
from reference.race.results import Ours, Result, resume, save, summary, table
from reference.race.server import Answer
from reference.runs import comma_separated, compile_kernels

_TIGHTER = 1e-3
_PACKAGES = ("cvxrelu", "numpy", "scipy", "numba", "cvxpy", "clarabel", "ecos", "scs", "qoco")


@dataclass(frozen=True)
class Plan:
    """Settings of a race; tol and out default to those of the kind."""

    kind: Kind
    solver: str
    tol: float | None
    cases: list[str]
    peers: list[str]
    effort: Effort
    out: Path | None = None
    resume: bool = False
    quick: bool = False
    report: bool = False
    settings: Path | None = None


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("kind", choices=KINDS, help="kind of problem")
    parser.add_argument("--solver", default="auto", help="our solver, as named by cvxrelu.solve (default: auto)")
    parser.add_argument(
        "--tol",
        type=float,
        help="certified gap required of ours, and accuracy required of peers unless their own is looser "
        "(default: 1e-6; path: 1e-4)",
    )
    parser.add_argument(
        "--cases",
        type=comma_separated,
        default=[],
        help="data sets, cases or patterns such as 'pima/*' or '*/squared/P=50/*', comma separated (default: all)",
    )
    parser.add_argument("--quick", action="store_true", help="a short selection of the cases")
    parser.add_argument("--peers", type=comma_separated, default=[], help="peers, comma separated (default: all)")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each solver; medians are printed (default: 5)")
    parser.add_argument("--threads", type=int, default=1, help="threads of every solver (default: 1)")
    parser.add_argument("--timeout", type=float, default=150.0, help="time-out of one solve in seconds (default: 150)")
    parser.add_argument("--out", type=Path, help="results file (default: build/race-KIND.json)")
    parser.add_argument(
        "--settings",
        type=Path,
        help="results file of an earlier race: run the peers at the settings found there instead of searching",
    )
    parser.add_argument(
        "--resume", action="store_true", help="keep the cases in the results file, and run those that it lacks"
    )
    parser.add_argument("--report", action="store_true", help="print what the results file holds, and run nothing")


def run(arguments: argparse.Namespace) -> str:
    """Race our solver and its peers in turn, on gated or ReLU problems at equal accuracy or on a path of 50 lams."""
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
            quick=arguments.quick,
            report=arguments.report,
            settings=arguments.settings,
        )
    )


def measure(plan: Plan) -> str:
    """Run the missing cases, save each result, and return the table with its notes."""
    out = plan.out or Path("build") / f"race-{plan.kind}.json"
    header = {
        "kind": plan.kind,
        "solver": plan.solver,
        "tol": plan.tol,
        "peers": plan.peers,
        "repeats": plan.effort.repeats,
        "threads": plan.effort.threads,
        "timeout": plan.effort.timeout,
        "settings": None if plan.settings is None else plan.settings.name,
        "machine": machine(),
        "versions": {name: _version(name) for name in _PACKAGES} | {"python": platform.python_version()},
    }
    try:
        cases = select(plan.kind, plan.cases, plan.peers, quick=plan.quick)
        header, results = resume(out, None if plan.report else header) if plan.resume or plan.report else (header, [])
        earlier = {} if plan.settings is None else _earlier(plan.settings, plan.kind)
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(str(error)) from error
    skipped = []
    if not plan.report:
        missing = [entrant for case in cases for entrant in case.entrants if not entrant.peer.python.exists()]
        if missing:
            raise SystemExit("the peers' environment is missing: run 'make peers' first")
        compile_kernels()
        for case in cases:
            if any(result.case == case.name for result in results):
                continue
            print(f"{case.name}", flush=True)
            try:
                results.append(_race(case, plan, earlier.get(case.name)))
            except (ConnectionError, ModuleNotFoundError) as error:  # of its data
                skipped.append(f"skipped: {case.name}: {error}")
                print(f"    {skipped[-1]}", flush=True)
                continue
            save(out, header, results)
    selected = [result for result in results if any(result.case == case.name for case in cases)]
    return "\n".join(
        [
            _title(header),
            *table(selected),
            *_notes(plan.kind),
            *skipped,
            *summary(selected),
            *_closing(header, selected),
        ]
    )


def _earlier(path: Path, kind: Kind) -> dict[str, Result]:
    """Return the results of an earlier race by case."""
    header, results = resume(path, None)
    if header["kind"] != kind:
        raise ValueError(f"{path} holds a race of {header['kind']}, not of {kind}")
    return {result.case: result for result in results}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # ECOS, without a wheel for this Python
        return None


def _race(case: Case, plan: Plan, earlier: Result | None) -> Result:
    """Run one case at the accuracy of the plan, of the case or of its kind; with its result in an earlier race."""
    tol = plan.tol or case.tol or TOLS[case.kind]
    problem = case.problem()
    known = {} if earlier is None else {entry.peer: entry for entry in earlier.entries}
    entrants, left_out = [], []
    for entrant in case.entrants:
        refusal = entrant.refusal(problem)
        if refusal is None:
            accuracy = max(entrant.accuracy, tol)
            entrants.append(replace(entrant, accuracy=accuracy, earlier=known.get(entrant.peer.name)))
        else:
            left_out.append(f"{entrant.peer.name}: {refusal}")
            print(f"    {left_out[-1]}", flush=True)
    race = race_path.race if case.kind == "path" else _race_at_one_lam
    result = race(replace(case, entrants=tuple(entrants)), problem, plan.solver, tol, plan.effort)
    return replace(result, left_out=left_out)


def _race_at_one_lam(case: Case, problem: Problem, solver: str, tol: float, effort: Effort) -> Result:
    """Run our solver at tol and at a smaller one, then the peers, judged by our certified bounds, then all in turn."""
    load = os.getloadavg()[0]
    with quiet(effort.threads):
        solution = cr.solve(fresh(problem), solver, tol=tol, time_limit=effort.timeout)
        tight = cr.solve(fresh(problem), solver, tol=_TIGHTER * tol, time_limit=effort.timeout)
    lower = max(solution.lower, tight.lower)
    ours = Ours(
        solver=solution.solver,
        seconds=[],
        reached=solution.certificate.rel_gap <= tol,
        gap=solution.certificate.rel_gap,
        violation=problem.violation(solution.weights),
        active=solution.certificate.n_active,
        lower=lower,
        upper=min(solution.objective, tight.objective),
    )
    print(f"    ours      gap {ours.gap:.1e}, optimum known to {ours.width:.1e}", flush=True)

    def judge(answer: Answer) -> float:
        blocks = problem.blocks((answer.blocks[0], answer.blocks[1]) if answer.blocks.ndim == 4 else answer.blocks)
        upper = problem.objective(problem.repair(problem.weights(blocks)))
        return (upper - lower) / abs(upper)

    def seconds() -> float:
        uncached = fresh(problem)
        started = time.perf_counter()
        cr.solve(uncached, solver, tol=tol, time_limit=effort.timeout)
        return time.perf_counter() - started

    times, entries = compete(problem, None, case.entrants, seconds, judge, ours.width, effort)
    return Result(
        case.name,
        case.group,
        problem.n,
        problem.d,
        len(problem.patterns),
        problem.lam,
        load,
        replace(ours, seconds=times),
        entries,
    )


def _title(header: dict[str, Any]) -> str:
    known = "" if header.get("settings") is None else f", peers at the settings found in {header['settings']}"
    return (
        f"{header['kind']}: ours to a certified relative gap of {header['tol'] or TOLS[header['kind']]:g}, "
        f"{header['threads']} thread(s) for every solver, medians of {header['repeats']} turns (least-greatest){known}"
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
        "seconds: ours are those of the whole call with the certificate, the peers' those of their solver alone. Ours "
        "and the peers within four times of the fastest run in turn, a solve below 50 ms up to nine times, and its "
        "median counts; the other peers, and those that missed, ran once.",
    ]


def _closing(header: dict[str, Any], results: list[Result]) -> list[str]:
    versions = dict(header["versions"])
    for result in results:
        for entry in result.entries:
            versions |= {name: found for name, found in entry.versions.items() if name not in header["versions"]}
    packages = ", ".join(f"{name} {found}" for name, found in versions.items())
    load = max((result.load for result in results), default=0.0)
    return [f"{header['machine']}, load before a case at most {load:.1f}; {header['threads']} thread(s); {packages}"]
