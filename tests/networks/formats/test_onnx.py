import io
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cvxrelu as cr
from tests.helpers.cases import assert_same_network, random_network
from tests.helpers.needs import require

onnx = require("onnx")

KINDS = ("relu", "gated")
SEEDS = st.integers(0, 2**32 - 1)


def relu_model(**changes):
    """Return a model of three nodes as another exporter might write it, with changed attributes or connections."""
    weights = {
        "A": np.array([[1.0, 2.0]]),
        "a": np.array([[0.5, -0.5]]),
        "B": np.array([[1.0], [3.0]]),
        "b": np.zeros(1),
    }
    if "wiring" in changes:  # one neuron, so that shapes match for any connections
        weights |= {"A": weights["A"][:, :1], "a": weights["a"][:, :1], "B": weights["B"][:1]}
    wiring = {"hidden": ["X", "A", "a"], "relu": ["h"], "output": ["z", "B", "b"], **changes.pop("wiring", {})}
    weights = {name: array.astype(changes.get("dtype", np.float64)) for name, array in weights.items()}
    number = onnx.helper.np_dtype_to_tensor_dtype(weights["A"].dtype)
    nodes = [
        onnx.helper.make_node("Gemm", wiring["hidden"], ["h"], **changes.get("hidden", {})),
        onnx.helper.make_node(changes.get("activation", "Relu"), wiring["relu"], ["z"]),
        onnx.helper.make_node("Gemm", wiring["output"], ["y"], **changes.get("output", {})),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "network",
        [onnx.helper.make_tensor_value_info("X", number, [None, 1])],
        [onnx.helper.make_tensor_value_info("y", number, [None, 1])],
        [
            onnx.numpy_helper.from_array(array, name)
            for name, array in weights.items()
            if name not in changes.get("left_out", ())
        ],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=7)


@settings(max_examples=50)
@given(SEEDS, st.sampled_from(KINDS), st.integers(0, 6), st.integers(1, 4), st.sampled_from([None, 1, 3]))
def test_round_trip_is_exact_to_the_bit(seed, kind, m, d, c):
    network = random_network(kind, np.random.default_rng(seed), m, d + 1, c)
    expected = type(network)(**{**vars(network), "w2": network.w2[:, 0]}) if c == 1 else network
    for bias in (False, True):
        assert_same_network(cr.from_onnx(network.to_onnx(bias=bias)), expected)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_graph(dtype, bias):
    for kind, operators in (
        ("relu", ["Gemm", "Relu", "Gemm"]),
        ("gated", ["Gemm", "GreaterOrEqual", "Gemm", "Where", "Gemm"]),
    ):
        model = random_network(kind, np.random.default_rng(0), m=4, d=3, c=2).to_onnx(bias=bias, dtype=dtype)
        assert [node.op_type for node in model.graph.node] == operators
        number = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        (given,), (predicted,) = model.graph.input, model.graph.output
        for value, name, columns in ((given, "X", 2 if bias else 3), (predicted, "prediction", 2)):
            assert value.name == name
            assert value.type.tensor_type.elem_type == number
            rows, width = value.type.tensor_type.shape.dim
            assert (rows.dim_param, width.dim_value) == ("n", columns)
        facts = {entry.key: entry.value for entry in model.metadata_props}
        assert facts == {"format": "cvxrelu network", "format_version": "1", "kind": kind, "bias": str(bias).lower()}
        assert (model.producer_name, model.producer_version) == ("cvxrelu", cr.__version__)
        assert (model.ir_version, model.opset_import[0].version) == (7, 13)


def test_files(tmp_path):
    path = tmp_path / "network.onnx"
    first, second = (random_network("relu", np.random.default_rng(seed)) for seed in (0, 1))
    model = first.to_onnx(path)
    assert onnx.load(path) == model
    assert_same_network(cr.from_onnx(path), first)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        second.to_onnx(path)
    assert_same_network(cr.from_onnx(str(path)), first)
    second.to_onnx(path, overwrite=True)
    assert_same_network(cr.from_onnx(path), second)
    with pytest.raises(FileNotFoundError):
        cr.from_onnx(tmp_path / "nothing.onnx")


