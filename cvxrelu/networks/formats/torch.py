"""Layers as PyTorch modules and back; only writing imports PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cvxrelu._validation import FloatArray
from cvxrelu.networks.layers import Layers, one_axis

if TYPE_CHECKING:
    import torch

SEQUENTIAL = "a torch.nn.Sequential(Linear, ReLU, Linear)"


def write_torch(layers: Layers) -> torch.nn.Module:
    """Return layers as a module; see `ReLUNetwork.to_torch`."""
    from cvxrelu.networks.formats import torch_modules  # PyTorch is optional

    return torch_modules.module(layers)


def read_torch(network: Any) -> Layers:
    """Return the layers of a torch.nn.Sequential(Linear, ReLU, Linear), recognised by its attributes.

    Raises
    ------
    ValueError
        If it has other layers.
    """
    found = [type(layer).__name__ for layer in network.children()]
    if type(network).__name__ != "Sequential" or found != ["Linear", "ReLU", "Linear"]:
        raise ValueError(
            f"network must be {SEQUENTIAL}; got {type(network).__name__}({', '.join(found)}) "
            "(for another module, pass torch.nn.Sequential(first Linear, torch.nn.ReLU(), second Linear))"
        )
    first, _, second = network.children()
    return _linear_layers(first, second)


def read_gated_torch(network: Any) -> Layers:
    """Return the layers of a gated module made by `write_torch`."""
    layers = _linear_layers(network.hidden, network.output)
    return Layers(
        layers.W1, layers.b1, layers.w2, layers.b2, _array(network.gate_weight).T, _optional_array(network.gate_bias)
    )


def _linear_layers(first: Any, second: Any) -> Layers:
    w2 = one_axis(_array(second.weight).T)
    return Layers(_array(first.weight), _optional_array(first.bias), w2, _optional_array(second.bias))


def _array(tensor: Any) -> FloatArray:
    # Convert to float64 in PyTorch, as NumPy has no bfloat16.
    array: FloatArray = tensor.detach().cpu().double().numpy()
    return array


def _optional_array(tensor: Any) -> FloatArray | None:
    return None if tensor is None else _array(tensor)
