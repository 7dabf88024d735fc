"""Changed certificates for all networks: the checker verifies none that is false."""

import dataclasses
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import cvxrelu as cr
from cvxrelu._files import pack
from cvxrelu.certificates import checker
from cvxrelu.certificates.checker import RejectedCertificate
from cvxrelu.cli import app
from cvxrelu.pricing.neuron_problem import RowLines
from cvxrelu.pricing.relaxation import relaxed_point
from tests.helpers.forgery import as_contents, changed, forged
from tests.helpers.global_proofs import LOSSES, of_dual, relaxed, targets
from tests.helpers.neurons import SEEDS


@pytest.fixture(scope="module")
def solved():
    """Return data of rank 3 and the contents of a certificate with cuts and leaves with multipliers."""
    X = np.random.default_rng(1).standard_normal((40, 3))
    y = targets(X, "squared")
    certificate = cr.solve_global(X, y, 0.02, tol=1e-7).certificate
    contents = as_contents(certificate)
    assert len(contents.arrays["shares"]) > 20
    assert len(contents.arrays["leaf_values"]) > 20
    return X, y, contents


@pytest.fixture(scope="module")
def relaxation():
    """Return data of rank 14 and the contents of a certificate by relaxation."""
    X = np.random.default_rng(1).standard_normal((25, 14))
    y = targets(X, "squared")
    t, bound = relaxed_point(RowLines(X), y[:, None], 0.1, LOSSES["squared"])
    return X, y, as_contents(of_dual(X, y, 0.1, "squared", t, bound))


def test_tampering(solved):
    X, y, contents = solved
    arrays = contents.arrays
    checker.check(contents, X, y)
    largest = int(np.argmax(np.linalg.norm(arrays["leaf_points"], axis=1)))
    row = int(np.argmax(np.abs(arrays["t"][:, 0])))
    infeasible = {
        "t is larger": {"t": (1.0 + 1e-6) * arrays["t"]},
        "t has another sign": {"t": -arrays["t"]},
        "a leaf's x is shorter": changed(contents, "leaf_points", largest, 0.99 * arrays["leaf_points"][largest]),
        "a leaf's x is longer": changed(contents, "leaf_points", largest, 1.1 * arrays["leaf_points"][largest]),
        "a side is flipped": changed(contents, "row_lines", row, -arrays["row_lines"][row]),
        "a row is on no line": changed(contents, "row_lines", row, 0),
        "a row is on another line": changed(contents, "row_lines", row, arrays["row_lines"][row] % 40 + 1),
        "a line is turned": changed(contents, "lines", (5, 0), arrays["lines"][5, 0] + 0.01),
        "the basis is longer": {"basis": 1.001 * arrays["basis"]},
        "the basis is shorter": {"basis": 0.999 * arrays["basis"]},
        "the space is stretched": {"basis": 1.01 * arrays["basis"], "lines": arrays["lines"] / 1.01},
        "a cut is elsewhere": changed(contents, "shares", 0, 0.5 * arrays["shares"][0]),
        "the axes are others": {"axes": arrays["axes"][[1, 2, 0]]},
        "the trees change places": {"cuts": arrays["cuts"][::-1]},
    }
    for name, change in infeasible.items():
        with pytest.raises(RejectedCertificate, match="the dual norm is|cover"):
            pytest.fail(f"{name} was not seen: {checker.check(forged(contents, change), X, y)}")
    unsound = {
        "axes are no basis": ({"axes": arrays["axes"][[0, 0, 2]]}, "not orthonormal"),
        "a cut is beyond its edge": (changed(contents, "shares", 0, 2.0), "outside an edge"),
        "a cut is at a ray": (changed(contents, "shares", 0, 0.0), "outside an edge"),
        "an edge is none": (changed(contents, "cuts", 0, 7), "no edge"),
        "a multiplier is above 1": (changed(contents, "leaf_values", 0, 1.001), "in \\[0, 1\\]"),
        "a multiplier is negative": (changed(contents, "leaf_values", 0, -1e-9), "in \\[0, 1\\]"),
        "a line is none": (changed(contents, "leaf_lines", 0, 40), "indices out of range"),
        "a row's line is none": (changed(contents, "row_lines", 0, 41), "on no line"),
        "a leaf's start": (changed(contents, "leaf_starts", 1, -1), "leaf_starts are invalid"),
        "a cut without a fraction": ({"shares": arrays["shares"][1:]}, "other cuts or leaves"),
        "a point is NaN": (changed(contents, "leaf_points", 0, np.nan), "finite"),
        "multipliers": ({"multiplier_values": np.zeros(0)}, "must have the members"),
    }
    for name, (change, words) in unsound.items():
        with pytest.raises(RejectedCertificate, match=words):
            pytest.fail(f"{name} was not seen: {checker.check(forged(contents, change), X, y)}")


