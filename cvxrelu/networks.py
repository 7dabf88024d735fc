"""Two-layer networks, and the exact maps between them and the weights of the convex programs."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cvxrelu._validation import (
    FloatArray,
    check_matrix,
    check_number,
    check_numeric,
    check_targets,
    read_only,
)
from cvxrelu.convex_problem import ConvexProblem, Weights
from cvxrelu.losses import Loss, get_loss
from cvxrelu.patterns import ActivationPatterns, unique_columns
from cvxrelu.problems import ConvexReLU

if TYPE_CHECKING:
    import onnx
    import torch


class TwoLayerNetwork(ABC):
    """What both kinds of networks share: all but the activation."""

    W1: FloatArray
    w2: FloatArray

    @property
    def n_neurons(self) -> int:
        """Number m of neurons."""
        return len(self.W1)

    @abstractmethod
    def hidden(self, X: FloatArray) -> FloatArray:
        """Return the activations of the neurons (n, m) on the rows of X (n, d)."""

    def predict(self, X: FloatArray) -> FloatArray:
        """Return the predictions on the rows of X (n, d): (n,) or (n, c), as w2 has one axis or two."""
        prediction: FloatArray = self.hidden(X) @ self.w2
        return prediction

    def objective(self, X: FloatArray, y: FloatArray, lam: float, loss: str | Loss = "squared") -> float:
        """Return F(h(X)) + lam/2 (||W1||_F^2 + ||w2||_F^2), the non-convex objective (NC-ReLU, NC-GReLU)."""
        lam = check_number("lam", lam, minimum=0.0)
        measure = get_loss(loss)
        prediction = self.predict(X)
        targets = check_targets(y, len(prediction))
        prediction = prediction.reshape(len(prediction), -1)
        if prediction.shape != targets.shape:
            raise ValueError(f"y must have {prediction.shape[1]} columns, one an output; got {targets.shape[1]}")
        measure.check_targets(targets)
        # Squared in float64, whatever the weights are: certificates compare this.
        decay = 0.5 * lam * sum(float(np.sum(np.square(layer, dtype=np.float64))) for layer in (self.W1, self.w2))
        return measure.value(prediction, targets) + decay

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the network to a file that `load_network` reads, exact to the bit.

        The file is an npz without pickled objects: the arrays, a JSON header with format, version and kind, and a hash
        of all of it. It is written in full or not at all. Data and certificates are not in it.

        Parameters
        ----------
        path : str or path-like
            The file, by custom ``.npz``; no ending is added.
        overwrite : bool
            Whether to replace a file that is there.

        Raises
        ------
        FileExistsError
            If the file is there and ``overwrite`` is False.
        OSError
            If it cannot be written.
        """
        from cvxrelu.network_files import save_network

        save_network(self, path, overwrite)

    def to_torch(self, *, bias: bool = False, dtype: str | None = None) -> torch.nn.Module:
        """Return the network as a module of PyTorch, with predictions (n, c), also for one output.

        The weights are copied and can be trained on; gates are buffers. Another dtype rounds the weights, which makes
        another network: a certificate of this one does not hold for it. It gets its own by `certify_network`.

        Parameters
        ----------
        bias : bool
            Whether the last column that the network takes is a column of ones. Its weights then become the bias of
            the first layer, and the module takes the features without that column.
        dtype : {"float32", "float64"}, optional
            Of the module; by default that of the network.

        Returns
        -------
        torch.nn.Module
            ``Sequential(Linear, ReLU, Linear)``; of a gated network, a `cvxrelu.torch_export.GatedReLU`.

        Raises
        ------
        ModuleNotFoundError
            If PyTorch is not installed: it is the extra ``cvxrelu[torch]``.
        TypeError, ValueError
            If an argument is something else, or the weights leave the range of float32.

        Notes
        -----
        A row with x'g_i = 0 to rounding may switch a gated neuron by the order in which a library adds up.
        """
        from cvxrelu.torch_export import to_torch

        return to_torch(self, bias, dtype)

    def to_onnx(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        bias: bool = False,
        dtype: str | None = None,
        overwrite: bool = False,
    ) -> onnx.ModelProto:
        """Return the network as a model of ONNX, checked by onnx, and write it to a file if one is named.

        The graph is Gemm, Relu, Gemm; with gates Gemm, GreaterOrEqual, Gemm, Where, Gemm. Its input ``X`` has the
        shape (n, d), its output ``prediction`` (n, c), also for one output; n is free. Operator set 13.

        Parameters
        ----------
        path : str or path-like, optional
            The file, by custom ``.onnx``; written in full or not at all.
        bias : bool
            As in `to_torch`.
        dtype : {"float32", "float64"}, optional
            As in `to_torch`. Another dtype makes another network, which `from_onnx` reads for its own certificate.
        overwrite : bool
            Whether to replace a file that is there.

        Returns
        -------
        onnx.ModelProto

        Raises
        ------
        ModuleNotFoundError
            If onnx is not installed: it is the extra ``cvxrelu[onnx]``.
        FileExistsError
            If the file is there and ``overwrite`` is False.
        OSError
            If it cannot be written.
        TypeError, ValueError
            If an argument is something else, or the weights leave the range of float32.
        """
        from cvxrelu.onnx_export import to_onnx

        return to_onnx(self, path, bias, dtype, overwrite)


