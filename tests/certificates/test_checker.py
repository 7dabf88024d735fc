import copy
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cvxrelu as cr
from cvxrelu.certificates import checker
from cvxrelu.certificates.checker import RejectedCertificate
from tests.helpers.cases import make_data, make_problem, make_targets, random_weights
from tests.helpers.forgery import as_contents, as_plain, forged
from tests.helpers.solved_cases import CASES, solved

# Valid ones are never rejected


@pytest.mark.parametrize("case", CASES, ids=str)
def test_valid_certificates_are_verified(case):
    """Any weights of any size and any dual point, not only optimal ones: 12 for each of 44 programs, 528 in all."""
    rng = np.random.default_rng(0)
    problem, solution = solved(case)
    for trial in range(12):
        lam = problem.lam * rng.choice([1.0, 1e-3, 30.0, 1e-9, 0.0])
        scale = 10.0 ** rng.integers(-12, 4)
        harder = problem.with_lam(lam)
        blocks = scale * rng.choice([0.0, 1.0]) * problem.blocks(random_weights(problem, rng))
        weights = harder.weights(blocks + rng.choice([0.0, 1.0]) * problem.blocks(solution.weights))
        t = rng.choice([0.0, 1.0, -3.0]) * solution.dual.t + rng.choice([0.0, scale]) * rng.standard_normal(
            problem.Y.shape
        )
        certificate = cr.certify(harder, weights, t) if trial else solution.certificate
        verdict = checker.check(as_contents(certificate), problem.X, problem.y)
        assert verdict.upper == pytest.approx(certificate.upper, rel=1e-9)
        assert verdict.lower <= verdict.upper * (1 + 1e-12)
        if certificate.problem.lam > 1e-6 * problem.lam:
            assert verdict.lower == pytest.approx(certificate.lower, rel=1e-9, abs=1e-12 * certificate.upper)


@pytest.mark.parametrize("kind", ["gated", "relu"])
@pytest.mark.parametrize(
    ("columns", "dtype"),
    [((1e-4, 1.0, 1e5), np.float64), ((1e-150,), np.float64), ((1e100,), np.float64), ((1e-2, 1.0, 1e2), np.float32)],
)
def test_scaled_data(kind, columns, dtype):
    problem = make_problem(kind, columns=columns, dtype=dtype, ratio=0.05)
    weights = random_weights(problem, np.random.default_rng(0))
    blocks = problem.blocks(weights) / max(np.abs(problem.predict(weights)).max(), 1e-300)
    for certificate in (cr.certify(problem, problem.weights(blocks)), cr.certify(problem, problem.zero_weights())):
        verdict = checker.check(as_contents(certificate), problem.X, problem.y)
        assert verdict.upper == pytest.approx(certificate.upper, rel=1e-12)
        assert verdict.lower == pytest.approx(certificate.lower, rel=1e-9)


def test_zero_targets():
    problem = make_problem("relu")
    zero = cr.ConvexReLU(problem.X, 0 * problem.y, problem.patterns, problem.lam)
    contents = as_contents(cr.certify(zero, zero.zero_weights()))
    assert (contents.header["lower"], contents.header["upper"]) == (0.0, 0.0)
    for rigor in ("floating_point", "rounded"):  # rounded, the claims equal what they are compared with
        verdict = checker.check(forged(contents, rigor=rigor), zero.X, zero.y, exact=True)
        assert (verdict.lower, verdict.upper) == (0.0, 0.0)
        assert (verdict.lower_rounding == 0.0) == (rigor == "rounded")


# False ones are never verified


@settings(max_examples=150)
@given(st.sampled_from(CASES), st.integers(0, 2**32 - 1), st.sampled_from([1e-6, 1e-3, 0.5]))
def test_no_proof_of_a_false_claim(case, seed, size):
    """Whatever weights, dual points and multipliers are offered, bounds beyond the optimum are rejected."""
    rng = np.random.default_rng(seed)
    problem, solution = solved(case)
    contents = as_contents(solution.certificate)
    for claims in (
        {"lower": solution.objective * (1 + size), "upper": solution.objective * (2 + size)},
        {"lower": 0.0, "upper": solution.lower * (1 - size)},
    ):
        arrays = {}
        for name in ("weights", "t", "multiplier_values"):
            if name in contents.arrays and rng.random() < 0.5:
                noise = 1 + rng.choice([1e-9, 1e-5, 1e-1]) * rng.standard_normal(contents.arrays[name].shape)
                arrays[name] = contents.arrays[name] * (np.abs(noise) if name == "multiplier_values" else noise)
        with pytest.raises(RejectedCertificate):
            checker.check(forged(contents, arrays, **claims), problem.X, problem.y)


def test_claims_better_than_the_bounds(relu, gated):
    for problem, contents in (relu, gated):
        verdict = checker.check(contents, problem.X, problem.y)
        assert verdict.lower_rounding < 1e-11
        assert verdict.upper_rounding < 1e-11
        assert 0.0 <= verdict.cone_violation < 1e-14
        with pytest.raises(RejectedCertificate, match="lower bound .* is above the dual objective"):
            checker.check(forged(contents, lower=verdict.lower + 1e-11, upper=1.0), problem.X, problem.y)
        with pytest.raises(RejectedCertificate, match="upper bound .* is below the objective"):
            checker.check(forged(contents, upper=verdict.upper - 1e-11, lower=0.0), problem.X, problem.y)
        with pytest.raises(RejectedCertificate, match="lower bound .* is above the upper bound"):
            checker.check(forged(contents, lower=contents.header["upper"] + 1.0), problem.X, problem.y)
        modest = forged(contents, lower=0.0, upper=2 * verdict.upper)
        assert checker.check(modest, problem.X, problem.y).claimed_lower == 0.0


