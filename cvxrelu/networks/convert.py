"""Exact maps between networks and the weights of the convex programs."""

from __future__ import annotations

import numpy as np

from cvxrelu._validation import FloatArray, Weights
from cvxrelu.networks.layers import as_columns
from cvxrelu.networks.network import GatedReLUNetwork, Network, ReLUNetwork, check_rows
from cvxrelu.numerics.rows import directions
from cvxrelu.patterns.activation_patterns import ActivationPatterns, unique_columns
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.relu import ConvexReLU


def to_network(problem: ConvexProblem, weights: Weights) -> Network:
    """Return the network of the convex program's weights; zero blocks are dropped.

    A block v becomes the neuron (v / sqrt||v||, +sqrt||v||), a block of W the neuron with the negated second layer
    (Pilanci & Ergen 2020). Under "nuclear", the block U_i (d, c) becomes one neuron for each singular value s above
    rounding: (sqrt(s) a, sqrt(s) b'). For group_l1 and nuclear the network's objective with weight decay equals the
    convex one, to rounding, if the blocks are in their cones.

    Parameters
    ----------
    problem : ConvexGatedReLU or ConvexReLU
        The problem of the weights.
    weights : ndarray (c, P, d), or pair of them
        U, or (V, W).

    Returns
    -------
    ReLUNetwork or GatedReLUNetwork
        A neuron for each non-zero block (each singular value, under "nuclear").

    Raises
    ------
    ValueError
        If the weights have the wrong shape, or a gated problem's patterns have no gates: a mask alone does not define
        predictions on new data.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.column_stack([np.linspace(-1, 1, 8), np.ones(8)])  # one feature, and the bias
    >>> y = np.abs(X[:, 0])
    >>> problem = cr.ConvexReLU(X, y, cr.enumerate_patterns(X), lam=0.01)
    >>> solution = cr.solve(problem)
    >>> network = cr.to_network(problem, solution.weights)  # the same as solution.network()
    >>> abs(network.objective(X, y, lam=0.01) - solution.objective) < 1e-12
    True
    >>> np.allclose(network.predict(X), problem.predict(solution.weights)[:, 0])
    True
    """
    blocks = problem.blocks(weights)
    if isinstance(problem, ConvexReLU):
        W1, w2, used = _one_output_neurons(np.concatenate(list(blocks), axis=1))
        signs = np.where(used < len(problem.patterns), 1.0, -1.0)
        return ReLUNetwork(W1, _match_targets(w2 * signs[:, None], problem))
    if problem.patterns.G is None:
        raise ValueError("patterns must have gates to make a GatedReLUNetwork; these are masks only")
    neurons = _singular_neurons if problem.penalty.couples_outputs else _one_output_neurons
    W1, w2, used = neurons(blocks)
    return GatedReLUNetwork(problem.patterns.G[:, used], W1, _match_targets(w2, problem))


