"""Networks from any trainer, with balanced layers and as weights of a convex program."""

from typing import Any, NamedTuple

import numpy as np

from cvxrelu._validation import FloatArray, Weights, check_targets
from cvxrelu.analysis.network_certificate import Scope
from cvxrelu.losses.base import Loss
from cvxrelu.networks.convert import balance, to_convex, to_network
from cvxrelu.networks.layers import as_columns
from cvxrelu.networks.loading import read_network
from cvxrelu.networks.network import GatedReLUNetwork, Network, ReLUNetwork
from cvxrelu.numerics.rows import directions
from cvxrelu.patterns.activation_patterns import ActivationPatterns
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.gated_relu import ConvexGatedReLU
from cvxrelu.problems.relu import ConvexReLU


class ParsedNetwork(NamedTuple):
    """A network as given and with balanced layers, both objectives, and its convex program with its weights."""

    given: Network
    network: Network
    objective_given: float
    upper: float
    problem: ConvexReLU | ConvexGatedReLU
    weights: Weights
    ones_appended: bool

    @property
    def start(self) -> Weights | None:
        """Initial weights of a solve: none for C-ReLU, as neurons on boundaries of their cones are a bad start."""
        return None if self.problem.has_cones else self.weights


def parse_network(
    network: Any, X: Any, y: Any, lam: float, loss: Loss, patterns: ActivationPatterns | None, scope: Scope
) -> ParsedNetwork:
    """Validate the network and return it with its convex program."""
    given, data = read_network(network, X, loss.name)
    gated = isinstance(given, GatedReLUNetwork)
    if gated and scope == "global":
        raise ValueError("scope must be 'patterns' for gated networks, whose gates are fixed; got 'global'")
    _check_outputs(given, check_targets(y, len(data)).shape[1], scope)
    if scope == "global" and lam == 0.0:
        raise ValueError("lam must be > 0 for scope 'global'; got 0.0")
    if patterns is not None:
        if not isinstance(patterns, ActivationPatterns):
            raise TypeError(f"patterns must be an ActivationPatterns or None; got {type(patterns).__name__}")
        patterns.check_matches(data)
        if gated and patterns.G is None:
            raise ValueError("patterns must have gates for a gated network; these are masks only")
    with np.errstate(over="ignore", invalid="ignore"):
        objective_given = given.objective(data, y, lam, loss)
        problem, weights = _program(given, data, y, patterns, lam, loss)
        balanced = balance(given) if isinstance(given, ReLUNetwork) else network_of(problem, weights)
        upper = balanced.objective(data, y, lam, loss)
    if not np.isfinite(upper):
        raise ValueError(f"network must have a finite objective on X and y; got {upper}")
    return ParsedNetwork(given, balanced, objective_given, upper, problem, weights, data.shape[1] > np.shape(X)[1])


def network_of(problem: ConvexProblem, weights: Weights) -> Network:
    """Return the network of convex weights; the empty gated network needs no gates."""
    if problem.patterns.G is None and not problem.has_cones and not np.any(problem.blocks(weights)):
        d = problem.d
        return GatedReLUNetwork(np.zeros((d, 0)), np.zeros((0, d)), np.zeros((0, *problem.y.shape[1:])))
    return to_network(problem, weights)


def _check_outputs(network: Network, n_outputs: int, scope: str) -> None:
    w2 = as_columns(network.w2)
    if w2.shape[1] != n_outputs:
        raise ValueError(f"y must have {w2.shape[1]} columns, one for each output of the network; got {n_outputs}")
    if n_outputs == 1 or isinstance(network, GatedReLUNetwork):
        return
    if scope == "global":
        raise ValueError(f"scope must be 'patterns' for more than one output; got 'global' with {n_outputs}")
    shared = int(np.count_nonzero(np.count_nonzero(w2, axis=1) > 1))
    if shared:
        raise ValueError(
            "network must have neurons that feed one output each: the convex program penalises each output separately, "
            f"and a neuron that feeds several costs less than its parts; got {shared} neurons that feed several"
        )


def _program(
    network: Network, X: FloatArray, y: Any, patterns: ActivationPatterns | None, lam: float, loss: Loss
) -> tuple[ConvexReLU | ConvexGatedReLU, Weights]:
    """Return the convex program over the network's patterns followed by those given, and the network as its weights."""
    gated = isinstance(network, GatedReLUNetwork)
    parts = [] if patterns is None else [patterns]
    outputs = np.shape(y)[1] if np.ndim(y) == 2 else 1
    blocks = [np.zeros((outputs, 0, X.shape[1]))] * (1 if gated else 2)
    # A neuron with zero output weights still contributes its pattern; one with zero input weights has none.
    units, sizes = directions(network.W1)
    second = as_columns(network.w2) * sizes
    if not np.isfinite(second).all():
        raise ValueError("network must have a finite objective on X and y; its weights are too large")
    if isinstance(network, GatedReLUNetwork):
        scaled: Network = GatedReLUNetwork(network.G, units, second)
        active = bool((X @ network.G >= 0.0).any())
    else:
        used = sizes[:, 0] > 0.0
        scaled = ReLUNetwork(units[used], second[used])
        active = bool(used.any() and scaled.hidden(X).any())
    if active:
        own, weights = to_convex(scaled, X)
        blocks = [weights] if isinstance(weights, np.ndarray) else list(weights)
        parts.insert(0, own)
    if parts:
        gates = [part.G for part in parts if part.G is not None]
        D = np.column_stack([np.asarray(part.D) for part in parts])
        merged = ActivationPatterns(D, np.column_stack(gates) if len(gates) == len(parts) else None).unique()
    else:
        # No pattern at all: with the zero pattern alone, the program has no network but the zero one.
        merged = ActivationPatterns(np.zeros((len(X), 1), dtype=np.bool_))
    zeros = np.zeros((outputs, len(merged) - blocks[0].shape[1], X.shape[1]))
    padded = [np.concatenate([part, zeros], axis=1) for part in blocks]
    if gated:
        penalty = "group_l1" if outputs == 1 else "nuclear"  # weight decay of neurons that feed several outputs
        return ConvexGatedReLU(X, y, merged, lam, loss, penalty), padded[0]
    return ConvexReLU(X, y, merged, lam, loss), (padded[0], padded[1])