def test_tampering_with_a_relaxation(relaxation):
    X, y, contents = relaxation
    arrays = contents.arrays
    checker.check(contents, X, y)
    row, largest = int(np.argmax(np.abs(arrays["t"][:, 0]))), np.unravel_index(arrays["rho"].argmax(), (2, 25))
    for name, change in {
        "t is larger": {"t": (1.0 + 1e-6) * arrays["t"]},
        "rho is 0": {"rho": 0.0 * arrays["rho"]},
        "rho is larger": {"rho": 1.1 * arrays["rho"]},
        "one rho is larger": changed(contents, "rho", largest, 1.1 * arrays["rho"][largest]),
        "gamma is 0": {"gamma": 0.0 * arrays["gamma"]},
        "delta is larger": {"delta": arrays["delta"] + 0.01},
        "signs change places": {"gamma": arrays["gamma"][::-1]},
        "a side is flipped": changed(contents, "row_lines", row, -arrays["row_lines"][row]),
        "the basis is shorter": {"basis": 0.999 * arrays["basis"]},
        "the space is stretched": {"basis": 1.01 * arrays["basis"], "lines": arrays["lines"] / 1.01},
        "lines are shorter": {"lines": 0.999 * arrays["lines"]},
        "multipliers overflow": {"rho": 1e308 * np.ones_like(arrays["rho"])},
    }.items():
        with pytest.raises(RejectedCertificate, match="the dual norm is|overflow"):
            pytest.fail(f"{name} was not seen: {checker.check(forged(contents, change), X, y)}")
    with pytest.raises(RejectedCertificate, match="delta must be >= 0"):
        forged(contents, {"delta": arrays["delta"] - 1.0})
    with pytest.raises(RejectedCertificate, match="must have the members"):
        forged(contents, proof="cones")


def test_one_multiplier_of_a_leaf(solved):
    """The bound may still hold if other multipliers suffice."""
    X, y, contents = solved
    values = contents.arrays["leaf_values"]
    fractional = np.flatnonzero((values > 0.1) & (values < 0.9))
    n_rejected = 0
    for index in fractional[:40]:
        for value in (0.0, 1.0):
            try:
                checker.check(forged(contents, changed(contents, "leaf_values", index, value)), X, y)
            except RejectedCertificate:
                n_rejected += 1
    assert n_rejected > 20


def without(contents, first, n_dropped, leaf, n_leaves):
    """Return the contents without some cones and their leaves."""
    arrays = contents.arrays
    starts = arrays["leaf_starts"]
    entries = slice(starts[leaf], starts[leaf + n_leaves])
    lengths = np.delete(np.diff(starts), slice(leaf, leaf + n_leaves))
    return forged(
        contents,
        {
            "cuts": np.delete(arrays["cuts"], slice(first, first + n_dropped), axis=0),
            "leaf_points": np.delete(arrays["leaf_points"], slice(leaf, leaf + n_leaves), axis=0),
            "leaf_values": np.delete(arrays["leaf_values"], entries),
            "leaf_lines": np.delete(arrays["leaf_lines"], entries),
            "leaf_starts": np.concatenate([[0], np.cumsum(lengths)]),
        },
    )


