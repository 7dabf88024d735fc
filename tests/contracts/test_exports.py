"""Exported networks have the same predictions in three libraries, and their own certificates."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cvxrelu as cr
from cvxrelu.networks.layers import as_columns
from tests.helpers.cases import random_network
from tests.helpers.needs import require

KINDS = ("relu", "gated")
TOLERANCES = {"float64": 1e-12, "float32": 1e-5}


def run_torch(network, X, bias, dtype):
    torch = require("torch")
    module = network.to_torch(bias=bias, dtype=dtype)
    with torch.no_grad():
        return module(torch.tensor(X.astype(dtype))).numpy()


def run_onnx(network, X, bias, dtype):
    require("onnx")
    onnxruntime = require("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    raw = network.to_onnx(bias=bias, dtype=dtype).SerializeToString()
    session = onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    return session.run(["prediction"], {"X": X.astype(dtype)})[0]


RUNTIMES = pytest.mark.parametrize("run", [run_torch, run_onnx])


def scale(network, X):
    """Return the scale of rounding errors: the largest sum of the absolute terms of a prediction."""
    sizes = np.abs(X) @ np.abs(network.W1.T) @ np.abs(as_columns(network.w2))
    return float(sizes.max(initial=np.finfo(np.float32).tiny))


def sure_rows(network, X):
    """Return the rows on which float32 rounding switches no gate."""
    if isinstance(network, cr.ReLUNetwork):
        return X
    margins = np.abs(X @ network.G) / (np.abs(X) @ np.abs(network.G))
    return X[(margins > 1e-5).all(axis=1)]


@RUNTIMES
@settings(max_examples=40)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(KINDS),
    st.sampled_from(sorted(TOLERANCES)),
    st.booleans(),
    st.integers(0, 9),
    st.sampled_from([None, 1, 3]),
)
def test_random_networks_predict_the_same_everywhere(run, seed, kind, dtype, bias, m, c):
    rng = np.random.default_rng(seed)
    network = random_network(kind, rng, m, 5, c)
    X = np.column_stack([rng.standard_normal((20, 4)) * 10.0 ** rng.integers(-2, 3, 4), np.ones(20)])
    X = sure_rows(network, X)
    found = run(network, X[:, :-1] if bias else X, bias, dtype)
    assert found.dtype == dtype
    assert found.shape == (len(X), 1 if c is None else c)
    expected = network.predict(X) if len(X) else np.zeros(found.size)
    error = np.abs(found - expected.reshape(found.shape)).max(initial=0.0)
    assert error <= TOLERANCES[dtype] * scale(network, X)


@RUNTIMES
@settings(max_examples=40)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(KINDS),
    st.booleans(),
    st.booleans(),
    st.sampled_from(sorted(TOLERANCES)),
    st.sampled_from([1, 3]),
)
def test_convex_weights_network_and_export_predict_the_same(run, seed, kind, bias, scaled, dtype, c):
    """With or without a bias column, on raw data or with scaled columns."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((15, 4)) * 10.0 ** rng.integers(-2, 3, 4)
    X = np.column_stack([features, np.ones(15)]) if bias else features
    Y = rng.standard_normal((15, c))[:, 0] if c == 1 else rng.standard_normal((15, c))
    patterns = cr.sample_patterns(X, 6, seed=seed, bias=bias, active_proportion=0.5 if bias else None)
    raw = (cr.ConvexReLU if kind == "relu" else cr.ConvexGatedReLU)(X, Y, patterns, lam=0.1)
    scaling = cr.ColumnScaling.fit(X)
    problem = scaling.problem(raw) if scaled else raw
    blocks = rng.standard_normal(problem.blocks(problem.zero_weights()).shape)
    weights = problem.repair(problem.weights(blocks))
    network = cr.to_network(problem, weights)
    network = scaling.network(network) if scaled else network
    size = scale(network, X)
    convex = problem.predict(weights)
    np.testing.assert_allclose(network.predict(X).reshape(convex.shape), convex, rtol=0.0, atol=1e-12 * size)
    new = np.column_stack([rng.standard_normal((20, 4)), np.ones(20)]) if bias else rng.standard_normal((20, 4))
    for rows in (X, new):
        rows = sure_rows(network, rows)
        found = run(network, rows[:, :-1] if bias else rows, bias, dtype)
        expected = network.predict(rows) if len(rows) else np.zeros(found.size)
        np.testing.assert_allclose(
            found, expected.reshape(found.shape), rtol=0.0, atol=TOLERANCES[dtype] * scale(network, rows)
        )


@RUNTIMES
def test_a_gate_of_zero_is_active(run):
    network = cr.GatedReLUNetwork([[0.0, 1.0], [0.0, 0.0]], [[1.0, 0.0], [10.0, 5.0]], [1.0, 1.0])
    X = np.array([[-1.0, 1.0], [0.0, 1.0], [-0.0, 1.0], [1.0, 1.0]])
    expected = [-1.0, 5.0, 5.0, 16.0]
    np.testing.assert_array_equal(network.predict(X), expected)
    for rows, bias in ((X, False), (X[:, :1], True)):
        np.testing.assert_array_equal(run(network, rows, bias, "float64")[:, 0], expected)