def test_graphs_of_other_exporters():
    X = np.linspace(-2.0, 2.0, 9)
    expected = np.maximum(X + 0.5, 0.0) + 3.0 * np.maximum(2.0 * X - 0.5, 0.0)
    for dtype in (np.float16, np.float32, np.float64):
        network = cr.from_onnx(relu_model(dtype=dtype))
        assert network.W1.dtype == np.float64
        np.testing.assert_allclose(network.predict(np.column_stack([X, np.ones(9)])), expected, rtol=1e-15)
    no_bias = cr.from_onnx(relu_model(wiring={"hidden": ["X", "A"], "output": ["z", "B"]}))
    assert_same_network(no_bias, cr.ReLUNetwork([[1.0]], [1.0]))


def test_an_exported_model_of_pytorch_is_read():
    torch = require("torch")
    module = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2))
    raw = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the newer exporter needs another package
        torch.onnx.export(module, (torch.zeros(1, 3),), raw, dynamo=False)
    assert_same_network(cr.from_onnx(onnx.load_model_from_string(raw.getvalue())), cr.from_torch(module))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activation": "Tanh"}, "graph of Gemm, Relu, Gemm, or one .* got Gemm, Tanh, Gemm, 1 input"),
        ({"hidden": {"alpha": 0.5}}, "alpha = beta = 1"),
        ({"output": {"beta": 2.0}}, "alpha = beta = 1"),
        ({"hidden": {"transA": 1}}, "transA = 0"),
        ({"wiring": {"relu": ["X"]}}, "sequential layers"),
        ({"wiring": {"output": ["h", "B", "b"]}}, "sequential layers"),
    ],
)
def test_other_graphs_are_rejected(changes, message):
    with pytest.raises(ValueError, match=f"model must .*{message}"):
        cr.from_onnx(relu_model(**changes))


def test_weights_that_are_inputs_are_rejected():
    model = relu_model(left_out=["A"])
    model.graph.input.append(onnx.helper.make_tensor_value_info("A", onnx.TensorProto.DOUBLE, [1, 2]))
    with pytest.raises(ValueError, match="with one input and one output; got Gemm, Relu, Gemm, 2 input"):
        cr.from_onnx(model)
    model = relu_model(wiring={"hidden": ["X", "X", "a"]})
    with pytest.raises(ValueError, match="weights as initializers; got none for X"):
        cr.from_onnx(model)


@pytest.mark.parametrize(
    ("operator", "position", "source"),
    [("Gemm", 0, "one_row"), ("GreaterOrEqual", 0, "X"), ("GreaterOrEqual", 1, "one"), ("Where", 2, "one")],
)
def test_changed_gated_graphs_are_rejected(operator, position, source):
    model = random_network("gated", np.random.default_rng(0), m=3, d=3).to_onnx()
    for name, shape in (("one", ()), ("one_row", (1, 3))):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(shape), name))
    assert_same_network(cr.from_onnx(model), random_network("gated", np.random.default_rng(0), m=3, d=3))
    next(node for node in model.graph.node if node.op_type == operator).input[position] = source
    with pytest.raises(ValueError, match=r"gates Gemm\(X\) >= 0"):
        cr.from_onnx(model)


def test_other_files_and_objects_are_rejected(tmp_path):
    path = tmp_path / "network.onnx"
    for raw in (b"", b"no model", random_network("relu", np.random.default_rng(0)).to_onnx().SerializeToString()[:-40]):
        path.write_bytes(raw)
        with pytest.raises(ValueError, match="model must be a valid ONNX model"):
            cr.from_onnx(path)
    with pytest.raises(TypeError, match=r"model must be a path or an onnx.ModelProto; got ReLUNetwork"):
        cr.from_onnx(random_network("relu", np.random.default_rng(0)))
    model = relu_model()
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.array(1.0), "A"))
    with pytest.raises(ValueError, match="model must be a valid ONNX model"):
        cr.from_onnx(model)
    model = relu_model()
    model.graph.initializer[0].raw_data = np.array([[1.0, np.nan]]).tobytes()
    with pytest.raises(ValueError, match="W1 must be finite"):
        cr.from_onnx(model)


def test_the_extra_is_named_if_onnx_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    for call in (random_network("relu", np.random.default_rng(0)).to_onnx, lambda: cr.from_onnx("network.onnx")):
        with pytest.raises(ModuleNotFoundError, match=r"onnx is needed .* pip install 'cvxrelu\[onnx\]'"):
            call()
