"""``cvxrelu certify``: certificates of networks in files."""

import numpy as np
import pandas as pd
import pytest

import cvxrelu as cr
from cvxrelu.networks.loading import read_network_file
from tests.helpers.command import invoke, invoke_json, refused
from tests.helpers.needs import require

LAM = 0.02


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((40, 2))
    return X, np.maximum(X[:, 0], 0.0) - np.abs(X[:, 1]) + 0.3


@pytest.fixture
def files(tmp_path, data):
    """Return a function that writes arrays to an npz file, next to data.npz."""
    np.savez(tmp_path / "data.npz", X=data[0], y=data[1])

    def write(name="net.npz", **arrays):
        np.savez(tmp_path / name, **arrays)
        return tmp_path / name

    return write


def layers(m=4, d=2, seed=0):
    rng = np.random.default_rng(seed)
    return {"W1": rng.standard_normal((m, d)), "w2": rng.standard_normal(m), "b1": rng.standard_normal(m)}


def certify(path, *options, **keywords):
    return invoke_json("certify", path, "--data", path.parent / "data.npz", "--lam", LAM, *options, **keywords)


def test_plain_arrays_are_certified_as_in_python(files, data):
    arrays = layers()
    found = certify(files(**arrays, b2=np.array([0.5])), code=3)
    expected = cr.certify_network((arrays["W1"], arrays["b1"], arrays["w2"], 0.5), *data, LAM, tol=1e-7)
    assert (found["kind"], found["scope"], found["ones_appended"]) == ("relu", "patterns", True)
    assert found["objective"] == expected.upper
    assert found["objective_given"] == expected.objective_given
    assert found["lower"] == pytest.approx(expected.lower, rel=1e-9)
    assert found["rel_gap"] > found["tol"] == 1e-6
    assert not found["proved"]
    assert found["better_network"]["objective"] < found["objective"]
    assert found["new_neuron"]["value"] == pytest.approx(expected.neuron.value)


@pytest.mark.parametrize("kind", [cr.ConvexReLU, cr.ConvexGatedReLU])
def test_a_network_of_the_package_is_proved_optimal_again(files, data, kind):
    X, y = np.column_stack([data[0], np.ones(40)]), data[1]
    solution = cr.solve(kind(X, y, cr.sample_patterns(X, 12), LAM), tol=1e-8)
    path = files("data.npz", X=X, y=y).with_name("own.npz")
    solution.network().save(path)
    found = certify(path)
    assert found["proved"]
    assert found["n_neurons"] == solution.network().n_neurons
    assert found["objective"] == pytest.approx(solution.objective, rel=1e-9)
    assert found["lower"] <= solution.objective * (1 + 1e-12)
    # A column of ones is appended to data without one: the same problem.
    files("data.npz", X=data[0], y=y)
    again = certify(path)
    assert (found["ones_appended"], again["ones_appended"]) == (False, True)
    assert again["objective"] == pytest.approx(found["objective"], rel=1e-12)