def test_every_leaf_is_needed(solved):
    X, y, contents = solved
    leaves = np.flatnonzero(contents.arrays["cuts"][:, 0] == contents.arrays["cuts"][:, 1])
    for leaf in (*range(0, len(leaves), 7), len(leaves) - 1):
        with pytest.raises(RejectedCertificate, match="cover|the dual norm"):
            checker.check(without(contents, leaves[leaf], 1, leaf, 1), X, y)
    twice = {name: np.repeat(contents.arrays[name], [*[1] * (len(contents.arrays[name]) - 1), 2], axis=0)
             for name in ("cuts", "leaf_points", "leaf_starts")}  # fmt: skip
    with pytest.raises(RejectedCertificate, match="more cones than cover"):
        checker.check(forged(contents, twice), X, y)


def test_claims(solved):
    X, y, contents = solved
    lower, upper = contents.header["lower"], contents.header["upper"]
    with pytest.raises(RejectedCertificate, match="lower bound .* is above the dual objective"):
        checker.check(forged(contents, lower=lower + 1e-9 * lower), X, y)
    with pytest.raises(RejectedCertificate, match="upper bound .* is below the objective"):
        checker.check(forged(contents, upper=upper * (1.0 - 1e-9)), X, y)
    assert checker.check(forged(contents, lower=0.0), X, y).claimed_lower == 0.0
    for data, labels in ((X[::-1], y), (X + 1e-12, y), (X, 2.0 * y)):
        with pytest.raises(RejectedCertificate, match="not those of the certificate"):
            checker.check(contents, data, labels)
    digest = checker.problem_hash(*checker.canonical_data(X[::-1], y), 0.02, {"name": "squared"}, "group_l1")
    with pytest.raises(RejectedCertificate):
        checker.check(forged(contents, problem_sha256=digest), X[::-1], y)


def with_noise(contents, rng):
    """Return the arrays with some changes of any size."""
    arrays = {}
    for name in ("t", "leaf_points", "leaf_values", "lines", "basis", "shares", "rho", "gamma", "delta"):
        if name in contents.arrays and rng.random() < 0.4:
            noise = 1.0 + rng.choice([1e-9, 1e-5, 1e-1]) * rng.standard_normal(contents.arrays[name].shape)
            arrays[name] = contents.arrays[name] * (np.abs(noise) if name == "delta" else noise)
            if name in ("leaf_values", "shares"):
                arrays[name] = np.clip(arrays[name], 1e-3, 1.0 - 1e-3)
    if rng.random() < 0.3:
        moved = contents.arrays["row_lines"].copy()
        moved[rng.integers(len(moved))] = rng.integers(
            -len(contents.arrays["lines"]), len(contents.arrays["lines"]) + 1
        )
        arrays["row_lines"] = moved
    return arrays


def largest_neuron(contents, X, y):
    """Return the bound on the largest neuron that the checker derives from a file's proof, and its rounding error."""
    problem = checker._Problem(contents, *checker.canonical_data(X, y), checker.FLOATS)
    return checker._NeuronProof(problem, contents.arrays["t"][:, 0]).bound()


@settings(max_examples=60)
@given(SEEDS, st.booleans())
def test_what_is_derived_is_a_bound_whatever_the_file(solved, relaxation, seed, by_cones):
    rng = np.random.default_rng(seed)
    X, y, contents = solved if by_cones else relaxation
    tampered = forged(contents, with_noise(contents, rng))
    t = tampered.arrays["t"][:, 0]
    size, error = largest_neuron(tampered, X, y)
    assert error < 1e-9 * size
    assert size >= cr.find_neuron(X, t, n_starts=20).value * (1.0 - 1e-12)


@pytest.mark.parametrize(("n", "d"), [(40, 40), (3, 60), (60, 2)])
def test_the_rounding_of_the_largest_neuron_is_not_forgotten(n, d):
    """It is at least that of n sums of d products of equal size, for many dimensions as for few."""
    rng = np.random.default_rng(0)
    X, t = rng.standard_normal((n, d)), rng.standard_normal(n)
    y = -t
    contents = as_contents(of_dual(X, y, 0.1, "squared", t, relaxed(X, t, rng)))
    size, error = largest_neuron(contents, X, y)
    t = contents.arrays["t"][:, 0]
    assert (n + d) * 2.0**-53 * float(np.abs(t) @ np.linalg.norm(X, axis=1)) <= error < 1e-9 * size


