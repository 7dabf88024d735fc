"""Networks as ONNX models and back; needs onnx, the optional extra ``onnx``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from cvxrelu._files import write
from cvxrelu._version import __version__
from cvxrelu.networks.layers import Layers

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET, IR_VERSION = 13, 7  # of 2020: supported by every current runtime, and sufficient

_LAYERS = {"relu": ["Gemm", "Relu", "Gemm"], "gated": ["Gemm", "GreaterOrEqual", "Gemm", "Where", "Gemm"]}


def write_onnx(layers: Layers, path: str | os.PathLike[str] | None, overwrite: bool) -> ModelProto:
    """Return layers as an ONNX model, and write it to a file; see `ReLUNetwork.to_onnx`."""
    onnx = _import_onnx()
    kind = "relu" if layers.G is None else "gated"
    weights = {"hidden.weight": layers.W1, "hidden.bias": layers.b1, "output.weight": layers.w2.T}
    if kind == "gated":
        weights |= {"gate.weight": layers.G.T, "gate.bias": layers.g0, "zero": np.zeros((), layers.W1.dtype)}
    weights = {name: np.ascontiguousarray(array) for name, array in weights.items() if array is not None}

    def node(operator: str, sources: list[str], target: str) -> Any:
        return onnx.helper.make_node(operator, sources, [target], name=f"{operator}_{target}")

    def gemm(layer: str, source: str, target: str) -> Any:
        names = [name for name in (f"{layer}.weight", f"{layer}.bias") if name in weights]
        return onnx.helper.make_node("Gemm", [source, *names], [target], name=f"Gemm_{target}", transB=1)

    if kind == "relu":
        hidden = [gemm("hidden", "X", "products"), node("Relu", ["products"], "activations")]
    else:
        hidden = [
            gemm("gate", "X", "gate_products"),
            node("GreaterOrEqual", ["gate_products", "zero"], "active"),
            gemm("hidden", "X", "products"),
            node("Where", ["active", "products", "zero"], "activations"),
        ]
    number = onnx.helper.np_dtype_to_tensor_dtype(layers.W1.dtype)
    graph = onnx.helper.make_graph(
        [*hidden, gemm("output", "activations", "prediction")],
        f"two-layer {kind} network",
        [onnx.helper.make_tensor_value_info("X", number, ["n", layers.W1.shape[1]])],
        [onnx.helper.make_tensor_value_info("prediction", number, ["n", layers.w2.shape[1]])],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model: ModelProto = onnx.helper.make_model(
        graph,
        producer_name="cvxrelu",
        producer_version=__version__,
        ir_version=IR_VERSION,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
    )
    properties = {"format": "cvxrelu network", "format_version": "1", "kind": kind, "bias": str(layers.biased).lower()}
    onnx.helper.set_model_props(model, properties)
    onnx.checker.check_model(model, full_check=True)
    if path is not None:
        write(path, model.SerializeToString(deterministic=True), overwrite)
    return model


def read_onnx(model: str | os.PathLike[str] | ModelProto) -> Layers:
    """Return the layers of an ONNX model; see `cvxrelu.from_onnx`."""
    onnx = _import_onnx()
    if not isinstance(model, str | os.PathLike | onnx.ModelProto):
        raise TypeError(f"model must be a path or an onnx.ModelProto; got {type(model).__name__}")
    try:
        loaded = model if isinstance(model, onnx.ModelProto) else onnx.load(model)
        onnx.checker.check_model(loaded, full_check=True)
    except OSError:
        raise
    except Exception as error:  # from protobuf or the checker
        raise ValueError(f"model must be a valid ONNX model; got {error}") from error
    return _read_layers(onnx, loaded.graph)


def _read_layers(onnx: Any, graph: Any) -> Layers:
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    inputs = [value.name for value in graph.input if value.name not in weights]
    operators = [node.op_type for node in graph.node]
    kind = next((kind for kind, layers in _LAYERS.items() if operators == layers), None)
    if kind is None or len(inputs) != 1 or len(graph.output) != 1:
        raise ValueError(
            "model must be a graph of Gemm, Relu, Gemm, or one written by to_onnx, with one input and one output; "
            f"got {', '.join(operators)}, {len(inputs)} input(s) and {len(graph.output)} output(s)"
        )
    *hidden, last = graph.node
    if kind == "relu":
        gate, (first, activation) = None, hidden
        activated = [first.output[0]]
    else:
        gate, comparison, first, activation = hidden
        activated = [comparison.output[0], first.output[0]]
        zeros = {comparison.input[1], activation.input[2]}
        joined = gate.input[0] == inputs[0] and comparison.input[0] == gate.output[0]
        if not joined or any(name not in weights or weights[name].any() for name in zeros):
            raise ValueError("model must have gates Gemm(X) >= 0; got other inputs of GreaterOrEqual or Where")
    chain = [first.input[0], *activation.input[: len(activated)], last.input[0], graph.output[0].name]
    if chain != [inputs[0], *activated, activation.output[0], last.output[0]]:
        raise ValueError(f"model must have sequential layers; got {', '.join(operators)} connected otherwise")
    (W1, b1), (w2, b2) = (_read_gemm(onnx, node, weights) for node in (first, last))
    G, g0 = (None, None) if gate is None else _read_gemm(onnx, gate, weights)
    w2 = w2[0] if len(w2) == 1 else w2.T
    return Layers(W1, b1, w2, b2, None if G is None else G.T, g0)


def _read_gemm(onnx: Any, node: Any, weights: dict[str, Any]) -> tuple[Any, Any]:
    """Return the weight (outputs, inputs) and the bias (outputs,) or None of x W' + b."""
    options = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    transposed = options.pop("transB", 0)
    names = [name for name in node.input[1:] if name]
    if any(options.get(name, plain) != plain for name, plain in (("alpha", 1.0), ("beta", 1.0), ("transA", 0))):
        raise ValueError(f"model must have Gemm nodes with alpha = beta = 1 and transA = 0; got {options}")
    if missing := [name for name in names if name not in weights]:
        raise ValueError(f"model must hold its weights as initializers; got none for {', '.join(missing)}")
    weight = weights[names[0]] if transposed else weights[names[0]].T
    if len(names) == 1:
        return weight, None
    bias = weights[names[1]]
    return weight, bias[0] if bias.ndim == 2 and len(bias) == 1 else bias


def _import_onnx() -> Any:
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("onnx is needed for ONNX models: pip install 'cvxrelu[onnx]'") from error
    return onnx
