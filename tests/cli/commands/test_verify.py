"""``cvxrelu verify``."""

import json
from fractions import Fraction

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.certificates import checker
from cvxrelu.cli.commands.verify import LossName, PenaltyName
from cvxrelu.cli.settings import Kind, Scope
from tests.helpers.command import invoke, invoke_json

LAM = 0.05
STATEMENT = ("--lam", LAM, "--loss", "squared", "--penalty", "group_l1", "--kind", "relu", "--scope", "patterns")


@pytest.fixture
def proof(tmp_path):
    """Paths of a certificate and of its data."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((12, 3)), rng.standard_normal(12)
    patterns = cr.sample_patterns(X, 5)
    solution = cr.solve(cr.ConvexReLU(X, y, patterns, LAM))
    solution.certificate.save(tmp_path / "a.cert")
    network = solution.network()
    np.savez(tmp_path / "data.npz", X=X, y=y)
    np.savez(tmp_path / "other.npz", X=X, y=-y)
    np.savez(tmp_path / "patterns.npz", D=patterns.D)
    np.savez(tmp_path / "fewer.npz", D=patterns.D[:, 1:])
    np.savez(tmp_path / "network.npz", W1=network.W1, w2=network.w2)
    np.savez(tmp_path / "twice.npz", W1=2.0 * network.W1, w2=network.w2)
    return tmp_path / "a.cert", tmp_path / "data.npz"


def test_verify_states_what_is_proved(proof):
    path, data = proof
    given = (*STATEMENT, "--patterns", path.with_name("patterns.npz"))
    found = invoke_json("verify", path, "--data", data, *given)
    result = invoke("verify", path, "--data", data, *given)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("verified in exact arithmetic: on the 12 x 3 data (c=1, SHA-256 ")
    for words in (
        "squared loss",
        "penalty group_l1",
        "lam=0.05",
        f"with the {found['statement']['patterns']['count']} ",
    ):
        assert words in result.stdout
    assert set(found) == {
        "verified",
        "statement",
        "lower",
        "upper",
        "lower_exact",
        "upper_exact",
        "arithmetic",
        "seconds",
    }
    assert (found["verified"], found["arithmetic"], found["statement"]["from_file"]) == (True, "exact", [])
    lower, upper = (Fraction(found[f"{name}_exact"]) for name in ("lower", "upper"))
    assert Fraction(found["lower"]) <= lower <= upper <= Fraction(found["upper"])
    assert upper - lower <= 1e-6 * upper


def test_what_is_not_given_is_the_file_s_own_statement(proof):
    path, data = proof
    own, rest = invoke("verify", path, "--data", data, "--lam", LAM).stdout.split("\n", 1)
    label, text = own.split(": ", 1)
    assert label == "the file's own statement, which you did not give"
    assert set(json.loads(text)) == {"kind", "scope", "loss", "penalty", "patterns"}
    assert rest.startswith("verified in exact arithmetic")
    found = invoke_json("verify", path, "--data", data)
    assert set(found["statement"]["from_file"]) == {"kind", "scope", "loss", "penalty", "lam", "patterns"}


def test_interval_arithmetic_is_named(proof):
    path, data = proof
    exact, found = (invoke_json("verify", path, "--data", data, *more) for more in ((), ("--interval",)))
    assert (found["arithmetic"], found["lower_exact"], found["upper_exact"]) == ("interval", None, None)
    assert Fraction(found["lower"]) <= Fraction(exact["lower_exact"])
    assert Fraction(found["upper"]) >= Fraction(exact["upper_exact"])
    assert "verified in interval arithmetic" in invoke("verify", path, "--data", data, "--interval").stdout


def test_the_objective_of_a_network(proof):
    path, data = proof
    own = invoke_json("verify", path, "--data", data)
    found = {
        name: invoke_json("verify", path, "--data", data, "--network", path.with_name(f"{name}.npz"))
        for name in ("network", "twice")
    }
    assert float(found["network"]["upper"]) == pytest.approx(float(own["upper"]), rel=1e-12)
    assert float(found["twice"]["upper"]) > 1.1 * float(own["upper"])
    for each in found.values():
        assert each["lower"] == own["lower"]
        assert each["statement"]["network"]
    result = invoke("verify", path, "--data", data, "--network", path.with_name("network.npz"))
    assert "with balanced layers and patterns of its own, is at most" in result.stdout


def test_verify_rejects(proof, tmp_path):
    path, data = proof
    (tmp_path / "cut.cert").write_bytes(path.read_bytes()[:-100])
    (tmp_path / "text.cert").write_text("verified")
    cases = [
        (path, tmp_path / "other.npz", (), "data"),
        (tmp_path / "cut.cert", data, (), "the file ends within"),
        (tmp_path / "text.cert", data, (), "no cvxrelu certificate of version 3"),
        (data, data, (), "of version 1 or 2, whose proofs can be forged: save the certificate again"),
        (path, data, ("--lam", 10.0), "the file is about lam 0.05, not 10.0"),
        (path, data, ("--loss", "huber"), "the file is about loss 'squared', not 'huber'"),
        (path, data, ("--delta", 1.0), "the file is about delta None, not 1.0"),
        (path, data, ("--penalty", "l1"), "the file is about penalty 'group_l1', not 'l1'"),
        (path, data, ("--kind", "gated"), "the file is about kind 'relu', not 'gated'"),
        (path, data, ("--scope", "global"), "the file is about scope 'patterns', not 'global'"),
        (path, data, ("--patterns", tmp_path / "fewer.npz"), "patterns"),
    ]
    for certificate, table, given, words in cases:
        result = invoke("verify", certificate, "--data", table, *given)
        assert (result.exit_code, result.stderr) == (1, "")
        assert result.stdout.startswith("rejected: ")
        assert words in result.stdout
        assert result.stdout.count("\n") == 1
        found = invoke_json("verify", certificate, "--data", table, *given, code=1)
        assert set(found) == {"verified", "reason"}
        assert found["verified"] is False
        assert words in found["reason"]


def test_verify_says_what_is_wrong_with_its_input(proof, tmp_path):
    path, data = proof
    np.savez(tmp_path / "names.npz", A=np.ones(3))
    np.savez(tmp_path / "shape.npz", X=np.ones(3), y=np.ones(3))
    np.save(tmp_path / "one.npy", np.ones(3))
    np.savez(tmp_path / "text.npz", X=np.array([["a"]]), y=np.ones(1))
    np.savez(tmp_path / "wide.npz", W1=np.ones((1, 4)), w2=np.ones(1))
    for arguments, words in (
        ([tmp_path / "none.cert", "--data", data], "none.cert"),
        ([tmp_path, "--data", data], "Is a directory"),
        ([path, "--data", tmp_path / "none.npz"], "none.npz"),
        ([path, "--data", path], "a.cert is no npz file with X and y"),
        ([path, "--data", tmp_path / "names.npz"], "names.npz is no npz file with X and y"),
        ([path, "--data", tmp_path / "one.npy"], "one.npy is no npz file with X and y"),
        ([path, "--data", tmp_path / "shape.npz"], "X must be (n, d)"),
        ([path, "--data", tmp_path / "text.npz"], "X must hold finite numbers"),
        ([path, "--data", data, "--network", tmp_path / "wide.npz"], "a network is W1 (m, d) and w2"),
        ([path, "--data", data, "--patterns", tmp_path / "names.npz"], "names.npz is no npz file with D"),
        ([path, "--data", data, "--max-memory", 1000], "more than allowed"),
        ([path, "--data", data, "--loss", "hinge"], "'squared', 'huber', 'logistic', 'softmax'"),
        ([path], "--data"),
    ):
        result = invoke("verify", *arguments)
        assert (result.exit_code, result.stdout) == (2, ""), arguments
        assert words in " ".join(result.stderr.split()), arguments


def test_a_failure_of_the_machine_is_no_verdict(proof, monkeypatch):
    path, data = proof

    def fail(*arguments):
        raise MemoryError("1 GB")

    monkeypatch.setattr(checker, "digest", fail)
    result = invoke("verify", path, "--data", data)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "1 GB" in result.stderr


def test_the_choices_are_those_of_the_checker():
    for key, choices in (("loss", LossName), ("penalty", PenaltyName), ("kind", Kind), ("scope", Scope)):
        assert tuple(choices) == checker.CHOICES[key]
