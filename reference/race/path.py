"""Race on a regularisation path of 50 lams, certified at every point, against adelie's path on the same grid."""

import os
import time

import numpy as np

import cvxrelu as cr
from reference.race.cases import Case, Problem, fresh
from reference.race.peers import Effort, compete, quiet
from reference.race.results import Ours, Result
from reference.race.server import Answer

N_LAMS = 50
EPS = 1e-3


def race(case: Case, problem: Problem, solver: str, tol: float, effort: Effort) -> Result:
    """Run one case: our path, then the peers', which must be within the required accuracy of ours at every point."""
    load = os.getloadavg()[0]

    def run() -> tuple[float, cr.Path]:
        uncached = fresh(problem)
        started = time.perf_counter()
        path = cr.regularization_path(uncached, n_lams=N_LAMS, eps=EPS, tol=tol, solver=solver)
        return time.perf_counter() - started, path

    with quiet(effort.threads):
        _, path = run()
    gap = float(path.gaps.max())
    print(f"    ours      largest gap {gap:.1e}", flush=True)
    seconds, entries = compete(
        problem,
        np.asarray(path.lams, dtype=np.float64),
        case.entrants,
        lambda: run()[0],
        lambda answer: _distance(problem, path, answer),
        0.0,
        effort,
    )
    ours = Ours(
        solver=path.solutions[-1].solver,
        seconds=seconds,
        reached=gap <= tol,
        gap=gap,
        violation=max(problem.violation(weights) for weights in path.weights),
        active=int(path.n_active[-1]),
    )
    return Result(
        case.name, case.group, problem.n, problem.d, len(problem.patterns), float(path.lams[-1]), load, ours, entries
    )


def _distance(problem: Problem, path: cr.Path, answer: Answer) -> float:
    """Return the largest relative excess of the peer's objectives over ours; infinite if points are missing."""
    if answer.path is None or len(answer.path) < len(path):
        return np.inf
    theirs = [
        problem.with_lam(float(lam)).objective(weights) for lam, weights in zip(path.lams, answer.path, strict=True)
    ]
    return float(np.max((np.array(theirs) - path.objectives) / np.abs(path.objectives)))
