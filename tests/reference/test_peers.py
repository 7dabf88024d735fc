"""The scripts of the peers environment, by subprocess, against the literal programs of `reference.programs`."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

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
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
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
    assert out["seconds"].shape == out["iterations"].shape == (2,)
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
