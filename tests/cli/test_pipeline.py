"""The commands and the estimators train the same network and give it the same certificate."""

import numpy as np
import pandas as pd
import pytest

import cvxrelu as cr
from tests.helpers.command import invoke, invoke_json, refused

ESTIMATORS = {
    ("gated", "y"): cr.GatedReLURegressor,
    ("relu", "y"): cr.ConvexReLURegressor,
    ("gated", "label"): cr.GatedReLUClassifier,
    ("relu", "label"): cr.ConvexReLUClassifier,
}
CASES = [
    ("gated", "y", "squared"),
    ("relu", "y", "squared"),
    ("gated", "y", "huber"),
    ("gated", "label", "squared"),
    ("relu", "label", "squared"),
    ("gated", "label", "logistic"),
]


@pytest.fixture(scope="module")
def frame():
    """Return columns of very different scales, one constant, with some duplicate rows."""
    rng = np.random.default_rng(3)
    Z = rng.standard_normal((40, 3))
    hidden = np.maximum(Z[:, 0], 0.0) - np.abs(Z[:, 1])
    columns = {"a": Z[:, 0], "size [m2]": 50.0 + 10.0 * Z[:, 1], "k": 7.0, "c": 1e5 * Z[:, 2] - 1e6}
    frame = pd.DataFrame(columns).assign(y=1000.0 + 50.0 * hidden, label=np.where(hidden > -0.4, "yes", "no"))
    return pd.concat([frame, frame.iloc[:5]])


@pytest.fixture
def table(frame, tmp_path):
    """Return a function that writes the table with one of the targets, and returns its path and features."""

    def write(target):
        kept = frame.drop(columns="label" if target == "y" else "y")
        kept.to_csv(tmp_path / "data.csv", index=False)
        return tmp_path / "data.csv", kept.drop(columns=target)

    return write


def estimator(kind, target, loss, **options):
    return ESTIMATORS[kind, target](loss=loss, n_gates=8, **options)


@pytest.mark.parametrize(("kind", "target", "loss"), CASES)
def test_solve_is_the_estimator(table, frame, tmp_path, kind, target, loss):
    path, features = table(target)
    options = ("--target", target, "--kind", kind, "--loss", loss, "--gates", 8, "--lam", 0.02, "--seed", 4)
    found = invoke_json("solve", path, *options, "--test-size", 0, "--save-network", tmp_path / "net.npz")
    model = estimator(kind, target, loss, alpha=0.02, random_state=4).fit(features, frame[target])
    assert (found["objective"], found["lower"]) == (model.objective_, model.lower_bound_)
    assert found["constant_features"] == ["k"]
    network, rows = cr.load_network(tmp_path / "net.npz"), np.column_stack([features, np.ones(len(features))])
    np.testing.assert_array_equal(network.predict(rows), model.network_.predict(rows))
    if target == "y":
        np.testing.assert_array_equal(network.predict(rows), model.predict(features))
        assert found["train"]["r2"] == pytest.approx(model.score(features, frame[target]))
    else:
        assert found["train"]["accuracy"] == pytest.approx(model.score(features, frame[target]))


@pytest.mark.parametrize("test_size", [0, 0.2])
@pytest.mark.parametrize(("kind", "target", "loss"), CASES)
def test_certify_proves_what_solve_has_proved(table, tmp_path, kind, target, loss, test_size):
    path, _ = table(target)
    files = {name: tmp_path / f"{name}.npz" for name in ("network", "data", "certificate")}
    written = [word for name, file in files.items() for word in (f"--save-{name}", file)]
    options = ("--kind", kind, "--loss", loss, "--gates", 8, "--test-size", test_size)
    solved = invoke_json("solve", path, "--target", target, *options, *written)
    assert invoke_json("verify", files["certificate"], "--data", files["data"])["verified"]
    for data in (path, files["data"]):
        found = invoke_json("certify", files["network"], "--data", data, "--lam", solved["lam"], "--tol", 1e-5)
        assert (found["proved"], found["standardized"], found["rows_of_training"]) == (True, True, True)
        assert (found["n"], found["loss"]) == (solved["n_train"], loss)
        assert found["objective"] == pytest.approx(solved["objective"], rel=1e-9)
        assert found["lower"] == pytest.approx(solved["lower"], rel=1e-5)
        assert found["n_neurons"] == solved["n_neurons"]


