"""Comparison of solvers on the instances of the catalogue."""

import argparse
import dataclasses
import os
import platform
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from reference.compare.judge import Verdict, judge, judge_network, lower_bound
from reference.compare.ladder import AbandonedError, Effort, Outcome, run_ladder
from reference.compare.results import append, drop, hold_settings, read
from reference.compare.solvers import DEFAULT, Solver, find, kind_of, listing
from reference.instances import select
from reference.instances.instance import Posed, Problem
from reference.machine import machine

ASKED = (1e-1, 1e-2, 1e-4, 1e-6)
_PACKAGES = ("cvxrelu", "numpy", "scipy", "numba", "cvxpy")
_DECISIVE = ("threads", "timeout", "asked", "machine")


@dataclass(frozen=True)
class Plan:
    """Requested accuracies, descending; effort per solver; concurrent runs; results file; whether to repeat runs."""

    asked: tuple[float, ...]
    effort: Effort
    n_jobs: int
    out: Path
    again: bool = False


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--list", action="store_true", help="list the solvers and whether they can run here")
    parser.add_argument("--instances", nargs="+", default=["small", "medium"], help="sizes, names or glob patterns")
    parser.add_argument("--solvers", nargs="+", default=list(DEFAULT), help="names, or FILE.py:NAME for your own")
    parser.add_argument("--asked", nargs="+", type=float, default=list(ASKED), help="requested relative accuracies")
    parser.add_argument("--threads", type=int, default=1, help="threads of each solver (default: 1)")
    parser.add_argument("--timeout", type=float, default=5.0, help="time-out of one solve in seconds (default: 5)")
    parser.add_argument("--n-jobs", type=int, default=2, help="concurrent runs, by joblib (default: 2)")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("build/compare/results.csv"),
        help="results file; runs that it holds are not repeated",
    )
    parser.add_argument("--again", action="store_true", help="repeat the runs that the file holds of these solvers")


def run(arguments: argparse.Namespace) -> str:
    """Run solvers on instances, resuming from the results file, and judge every answer by proven bounds."""
    if arguments.list:
        return listing()
    effort = Effort(arguments.threads, arguments.timeout)
    plan = Plan(
        tuple(sorted(set(arguments.asked), reverse=True)), effort, arguments.n_jobs, arguments.out, arguments.again
    )
    try:
        table = compare(select(arguments.instances), [find(name) for name in arguments.solvers], plan)
    except (ValueError, ConnectionError, ModuleNotFoundError) as error:
        raise SystemExit(str(error)) from error
    except KeyboardInterrupt:
        raise SystemExit(f"interrupted: the same command resumes from {plan.out}") from None
    counts = table["status"].value_counts().to_dict()
    summary = ", ".join(f"{count} {status}" for status, count in counts.items())
    return f"{len(table)} rows in {plan.out} ({summary}); 'python -m reference report {plan.out}' writes the page"


def compare(instances: Sequence[Posed], solvers: Sequence[Solver], plan: Plan) -> pd.DataFrame:
    """Run every solver on every instance that is missing from the file, and return the rows of the file.

    joblib distributes the runs, so ``joblib.parallel_config`` selects the backend, such as a cluster's.

    Parameters
    ----------
    instances : sequence of Posed
        Instances, of the catalogue or not.
    solvers : sequence of Solver
        Solvers to compare.
    plan : Plan
        Accuracies, effort and results file.

    Raises
    ------
    ValueError
        If the file holds results of other settings or solver versions, or a stored optimum does not belong to its
        instance.
    """
    settings = {
        "threads": plan.effort.threads,
        "timeout": plan.effort.timeout,
        "asked": list(plan.asked),
        "n_jobs": plan.n_jobs,
        "machine": machine(),
        "versions": {name: version(name) for name in _PACKAGES}
        | {"python": platform.python_version()}
        | {each.package: each.version() for each in solvers if each.file is None and each.version()},
    }
    hold_settings(plan.out, settings, _DECISIVE)
    append(plan.out, [])
    if plan.again:
        drop(plan.out, {each.name for each in instances}, {each.name for each in solvers})
    _check_versions(plan.out, solvers)
    done, lowers = _done(plan.out)
    todo = [
        (instance, solver)
        for instance in instances
        for solver in solvers
        if (instance.name, instance.version, solver.name) not in done
    ]
    new = {instance.name: instance for instance, _ in todo if (instance.name, instance.version) not in lowers}
    parallel = Parallel(n_jobs=plan.n_jobs, return_as="generator_unordered")
    found = parallel(delayed(_lower)(instance) for instance in new.values())
    bounds = dict(tqdm(found, total=len(new), desc="lower bounds", disable=not new))
    bounds |= {name: lower for (name, _), lower in lowers.items() if name not in bounds}
    work = parallel(
        delayed(_task)(instance, solver, bounds[instance.name], plan, os.getpid()) for instance, solver in todo
    )
    for rows in tqdm(work, total=len(todo), desc="runs", disable=not todo):
        append(plan.out, rows)
    table = read(plan.out)
    mask = table["instance"].isin({each.name for each in instances})
    return table[mask & table["solver"].isin({each.name for each in solvers})]


def _check_versions(path: Path, solvers: Sequence[Solver]) -> None:
    table = read(path)
    for solver in solvers:
        held = set(table.loc[table["solver"] == solver.name, "solver_version"])
        if others := held - {solver.version()}:
            listed = ", ".join(version or "not installed" for version in sorted(others))
            raise ValueError(
                f"{path} holds results of another version of {solver.name} ({listed}; now: "
                f"{solver.version() or 'not installed'}): choose another file with --out, "
                "or repeat its runs with --again on all instances of the file"
            )


