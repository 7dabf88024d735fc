"""PyTorch modules of exported networks; imports PyTorch, the optional extra ``torch``."""

from __future__ import annotations

from typing import Any

from cvxrelu.networks.layers import Layers

try:
    import torch
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("PyTorch is needed for its modules: pip install 'cvxrelu[torch]'") from error


class GatedReLU(torch.nn.Module):  # type: ignore[misc]  # untyped without PyTorch
    """The module of a gated-ReLU network: sum_i 1[x'g_i + g0_i >= 0] (x'W1_i + b_i) w2_i.

    The gates are the buffers ``gate_weight`` (m, d) and ``gate_bias`` (m,) or None: saved with the module, never
    trained. ``hidden`` and ``output`` are linear layers.
    """

    def __init__(self, layers: Layers) -> None:
        super().__init__()
        self.hidden, self.output = _linear(layers.W1, layers.b1), _linear(layers.w2.T)
        self.register_buffer("gate_weight", torch.tensor(layers.G.T))
        self.register_buffer("gate_bias", None if layers.g0 is None else torch.tensor(layers.g0))

    def forward(self, x: Any) -> Any:
        """Return the predictions (n, c) on the rows of x (n, d)."""
        active = torch.nn.functional.linear(x, self.gate_weight, self.gate_bias) >= 0.0
        return self.output(self.hidden(x).where(active, 0.0))


def module(layers: Layers) -> torch.nn.Module:
    """Return Sequential(Linear, ReLU, Linear), or with gates a `GatedReLU`."""
    if layers.G is not None:
        return GatedReLU(layers)
    return torch.nn.Sequential(_linear(layers.W1, layers.b1), torch.nn.ReLU(), _linear(layers.w2.T))


def _linear(weight: Any, bias: Any = None) -> torch.nn.Linear:
    # Skip the initialisation, which would draw from the global random state and warn about layers without neurons.
    layer = torch.nn.utils.skip_init(torch.nn.Linear, 1, 1, bias=bias is not None)
    layer.out_features, layer.in_features = weight.shape
    layer.weight = torch.nn.Parameter(torch.tensor(weight))
    if bias is not None:
        layer.bias = torch.nn.Parameter(torch.tensor(bias))
    return layer
