"""The first patterns and weights of column generation, from a locally trained, a given or no network."""

import time
from typing import Any, Literal

import numpy as np

from cvxrelu._validation import FloatArray, Weights
from cvxrelu.networks.convert import balance, to_convex
from cvxrelu.networks.layers import as_columns
from cvxrelu.networks.network import ReLUNetwork
from cvxrelu.patterns.activation_patterns import ActivationPatterns
from cvxrelu.patterns.sampling import sample_patterns
from cvxrelu.problems.relu import ConvexReLU
from cvxrelu.runtime.interrupts import note_interrupt
from cvxrelu.training.annealing import Annealing

Start = Literal["trained", "sampled"]
STARTS: tuple[Start, ...] = ("trained", "sampled")


def check_start(start: Any, d: int) -> Start | ReLUNetwork:
    """Return ``start`` if it is a name or a network of one output on d columns.

    Raises
    ------
    ValueError
        If it is not.
    """
    if isinstance(start, ReLUNetwork):
        if start.W1.shape[1] != d or as_columns(start.w2).shape[1] != 1:
            raise ValueError(
                f"start must be a network of one output on the {d} columns of X; got W1 of shape {start.W1.shape}, w2 "
                f"of shape {start.w2.shape}"
            )
        return start
    for name in STARTS:
        if isinstance(start, str) and start == name:
            return name
    raise ValueError(f"start must be 'trained', 'sampled' or a ReLUNetwork; got {start!r}")


def first_patterns(X: FloatArray, n_gates: int, rng: np.random.Generator) -> ActivationPatterns:
    """Return the patterns of random gates; for X = 0 the zero pattern."""
    if X.any():
        return sample_patterns(X, n_gates, seed=rng)
    return ActivationPatterns(np.zeros((len(X), 1), dtype=np.bool_))


def first_program(
    problem: ConvexReLU, start: Start | ReLUNetwork, rng: np.random.Generator, deadline: float, *, verbose: bool
) -> tuple[ConvexReLU, Weights]:
    """Return the program over the patterns of the first network, with its weights.

    Without a network, or if none of its neurons is active, it is the given program with zero weights. Ctrl-C ends the
    training, whose best network is kept, and is noted.

    Parameters
    ----------
    problem : ConvexReLU
        Program of one output, over patterns for the case without a network.
    start : {"trained", "sampled"} or ReLUNetwork
        The first network: trained locally, none, or given.
    rng : numpy.random.Generator
        Source of the trained network.
    deadline : float
        Value of ``time.perf_counter`` at which training ends.
    verbose : bool
        Print each stage of the training.
    """
    network = start if isinstance(start, ReLUNetwork) else None
    if start == "trained":
        started = time.perf_counter()
        try:
            for layers in Annealing(problem.X, problem.Y, problem.lam, problem.loss).run(rng, deadline=deadline):
                network = ReLUNetwork(layers.W, layers.V[:, 0])
                if verbose:
                    spent = time.perf_counter() - started
                    print(f"training   {spent:9.2f} s  objective {layers.objective:.10g}  {len(layers.W)} neurons")
        except KeyboardInterrupt:
            note_interrupt()
    if network is None or not (problem.X @ network.W1.T > 0.0).any():
        return problem, problem.zero_weights()
    patterns, weights = to_convex(balance(network), problem.X)
    program = problem.replace(patterns=patterns)
    return program, program.repair(weights)
