"""Solve one problem with pyscnn (import name scnn), the authors' package of arXiv 2202.01331.

This script runs in the peers environment; see `reference.peers` for the problem, `reference.peers.job` for the files.

    rfista   the gated problem, by restarted accelerated proximal gradient; returns U
    al       the ReLU problem, by an augmented Lagrangian over it; returns V and W

Differences from cvxrelu:

- Its loss is ||f - y||^2 / (2 n c) with c outputs, 1/c times ours. It is therefore given lam / c, and tol / c^2, since
  its tolerance bounds a squared norm. Its scaling of columns is switched off.
- Its patterns are 1[X g > 0], ours 1[X g >= 0]. They agree unless x_j'g = 0 in its floating-point type; `differences`
  in the metadata counts the entries that differ in rows x_j != 0. It sorts the patterns, keeps the first gate of each
  and drops the pattern without active rows. Dropped gates get zero weights here, which is optimal.
- `tol` bounds the *squared* norm of the minimum-norm subgradient, and for al also the squared norm of the violation.
- On a CPU it computes with NumPy and only imports PyTorch; --backend torch selects PyTorch.
- The iteration limit of al is on the total of inner iterations. The package ignores its option delta.

The time is that of its optimisation procedure, with metrics off, which would be computed in every iteration.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from reference.peers.job import Clock, Problem, Solve, load, parse, parser, run


def solve(problem: Problem, options: argparse.Namespace, clock: Clock) -> Solve:
    """Solve a fresh problem by the steps of `scnn.optimize.optimize_model`, of which only the solve is timed."""
    import lab
    import numpy as np
    from scnn.metrics import Metrics
    from scnn.models import ConvexGatedReLU, ConvexReLU
    from scnn.private import interface
    from scnn.regularizers import NeuronGL1
    from scnn.solvers import AL, RFISTA

    X, y, G = problem.X, problem.y, problem.G
    n_outputs = 1 if y.ndim == 1 else y.shape[1]
    tol = options.tol / n_outputs**2
    if options.solver == "rfista":
        model = ConvexGatedReLU(G, c=n_outputs)
        solver = RFISTA(model, max_iters=options.max_iters, tol=tol)
    else:
        model = ConvexReLU(G, c=n_outputs)
        solver = AL(model, max_primal_iters=options.max_iters, tol=tol, constraint_tol=options.tol)
    metrics = Metrics(objective=False, grad_norm=False, time=False)
    penalty = NeuronGL1(problem.lam / n_outputs)

    logger = interface.get_logger("scnn")
    interface.set_device("cpu", options.dtype)
    lab.set_backend(options.backend)
    train, test, _ = interface.process_data(X, y.reshape(len(y), -1), None, None, unitize_data=False)
    internal = interface.build_internal_model(model, penalty, train[0])
    procedure = interface.build_optimizer(solver, penalty, metrics)
    names = interface.build_metrics_tuple(metrics)

    with clock:
        status, internal, _ = procedure(logger, internal, lambda model: model, train, test, names)

    weights = lab.to_np(internal.weights).astype(np.float64).reshape(-1, n_outputs, internal.p, X.shape[1])
    gates, patterns = lab.to_np(internal.U), lab.to_np(internal.D) > 0
    position = {gate.tobytes(): i for i, gate in reversed(list(enumerate(G.astype(gates.dtype).T)))}
    kept = [position[gate.tobytes()] for gate in gates.T]
    blocks = np.zeros((len(weights), n_outputs, G.shape[1], X.shape[1]))
    blocks[:, :, kept] = weights
    return Solve(
        list(blocks),
        clock.seconds,
        int(status["iterations" if options.solver == "rfista" else "total_inner_iterations"]),
        {
            "converged": bool(status.get("success", False)),
            "objective_by_peer": n_outputs * float(internal.objective(*train, ignore_lagrange_penalty=True)),
            "gates_kept": len(kept),
            "differences": int(np.sum((patterns != problem.patterns()[:, kept])[X.any(axis=1)])),
        },
    )


def main() -> None:
    """Parse the command line, solve and write the answer."""
    arguments = parser("Solve one problem with pyscnn.", ("rfista", "al"), max_iters=10_000)
    arguments.add_argument("--backend", choices=("numpy", "torch"), default="numpy", help="pyscnn's arithmetic")
    options = parse(arguments)

    import scnn.optimize  # noqa: F401  (so that its memory is not counted)
    import torch

    torch.set_num_threads(options.threads)
    problem = load(options.problem)
    run(options, problem, solve, ("pyscnn", "torch", "numpy", "scipy", "opt_einsum", "linalg_backends"))


if __name__ == "__main__":
    main()