def test_compare_and_path_solve_the_same_program(table):
    path, _ = table("y")
    options = ("--target", "y", "--gates", 8, "--seed", 4, "--test-size", 0)
    solved = invoke_json("solve", path, *options, "--lam-ratio", 0.05)
    compared = invoke_json("compare", path, *options, "--lam", solved["lam"], "--solvers", "WorkingSet", "CLARABEL")
    assert compared["lower"] <= solved["objective"] * (1 + 1e-12)
    assert compared["upper"] == pytest.approx(solved["objective"], rel=1e-6)
    points = invoke_json("path", path, *options, "--n-lams", 3, "--eps", 0.05)["points"]
    assert points[-1]["lam"] == pytest.approx(solved["lam"])
    assert points[-1]["objective"] == pytest.approx(solved["objective"], rel=1e-4)
    assert points[-1]["train"]["r2"] == pytest.approx(solved["train"]["r2"], rel=1e-3)


def test_what_certify_says_of_a_network_of_solve(table, frame, tmp_path):
    path, features = table("y")
    net = tmp_path / "net.npz"
    assert invoke("solve", path, "--target", "y", "--gates", 8, "--save-network", net).exit_code == 0
    shown = invoke("certify", net, "--data", path, "--lam", 0.01, columns=200)
    for words in ("Certified as trained: columns and target standardised", "Rows: the 36 of 45", "Proved: "):
        assert words in shown.stdout
    assert shown.exit_code == 0
    # Other rows and another weight decay also have a certificate, which states them.
    frame.drop(columns="label").iloc[:20].to_csv(tmp_path / "other.csv", index=False)
    shown = invoke("certify", net, "--data", tmp_path / "other.csv", "--lam", 0.1, columns=200)
    assert (shown.exit_code, "Rows: not the 36" in shown.stdout) == (3, True)
    assert "Not proved optimal" in shown.stdout
    # The same rows in an npz file are recognised by their values.
    np.savez(tmp_path / "raw.npz", X=features, y=frame["y"])
    refused("certify", net, "--data", tmp_path / "raw.npz", "--lam", 0.01, words=["features must be", "'x0'"])


def test_the_better_network_is_for_raw_data_too(table, tmp_path):
    path, _ = table("y")
    net, better, cert, data = (tmp_path / name for name in ("net.npz", "better.npz", "better.cert", "data.npz"))
    options = ("--target", "y", "--kind", "relu", "--gates", 4, "--max-iter", 1, "--solver", "WorkingSet")
    invoke("solve", path, *options, "--save-network", net)
    written = ("--save-network", better, "--save-certificate", cert, "--save-data", data)
    first = invoke_json("certify", net, "--data", path, "--lam", 0.01, "--tol", 1e-12, *written, code=3)
    again = invoke_json("certify", better, "--data", data, "--lam", 0.01, "--tol", 1e-5)
    assert again["proved"]
    assert again["objective"] == pytest.approx(first["better_network"]["objective"], rel=1e-9)
    assert invoke_json("verify", cert, "--data", data)["verified"]


def test_a_network_of_no_neurons(table, tmp_path):
    """At lam_max only the neuron that carries the mean remains."""
    path, features = table("y")
    net = tmp_path / "net.npz"
    for kind in ("gated", "relu"):
        options = ("--target", "y", "--kind", kind, "--lam-ratio", 1.0, "--save-network", net, "--force")
        solved = invoke_json("solve", path, *options)
        network = cr.load_network(net)
        assert (solved["n_neurons"], network.n_neurons) == (0, 1)
        assert np.ptp(network.predict(np.column_stack([features, np.ones(45)]))) == 0.0
        found = invoke_json("certify", net, "--data", path, "--lam", solved["lam"])
        assert (found["proved"], found["n_neurons"]) == (True, 0)
        assert found["objective"] == pytest.approx(solved["objective"])


def test_mistakes(table, frame, tmp_path):
    path, _ = table("label")
    net, data = tmp_path / "net.npz", tmp_path / "data.npz"
    solve = ("solve", path, "--target", "label", "--gates", 5)
    refused(*solve, "--save-network", tmp_path / "net.onnx", words=["ends in .npz", "to_onnx"])
    assert invoke(*solve, "--save-network", net).exit_code == 0
    assert invoke(*solve, "--seed", 1, "--save-data", data).exit_code == 0
    certify = ("certify", net, "--lam", 0.01, "--data")
    refused(*certify, data, words=["not standardised as in the network's training"])
    frame.drop(columns=["y", "a"]).to_csv(tmp_path / "fewer.csv", index=False)
    refused(*certify, tmp_path / "fewer.csv", words=["features must be those", "'a', 'size [m2]'"])
    frame.drop(columns="y").replace({"label": {"no": "not"}}).to_csv(tmp_path / "other.csv", index=False)
    refused(*certify, tmp_path / "other.csv", words=["classes must be those", "'no', 'yes'", "'not', 'yes'"])
