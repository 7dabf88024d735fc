"""Solve one gated problem with skglm, a package for sparse generalised linear models, on the expanded matrix.

This script runs in the peers environment; see `reference.peers` for the problem, `reference.peers.job` for the files.

    GroupBCD          block coordinate descent with Anderson acceleration and working sets; squared and logistic loss
    GroupProxNewton   proximal Newton steps with working sets; logistic loss

Each gate is a group of d columns of (D_1 X, ..., D_P X). The data are not scaled, and there is no intercept. Separable
losses and the penalty are sums over outputs, which are solved one after the other. `tol`, relative to lam, is that of
the distance of the gradient from the subdifferential of the penalty; --p0 is the first working set's size.

The time is that of the solver's calls, without the expanded matrix and numba's compilation.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from reference.peers.job import Clock, Problem, Solve, load, parse, parser, run

if TYPE_CHECKING:
    from reference.peers.job import Array


class Groups:
    """The expanded matrix of a problem, and skglm's loss and penalty, made once for all solves."""

    def __init__(self, problem: Problem) -> None:
        import numpy as np
        from skglm.datafits.group import LogisticGroup, QuadraticGroup
        from skglm.penalties.block_separable import WeightedGroupL2

        d, P = problem.G.shape
        self.A = problem.expanded()
        pointers, indices = np.arange(0, (P + 1) * d, d, dtype=np.int32), np.arange(P * d, dtype=np.int32)
        loss = LogisticGroup if problem.loss == "logistic" else QuadraticGroup
        self.datafit: Any = loss(pointers, indices)
        self.penalty: Any = WeightedGroupL2(problem.lam, np.ones(P), pointers, indices)

    def solve(self, problem: Problem, options: argparse.Namespace, clock: Clock) -> Solve:
        """Solve a fresh problem."""
        import numpy as np

        outputs = np.ascontiguousarray(problem.y.reshape(len(problem.y), -1).T)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of convergence: the caller evaluates the answer
            with clock:
                answers = [self._solve_one(y, problem.lam, options) for y in outputs]
        U = np.stack([answer[0].reshape(problem.G.shape[1], -1) for answer in answers])
        stops = [float(answer[2]) for answer in answers]
        return Solve(
            [U],
            clock.seconds,
            sum(len(answer[1]) for answer in answers),
            {"converged": bool(max(stops) <= options.tol * problem.lam)},
        )

    def _solve_one(self, y: Array, lam: float, options: argparse.Namespace) -> tuple[Array, Array, float]:
        from skglm import solvers

        solver = getattr(solvers, options.solver)(max_iter=options.max_iters, p0=options.p0, tol=options.tol * lam)
        answer: tuple[Array, Array, float] = solver.solve(self.A, y, self.datafit, self.penalty)
        return answer


def main() -> None:
    """Parse the command line, compile, solve and write the answer."""
    arguments = parser("Solve one gated problem with skglm.", ("GroupBCD", "GroupProxNewton"), max_iters=10_000)
    arguments.add_argument("--p0", type=int, default=10, help="size of the first working set")
    options = parse(arguments)
    problem = load(options.problem)
    groups = Groups(problem)
    # A loose solve compiles what the solver needs; its answer is not used.
    compiling = argparse.Namespace(**vars(options) | {"tol": 1e-1, "max_iters": 2})
    groups.solve(problem, compiling, Clock(options.out.with_suffix(".running")))
    run(options, problem, groups.solve, ("skglm", "numba", "numpy", "scipy"))


if __name__ == "__main__":
    main()
