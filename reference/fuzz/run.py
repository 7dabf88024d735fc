"""Solve random and known-bad problems by "auto" and by single solvers, and have every answer judged."""

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
_GRACE = 60.0  # seconds over the limit of time after which a solve is stopped, and told of
_CROWDED = 30.0  # what a second of processor time may take on a machine that has much else to do


@dataclass(frozen=True)
class Run:
    """One solver on one case; "stopped" is the status of one that came to the limit of time.

    ``seconds`` is processor time. ``attempts`` are the solvers that were tried, and how each ended. ``note`` says why
    there is no answer; ``faults`` what is wrong with it.
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


class NeverEnds(Exception):
    """A solve that goes on long after its limit of time."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--cases", type=int, default=500, help="number of random cases (default: 500)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first one (default: 0)")
    parser.add_argument("--known", action="store_true", help="the known worst cases too")
    parser.add_argument("--only-auto", action="store_true", help="do not run single solvers")
    parser.add_argument("--tol", type=float, default=1e-6, help="certified gap asked of every solver (default: 1e-6)")
    parser.add_argument(
        "--time-limit", type=float, default=20.0, help="seconds of processor time for one solve (default: 20)"
    )
    parser.add_argument("--n-jobs", type=int, default=1, help="cases at a time (default: 1)")
    parser.add_argument("--out", type=Path, default=Path("build/fuzz.jsonl"), help="file of the runs, case by case")
    parser.add_argument("--resume", action="store_true", help="go on from the cases that the file holds")


def run(arguments: argparse.Namespace) -> str:
    """Solve random problems by "auto" and single solvers, judge all answers; exit 1 if one is wrong."""
    names = [*(KNOWN if arguments.known else ()), *range(arguments.first, arguments.first + arguments.cases)]
    solvers = ("auto",) if arguments.only_auto else ("auto", *SINGLE)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    runs = saved(arguments.out, solvers) if arguments.resume else []
    known = {_key(run.case) for run in runs}
    left = [name for name in names if str(name) not in known]
    work = (delayed(_solve_case)(name, solvers, arguments.tol, arguments.time_limit) for name in left)
    arguments.out.write_text("".join(json.dumps(asdict(each)) + "\n" for each in runs))
    with arguments.out.open("a") as file:
        for done in Parallel(n_jobs=arguments.n_jobs, return_as="generator")(work):
            runs += done
            file.writelines(json.dumps(asdict(each)) + "\n" for each in done)
            file.flush()
            _tell(done)
    text = report.table(runs, arguments.tol)
    if report.wrong(runs, arguments.tol):
        raise SystemExit(text)
    return text


def saved(path: Path, solvers: Sequence[str]) -> list[Run]:
    """Return the runs that a file holds, of the cases that have one for each solver: what was cut off is left out."""
    runs: list[Run] = []
    for line in path.read_text().splitlines() if path.exists() else []:
        with contextlib.suppress(json.JSONDecodeError):
            runs.append(Run(**json.loads(line)))
    counts = Counter(run.case for run in runs if run.solver in solvers)
    return [run for run in runs if counts[run.case] == len(solvers)]


def _key(case: str) -> str:
    """Return the number or the name that a case was asked by."""
    return case.split("/")[0]


@cache
def _warm() -> None:
    """Have everything imported and compiled, once in a process: no solver is to be charged with it."""
    X = np.column_stack([np.linspace(-1.0, 1.0, 8), np.ones(8)])
    for form in (cr.ConvexReLU, cr.ConvexGatedReLU):
        for lam in (1e-2, 0.0):
            problem = form(X, np.abs(X[:, 0]), cr.enumerate_patterns(X), lam)
            for solver in ("auto", *SINGLE):
                with contextlib.suppress(cr.SolverError), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    cr.solve(problem, solver, tol=1e-2, max_iter=100)


def _solve_case(name: str | int, solvers: Sequence[str], tol: float, time_limit: float) -> list[Run]:
    with threadpool_limits(1):
        _warm()
        case = known_case(name) if isinstance(name, str) else random_case(name)
        answers = list(_answers(case, solvers, tol, time_limit))
        other = judge.optimum(case)
        return [
            Run(**{**asdict(run), "faults": run.faults + ([] if answer is None else _judge(case, answer, other, tol))})
            for run, answer in answers
        ]


def _answers(
    case: Case, solvers: Sequence[str], tol: float, time_limit: float
) -> Iterator[tuple[Run, cr.Solution | None]]:
    for solver in solvers:
        signal.signal(signal.SIGPROF, _ring)
        signal.setitimer(signal.ITIMER_PROF, time_limit + _GRACE)
        started = time.process_time()
        answer: cr.Solution | None = None
        leaked: list[str] = []
        told: dict[str, Any] = {}
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                answer = cr.solve(
                    case.problem,
                    solver,
                    tol=tol,
                    time_limit=_CROWDED * time_limit,
                    callback=partial(_is_past, started + time_limit),
                )
            leaked = [f"warning: {each.message}" for each in caught if not issubclass(each.category, _ALLOWED)]
        except cr.SolverError as error:
            told = {"note": str(error).splitlines()[0], "faults": [f"SolverError: {error}"] if solver == "auto" else []}
        except Exception as error:  # what a user would see
            told = {"note": "raised", "faults": [f"{type(error).__name__}: {error}"]}
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0.0)
        seconds = time.process_time() - started
        if answer is not None:
            told = {
                "status": str(answer.status),
                "objective": answer.objective,
                "lower": answer.lower,
                "rel_gap": answer.certificate.rel_gap,
                "used": answer.solver,
                "attempts": [f"{one.solver} {one.status.value}" for one in answer.attempts],
                "faults": leaked,
            }
        yield Run(case=case.name, solver=solver, seconds=seconds, **told), answer


def _judge(case: Case, answer: cr.Solution, other: float | None, tol: float) -> list[str]:
    return judge.faults(case, answer) + judge.contradictions(case, answer, other, tol)


def _is_past(deadline: float, record: cr.Record) -> bool:
    return time.process_time() >= deadline


def _ring(signum: int, frame: FrameType | None) -> None:
    raise NeverEnds("went on a minute beyond its limit of time")


def _tell(runs: Sequence[Run]) -> None:
    words = [f"{run.solver} {run.rel_gap:.0e} {run.seconds:.2f}s" for run in runs if not run.note]
    print(f"{runs[0].case}: {', '.join(words)}", flush=True)
    for run in runs:
        for fault in run.faults:
            print(f"    {run.solver}: {fault}", flush=True)