def test_the_package_imports_neither_library_by_itself():
    code = "import sys, cvxrelu; print(sorted({'torch', 'onnx', 'onnxruntime'} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


@pytest.fixture(scope="module", params=KINDS)
def trained(request):
    """Return X with a column of ones, y, lam, a network trained to a gap of 1e-10, and its certificate."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal((60, 3)), np.ones(60)])
    y = np.abs(X[:, 0]) - X[:, 1] + 0.1 * rng.standard_normal(60)
    patterns = cr.sample_patterns(X, 15, seed=0)
    problem = (cr.ConvexReLU if request.param == "relu" else cr.ConvexGatedReLU)(X, y, patterns, lam=0.01)
    solution = cr.solve(problem, tol=1e-10)
    assert solution.status == "optimal"
    return X, y, problem.lam, solution.network(), solution.certificate


@RUNTIMES
@pytest.mark.parametrize("dtype", sorted(TOLERANCES))
def test_a_trained_network_predicts_the_same_everywhere(trained, run, dtype):
    X, *_, network, _ = trained
    expected = network.predict(X)
    found = run(network, X[:, :-1], True, dtype)[:, 0]
    assert np.abs(found - expected).max() <= TOLERANCES[dtype] * np.abs(expected).max()


@RUNTIMES
@pytest.mark.parametrize("dtype", sorted(TOLERANCES))
@pytest.mark.parametrize("name", ["ConvexReLURegressor", "GatedReLURegressor", "ConvexReLUClassifier"])
def test_exports_of_estimators_have_their_predictions(name, run, dtype):
    """Raw data have different scales, far from zero, and the estimator standardises them, with an intercept."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((80, 3)) * [1.0, 5.0, 0.2] + [3.0, -4.0, 1.0]
    y = np.abs(X[:, 0] - 3.0) - X[:, 2] + 50.0
    classifier = name.endswith("Classifier")
    model = getattr(cr, name)(n_gates=20, random_state=0).fit(X, y > np.median(y) if classifier else y)
    network, new = model.network_, X + 0.1 * rng.standard_normal(X.shape)
    rows = np.column_stack([new, np.ones(len(new))])
    output = model.decision_function(new) if classifier else model.predict(new)
    size = scale(network, rows)
    assert np.abs(network.predict(rows) - output).max() <= 1e-14 * size
    sure = sure_rows(network, rows)[:, :-1]
    assert len(sure) > 70
    expected = model.decision_function(sure) if classifier else model.predict(sure)
    found = run(network, sure, True, dtype)[:, 0]
    assert np.abs(found - expected).max() <= TOLERANCES[dtype] * size


def module_of(network, kind):
    """Return the module of a network with a bias column, its weights rounded to 64, 32 or 16 bits."""
    torch = require("torch")
    if kind == "bfloat16":
        return network.to_torch(bias=True).to(torch.bfloat16)
    return network.to_torch(bias=True, dtype=kind)


def test_an_export_gets_its_own_certificate_and_never_the_old_one():
    """The coarser the rounding, the wider the gap; scope "global", as rounded neurons may leave their patterns."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 1))
    X, y, lam = np.column_stack([x, np.ones(40)]), np.abs(x[:, 0]) + 0.1 * rng.standard_normal(40), 0.01
    best = cr.solve_global(X, y, lam, tol=5e-10)
    network = best.network()
    own = {}
    for kind in ("float64", "float32", "bfloat16"):
        module = module_of(network, kind)
        own[kind] = cr.certify_network(module, x, y, lam, scope="global", solve=False)
        read = cr.from_torch(module)
        assert own[kind].objective_given == read.objective(X, y, lam)
        assert own[kind].upper >= best.certificate.lower
    assert own["float64"].upper == pytest.approx(best.certificate.upper, rel=1e-14)
    assert own["float64"].rel_gap <= 1e-9
    assert own["float64"].gap < own["float32"].gap < own["bfloat16"].gap
    assert own["float64"].upper < own["float32"].upper < own["bfloat16"].upper
    require("onnx")
    read = cr.from_onnx(network.to_onnx(bias=True, dtype="float32"))
    from_file = cr.certify_network(read, X, y, lam, scope="global", solve=False)
    assert (from_file.lower, from_file.upper) == (own["float32"].lower, own["float32"].upper)


@pytest.mark.parametrize("trained", ["gated"], indirect=True)
def test_a_gated_export_gets_its_own_certificate(trained):
    X, y, lam, network, certificate = trained
    gaps = []
    for kind in ("float64", "float32", "bfloat16"):
        read = cr.from_torch(module_of(network, kind))
        patterns, weights = cr.to_convex(read, X)
        own = cr.certify(cr.ConvexGatedReLU(X, y, patterns, lam), weights)
        assert own.upper <= read.objective(X, y, lam) * (1.0 + 1e-14)
        gaps.append(own.gap)
    assert certificate.gap < 1e-8
    assert gaps == sorted(gaps)
    assert gaps[1] > 10.0 * gaps[0]
    assert gaps[2] > 10.0 * gaps[1]