def to_convex(network: Network, X: FloatArray) -> tuple[ActivationPatterns, Weights]:
    """Return the patterns of a network's neurons on X, and the convex weights with the same predictions on X.

    A ReLU neuron (a, b) becomes the block |b_k| a in the pattern of a, in V if b_k > 0, in W if b_k < 0; a gated neuron
    becomes the block b_k a in the pattern of its gate. Blocks of equal pattern, output and sign are summed. The convex
    objective with group_l1 is at most that of the network if each neuron feeds one output; for gated neurons that feed
    several outputs, the one with nuclear is.

    Parameters
    ----------
    network : ReLUNetwork or GatedReLUNetwork
        A network with at least one neuron that is active on some row.
    X : array of shape (n, d)
        The data that define the patterns.

    Returns
    -------
    patterns : ActivationPatterns
        The distinct patterns on X of the neurons that are active on some row, with their gates.
    weights : ndarray (c, P, d), or pair of ndarrays (c, P, d)
        U for a gated network, else (V, W).

    Raises
    ------
    ValueError
        If X has the wrong shape, or no neuron is active on any row.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> network = cr.ReLUNetwork(W1=np.array([[1.0, 0.0], [-1.0, 0.0]]), w2=np.array([1.0, -2.0]))
    >>> X = np.array([[-2.0, 1.0], [0.5, 1.0]])
    >>> patterns, (V, W) = cr.to_convex(network, X)
    >>> patterns.D.astype(int)
    array([[0, 1],
           [1, 0]])
    >>> V, W  # the positive neuron is in V, the negative one in W
    (array([[[1., 0.],
            [0., 0.]]]), array([[[ 0.,  0.],
            [-2.,  0.]]]))
    >>> problem = cr.ConvexReLU(X, np.zeros(2), patterns)
    >>> np.allclose(problem.predict((V, W))[:, 0], network.predict(X))
    True
    """
    rows = check_rows(X, network.W1.shape[1])
    gates = network.G if isinstance(network, GatedReLUNetwork) else network.W1.T
    active = rows @ gates >= 0.0
    if not active.any():
        raise ValueError("network must have a neuron that is active on some row of X; got none")
    first = unique_columns(active)
    distinct = active[:, first]
    patterns = ActivationPatterns(distinct, gates[:, first])
    position = {column.tobytes(): i for i, column in enumerate(distinct.T)}
    index = np.array([position.get(column.tobytes(), -1) for column in active.T])
    W1, w2 = network.W1.astype(np.float64), as_columns(network.w2).astype(np.float64)  # products in float64
    kept = index >= 0  # a neuron that is never active has no pattern and does not contribute to predictions
    positive, negative = (
        _scatter(index[kept], np.maximum(sign * w2[kept], 0.0), W1[kept], len(patterns)) for sign in (1.0, -1.0)
    )
    if isinstance(network, GatedReLUNetwork):
        return patterns, positive - negative
    return patterns, (positive, negative)


def balance(network: ReLUNetwork) -> ReLUNetwork:
    """Return the network with the same predictions and ||W1_i|| = ||w2_i|| for each neuron i.

    (s W1_i, w2_i / s) has the same predictions for every s > 0, and this choice minimises the weight decay: the
    objective never rises. A neuron with a zero layer predicts zero and becomes zero in both.
    """
    (first, sizes1), (second, sizes2) = directions(network.W1), directions(as_columns(network.w2))
    roots = np.sqrt(sizes1) * np.sqrt(sizes2)
    return ReLUNetwork(first * roots, (second * roots).reshape(network.w2.shape))


def _scatter(index: np.ndarray, w2: FloatArray, W1: FloatArray, n_patterns: int) -> FloatArray:
    blocks = np.zeros((n_patterns, w2.shape[1], W1.shape[1]))
    np.add.at(blocks, index, w2[:, :, None] * W1[:, None, :])
    return blocks.transpose(1, 0, 2).copy()


def _one_output_neurons(blocks: FloatArray) -> tuple[FloatArray, FloatArray, np.ndarray]:
    """Return W1 (m, d), w2 (m, c) >= 0 and the pattern of each neuron, for blocks (c, P, d)."""
    outputs, used = np.any(blocks, axis=-1).nonzero()
    units, sizes = directions(blocks[outputs, used])
    roots = np.sqrt(sizes)
    w2 = np.zeros((len(used), len(blocks)))
    w2[np.arange(len(used)), outputs] = roots[:, 0]
    return units * roots, w2, used


def _singular_neurons(blocks: FloatArray) -> tuple[FloatArray, FloatArray, np.ndarray]:
    """Return W1, w2 and patterns from the singular vectors of each U_i (c, d)."""
    used = np.any(blocks, axis=(0, 2)).nonzero()[0]
    left, sizes, right = np.linalg.svd(blocks[:, used].transpose(1, 0, 2), full_matrices=False)
    keep = sizes > max(blocks.shape[0], blocks.shape[2]) * np.finfo(np.float64).eps * sizes[:, :1]
    roots = np.sqrt(sizes)[:, :, None]
    W1, w2 = roots * right, roots * left.transpose(0, 2, 1)
    return W1[keep], w2[keep], np.repeat(used, keep.sum(axis=1))


def _match_targets(w2: FloatArray, problem: ConvexProblem) -> FloatArray:
    return w2[:, 0] if problem.y.ndim == 1 else w2
