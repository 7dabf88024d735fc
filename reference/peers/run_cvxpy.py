"""Solve one problem with a solver of CVXPY's, by `cvxrelu.solve` and with tolerances of the solver's own.

For cvxrelu's environment; see `reference.peers` for the problem and `reference.peers.job` for the files. The weights
are repaired into their cones; the violation before that is in the metadata.

Timed is what the solver reports for itself, if it does; building and compiling the program is `compile_seconds` in the
metadata.
A run in which the solver breaks down fails.
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
    """Solve afresh: build, compile and solve the program once."""
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

    def compile_in_sight(program: cp.Problem, *args: object, **keywords: object) -> object:
        with clock.compiling():
            return compile_program(program, *args, **keywords)

    with (
        mock.patch.object(cp.Problem, "get_problem_data", compile_in_sight),
        clock,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", cr.ConvergenceWarning)  # whoever asked measures how far it came
        # The settings stand over those that `tol` would choose, so that the solver runs once.
        solution = cr.solve(model, options.backend, tol=options.tol, max_iter=options.max_iters, **settings)
    if solution.status is cr.Status.FAILED:
        raise SystemExit(f"{options.backend} failed: {solution.solver_status}")
    compiling = solution.compile_time or 0.0
    blocks = model.blocks(solution.weights).astype(np.float64)
    return Solve(
        [blocks] if options.solver == "gated" else list(blocks),
        # What does not tell its time is given that of the whole call, but for the compilation.
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
    """Build the command line."""
    arguments = parser("Solve one problem with a solver of CVXPY's.", ("gated", "relu"), max_iters=100_000)
    arguments.add_argument("--backend", required=True, help="the solver, as cvxrelu.solve spells it")
    arguments.add_argument("--factorization", default="auto", help="Clarabel's direct_solve_method")
    return arguments


def main() -> None:
    """Read the command line, solve as often as it says, write the answer."""
    options = parse(command_line())
    from cvxrelu.problems.cvxpy_backends import BACKENDS

    package = BACKENDS[options.backend].package
    run(options, load(options.problem), solve, ("cvxrelu", "cvxpy", package, "numpy", "scipy"))


if __name__ == "__main__":
    main()