@dataclass(frozen=True, eq=False)
class ReLUNetwork(TwoLayerNetwork):
    """A two-layer ReLU network: h(x) = sum_i (x'W1_i)_+ w2_i.

    A bias is the weight of the constant column of X. No neurons (m = 0) is the zero network.

    Parameters
    ----------
    W1 : array of shape (m, d)
        First layer.
    w2 : array of shape (m,) or (m, c)
        Second layer.

    Raises
    ------
    TypeError, ValueError
        If shapes do not fit or an entry is not a finite number.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> network = cr.ReLUNetwork(W1=np.array([[1.0, 0.0], [-1.0, 0.0]]), w2=np.array([1.0, 1.0]))
    >>> X = np.array([[-2.0, 1.0], [0.5, 1.0]])  # the last column is that of the bias
    >>> network.predict(X)
    array([2. , 0.5])
    >>> network.objective(X, [2.0, 0.5], lam=0.1)  # 0.1/2 (||W1||^2 + ||w2||^2)
    0.2
    """

    W1: FloatArray
    w2: FloatArray

    def __post_init__(self) -> None:
        W1, w2 = _check_layers(self.W1, self.w2)
        object.__setattr__(self, "W1", W1)
        object.__setattr__(self, "w2", w2)

    def hidden(self, X: FloatArray) -> FloatArray:
        """Return the activations of the neurons (n, m) on the rows of X (n, d)."""
        return np.maximum(_check_rows(X, self.W1.shape[1]) @ self.W1.T, 0.0)


@dataclass(frozen=True, eq=False)
class GatedReLUNetwork(TwoLayerNetwork):
    """A two-layer gated-ReLU network: h(x) = sum_i 1[x'g_i >= 0] (x'W1_i) w2_i.

    Parameters
    ----------
    G : array of shape (d, m)
        The gate of each neuron.
    W1 : array of shape (m, d)
        First layer.
    w2 : array of shape (m,) or (m, c)
        Second layer.

    Raises
    ------
    TypeError, ValueError
        If shapes do not fit or an entry is not a finite number.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> G = np.array([[1.0, -1.0], [0.0, 0.0]])  # one gate in each column: active for x >= 0 and for x <= 0
    >>> network = cr.GatedReLUNetwork(G, W1=np.array([[0.0, 1.0], [1.0, 0.0]]), w2=np.array([3.0, 1.0]))
    >>> network.predict(np.array([[-2.0, 1.0], [0.5, 1.0]]))
    array([-2.,  3.])
    """

    G: FloatArray
    W1: FloatArray
    w2: FloatArray

    def __post_init__(self) -> None:
        W1, w2 = _check_layers(self.W1, self.w2)
        gates = np.asarray(self.G)
        if gates.shape != W1.T.shape:
            raise ValueError(f"G must have shape (d, m) = {W1.T.shape}, one gate a neuron; got {gates.shape}")
        object.__setattr__(self, "G", read_only(_check_array("G", gates)))
        object.__setattr__(self, "W1", W1)
        object.__setattr__(self, "w2", w2)

    def hidden(self, X: FloatArray) -> FloatArray:
        """Return the activations of the neurons (n, m) on the rows of X (n, d)."""
        rows = _check_rows(X, self.W1.shape[1])
        return np.where(rows @ self.G >= 0.0, rows @ self.W1.T, 0.0)


Network = ReLUNetwork | GatedReLUNetwork


