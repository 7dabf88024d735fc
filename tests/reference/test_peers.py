"""The scripts of the peers environment, by subprocess, against the literal programs of `reference.programs`."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

import cvxrelu as cr
from reference import programs as ref

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-peers" / "bin" / "python"
LAM = 0.02

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.exists(), reason=f"there is no peers environment ({PYTHON}); `make peers` builds it"),
]


def tiny(n=20, d=3, P=5, seed=0):
    """Gaussian X, y and G; gate 3 repeats gate 1, so that a peer may drop it, and row 0 of X is zero."""
    rng = np.random.default_rng(seed)
    X, y, G = rng.standard_normal((n, d)), rng.standard_normal(n), rng.standard_normal((d, P))
    X[0], G[:, 3] = 0, 2 * G[:, 1]
    return X, y, G


def run(tmp_path, script, *options):
    """Run the script on the tiny problem; the arrays of OUT.npz, its metadata apart."""
    X, y, G = tiny()
    np.savez(tmp_path / "problem.npz", X=X, y=y, G=G, lam=LAM)
    command = [PYTHON, ROOT / "reference" / "peers" / script, "problem.npz", "out.npz", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out.npz") as out:
        arrays = {name: out[name] for name in out.files}
    return arrays, json.loads(str(arrays.pop("metadata")))


def optimum(program):
    program.problem.solve(solver="CLARABEL")
    return program.value


@pytest.mark.parametrize(
    ("script", "options", "rtol"),
    [
        ("run_pyscnn.py", ("--solver", "rfista", "--tol", "1e-12"), 1e-6),
        ("run_pyscnn.py", ("--solver", "rfista", "--tol", "1e-12", "--backend", "torch"), 1e-6),
        ("run_pyscnn.py", ("--solver", "rfista", "--tol", "1e-6", "--dtype", "float32"), 1e-3),
        ("run_adelie.py", ("--solver", "gated", "--tol", "1e-14"), 1e-6),
        ("run_skglm.py", ("--solver", "GroupBCD", "--tol", "1e-9"), 1e-6),
        ("run_celer.py", ("--solver", "gated", "--tol", "1e-12"), 1e-6),
    ],
)
def test_gated_weights_are_optimal_for_the_literal_program(tmp_path, script, options, rtol):
    X, y, G = tiny()
    D = X @ G >= 0
    out, metadata = run(tmp_path, script, *options, "--repeats", "2")
    assert out["U"].shape == (1, 5, 3)
    assert out["U"].dtype == np.float64
    residual = sum(D[:, i] * (X @ out["U"][0, i]) for i in range(5)) - y
    objective = residual @ residual / 40 + LAM * np.linalg.norm(out["U"][0], axis=1).sum()
    assert objective == pytest.approx(optimum(ref.c_gated_relu(X, y, D, LAM)), rel=rtol)
    assert metadata["objective"] == pytest.approx(objective, rel=1e-12)
    assert metadata["converged"]
    assert metadata["threads"] == 1
    assert out["seconds"].shape == out["iterations"].shape
    assert 2 <= len(out["seconds"]) <= 9
    assert len(out["seconds"]) == 2 or out["seconds"][:-1].sum() < 0.05
    assert (out["seconds"] > 0).all()


@pytest.mark.parametrize(
    ("script", "options", "rtol", "violation"),
    [
        ("run_pyscnn.py", ("--solver", "al", "--tol", "1e-10"), 1e-3, 1e-4),
        ("run_adelie.py", ("--solver", "relu", "--tol", "1e-12"), 1e-3, 1e-4),
    ],
)
def test_relu_weights_are_nearly_feasible_and_optimal(tmp_path, script, options, rtol, violation):
    X, y, G = tiny()
    D = X @ G >= 0
    out, metadata = run(tmp_path, script, *options)
    V, W = out["V"][0], out["W"][0]
    residual = sum(D[:, i] * (X @ (V[i] - W[i])) for i in range(5)) - y
    objective = residual @ residual / 40 + LAM * (np.linalg.norm(V, axis=1).sum() + np.linalg.norm(W, axis=1).sum())
    assert objective == pytest.approx(optimum(ref.c_relu(X, y, D, LAM)), rel=rtol)
    assert metadata["objective"] == pytest.approx(objective, rel=1e-12)
    assert max(-((2 * D[:, i] - 1) * (X @ B[i])).min() for B in (V, W) for i in range(5)) <= violation
    assert metadata["violation"]["max"] <= violation


def test_pyscnn_tells_what_it_did_with_the_gates(tmp_path):
    out, metadata = run(tmp_path, "run_pyscnn.py", "--solver", "rfista", "--tol", "1e-8")
    assert metadata["gates_kept"] == 4
    assert metadata["differences"] == 0  # strict > and >= differ in the zero row only
    assert not out["U"][0, 3].any()
    assert metadata["objective_by_peer"] == pytest.approx(metadata["objective"], rel=1e-12)
    assert {"pyscnn", "torch", "numpy"} <= set(metadata["versions"])


def several(loss, n_outputs, kind):
    """A problem of ours with several outputs or another loss, its file and its optimal value."""
    rng = np.random.default_rng(3)
    X, G = rng.standard_normal((30, 4)), rng.standard_normal((4, 6))
    y = rng.standard_normal((30, n_outputs))
    y = {"squared": y, "huber": 3 * y, "logistic": np.where(y > 0, 1.0, -1.0)}.get(loss, np.eye(3)[np.arange(30) % 3])
    cls = cr.ConvexReLU if kind == "relu" else cr.ConvexGatedReLU
    return cls(X, y[:, 0] if y.shape[1] == 1 else y, cr.ActivationPatterns.from_gates(X, G), lam=LAM, loss=loss)


def answer_to(tmp_path, problem, script, *options):
    kind = "relu" if isinstance(problem, cr.ConvexReLU) else "gated"
    lower = cr.solve(problem, tol=1e-9).certificate.lower
    words = {"kind": kind, "loss": problem.loss.name, "penalty": "group_l1", "lower": lower}
    np.savez(tmp_path / "given.npz", X=problem.X, y=problem.y, G=np.asarray(problem.patterns.G), lam=LAM, **words)
    command = [PYTHON, ROOT / "reference" / "peers" / script, "given.npz", "answer.npz", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stderr
    answers = []
    for path in sorted(tmp_path.glob("answer*.npz")):
        with np.load(path) as out:
            answers.append({name: out[name] for name in out.files})
    return lower, answers


@pytest.mark.parametrize(
    ("script", "loss", "n_outputs", "options", "accuracy"),
    [
        ("run_adelie.py", "squared", 3, ("--solver", "gated", "--tol", "1e-13"), 1e-7),
        ("run_adelie.py", "squared", 3, ("--solver", "relu", "--tol", "1e-13"), 1e-4),
        ("run_adelie.py", "logistic", 1, ("--solver", "gated", "--tol", "1e-13"), 1e-7),
        ("run_skglm.py", "squared", 3, ("--solver", "GroupBCD", "--tol", "1e-9"), 1e-7),
        ("run_skglm.py", "logistic", 1, ("--solver", "GroupBCD", "--tol", "1e-9"), 1e-7),
        ("run_skglm.py", "logistic", 2, ("--solver", "GroupProxNewton", "--tol", "1e-9"), 1e-7),
        ("run_celer.py", "squared", 3, ("--solver", "gated", "--tol", "1e-12"), 1e-7),
        ("run_adelie.py", "logistic", 2, ("--solver", "relu", "--tol", "1e-13"), 1e-4),
        ("run_pyscnn.py", "squared", 3, ("--solver", "rfista", "--tol", "1e-12"), 1e-6),
        ("run_pyscnn.py", "squared", 3, ("--solver", "al", "--tol", "1e-9"), 1e-3),
    ],
)
def test_peers_on_other_losses_and_several_outputs(tmp_path, script, loss, n_outputs, options, accuracy):
    problem = several(loss, n_outputs, "relu" if {"relu", "al"} & set(options) else "gated")
    lower, (out,) = answer_to(tmp_path, problem, script, *options)
    blocks = out["U"] if "U" in out else (out["V"], out["W"])
    objective = problem.objective(problem.repair(problem.weights(problem.blocks(blocks))))
    assert 0.0 <= (objective - lower) / objective <= accuracy + 1e-9


@pytest.mark.parametrize(
    ("loss", "n_outputs"), [("squared", 1), ("squared", 3), ("huber", 1), ("logistic", 2), ("softmax", 3)]
)
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_gated_networks_are_answers_to_the_program(tmp_path, loss, n_outputs, optimizer):
    """They stop as soon as they are within the accuracy, and go on for a smaller one."""
    problem = several(loss, n_outputs, "gated")
    options = ("--solver", "gated", "--optimizer", optimizer, "--time-limit", "200", "--tol", "0.2", "0.05")
    lower, answers = answer_to(tmp_path, problem, "run_torch.py", *options)
    accuracies = [1.0 - lower / problem.objective(problem.weights(out["U"])) for out in answers]
    assert -1e-9 <= accuracies[1] <= 0.05
    assert accuracies[1] <= accuracies[0] <= 0.2
    assert 0.0 < answers[0]["seconds"][-1] <= answers[1]["seconds"][-1]


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_relu_networks_keep_to_the_time_limit(tmp_path, n_outputs):
    """They are better than the zero network, and with one output no better than the optimum over all patterns."""
    problem = several("squared", n_outputs, "relu")
    options = ("--solver", "relu", "--optimizer", "SGD", "--time-limit", "2", "--tol=-1e9")
    _, (out,) = answer_to(tmp_path, problem, "run_torch.py", *options)
    assert out["W1"].shape[1] == 4
    assert out["w2"].shape == (len(out["W1"]), n_outputs)
    assert np.linalg.norm(out["W1"], axis=1) == pytest.approx(np.linalg.norm(out["w2"], axis=1), rel=1e-9)
    network = cr.ReLUNetwork(out["W1"], out["w2"][:, 0] if n_outputs == 1 else out["w2"])
    objective = network.objective(problem.X, problem.y, LAM)
    assert objective < problem.objective(problem.zero_weights())
    if n_outputs == 1:
        everything = cr.ConvexReLU(problem.X, problem.y, cr.enumerate_patterns(problem.X), lam=LAM)
        assert objective >= cr.solve(everything, tol=1e-3).certificate.lower
    assert 1.9 <= out["seconds"][-1] <= 20.0  # an epoch is finished, however slow the machine
