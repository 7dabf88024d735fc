"""Solve one problem with a solver of CVXPY's, by `cvxrelu.solve` and with tolerances of the solver's own.

For cvxrelu's environment; see `reference.peers` for the problem and `reference.peers.job` for the files. The weights
are repaired into their cones; the violation before that is in the metadata.

Timed is what the solver reports for itself; building and compiling the program is `compile_seconds` in the metadata.
A run in which the solver breaks down fails.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from reference.peers.job import Problem, Solve, load, parse, parser, save

TOLERANCES = {
    "CLARABEL": ("tol_gap_abs", "tol_gap_rel", "tol_feas"),
    "ECOS": ("abstol", "reltol", "feastol"),
    "SCS": ("eps_abs", "eps_rel"),
}


def solve(problem: Problem, options: argparse.Namespace) -> Solve:
    """Solve afresh: build, compile and solve the program once."""
    import cvxrelu as cr

    cls = cr.ConvexGatedReLU if options.solver == "gated" else cr.ConvexReLU
    model = cls(problem.X, problem.y, cr.ActivationPatterns(problem.patterns(), problem.G), lam=problem.lam)
    settings = dict.fromkeys(TOLERANCES[options.backend], options.tol)
    if options.backend == "CLARABEL":
        settings |= {"max_threads": options.threads, "direct_solve_method": options.factorization}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.ConvergenceWarning)  # the race measures how far it came
        # The settings stand over those that `tol` would choose, so that the solver runs once.
        solution = cr.solve(model, options.backend, tol=options.tol, max_iter=options.max_iters, **settings)
    if solution.status is cr.Status.FAILED or solution.solve_time is None:
        raise SystemExit(f"{options.backend} failed: {solution.solver_status}")
    return Solve(
        list(model.blocks(solution.weights).reshape(-1, model.patterns.n_patterns, model.d)),
        solution.solve_time,
        -1 if solution.n_iter is None else solution.n_iter,
        {
            "converged": solution.solver_status == "optimal",
            "solver_status": solution.solver_status,
            "compile_seconds": solution.compile_time,
            "violation": {"max": solution.certificate.max_violation},
        },
    )


def command_line() -> argparse.ArgumentParser:
    """Build the command line."""
    arguments = parser("Solve one problem with a solver of CVXPY's.", ("gated", "relu"), max_iters=100_000)
    arguments.add_argument("--backend", choices=tuple(TOLERANCES), required=True, help="the solver")
    arguments.add_argument("--factorization", default="auto", help="Clarabel's direct_solve_method")
    return arguments


def main() -> None:
    """Read the command line, solve as often as it says, write the answer."""
    options = parse(command_line())
    problem = load(options.problem)
    solves = [solve(problem, options) for _ in range(options.repeats)]
    save(options, problem, solves, ("cvxrelu", "cvxpy", options.backend.lower(), "numpy", "scipy"))


if __name__ == "__main__":
    main()
