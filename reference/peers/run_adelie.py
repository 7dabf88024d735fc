"""Solve one problem with adelie, a package for the group elastic net, by block coordinate descent along a path.

For the peers environment only; see `reference.peers` for the problem and `reference.peers.job` for the files.

    gated   one group of d coefficients for each gate; returns U
    relu    two groups for each gate, with linear constraints (2 D_i - I) X v >= 0; returns V and W

adelie's Gaussian loss with weights 1/n is 1/(2n) ||f - y||^2 up to a constant, as ours, and its binomial loss with
them is our logistic one; what it is given is not scaled, and there is no intercept. Both losses and the penalty are
sums over the outputs, which are solved one after the other. `tol` is the tolerance of its coordinate descent,
--constraint-tol that of the non-negative least squares in the constraints: a looser one is faster and violates them
more; that of the steps by which it minimises the binomial loss is `tol` too. The path is that of
PROBLEM.npz, if it holds lams; else it has --path-size values of lam, in geometric progression from the smallest one
with the zero solution of the gated problem to the one asked for. At a loose tolerance the answer depends on it.

Timed are the calls of its solver over the whole path, which include the set-up of its state; the matrix and the
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
    """Solve afresh, each output along a path of lam that ends where it is wanted."""
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
                newton_tol=1e-12 if options.dtype == "float64" else 1e-6,  # the default cannot be reached in float32
                n_threads=options.threads,
                early_exit=False,
                intercept=False,
                progress_bar=False,
            )
            for output, path in zip(outputs, paths, strict=True)
        ]

    its_own = [state.betas if problem.lams is not None else state.betas[-1:] for state in states]
    # (c, n_lams, 1 or 2, P, d)
    found = np.stack(
        [betas.toarray().astype(np.float64).reshape(betas.shape[0], -1, D.shape[1], d) for betas in its_own]
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
    """Read the command line, solve as often as it says, write the answer."""
    arguments = parser("Solve one problem with adelie.", ("gated", "relu"), max_iters=100_000)
    arguments.add_argument("--path-size", type=int, default=10, help="values of lam, if none are given")
    arguments.add_argument("--constraint-tol", type=float, default=1e-7, help="of the constraints (adelie's default)")
    options = parse(arguments)
    import adelie  # noqa: F401  (its memory is not the solver's)

    problem = load(options.problem)
    run(options, problem, solve, ("adelie", "numpy", "scipy"))


if __name__ == "__main__":
    main()
