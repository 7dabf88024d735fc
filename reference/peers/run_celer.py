"""Solve one gated problem with celer's group Lasso, by block coordinate descent with dual extrapolation.

This script runs in the peers environment; see `reference.peers` for the problem, `reference.peers.job` for the files.
Each gate is a group of d columns of the expanded matrix (D_1 X, ..., D_P X). The data are not scaled, and there is no
intercept; the squared loss and the penalty are sums over outputs, which are solved one after the other. `tol` is the
duality gap relative to that of the zero network; --p0 is the first working set's size, --prune 1 prunes working sets.

The time is that of `celer_path` with one lam, which the estimator GroupLasso calls, without the expanded matrix.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from reference.peers.job import Clock, Problem, Solve, load, parse, parser, run

if TYPE_CHECKING:
    from reference.peers.job import Array


class Groups:
    """The expanded matrix of a problem, made once for all solves."""

    def __init__(self, problem: Problem) -> None:
        self.A = problem.expanded()

    def solve(self, problem: Problem, options: argparse.Namespace, clock: Clock) -> Solve:
        """Solve a fresh problem."""
        import numpy as np
        from celer import celer_path

        d, P = problem.G.shape
        outputs = [np.ascontiguousarray(y) for y in problem.y.reshape(len(problem.y), -1).T]
        found: list[tuple[Array, Array, Array]] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of convergence: the caller evaluates the answer
            with clock:
                for y in outputs:
                    found.append(
                        celer_path(
                            self.A,
                            y,
                            "grouplasso",
                            alphas=np.array([problem.lam]),
                            groups=d,
                            max_iter=options.max_iters,
                            p0=options.p0,
                            prune=options.prune,
                            tol=options.tol,
                        )
                    )
        gaps = [float(gap[-1]) / (y @ y / len(y)) for (_, _, gap), y in zip(found, outputs, strict=True)]
        return Solve(
            [np.stack([coefs[:, -1].reshape(P, d) for _, coefs, _ in found])],
            clock.seconds,
            -1,
            {"converged": bool(max(gaps) <= options.tol)},
        )


def main() -> None:
    """Parse the command line, solve and write the answer."""
    arguments = parser("Solve one gated problem with celer.", ("gated",), max_iters=1000)
    arguments.add_argument("--p0", type=int, default=10, help="size of the first working set")
    arguments.add_argument("--prune", type=int, choices=(0, 1), default=1)
    options = parse(arguments)
    import celer  # noqa: F401  (so that its memory is not counted)

    problem = load(options.problem)
    run(options, problem, Groups(problem).solve, ("celer", "numpy", "scipy"))


if __name__ == "__main__":
    main()