@pytest.mark.parametrize(
    ("loss", "c", "scale"),
    [("squared", 1, 1e-165), ("squared", 1, 1e6), ("huber", 3, 1.0), ("logistic", 1, 1.0), ("softmax", 3, 1.0)],
)
def test_the_rounding_of_a_dual_value_is_neither_more_nor_less(loss, c, scale):
    """By the sum of nc terms, each of a few operations, and the logarithms: between 1 and 8 times the usual bounds."""
    X = make_data("tall")
    X, Y = np.tile(X, (20, 1)), scale * np.tile(make_targets(loss, X, c), (20, 1))
    problem = cr.ConvexGatedReLU(X, Y, cr.sample_patterns(X, 3, seed=0), 1e3 * scale, loss)
    contents = as_contents(cr.certify(problem, problem.zero_weights(), rigor="rounded"))
    verdict = checker.check(contents, X, Y)
    n, t = len(X), contents.arrays["t"]
    if loss == "logistic":
        a = -n * Y * t
        sizes, logarithms = np.abs(a * np.log(a)) + np.abs((1 - a) * np.log1p(-a)), 1.0
    elif loss == "softmax":
        p = n * t + Y
        sizes, logarithms = np.abs(p * np.log(p)), float(c)
    else:
        sizes, logarithms = (n * t) ** 2 / 2 + np.abs(n * t * Y), 0.0
    usual, underflow = 2.0**-52 * (c * np.sum(sizes) + 10.0 * logarithms), n * c * 2.0**-1074
    assert usual + underflow <= verdict.lower_rounding <= 8.0 * usual + 32.0 * underflow


@pytest.mark.parametrize("penalty", ["group_l1", "l1", "feature_group_l1", "nuclear"])
def test_the_rounding_of_a_dual_norm_is_not_forgotten(penalty):
    """At least that of the entries, sums of n products, and of a norm of few of them; no more than some units."""
    X, Y = np.array([[0.3, 0.7], [0.1, 0.9]]), np.array([[1.0], [0.7]])
    patterns = cr.ActivationPatterns(np.ones((2, 1), dtype=bool))
    problem = cr.ConvexGatedReLU(X, Y, patterns, 0.1, penalty=penalty)
    contents = as_contents(cr.certify(problem, problem.zero_weights()))
    t = contents.arrays["t"]
    dual = checker._Dual(checker._Problem(contents, *checker.canonical_data(X, Y), checker.FLOATS))
    size, error = dual._norm(*dual._argument(t))
    entries = np.abs(X).T @ np.abs(t[:, 0])  # all terms have one sign
    grouped = penalty in ("group_l1", "nuclear")
    assert size == pytest.approx(np.linalg.norm(entries) if grouped else entries.max(), rel=1e-14)
    assert (len(X) + 1) * 2.0**-53 * size <= error <= 1e-13 * size


def test_data_that_are_none(relu):
    problem, contents = relu
    for X, y in ((problem.X[0], problem.y), (problem.X, problem.y[1:]), (problem.X * np.nan, problem.y)):
        with pytest.raises(ValueError, match="X must"):
            checker.check(contents, X, y)
    with pytest.raises(ValueError, match="X must hold finite real numbers"):
        checker.check(contents, problem.X.astype(str), problem.y)


# On its own


def test_runs_alone(relu, tmp_path):
    """A copy of the file, isolated from the environment, verifies and imports nothing but NumPy."""
    problem, contents = relu
    script = shutil.copy(checker.__file__, tmp_path / "alone.py")
    good, bad, data = (str(tmp_path / name) for name in ("good.cert", "bad.cert", "data.npz"))
    Path(good).write_bytes(as_plain(contents))
    Path(bad).write_bytes(as_plain(dataclasses.replace(contents, header={**contents.header, "lower": 1e3})))
    np.savez(data, X=problem.X, y=problem.y)

    def alone(*arguments):
        command = [sys.executable, "-I", "-X", "importtime", script, *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": ""}
        )

    result = alone(good, "--data", data, "--exact")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("verified\n")
    assert "| numpy\n" in result.stderr
    for name in ("cvxrelu", "scipy", "cvxpy"):
        assert f" {name}" not in result.stderr
    result = alone(bad, "--data", data, "--json")
    assert (result.returncode, json.loads(result.stdout)["verified"]) == (1, False)
    assert alone(good).returncode == 2
    assert alone(good, "--data", str(tmp_path / "none.npz")).returncode == 2


def test_verdicts_are_plain(relu, capsys, tmp_path):
    problem, contents = relu
    path, data = tmp_path / "a.cert", tmp_path / "data.npz"
    path.write_bytes(as_plain(forged(contents, rigor="rounded")))
    np.savez(data, X=problem.X, y=problem.y)
    assert checker.run(path, data) == 0
    assert "rounded (claimed; --exact checks it)" in capsys.readouterr().out
    before = copy.deepcopy(contents.header)
    assert checker.run(path, data, exact=False, as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verified"] is True
    assert found["claimed_lower"] == contents.header["lower"]
    assert contents.header == before
