"""Solve one problem with adelie, a package for the group elastic net, by block coordinate descent along a path.

For the peers environment only; see `reference.peers` for the problem and `reference.peers.job` for the files.

    gated   one group of d coefficients for each gate; returns U
    relu    two groups for each gate, with linear constraints (2 D_i - I) X v >= 0; returns V and W

adelie's Gaussian loss with weights 1/n is 1/(2n) ||f - y||^2 up to a constant, as ours; what it is given is not
scaled, and there is no intercept. `tol` is the tolerance of its coordinate descent, --constraint-tol that of the
non-negative least squares in the constraints: a looser one is faster and violates them more. The path is that of
PROBLEM.npz, if it holds lams; else it has --path-size values of lam, in geometric progression from the smallest one
with the zero solution of the gated problem to the one asked for. At a loose tolerance the answer depends on it.

Timed is the call of its solver over the whole path, which includes the set-up of its state; the matrix and the
constraints are built before. Iterations are not reported.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from reference.peers.job import Problem, Solve, load, parse, parser, run


def solve(problem: Problem, options: argparse.Namespace) -> Solve:
    """Solve afresh along a path of lam that ends where it is wanted."""
    import adelie
    import numpy as np

    n, d = problem.X.shape
    D = problem.patterns()
    gated = options.solver == "gated"
    n_groups = D.shape[1] if gated else 2 * D.shape[1]
    lams = problem.lams
    if lams is None:
        lam_max = float(np.linalg.norm((D * problem.y[:, np.newaxis]).T @ problem.X, axis=1).max()) / n
        lams = np.geomspace(problem.lam, max(lam_max, problem.lam), options.path_size)[::-1]

    X = np.asfortranarray(problem.X, dtype=options.dtype)
    y = problem.y.astype(options.dtype)
    matrix = adelie.matrix.convex_relu(X, np.asfortranarray(D), gated=gated, n_threads=options.threads)
    constraints = None
    if not gated:
        cones = [
            np.ascontiguousarray((2 * D[:, [i]] - 1.0) * problem.X, dtype=options.dtype) for i in range(D.shape[1])
        ]
        lower, upper = np.zeros(n, dtype=options.dtype), np.full(n, np.finfo(options.dtype).max, dtype=options.dtype)
        configs = {"nnls_tol": options.constraint_tol, "pinball_tol": options.constraint_tol}
        constraints = [adelie.constraint.linear(cone, lower, upper, configs=configs) for cone in cones + cones]

    start = time.perf_counter()
    state = adelie.grpnet(
        matrix,
        adelie.glm.gaussian(y),
        constraints=constraints,
        groups=np.arange(0, n_groups * d, d),
        alpha=1,
        penalty=np.ones(n_groups, dtype=options.dtype),
        lmda_path=lams,
        max_iters=options.max_iters,
        tol=options.tol,
        newton_tol=1e-12 if options.dtype == "float64" else 1e-6,  # the default cannot be reached in float32
        n_threads=options.threads,
        early_exit=False,
        intercept=False,
        progress_bar=False,
    )
    seconds = time.perf_counter() - start

    betas = state.betas if problem.lams is not None else state.betas[-1:]
    path = betas.toarray().astype(np.float64).reshape(betas.shape[0], -1, D.shape[1], d)
    return Solve(
        blocks=list(path[-1]),
        seconds=seconds,
        iterations=-1,
        details={"converged": len(state.lmdas) == len(lams), "lam": float(state.lmdas[-1])},
        path=None if problem.lams is None else path,
    )


def main() -> None:
    """Read the command line, solve as often as it says, write the answer."""
    arguments = parser("Solve one problem with adelie.", ("gated", "relu"), max_iters=100_000)
    arguments.add_argument("--path-size", type=int, default=10, help="values of lam, if none are given")
    arguments.add_argument("--constraint-tol", type=float, default=1e-7, help="of the constraints (adelie's default)")
    options = parse(arguments)
    problem = load(options.problem)
    run(options, problem, solve, ("adelie", "numpy", "scipy"))


if __name__ == "__main__":
    main()
