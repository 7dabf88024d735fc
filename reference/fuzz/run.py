"""Solve random and known hard problems with "auto" and single solvers, and check every answer."""

import argparse
import contextlib
import json
import signal
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

import cvxrelu as cr
from reference.fuzz import judge, report
from reference.fuzz.cases import Case, random_case
from reference.fuzz.known import KNOWN, known_case

SINGLE = ("WorkingSet", "RFISTA", "AugmentedLagrangian", "LeastSquares", "CLARABEL")
_ALLOWED = (cr.ConvergenceWarning, cr.UnsupportedOptionWarning, cr.ProgramSizeWarning)
_GRACE = 60.0  # seconds beyond the time limit after which a solve is killed, and reported
_WALL_CLOCK_FACTOR = 30.0  # wall-clock seconds allowed for a second of processor time on a busy machine


@dataclass(frozen=True)
class Run:
    """Run of one solver on one case; its status is "stopped" if it reached the time limit.

    ``seconds`` is processor time. ``attempts`` lists the solvers tried with their statuses. ``note`` says why there is
    no answer, and ``faults`` lists the faults of the answer.
    """

    case: str
    solver: str
    seconds: float
    status: str = ""
    objective: float = float("nan")
    lower: float = float("nan")
    rel_gap: float = float("inf")
    used: str = ""
    attempts: list[str] = field(default_factory=list)
    note: str = ""
    faults: list[str] = field(default_factory=list)


class DidNotStopError(Exception):
    """A solve did not stop long after its time limit."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--cases", type=int, default=500, help="number of random cases (default: 500)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first random case (default: 0)")
    parser.add_argument("--known", action="store_true", help="include the known hard cases")
    parser.add_argument("--only-auto", action="store_true", help="run no single solvers")
    parser.add_argument(
        "--tol", type=float, default=1e-6, help="certified gap required of every solver (default: 1e-6)"
    )
    parser.add_argument(
        "--time-limit", type=float, default=20.0, help="limit of processor time of one solve in seconds (default: 20)"
    )
    parser.add_argument("--n-jobs", type=int, default=1, help="concurrent cases (default: 1)")
    parser.add_argument("--out", type=Path, default=Path("build/fuzz.jsonl"), help="results file, written case by case")
    parser.add_argument("--resume", action="store_true", help="resume from the cases in the results file")


def run(arguments: argparse.Namespace) -> str:
    """Solve random problems with "auto" and single solvers and check all answers; exit with 1 on a failure."""
    names = [*(KNOWN if arguments.known else ()), *range(arguments.first, arguments.first + arguments.cases)]
    solvers = ("auto",) if arguments.only_auto else ("auto", *SINGLE)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    runs = saved(arguments.out, solvers) if arguments.resume else []
    known = {_key(run.case) for run in runs}
    remaining = [name for name in names if str(name) not in known]
    work = (delayed(_solve_case)(name, solvers, arguments.tol, arguments.time_limit) for name in remaining)
    arguments.out.write_text("".join(json.dumps(asdict(each)) + "\n" for each in runs))
    with arguments.out.open("a") as file:
        for done in Parallel(n_jobs=arguments.n_jobs, return_as="generator")(work):
            runs += done
            file.writelines(json.dumps(asdict(each)) + "\n" for each in done)
            file.flush()
            _print_runs(done)
    text = report.table(runs, arguments.tol)
    if report.failures(runs, arguments.tol):
        raise SystemExit(text)
    return text


def saved(path: Path, solvers: Sequence[str]) -> list[Run]:
    """Return the runs in a file, of the cases that have one for each solver; incomplete cases are left out."""
    runs: list[Run] = []
    for line in path.read_text().splitlines() if path.exists() else []:
        with contextlib.suppress(json.JSONDecodeError):
            runs.append(Run(**json.loads(line)))
    counts = Counter(run.case for run in runs if run.solver in solvers)
    return [run for run in runs if counts[run.case] == len(solvers)]


def _key(case: str) -> str:
    """Return the seed or the name by which a case was requested."""
    return case.split("/")[0]


@cache
def _warm_up() -> None:
    """Import and compile everything once per process, so that no solver is charged for it."""
    X = np.column_stack([np.linspace(-1.0, 1.0, 8), np.ones(8)])
    for program in (cr.ConvexReLU, cr.ConvexGatedReLU):
        for lam in (1e-2, 0.0):
            problem = program(X, np.abs(X[:, 0]), cr.enumerate_patterns(X), lam)
            for solver in ("auto", *SINGLE):
                with contextlib.suppress(cr.SolverError), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    cr.solve(problem, solver, tol=1e-2, max_iter=100)


def _solve_case(name: str | int, solvers: Sequence[str], tol: float, time_limit: float) -> list[Run]:
    with threadpool_limits(1):
        _warm_up()
        case = known_case(name) if isinstance(name, str) else random_case(name)
        answers = list(_answers(case, solvers, tol, time_limit))
        other = judge.optimum(case)
        return [
            Run(**{**asdict(run), "faults": run.faults + ([] if answer is None else _faults(case, answer, other, tol))})
            for run, answer in answers
        ]


def _answers(
    case: Case, solvers: Sequence[str], tol: float, time_limit: float
) -> Iterator[tuple[Run, cr.Solution | None]]:
    for solver in solvers:
        signal.signal(signal.SIGPROF, _raise_timeout)
        signal.setitimer(signal.ITIMER_PROF, time_limit + _GRACE)
        started = time.process_time()
        answer: cr.Solution | None = None
        leaks: list[str] = []
        fields: dict[str, Any] = {}
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                answer = cr.solve(
                    case.problem,
                    solver,
                    tol=tol,
                    time_limit=_WALL_CLOCK_FACTOR * time_limit,
                    callback=partial(_is_past, started + time_limit),
                )
            leaks = [f"warning: {each.message}" for each in caught if not issubclass(each.category, _ALLOWED)]
        except cr.SolverError as error:
            fields = {
                "note": str(error).splitlines()[0],
                "faults": [f"SolverError: {error}"] if solver == "auto" else [],
            }
        except Exception as error:  # a user would see it
            fields = {"note": "raised", "faults": [f"{type(error).__name__}: {error}"]}
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0.0)
        seconds = time.process_time() - started
        if answer is not None:
            fields = {
                "status": str(answer.status),
                "objective": answer.objective,
                "lower": answer.lower,
                "rel_gap": answer.certificate.rel_gap,
                "used": answer.solver,
                "attempts": [f"{attempt.solver} {attempt.status.value}" for attempt in answer.attempts],
                "faults": leaks,
            }
        yield Run(case=case.name, solver=solver, seconds=seconds, **fields), answer


def _faults(case: Case, answer: cr.Solution, other: float | None, tol: float) -> list[str]:
    return judge.faults(case, answer) + judge.contradictions(case, answer, other, tol)


def _is_past(deadline: float, record: cr.Record) -> bool:
    return time.process_time() >= deadline


def _raise_timeout(signum: int, frame: FrameType | None) -> None:
    raise DidNotStopError("did not stop a minute after its time limit")


def _print_runs(runs: Sequence[Run]) -> None:
    texts = [f"{run.solver} {run.rel_gap:.0e} {run.seconds:.2f}s" for run in runs if not run.note]
    print(f"{runs[0].case}: {', '.join(texts)}", flush=True)
    for run in runs:
        for fault in run.faults:
            print(f"    {run.solver}: {fault}", flush=True)
