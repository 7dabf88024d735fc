"""Two-layer ReLU and gated-ReLU networks."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cvxrelu._validation import (
    FloatArray,
    check_choice,
    check_flag,
    check_matrix,
    check_number,
    check_numeric,
    check_targets,
    read_only,
)
from cvxrelu.losses.base import Loss
from cvxrelu.losses.registry import get_loss
from cvxrelu.networks.formats.npz import write_npz
from cvxrelu.networks.formats.onnx import write_onnx
from cvxrelu.networks.formats.torch import write_torch
from cvxrelu.networks.layers import Layers, as_columns

if TYPE_CHECKING:
    import onnx
    import torch

_DTYPES = ("float32", "float64")


class TwoLayerNetwork(ABC):
    """Base class of two-layer networks; subclasses define the activation."""

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
        """Return the predictions on the rows of X (n, d), of shape (n,) or (n, c) as w2 has one axis or two."""
        prediction: FloatArray = self.hidden(X) @ self.w2
        return prediction

    def objective(self, X: FloatArray, y: FloatArray, lam: float, loss: str | Loss = "squared") -> float:
        """Return F(h(X)) + lam/2 (||W1||_F^2 + ||w2||_F^2), the non-convex objective (NC-ReLU, NC-GReLU)."""
        lam = check_number("lam", lam, minimum=0.0)
        loss = get_loss(loss)
        prediction = self.predict(X)
        targets = check_targets(y, len(prediction))
        prediction = prediction.reshape(len(prediction), -1)
        if prediction.shape != targets.shape:
            raise ValueError(f"y must have {prediction.shape[1]} columns, one per output; got {targets.shape[1]}")
        loss.check_targets(targets)
        # Squares in float64 for any dtype of the weights, as certificates compare this value.
        decay = 0.5 * lam * sum(float(np.sum(np.square(layer, dtype=np.float64))) for layer in (self.W1, self.w2))
        return loss.value(prediction, targets) + decay

    def layers(self, bias: bool = False, dtype: str | None = None) -> Layers:
        """Return the layers in a dtype, with the weights of the last column as biases if ``bias`` is true.

        Parameters
        ----------
        bias : bool
            Whether the last column that the network takes is a column of ones.
        dtype : {"float32", "float64"}, optional
            Dtype of all arrays; by default that of the network.

        Returns
        -------
        Layers
            Arrays ``W1`` (m, d), ``b1`` (m,) or None, ``w2`` (m, c) and, for a gated network, ``G`` (d, m) and ``g0``
            (m,) or None.

        Raises
        ------
        TypeError, ValueError
            If an argument has another type or value, ``bias`` is True for a network with one column, or the weights
            overflow float32.
        """
        W1, w2, G = self.W1, as_columns(self.w2), self._gates
        default = np.result_type(W1, w2, *([] if G is None else [G]))
        kind = default if dtype is None else np.dtype(check_choice("dtype", dtype, _DTYPES))
        W1, w2 = _cast("W1", W1, kind), _cast("w2", w2, kind)
        G = None if G is None else _cast("G", G, kind)
        if not check_flag("bias", bias):
            return Layers(W1, None, w2, None, G)
        d = W1.shape[1] - 1
        if d < 1:
            raise ValueError("bias must be False for a network with a single column; got True")
        return Layers(W1[:, :d], W1[:, d], w2, None, *((None, None) if G is None else (G[:d], G[d])))

    @property
    def _gates(self) -> FloatArray | None:
        return None

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the network to a file that `load_network` reads, exact to the bit.

        The file is an npz without pickled objects: the arrays, a JSON header with format, version and kind, and a hash
        of both. It is written atomically. It does not contain data or certificates.

        Parameters
        ----------
        path : str or path-like
            The file, usually ``.npz``; no extension is added.
        overwrite : bool
            Whether to replace an existing file.

        Raises
        ------
        FileExistsError
            If the file exists and ``overwrite`` is False.
        OSError
            If it cannot be written.
        """
        write_npz(Layers(self.W1, None, self.w2, None, self._gates), path, overwrite)

    def to_torch(self, *, bias: bool = False, dtype: str | None = None) -> torch.nn.Module:
        """Return the network as a PyTorch module with predictions (n, c), also for one output.

        The weights are copied and trainable; gates are buffers. Conversion to another dtype rounds the weights, which
        gives another network: certificates of this one do not hold for it, but `certify_network` makes one.

        Parameters
        ----------
        bias : bool
            Whether the last column that the network takes is a column of ones. Its weights then become the bias of
            the first layer, and the module takes the features without that column.
        dtype : {"float32", "float64"}, optional
            Dtype of the module; by default that of the network.

        Returns
        -------
        torch.nn.Module
            ``Sequential(Linear, ReLU, Linear)``; for a gated network, a
            `cvxrelu.networks.formats.torch_modules.GatedReLU`.

        Raises
        ------
        ModuleNotFoundError
            If PyTorch, the extra ``cvxrelu[torch]``, is not installed.
        TypeError, ValueError
            If an argument has another type or value, or the weights overflow float32.

        Notes
        -----
        If x'g_i = 0 to rounding, a library's order of summation may decide whether a gated neuron is active.
        """
        return write_torch(self.layers(bias, dtype))

    def to_onnx(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        bias: bool = False,
        dtype: str | None = None,
        overwrite: bool = False,
    ) -> onnx.ModelProto:
        """Return the network as an ONNX model, checked by onnx, and write it to a file if a path is given.

        The graph is Gemm, Relu, Gemm; with gates Gemm, GreaterOrEqual, Gemm, Where, Gemm. Its input ``X`` has the
        shape (n, d), its output ``prediction`` (n, c), also for one output; n is free. Operator set 13.

        Parameters
        ----------
        path : str or path-like, optional
            The file, usually ``.onnx``; written atomically.
        bias : bool
            As in `to_torch`.
        dtype : {"float32", "float64"}, optional
            As in `to_torch`. To certify a model of another dtype, read it with `from_onnx`.
        overwrite : bool
            Whether to replace an existing file.

        Returns
        -------
        onnx.ModelProto

        Raises
        ------
        ModuleNotFoundError
            If onnx, the extra ``cvxrelu[onnx]``, is not installed.
        FileExistsError
            If the file exists and ``overwrite`` is False.
        OSError
            If it cannot be written.
        TypeError, ValueError
            If an argument has another type or value, or the weights overflow float32.
        """
        return write_onnx(self.layers(bias, dtype), path, overwrite)


