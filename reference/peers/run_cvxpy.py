"""Solve one problem with a CVXPY solver through `cvxrelu.solve`, at the solver's own tolerances.

This script runs in cvxrelu's environment; see `reference.peers` for the problem and `reference.peers.job` for the
files. The weights are repaired into their cones; the metadata has the violation before the repair.

The time is the one that the solver reports, if any; the time to build and compile the program is `compile_seconds` in
the metadata. The script fails if the solver does.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from reference.peers.job import Clock, Problem, Solve, load, parse, parser, run


def solve(problem: Problem, options: argparse.Namespace, clock: Clock) -> Solve:
    """Build, compile and solve the program once."""
    import cvxpy as cp
    import numpy as np

    import cvxrelu as cr
    from cvxrelu.problems.cvxpy_backends import BACKENDS

    cls = cr.ConvexGatedReLU if options.solver == "gated" else cr.ConvexReLU
    patterns = cr.ActivationPatterns(problem.patterns(), problem.G)
    model = cls(problem.X, problem.y, patterns, problem.lam, problem.loss, problem.penalty)
    backend = BACKENDS[options.backend]
    limits = {} if backend.time_limit is None else {backend.time_limit: options.time_limit}
    settings = backend.settings(options.tol, limits)
    if options.backend == "CLARABEL":
        settings |= {"max_threads": options.threads, "direct_solve_method": options.factorization}
    compile_program = cp.Problem.get_problem_data

    def marked_compile(program: cp.Problem, *args: object, **keywords: object) -> object:
        with clock.compiling():
            return compile_program(program, *args, **keywords)

    with (
        mock.patch.object(cp.Problem, "get_problem_data", marked_compile),
        clock,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", cr.ConvergenceWarning)  # the caller evaluates the answer
        # Explicit settings override those derived from tol, so that the solver runs once.
        solution = cr.solve(model, options.backend, tol=options.tol, max_iter=options.max_iters, **settings)
    if solution.status is cr.Status.FAILED:
        raise SystemExit(f"{options.backend} failed: {solution.solver_status}")
    compiling = solution.compile_time or 0.0
    blocks = model.blocks(solution.weights).astype(np.float64)
    return Solve(
        [blocks] if options.solver == "gated" else list(blocks),
        # Without a reported time, that of the whole call less the compilation.
        solution.time - compiling if solution.solve_time is None else solution.solve_time,
        -1 if solution.n_iter is None else solution.n_iter,
        {
            "converged": solution.solver_status == "optimal",
            "solver_status": solution.solver_status,
            "compile_seconds": compiling,
            "violation": {"max": solution.certificate.max_violation},
        },
    )


def command_line() -> argparse.ArgumentParser:
    """Build the command line of this script."""
    arguments = parser("Solve one problem with a CVXPY solver.", ("gated", "relu"), max_iters=100_000)
    arguments.add_argument("--backend", required=True, help="the solver, as named by cvxrelu.solve")
    arguments.add_argument("--factorization", default="auto", help="Clarabel's direct_solve_method")
    return arguments


def main() -> None:
    """Parse the command line, solve and write the answer."""
    options = parse(command_line())
    from cvxrelu.problems.cvxpy_backends import BACKENDS

    package = BACKENDS[options.backend].package
    run(options, load(options.problem), solve, ("cvxrelu", "cvxpy", package, "numpy", "scipy"))


if __name__ == "__main__":
    main()