def test_scope_global_and_what_it_writes(files, data):
    path = files(**layers())
    written = {name: path.with_name(name) for name in ("better.npz", "global.cert", "train.npz")}
    options = [
        word for option, name in (("network", "better.npz"), ("certificate", "global.cert"), ("data", "train.npz"))
        for word in (f"--save-{option}", written[name])
    ]  # fmt: skip
    found = certify(path, "--scope", "global", *options, code=3)
    assert (found["scope"], found["proof"]) == ("global", "branch_and_bound")
    local = certify(path, code=3)
    assert found["lower"] <= local["lower"]
    best = cr.solve_global(np.column_stack([data[0], np.ones(40)]), data[1], LAM)
    assert found["better_network"]["objective"] == pytest.approx(best.objective, rel=1e-5)
    statement = ("--lam", LAM, "--loss", "squared", "--penalty", "group_l1", "--kind", "relu", "--scope", "global")
    verified = invoke_json("verify", written["global.cert"], "--data", written["train.npz"], *statement)
    assert (verified["arithmetic"], verified["statement"]["from_file"]) == ("exact", [])
    assert float(verified["lower"]) == pytest.approx(found["lower"], rel=1e-6)
    with np.load(written["train.npz"]) as saved:
        better = cr.load_network(written["better.npz"]).objective(saved["X"], saved["y"], LAM)
    assert better == pytest.approx(found["better_network"]["objective"], rel=1e-12)
    # The network found is optimal, and the command proves it.
    files("data.npz", **np.load(written["train.npz"]))
    proved = certify(written["better.npz"], "--scope", "global", "--tol", 1e-5)
    assert proved["proved"]
    data_file = path.parent / "data.npz"
    shown = invoke("certify", written["better.npz"], "--data", data_file, "--lam", LAM, "--scope", "global")
    assert (shown.exit_code, "none would lower it, to the tolerance" in shown.stdout) == (0, True)


def test_it_is_shown_in_words(files):
    path = files(**layers())
    result = invoke("certify", path, "--data", path.parent / "data.npz", "--lam", LAM, columns=80)
    assert (result.exit_code, result.stderr) == (3, "")
    text = " ".join(result.stdout.split())
    for words in (
        "network relu, 4 neurons of 3 inputs, 1 output(s)",
        "A column of ones was appended to X",
        "Not proved optimal: the minimum in this scope may be up to",
        "would lower the objective, at the rate",
        "Networks with other patterns may do better: see --scope global",
    ):
        assert words in text
    assert max(map(len, result.stdout.splitlines())) <= 80
    zero = files("zero.npz", W1=np.zeros((1, 2)), w2=np.zeros(1))
    result = invoke("certify", zero, "--data", path.parent / "data.npz", "--lam", 100.0)
    assert result.exit_code == 0
    assert "Proved: to a relative gap of" in result.stdout


def test_onnx_and_tables(files, data):
    require("onnx")
    X = np.column_stack([data[0], np.ones(40)])
    solution = cr.solve(cr.ConvexReLU(X, data[1], cr.sample_patterns(X, 8), LAM), tol=1e-8)
    path = files().with_name("net.onnx")
    solution.network().to_onnx(path, dtype="float64")
    frame = pd.DataFrame(X, columns=["a", "b", "one"]).assign(price=data[1])
    frame.to_csv(path.with_name("data.csv"), index=False)
    found = invoke_json(
        "certify", path, "--data", path.with_name("data.csv"), "--target", "price", "--lam", LAM, "--tol", 1e-5
    )
    assert found["objective"] == pytest.approx(solution.objective, rel=1e-9)


MISTAKES = {
    "missing network": (["no.npz"], ["cannot use", "no.npz: No such file"]),
    "folder": (["."], ["Is a directory"]),
    "torch": (["model.pt"], ["may be a pickle", "from_torch(model).save", "numpy.savez"]),
    "missing torch": (["gone.pth"], ["gone.pth: No such file"]),
    "text": (["text.npz"], ["must be the file of a network"]),
    "certificate": (["x.cert"], ["cvxrelu certificate"]),
    "other arrays": (["names.npz"], ["must hold arrays W1 (m, d) and w2", "got coef, w2"]),
    "shapes": (["shapes.npz"], ["W1 and w2 must have shapes"]),
    "nan": (["nan.npz"], ["w2 must be finite"]),
    "objects": (["objects.npz"], ["must be the file of a network"]),
    "inputs": (["wide.npz"], ["X must have the 7 columns"]),
    "lam": (["net.npz", "--lam", -1], ["lam must be a finite number >= 0"]),
    "loss": (["net.npz", "--loss", "hinge"], ["loss must be one of", "'hinge'"]),
    "labels": (["net.npz", "--loss", "logistic"], ["y must hold", "-1"]),
    "gated global": (["gated.npz", "--scope", "global"], ["scope must be 'patterns' for gated networks"]),
    "tol": (["net.npz", "--tol", -2], ["tol must be a finite number > 0; got -2.0"]),
    "time limit": (["net.npz", "--time-limit", 0], ["time limit must be a finite number > 0"]),
    "data": (["net.npz", "--data", "no.npz"], ["no.npz: No such file"]),
    "no arrays": (["net.npz", "--data", "names.npz"], ["must be an npz file with arrays X and y"]),
    "no target": (["net.npz", "--data", "data.csv"], ["--target", "'a'"]),
    "target": (["net.npz", "--target", "y"], ["omit --target"]),
    "exists": (["net.npz", "--save-network", "net.npz"], ["exists already", "--force"]),
}