@dataclass(frozen=True, eq=False)
class ReLUNetwork(TwoLayerNetwork):
    """A two-layer ReLU network: h(x) = sum_i (x'W1_i)_+ w2_i.

    A bias is the weight of a constant column of X. Without neurons (m = 0) it is the zero network.

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
        return np.maximum(check_rows(X, self.W1.shape[1]) @ self.W1.T, 0.0)


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
            raise ValueError(f"G must have shape (d, m) = {W1.T.shape}, one gate per neuron; got {gates.shape}")
        object.__setattr__(self, "G", read_only(_check_array("G", gates)))
        object.__setattr__(self, "W1", W1)
        object.__setattr__(self, "w2", w2)

    @property
    def _gates(self) -> FloatArray:
        return self.G

    def hidden(self, X: FloatArray) -> FloatArray:
        """Return the activations of the neurons (n, m) on the rows of X (n, d)."""
        rows = check_rows(X, self.W1.shape[1])
        return np.where(rows @ self.G >= 0.0, rows @ self.W1.T, 0.0)


Network = ReLUNetwork | GatedReLUNetwork


def _check_layers(W1: FloatArray, w2: FloatArray) -> tuple[FloatArray, FloatArray]:
    first, second = np.asarray(W1), np.asarray(w2)
    if first.ndim != 2 or second.ndim not in (1, 2) or len(first) != len(second):
        raise ValueError(f"W1 and w2 must have shapes (m, d) and (m,) or (m, c); got {first.shape} and {second.shape}")
    return read_only(_check_array("W1", first)), read_only(_check_array("w2", second))


def _check_array(name: str, array: FloatArray) -> FloatArray:
    """Return an array as `check_numeric` does, but allow empty ones."""
    if array.size:
        return check_numeric(name, array)
    return array if array.dtype == np.float32 else array.astype(np.float64)


def check_rows(X: FloatArray, d: int) -> FloatArray:
    """Return X (n, d) if it has the d columns of a network, else raise ValueError."""
    rows = check_matrix("X", X)
    if rows.shape[1] != d:
        raise ValueError(f"X must have the {d} columns that the network was trained on; got {rows.shape[1]}")
    return rows


def _cast(name: str, array: FloatArray, dtype: Any) -> FloatArray:
    with np.errstate(over="ignore"):
        cast: FloatArray = array.astype(dtype)
    # A gate that underflows to zero would be active everywhere.
    lost = ~np.isfinite(cast) | ((name == "G") & (array != 0.0) & ~cast.any(axis=0))
    if lost.any():
        raise ValueError(
            f"dtype must be 'float64' for this network: {name} holds {array[lost][0]:g}, beyond {np.dtype(dtype)}"
        )
    return cast