def to_network(problem: ConvexProblem, weights: Weights) -> Network:
    """Return the network of the convex program's weights; zero blocks vanish.

    A block v becomes the neuron (v / sqrt||v||, +sqrt||v||), a block of W the one with the opposite second
    layer (Pilanci & Ergen 2020; DESIGN section 3). Under "nuclear", the block U_i (d, c) becomes one neuron for
    each singular value s above rounding: (sqrt(s) a, sqrt(s) b'). For group_l1 and nuclear the network's objective
    with weight decay is the convex one, to rounding, when the blocks are in their cones.

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
        If the weights do not fit, or a gated problem's patterns hold no gates (a mask alone says
        nothing about new data).

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
        raise ValueError("patterns.G must be given to make a GatedReLUNetwork; these patterns are masks only")
    neurons = _singular_neurons if problem.penalty.name == "nuclear" else _one_output_neurons
    W1, w2, used = neurons(blocks)
    return GatedReLUNetwork(problem.patterns.G[:, used], W1, _match_targets(w2, problem))


def to_convex(network: Network, X: FloatArray) -> tuple[ActivationPatterns, Weights]:
    """Return the patterns of a network's neurons on X, and the convex weights with the same predictions there.

    A ReLU neuron (a, b) becomes the block |b_k| a in the pattern of a, in V where b_k > 0, in W where b_k < 0; a
    gated one the block b_k a in the pattern of its gate. Blocks of equal place add up: the convex objective with
    group_l1 is at most that of the network, where each neuron feeds one output (with gated neurons that feed
    several, the one with nuclear is).

    Parameters
    ----------
    network : ReLUNetwork or GatedReLUNetwork
        The network, with at least one neuron that is active on some row.
    X : array of shape (n, d)
        The data that the patterns are taken on.

    Returns
    -------
    patterns : ActivationPatterns
        The distinct patterns on X of the neurons that are active on some row, with their gates.
    weights : ndarray (c, P, d), or pair of ndarrays (c, P, d)
        U of a gated network, or (V, W).

    Raises
    ------
    ValueError
        If X does not fit, or no neuron is active on any row.

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
    rows = _check_rows(X, network.W1.shape[1])
    gates = network.G if isinstance(network, GatedReLUNetwork) else network.W1.T
    active = rows @ gates >= 0.0
    if not active.any():
        raise ValueError("network must have a neuron that is active on some row of X; it has none")
    first = unique_columns(active)
    distinct = active[:, first]
    patterns = ActivationPatterns(distinct, gates[:, first])
    place = {column.tobytes(): i for i, column in enumerate(distinct.T)}
    index = np.array([place.get(column.tobytes(), -1) for column in active.T])
    W1, w2 = network.W1.astype(np.float64), as_columns(network.w2).astype(np.float64)  # their products are blocks
    kept = index >= 0  # a neuron that is active nowhere has no pattern, and no part in the predictions
    positive, negative = (
        _scatter(index[kept], np.maximum(sign * w2[kept], 0.0), W1[kept], len(patterns)) for sign in (1.0, -1.0)
    )
    if isinstance(network, GatedReLUNetwork):
        return patterns, positive - negative
    return patterns, (positive, negative)


def balance(network: ReLUNetwork) -> ReLUNetwork:
    """Return the network with the same predictions and ||W1_i|| = ||w2_i|| for each neuron i.

    (s W1_i, w2_i / s) predicts the same for every s > 0, and this choice has the least weight decay: the objective
    never rises. A neuron with a zero layer predicts zero and becomes zero in both.
    """
    (first, sizes1), (second, sizes2) = directions(network.W1), directions(as_columns(network.w2))
    roots = np.sqrt(sizes1) * np.sqrt(sizes2)
    return ReLUNetwork(first * roots, (second * roots).reshape(network.w2.shape))


def as_columns(w2: FloatArray) -> FloatArray:
    """Return a second layer (m,) or (m, c) as (m, c)."""
    return w2[:, None] if w2.ndim == 1 else w2


def directions(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the rows (m, k) over their norms, and the norms (m, 1); zero rows stay zero."""
    # Scaled before the norm: squares of very small or large entries leave the range of float64.
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    scaled = rows / np.where(largest > 0.0, largest, 1.0)
    norms = np.linalg.norm(scaled, axis=1, keepdims=True)
    return scaled / np.where(norms > 0.0, norms, 1.0), norms * largest


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


def _check_layers(W1: FloatArray, w2: FloatArray) -> tuple[FloatArray, FloatArray]:
    first, second = np.asarray(W1), np.asarray(w2)
    if first.ndim != 2 or second.ndim not in (1, 2) or len(first) != len(second):
        raise ValueError(f"W1 and w2 must have shapes (m, d) and (m,) or (m, c); got {first.shape} and {second.shape}")
    return read_only(_check_array("W1", first)), read_only(_check_array("w2", second))


def _check_array(name: str, array: FloatArray) -> FloatArray:
    """Return an array, also one without entries, as `check_numeric` does."""
    if array.size:
        return check_numeric(name, array)
    return array if array.dtype == np.float32 else array.astype(np.float64)


def _check_rows(X: FloatArray, d: int) -> FloatArray:
    rows = check_matrix("X", X)
    if rows.shape[1] != d:
        raise ValueError(f"X must have the {d} columns that the network was trained on; got {rows.shape[1]}")
    return rows
