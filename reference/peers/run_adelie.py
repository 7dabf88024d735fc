"""Solve one problem with adelie, a package for the group elastic net, by block coordinate descent along a path.

This script runs in the peers environment; see `reference.peers` for the problem, `reference.peers.job` for the files.

    gated   one group of d coefficients for each gate; returns U
    relu    two groups for each gate, with linear constraints (2 D_i - I) X v >= 0; returns V and W

With weights 1/n, adelie's Gaussian loss is 1/(2n) ||f - y||^2 up to a constant, as ours, and its binomial loss is our
logistic loss. The data are not scaled, and there is no intercept. Both losses and the penalty are sums over outputs,
which are solved one after the other. `tol` is the tolerance of the coordinate descent and of the Newton steps for the
binomial loss; --constraint-tol is that of the non-negative least squares in the constraints, where a looser one is
faster and violates them more. The path is that of PROBLEM.npz if it holds lams, and else has --path-size values of lam
in geometric progression, from lam_max of the gated problem to the requested lam. At a loose tolerance the answer
depends on the path.

The time is that of the solver's calls over the whole path, including the set-up of its state; the matrix and the
constraints are built before. Iterations are not reported.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from reference.peers.job import Clock, Problem, Solve, load, parse, parser, run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from reference.peers.job import Array


def solve(problem: Problem, options: argparse.Namespace, clock: Clock) -> Solve:
    """Solve a fresh problem, each output along a path that ends at the requested lam."""
    import adelie
    import numpy as np

    n, d = problem.X.shape
    D = problem.patterns()
    gated = options.solver == "gated"
    n_groups = D.shape[1] if gated else 2 * D.shape[1]
    X = np.asfortranarray(problem.X, dtype=options.dtype)
    matrix = adelie.matrix.convex_relu(X, np.asfortranarray(D), gated=gated, n_threads=options.threads)
    constraints = None
    if not gated:
        cones = [
            np.ascontiguousarray((2 * D[:, [i]] - 1.0) * problem.X, dtype=options.dtype) for i in range(D.shape[1])
        ]
        lower, upper = np.zeros(n, dtype=options.dtype), np.full(n, np.finfo(options.dtype).max, dtype=options.dtype)
        configs = {"nnls_tol": options.constraint_tol, "pinball_tol": options.constraint_tol}
        constraints = [adelie.constraint.linear(cone, lower, upper, configs=configs) for cone in cones + cones]

    outputs = [glm(problem, y.astype(options.dtype)) for y in problem.y.reshape(n, -1).T]
    paths = [
        problem.lams if problem.lams is not None else lams(problem, D, y, options) for y in problem.y.reshape(n, -1).T
    ]
    with clock:
        states = [
            adelie.grpnet(
                matrix,
                output,
                constraints=constraints,
                groups=np.arange(0, n_groups * d, d),
                alpha=1,
                penalty=np.ones(n_groups, dtype=options.dtype),
                lmda_path=path,
                max_iters=options.max_iters,
                tol=options.tol,
                irls_tol=options.tol,
                newton_tol=1e-12 if options.dtype == "float64" else 1e-6,  # the default is unattainable in float32
                n_threads=options.threads,
                early_exit=False,
                intercept=False,
                progress_bar=False,
            )
            for output, path in zip(outputs, paths, strict=True)
        ]

    betas_of_outputs = [state.betas if problem.lams is not None else state.betas[-1:] for state in states]
    # (c, n_lams, 1 or 2, P, d)
    found = np.stack(
        [betas.toarray().astype(np.float64).reshape(betas.shape[0], -1, D.shape[1], d) for betas in betas_of_outputs]
    )
    return Solve(
        blocks=list(found[:, -1].swapaxes(0, 1)),
        seconds=clock.seconds,
        iterations=-1,
        details={
            "converged": all(len(state.lmdas) == len(path) for state, path in zip(states, paths, strict=True)),
            "lam": float(states[0].lmdas[-1]),
        },
        path=None if problem.lams is None else found[0],
    )


def glm(problem: Problem, y: Array) -> Any:
    """Return adelie's loss for one output y (n,)."""
    import adelie

    return adelie.glm.binomial((y + 1) / 2) if problem.loss == "logistic" else adelie.glm.gaussian(y)


def lams(problem: Problem, D: NDArray[np.bool_], y: Array, options: argparse.Namespace) -> Array:
    """Return the path for one output y (n,)."""
    import numpy as np

    at_zero = y / 2 if problem.loss == "logistic" else y  # -n times the gradient of the loss
    lam_max = float(np.linalg.norm((D * at_zero[:, np.newaxis]).T @ problem.X, axis=1).max()) / len(y)
    return np.geomspace(problem.lam, max(lam_max, problem.lam), options.path_size)[::-1]


def main() -> None:
    """Parse the command line, solve and write the answer."""
    arguments = parser("Solve one problem with adelie.", ("gated", "relu"), max_iters=100_000)
    arguments.add_argument(
        "--path-size", type=int, default=10, help="number of values of lam, if PROBLEM.npz has no lams"
    )
    arguments.add_argument(
        "--constraint-tol", type=float, default=1e-7, help="tolerance of the constraints (default: adelie's)"
    )
    options = parse(arguments)
    import adelie  # noqa: F401  (so that its memory is not counted)

    problem = load(options.problem)
    run(options, problem, solve, ("adelie", "numpy", "scipy"))


if __name__ == "__main__":
    main()
