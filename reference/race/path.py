"""Race on a regularisation path of 50 lams, certified at every point, against adelie's path on the same grid."""

import os
import tempfile
import time
from pathlib import Path

import numpy as np

import cvxrelu as cr
from reference.race.cases import Case
from reference.race.peers import Answer, Effort, enter, quiet, write_problem
from reference.race.results import Ours, Result

N_LAMS = 50
EPS = 1e-3


def race(case: Case, solver: str, tol: float, effort: Effort) -> Result:
    """Run one case: our path, then the peers', which must be within the required accuracy of ours at every point."""
    load = os.getloadavg()[0]
    problem = case.problem()
    seconds = []
    with quiet(effort.threads):
        for _ in range(effort.repeats):
            fresh = type(problem)(problem.X, problem.y, problem.patterns, problem.lam)  # nothing cached
            started = time.perf_counter()
            path = cr.regularization_path(fresh, n_lams=N_LAMS, eps=EPS, tol=tol, solver=solver)
            seconds.append(time.perf_counter() - started)
    ours = Ours(
        solver=path.solutions[-1].solver,
        seconds=seconds,
        reached=bool(path.gaps.max() <= tol),
        gap=float(path.gaps.max()),
        violation=max(problem.violation(weights) for weights in path.weights),
        active=int(path.n_active[-1]),
    )
    print(f"    ours      {ours.median:.3g} s  largest gap {ours.gap:.1e}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "problem.npz"
        write_problem(given, problem, np.asarray(path.lams, dtype=np.float64))
        entries = [
            enter(entrant, given, lambda answer: _distance(problem, path, answer), 0.0, effort)
            for entrant in case.entrants
        ]
    return Result(case.name, problem.n, problem.d, len(problem.patterns), float(path.lams[-1]), load, ours, entries)


def _distance(problem: cr.ConvexGatedReLU | cr.ConvexReLU, path: cr.Path, answer: Answer) -> float:
    """Return the largest relative excess of the peer's objectives over ours; infinite if points are missing."""
    if answer.path is None or len(answer.path) < len(path):
        return np.inf
    theirs = [
        problem.with_lam(float(lam)).objective(weights) for lam, weights in zip(path.lams, answer.path, strict=True)
    ]
    return float(np.max((np.array(theirs) - path.objectives) / np.abs(path.objectives)))