def _done(path: Path) -> tuple[set[tuple[str, int, str]], dict[tuple[str, int], float]]:
    """Return the runs that the file holds, and the lower bounds by which they were judged."""
    table = read(path)
    done = set(zip(table["instance"], table["version"], table["solver"], strict=True))
    lowers = zip(table["instance"], table["version"], table["lower"], strict=True)
    return done, {(name, its_version): lower for name, its_version, lower in lowers}


def _lower(instance: Posed) -> tuple[str, float]:
    with threadpool_limits(1):
        return instance.name, lower_bound(instance, instance.problem())


def _task(instance: Posed, solver: Solver, lower: float, plan: Plan, owner: int) -> list[dict[str, Any]]:
    """Run one task in a worker; exit if the owner has ended, since the worker would wait for further tasks forever."""
    try:
        return _runs(instance, solver, lower, plan, owner)
    except AbandonedError:
        os._exit(1)


def _runs(instance: Posed, solver: Solver, lower: float, plan: Plan, owner: int) -> list[dict[str, Any]]:
    """Return the rows of one solver on one instance."""
    with threadpool_limits(1):
        problem = instance.problem()
        base = _base(instance, problem, solver, lower, plan)
        reason = solver.missing() or solver.refusal(problem)
        if reason is not None:
            return [base | {"asked": asked, "status": "not_run", "note": reason} for asked in plan.asked]
        with tempfile.TemporaryDirectory() as folder:
            given = Path(folder) / "problem.npz"
            _write(given, problem, lower)
            tols = solver.tols(instance.kind, plan.asked)
            pairs = _first_that_reach if solver.searched else _one_each
            with closing(run_ladder(solver, given, solver.options(problem), tols, plan.effort, owner)) as outcomes:
                judged = (_judged(problem, outcome, lower) for outcome in outcomes)
                rows = [base | {"asked": asked} | row for asked, row in pairs(plan.asked, judged)]
    last = rows[-1]
    reasons = {"failed": f"failed at {last['asked']:g}", "not_run": last.get("note", "")}
    if solver.searched and last["status"] == "answered":
        reasons["answered"] = f"{last['asked']:g} was not reached by the smallest tolerance, or in time"
    note = reasons.get(last["status"], f"out of time at {last['asked']:g}")
    return rows + [base | {"asked": asked, "status": "not_run", "note": note} for asked in plan.asked[len(rows) :]]


_Row = dict[str, Any]


def _one_each(asked: Sequence[float], judged: Iterable[_Row]) -> Iterator[tuple[float, _Row]]:
    """Pair each accuracy with the row of the run at it."""
    return zip(asked, judged, strict=False)


def _first_that_reach(asked: Sequence[float], judged: Iterable[_Row]) -> Iterator[tuple[float, _Row]]:
    """Pair each accuracy with the first row that attains it, or if none does, with the last row."""
    remaining = list(asked)
    row: _Row = {}
    for row in judged:
        while remaining and row["status"] == "answered" and row["accuracy"] <= remaining[0]:
            yield remaining.pop(0), row
        if not remaining:
            return
    yield remaining[0], row


def _base(instance: Posed, problem: Problem, solver: Solver, lower: float, plan: Plan) -> dict[str, Any]:
    return {
        "instance": instance.name,
        "version": instance.version,
        "size": instance.size,
        "kind": instance.kind,
        "loss": problem.loss.name,
        "n": problem.n,
        "d": problem.d,
        "n_patterns": len(problem.patterns),
        "n_outputs": problem.n_outputs,
        "lam": problem.lam,
        "solver": solver.name,
        "solver_version": solver.version(),
        "lower": lower,
        "threads": plan.effort.threads,
        "timeout": plan.effort.timeout,
    }


def _write(path: Path, problem: Problem, lower: float) -> None:
    np.savez(
        path,
        X=problem.X,
        y=problem.y,
        G=np.asarray(problem.patterns.G),
        lam=problem.lam,
        kind=kind_of(problem),
        loss=problem.loss.name,
        penalty=problem.penalty.name,
        lower=lower,
    )


def _judged(problem: Problem, outcome: Outcome, lower: float) -> dict[str, Any]:
    """Return the columns of a row that describe an outcome."""
    if outcome.status != "answered":
        return {"status": outcome.status, "seconds": outcome.seconds, "note": outcome.note}
    details = outcome.metadata
    row: dict[str, Any] = {
        "seconds": outcome.seconds,
        "compile_seconds": details.get("compile_seconds"),
        "memory_mb": details.get("memory_mb"),
        "claimed": _claim(details),
    }
    row = {key: value for key, value in row.items() if value is not None}
    try:
        verdict = _verdict(problem, outcome.arrays, lower)
    except (TypeError, ValueError) as error:
        return row | {"status": "failed", "note": f"the answer cannot be judged: {error}"[:200]}
    row |= dataclasses.asdict(verdict) | {"status": "answered"}
    if details.get("violation"):  # before the repair in the solver's script
        row["violation"] = max(verdict.violation, details["violation"]["max"])
    if np.isnan(verdict.certified_gap):
        row["note"] = "a network, whose neurons may have other patterns"
    return row


def _claim(details: Mapping[str, Any]) -> str:
    """Return the status that the solver reports, empty if there is none."""
    labels = {True: "converged", False: "not converged", None: ""}
    return details.get("solver_status") or labels[details.get("converged")]


def _verdict(problem: Problem, arrays: Mapping[str, Any], lower: float) -> Verdict:
    if "W1" in arrays:
        return judge_network(problem, arrays["W1"], arrays["w2"], lower)
    return judge(problem, arrays["U"] if "U" in arrays else np.stack([arrays["V"], arrays["W"]]), lower)