@pytest.mark.parametrize(("arguments", "words"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes(files, data, arguments, words, monkeypatch):
    folder = files(**layers()).parent
    monkeypatch.chdir(folder)
    for name in ("model.pt", "text.npz"):
        (folder / name).write_text("none")
    (folder / "data.csv").write_text("a,y\n1,2\n3,4\n")
    files("names.npz", coef=np.eye(2), w2=np.ones(2))
    files("shapes.npz", W1=np.eye(2), w2=np.ones(3))
    files("nan.npz", W1=np.eye(2), w2=np.array([1.0, np.nan]))
    files("objects.npz", W1=np.array([None]), w2=np.ones(1))
    files("wide.npz", W1=np.ones((2, 7)), w2=np.ones(2))
    cr.GatedReLUNetwork(np.eye(2), np.eye(2), np.ones(2)).save(folder / "gated.npz")
    problem = cr.ConvexReLU(*data, cr.sample_patterns(data[0], 3), LAM)
    cr.certify(problem, problem.zero_weights()).save(folder / "x.cert")
    defaults = {"--data": "data.npz", "--lam": LAM}
    given = [word for name, value in defaults.items() if name not in arguments for word in (name, value)]
    refused("certify", *arguments, *given, words=words)


def test_a_network_without_biases_is_taken_as_it_is(files):
    arrays = layers()
    network = read_network_file(files(W1=arrays["W1"], w2=arrays["w2"]))
    assert isinstance(network, cr.ReLUNetwork)
    np.testing.assert_array_equal(network.W1, arrays["W1"])


@pytest.mark.parametrize("kind", [cr.ConvexReLU, cr.ConvexGatedReLU])
def test_what_is_proved_is_not_warned_of(files, data, kind, monkeypatch):
    """Rounding keeps the bound from its tighter internal tolerance, which does not concern the user."""
    X, y = np.column_stack([data[0], np.ones(40)]), data[1]
    solution = cr.solve(kind(X, y, cr.sample_patterns(X, 3), LAM), tol=1e-9)
    path = files("data.npz", X=X, y=y).with_name("own.npz")
    solution.network().save(path)
    monkeypatch.setattr("cvxrelu.cli.runs.certify._FRACTION", 1e-12)
    result = invoke("certify", path, "--data", path.parent / "data.npz", "--lam", LAM)
    assert "Proved: " in result.stdout
    assert "above tol" not in result.stderr
    assert "loose" not in result.stdout


def test_a_loose_bound_is_said_to_be_the_bounds(files, data):
    """For fourteen features no global bound is tight within the time limit: the report says so once."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 14))
    path = files("data.npz", X=X, y=rng.standard_normal(60)).with_name("own.npz")
    cr.ReLUNetwork(0.1 * rng.standard_normal((3, 14)), rng.standard_normal(3)).save(path)
    options = ("--lam", LAM, "--scope", "global", "--time-limit", 0.5)
    result = invoke("certify", path, "--data", path.parent / "data.npz", *options)
    assert result.exit_code == 3
    assert "Not proved optimal" in result.stdout
    assert "Even for the best network found, the gap is" in result.stdout
    assert "above tol" not in result.stderr