@settings(max_examples=100)
@given(SEEDS, st.sampled_from([1e-6, 1e-3, 0.5]))
def test_no_proof_of_a_false_claim(solved, seed, size):
    """A bound above the objective is rejected, whatever is changed."""
    rng = np.random.default_rng(seed)
    X, y, contents = solved
    arrays = with_noise(contents, rng)
    claims = {"lower": contents.header["upper"] * (1 + size), "upper": contents.header["upper"] * (2 + size)}
    with pytest.raises(RejectedCertificate):
        checker.check(forged(contents, arrays, **claims), X, y)


def test_a_proof_for_patterns_is_none_for_all_networks(solved):
    X, y, contents = solved
    problem = cr.ConvexReLU(X, y, cr.sample_patterns(X, 5, seed=0), 0.02)
    certificate = cr.solve(problem, "CLARABEL", tol=1e-7).certificate
    assert certificate.lower > contents.header["upper"]
    of_patterns = as_contents(certificate)
    for header in ({"scope": "global"}, {"scope": "global", "version": 2}):
        with pytest.raises(RejectedCertificate, match="scope 'global' cannot|must have the keys"):
            forged(of_patterns, **header)
    with pytest.raises(RejectedCertificate, match="must have the members"):
        forged(of_patterns, scope="global", version=2, proof="cones")
    names = ("basis", "lines", "row_lines", "axes", "cuts", "shares", *(f"leaf_{name}" for name in ("points", "values",
             "lines", "starts")))  # fmt: skip
    arrays = {name: array for name, array in of_patterns.arrays.items() if not name.startswith("multiplier")}
    mixed = checker.Contents(of_patterns.header, {**arrays, **{name: contents.arrays[name] for name in names}})
    with pytest.raises(RejectedCertificate, match="the dual norm is"):
        checker.check(forged(mixed, scope="global", version=2, proof="cones"), X, y)
    with pytest.raises(ValueError, match="above lam"):
        dataclasses.replace(certificate, scope="global")._encoded()


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("scope", "patterns", "scope 'patterns' cannot be checked: must be 'global' in version 2"),
        ("version", 1, "keys"),
        ("version", 3, "version 3 is unknown"),
        ("proof", "patterns", "proof 'patterns' is unknown"),
        ("proof", ["cones"], "proof must be of type str"),
        ("kind", "gated", "scope 'global' is of ReLU"),
        ("penalty", "l1", "scope 'global' is of ReLU"),
        ("c", 2, "scope 'global' is of ReLU"),
        ("lam", 0.0, "scope 'global' is of ReLU"),
        ("rigor", "rounded", "without rounding"),
    ],
)
def test_header_words(solved, key, value, words):
    with pytest.raises(RejectedCertificate, match=words):
        forged(solved[2], **{key: value})


def test_no_exact_check(solved):
    X, y, contents = solved
    with pytest.raises(ValueError, match="scope global is out of reach"):
        checker.check(contents, X, y, exact=True)


def test_command_line(solved, tmp_path):
    X, y, contents = solved
    path, data = tmp_path / "a.cert", tmp_path / "data.npz"
    path.write_bytes(pack(contents.header, contents.arrays))
    np.savez(data, X=X, y=y)
    result = CliRunner().invoke(app, ["verify", str(path), "--data", str(data)])
    assert result.exit_code == 0
    assert "global: optimal among two-layer ReLU networks of any width" in result.stdout
    result = CliRunner().invoke(app, ["verify", str(path), "--data", str(data), "--json"])
    assert json.loads(result.stdout)["proof"] == "cones"
    result = CliRunner().invoke(app, ["verify", str(path), "--data", str(data), "--exact"])
    assert (result.exit_code, result.stdout) == (2, "")
    script = shutil.copy(checker.__file__, tmp_path / "alone.py")
    alone = subprocess.run([sys.executable, "-I", script, path, "--data", data], capture_output=True, text=True)
    assert alone.stdout.startswith("verified\n")
