"""``cvxrelu verify``."""

import json

import numpy as np
import pytest

import cvxrelu as cr
from tests.helpers.command import invoke


@pytest.fixture
def proof(tmp_path):
    """Paths of a certificate and of its data."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((12, 3)), rng.standard_normal(12)
    certificate = cr.solve(cr.ConvexReLU(X, y, cr.sample_patterns(X, 5), 0.05)).certificate
    certificate.save(tmp_path / "a.cert")
    np.savez(tmp_path / "data.npz", X=X, y=y)
    np.savez(tmp_path / "other.npz", X=X, y=-y)
    return tmp_path / "a.cert", tmp_path / "data.npz"


@pytest.mark.parametrize("exact", [[], ["--exact"]])
def test_verify(proof, exact):
    path, data = proof
    result = invoke("verify", path, "--data", data, *exact)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("verified\nlower bound")
    assert "optimal among relu networks whose neurons have the given patterns" in result.stdout
    result = invoke("verify", path, "--data", data, "--json", *exact)
    found = json.loads(result.stdout)
    assert (result.exit_code, found["verified"]) == (0, True)
    assert found["lower"] <= found["upper"]
    assert found["arithmetic"] == ("exact" if exact else "floating_point")


def test_verify_rejects(proof, tmp_path):
    path, data = proof
    (tmp_path / "cut.cert").write_bytes(path.read_bytes()[:-100])
    cases = [(path, tmp_path / "other.npz", "hash differs"), (tmp_path / "cut.cert", data, "the file is damaged")]
    for certificate, table, words in [*cases, (data, data, "no certificate")]:
        result = invoke("verify", certificate, "--data", table)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("rejected: ")
        assert words in result.stderr
        assert result.stderr.count("\n") == 1
        result = invoke("verify", certificate, "--data", table, "--json")
        found = json.loads(result.stdout)
        assert (result.exit_code, found["verified"], result.stderr) == (1, False, "")
        assert words in found["reason"]


def test_verify_says_what_is_wrong_with_its_input(proof, tmp_path):
    path, data = proof
    np.savez(tmp_path / "names.npz", A=np.ones(3))
    np.savez(tmp_path / "shape.npz", X=np.ones(3), y=np.ones(3))
    np.save(tmp_path / "one.npy", np.ones(3))
    np.savez(tmp_path / "text.npz", X=np.array([["a"]]), y=np.ones(1))
    logistic = cr.ConvexGatedReLU(np.eye(3), [1.0, -1.0, 1.0], cr.sample_patterns(np.eye(3), 3), 0.1, loss="logistic")
    cr.certify(logistic, logistic.zero_weights()).save(tmp_path / "b.cert")
    np.savez(tmp_path / "labels.npz", X=np.eye(3), y=[1.0, -1.0, 1.0])
    for arguments, words in (
        ([tmp_path / "none.cert", "--data", data], "none.cert: No such file"),
        ([tmp_path, "--data", data], "directory"),
        ([path, "--data", tmp_path / "none.npz"], "none.npz: No such file"),
        ([path, "--data", path], "must be an npz file with arrays X and y"),
        ([path, "--data", tmp_path / "names.npz"], "must be an npz file with arrays X and y"),
        ([path, "--data", tmp_path / "one.npy"], "must be an npz file with arrays X and y"),
        ([path, "--data", tmp_path / "shape.npz"], "X must be (n, d)"),
        ([path, "--data", tmp_path / "text.npz"], "X must hold finite real numbers"),
        ([tmp_path / "b.cert", "--data", tmp_path / "labels.npz", "--exact"], "exponentials"),
        ([path], "--data"),
    ):
        result = invoke("verify", *arguments)
        assert (result.exit_code, result.stdout) == (2, ""), arguments
        assert words in " ".join(result.stderr.split()), arguments
