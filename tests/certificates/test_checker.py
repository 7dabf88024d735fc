import copy
import dataclasses
import functools
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cvxrelu as cr
from cvxrelu._files import pack
from cvxrelu.certificates import checker
from cvxrelu.certificates.checker import RejectedCertificate
from tests.helpers.cases import all_cases, make_data, make_problem, make_targets, random_weights
from tests.helpers.forgery import as_contents, changed, forged

CASES = list(all_cases())
EXACT = ("group_l1", "l1", "feature_group_l1", "squared_l2")


@pytest.fixture(scope="module")
def relu():
    """A ReLU problem and its certificate with multipliers, to 1e-9."""
    problem = make_problem("relu", ratio=0.02)
    certificate = cr.solve(problem, "CLARABEL", tol=1e-8).certificate
    assert certificate.dual.multipliers.nnz > 0
    assert certificate.rel_gap < 1e-8
    return problem, as_contents(certificate)


@pytest.fixture(scope="module")
def gated():
    problem = make_problem("gated", "logistic", shape="collinear", ratio=0.02)
    return problem, as_contents(cr.solve(problem, "CLARABEL", tol=1e-8).certificate)


@functools.cache
def solved(case):
    problem = case.build()
    return problem, cr.solve(problem, tol=1e-6)


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


# Tampering


@pytest.mark.parametrize("name", ["weights", "t", "multiplier_values", "gates", "patterns", "blocks"])
def test_any_change_of_an_array_is_seen(relu, name):
    """By the hash of the contents, be it one bit."""
    contents = relu[1]
    raw = bytearray(contents.arrays[name].tobytes())
    raw[0] ^= 1
    array = np.frombuffer(bytes(raw), contents.arrays[name].dtype).reshape(contents.arrays[name].shape)
    raw_file = pack(contents.header, contents.arrays)
    assert raw_file.count(contents.arrays[name].tobytes()) == 1
    with pytest.raises(RejectedCertificate, match="damaged"):  # the zip file's own check
        checker.parse(raw_file.replace(contents.arrays[name].tobytes(), bytes(raw)))
    unhashed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw_file)) as old, zipfile.ZipFile(unhashed, "w") as new:
        for member in old.namelist():
            body = old.read(member)
            if member == f"{name}.npy":
                body = body.replace(contents.arrays[name].tobytes(), array.tobytes())
            new.writestr(member, body)
    with pytest.raises(RejectedCertificate, match="contents were changed"):
        checker.parse(unhashed.getvalue())


def test_one_weight(relu, gated):
    for problem, contents in (relu, gated):
        largest = np.unravel_index(np.argmax(np.abs(contents.arrays["weights"])), contents.arrays["weights"].shape)
        for factor in (1.5, 0.5, -1.0, 1 + 1e-3):
            value = factor * contents.arrays["weights"][largest]
            tampered = forged(contents, changed(contents, "weights", largest, value))
            with pytest.raises(RejectedCertificate, match="miss their cones|below the objective"):
                checker.check(tampered, problem.X, problem.y)


def test_weights_outside_their_cones(relu):
    problem, contents = relu
    outside = -contents.arrays["weights"]
    with pytest.raises(RejectedCertificate, match="miss their cones"):
        checker.check(forged(contents, {"weights": outside}, upper=1e6), problem.X, problem.y)
    block = problem.blocks(problem.zero_weights()).reshape(-1, problem.d).shape[0] - 1
    tiny = {"blocks": np.array([block]), "weights": 1e-9 * np.ones((1, 3))}
    violation = problem.violation(
        problem.weights(np.concatenate([np.zeros((block, 3)), tiny["weights"]]).reshape(2, 1, -1, 3))
    )
    assert 0.0 < violation < 1e-8
    with pytest.raises(RejectedCertificate, match="miss their cones"):
        checker.check(forged(contents, tiny, upper=1e6), problem.X, problem.y)


def test_one_dual_entry(relu, gated):
    for problem, contents in (relu, gated):
        for j in range(problem.n):
            for factor in (1.01, 0.99, -1.0):
                value = factor * contents.arrays["t"][j]
                if abs(value[0]) < 1e-3 * np.abs(contents.arrays["t"]).max():
                    continue
                with pytest.raises(RejectedCertificate, match="infeasible|above the dual|outside the domain"):
                    checker.check(forged(contents, changed(contents, "t", j, value)), problem.X, problem.y)


def test_an_infeasible_dual_point_is_shrunk_or_rejected(relu):
    problem, contents = relu
    for arrays in ({"t": 1 + 2e-9}, {"t": 1 + 1e-3}):
        factor = arrays["t"]
        scaled = {name: factor * contents.arrays[name] for name in ("t", "multiplier_values")}
        with pytest.raises(RejectedCertificate, match="the dual point is infeasible: the dual norm"):
            checker.check(forged(contents, scaled, lower=0.0), problem.X, problem.y)
    scaled = {name: (1 + 5e-10) * contents.arrays[name] for name in ("t", "multiplier_values")}
    modest = forged(contents, scaled, lower=contents.header["lower"] * (1 - 1e-8))
    verdict = checker.check(modest, problem.X, problem.y)
    assert verdict.lower == pytest.approx(contents.header["lower"], rel=1e-12)
    unshrunk = -problem.loss.conjugate(scaled["t"], problem.Y)
    with pytest.raises(RejectedCertificate, match="above the dual objective"):
        checker.check(forged(contents, scaled, lower=unshrunk + 1e-9, upper=1.0), problem.X, problem.y)


@pytest.mark.parametrize(("loss", "c"), [("logistic", 1), ("softmax", 3), ("huber", 2)])
def test_the_domain_of_the_conjugate(loss, c):
    problem = make_problem("gated", loss, c=c, ratio=2.0)
    contents = as_contents(cr.certify(problem, problem.zero_weights()))
    t = contents.arrays["t"]
    far = t + (2.0 / problem.n) * np.sign(t)
    with pytest.raises(RejectedCertificate, match="outside the domain"):
        checker.check(forged(contents, {"t": far}), problem.X, problem.y)


@pytest.mark.parametrize(("loss", "c"), [("logistic", 1), ("softmax", 3), ("huber", 2)])
def test_a_point_just_outside_the_domain_is_moved_in(loss, c):
    """By up to 1e-9; its value is that of the point on the boundary."""
    problem = make_problem("gated", loss, c=c, ratio=20.0)
    contents = as_contents(cr.certify(problem, problem.zero_weights()))
    n, Y = problem.n, problem.Y

    def first_row_at(excess):
        t = contents.arrays["t"].copy()
        if loss == "logistic":
            t[0] = -(1.0 + excess) * Y[0] / n
        elif loss == "softmax":
            t[0] = (np.array([-excess, 0.25, 0.75]) - Y[0]) / n
        else:
            t[0] = -(1.0 + excess) * np.sign(Y[0]) * problem.loss.delta / n
        return t

    t = first_row_at(0.0)
    if loss == "logistic":
        a = -n * t[1:] * Y[1:]  # in the first row a = 1, of entropy 0
        value = -np.sum(a * np.log(a) + (1.0 - a) * np.log(1.0 - a)) / n
    elif loss == "softmax":
        p = np.append((n * t + Y)[1:], [0.25, 0.75])  # the entry 0 adds nothing
        value = -np.sum(p * np.log(p)) / n
    else:
        value = -np.sum(n * t**2 / 2 + t * Y)
    verdict = checker.check(forged(contents, {"t": first_row_at(5e-10)}, lower=0.0), problem.X, problem.y)
    assert verdict.lower == pytest.approx(value, rel=1e-8)
    with pytest.raises(RejectedCertificate, match="outside the domain of the conjugate loss"):
        checker.check(forged(contents, {"t": first_row_at(2e-9)}, lower=0.0), problem.X, problem.y)


@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_without_a_penalty_the_argument_must_vanish(kind):
    problem = make_problem(kind, penalty="none", shape="tripled")
    contents = as_contents(cr.solve(problem, tol=1e-6).certificate)
    checker.check(contents, problem.X, problem.y)
    j = int(np.argmax(problem.patterns.D.any(axis=1)))  # a row that some pattern sees
    tampered = changed(contents, "t", j, contents.arrays["t"][j] + 1e-9)
    with pytest.raises(RejectedCertificate, match="A't must vanish"):
        checker.check(forged(contents, tampered, lower=0.0), problem.X, problem.y)


def test_one_multiplier(relu):
    problem, contents = relu
    values = contents.arrays["multiplier_values"]
    for place in np.flatnonzero(values > 1e-3 * values.max()):
        with pytest.raises(RejectedCertificate, match="multipliers must be >= 0"):
            forged(contents, changed(contents, "multiplier_values", place, -values[place]))
    # Those of a block that is not tight have room; these are of tight ones, the largest in particular.
    for factor in (0.5, 2.0):
        for place in (np.argmax(values), *np.flatnonzero(values > 0.5 * values.max())):
            tampered = forged(contents, changed(contents, "multiplier_values", place, factor * values[place]))
            with pytest.raises(RejectedCertificate, match="the dual norm is"):
                checker.check(tampered, problem.X, problem.y)


def test_lam(relu, gated):
    for problem, contents in (relu, gated):
        X, Y = checker.canonical_data(problem.X, problem.y)
        for factor in (0.5, 1 - 1e-6, 1 + 1e-6, 2.0):
            lam = factor * problem.lam
            with pytest.raises(RejectedCertificate, match="lam, loss or penalty are not those"):
                checker.check(forged(contents, lam=lam), problem.X, problem.y)
            digest = checker.problem_hash(X, Y, lam, contents.header["loss"], contents.header["penalty"])
            with pytest.raises(RejectedCertificate, match="dual norm|below the objective"):
                checker.check(forged(contents, lam=lam, problem_sha256=digest), problem.X, problem.y)


def test_loss_and_penalty(relu):
    problem, contents = relu
    for header in (
        {"loss": {"name": "huber", "delta": 1.0}},
        {"penalty": "l1"},
        {"loss": {"name": "huber", "delta": -1.0}},
        {"loss": {"name": "squared", "delta": 1.0}},
        {"loss": {"name": "hinge"}},
        {"loss": {"name": ["squared"]}},
        {"penalty": "nuclear"},
        {"penalty": "l0"},
    ):
        with pytest.raises(RejectedCertificate, match="not those of the certificate|unknown|delta must be|no nuclear"):
            checker.check(forged(contents, **header), problem.X, problem.y)


def test_data_and_labels(relu, gated):
    for problem, contents in (relu, gated):
        X, y = problem.X.copy(), problem.y.copy()
        X[3, 1] = np.nextafter(X[3, 1], np.inf)
        y[5] = -y[5]
        others = [(X, problem.y), (problem.X, y), (problem.X[::-1], problem.y[::-1]), (problem.X[:-1], problem.y[:-1])]
        for data, targets in [*others, (problem.X[:, :-1], problem.y)]:
            with pytest.raises(RejectedCertificate, match="X, y, lam, loss or penalty are not those"):
                checker.check(contents, data, targets)


def test_targets_that_the_loss_does_not_take():
    for loss, c, words in (("logistic", 1, "-1 or \\+1"), ("softmax", 3, "one-hot")):
        problem = make_problem("gated", loss, c=c)
        contents = as_contents(cr.certify(problem, problem.zero_weights()))
        y = 2.0 * problem.y
        X, Y = checker.canonical_data(problem.X, y)
        digest = checker.problem_hash(X, Y, problem.lam, contents.header["loss"], contents.header["penalty"])
        with pytest.raises(RejectedCertificate, match=words):
            checker.check(forged(contents, problem_sha256=digest), problem.X, y)


@pytest.mark.parametrize("place", [(0, 0), (2, 1)])
def test_a_swapped_pattern_bit_is_not_of_the_gates(relu, place):
    problem, contents = relu
    i, byte = place
    swapped = changed(contents, "patterns", (i, byte), contents.arrays["patterns"][i, byte] ^ 0x80)
    with pytest.raises(RejectedCertificate, match="bits of the patterns are not those of the gates"):
        checker.check(forged(contents, swapped), problem.X, problem.y)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_products_with_a_gate_have_any_sign_up_to_8_d_eps(dtype):
    """Relative to the norms, which are 1 here: in float64 the product is the allowance itself."""
    X, y = np.array([[1.0, 0.0]], dtype), np.array([1.0])
    problem = cr.ConvexGatedReLU(X, y, cr.ActivationPatterns(np.ones((1, 1), dtype=bool), np.ones((2, 1))), 0.1)
    contents = as_contents(cr.certify(problem, problem.zero_weights()))
    allowed = 8 * 2 * float(np.finfo(dtype).eps)
    checker.check(forged(contents, {"gates": np.array([[-allowed], [1.0]])}), X, y)
    beyond = allowed * (1.0 + 1e-9)
    with pytest.raises(RejectedCertificate, match="1 bits of the patterns are not those of the gates"):
        checker.check(forged(contents, {"gates": np.array([[-beyond], [1.0]])}), X, y)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("scope", "global", "scope 'global' cannot be checked"),
        ("scope", "Patterns", "scope"),
        ("rigor", "proved", "rigor"),
        ("version", 3, "version 3 is unknown"),
        ("version", 2, "keys"),
        ("version", True, "version"),
        ("format", "certificate", "no cvxrelu certificate"),
        ("kind", "tanh", "kind"),
        ("upper", 1, "upper must be of type float"),
        ("lam", -1.0, "lam must not be negative"),
        ("n", 0, "n must be positive"),
        ("n_patterns", 10**30, "patterns"),
        ("c", 2, "must be <f8 of shape|must be <i8 of shape"),
        ("x_dtype", "float16", "x_dtype"),
        ("info", "none", "info must be of type dict"),
        ("extra", 1, "keys"),
    ],
)
def test_header_words(relu, key, value, words):
    with pytest.raises((RejectedCertificate, ValueError), match=words):
        forged(relu[1], **{key: value})


def replaced_members(contents, header_text=None, drop=(), **members):
    """A file written member by member, with any bytes at all."""
    raw = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(pack(contents.header, contents.arrays))) as old:
        bodies = {name: old.read(name) for name in old.namelist() if name not in drop}
    if header_text is not None:
        member = io.BytesIO()
        np.save(member, np.frombuffer(header_text.encode(), np.uint8))
        bodies["header.npy"] = member.getvalue()
    with zipfile.ZipFile(raw, "w") as new:
        for name, body in {**bodies, **members}.items():
            new.writestr(name, body)
    return raw.getvalue()


def test_file_members(relu):
    contents = relu[1]
    pickled, wide = io.BytesIO(), io.BytesIO()
    np.save(pickled, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.save(wide, np.zeros(3, np.float32))
    t = zipfile.ZipFile(io.BytesIO(as_plain(contents))).read("t.npy")
    text = json.dumps(contents.header)
    files = {
        "unknown member": replaced_members(contents, **{"more.npy": t}),
        "no t": replaced_members(contents, drop=("t.npy",)),
        "no header": replaced_members(contents, drop=("header.npy",)),
        "trailing bytes in a member": replaced_members(contents, **{"t.npy": t + b"\0"}),
        "missing bytes in a member": replaced_members(contents, **{"t.npy": t[:-1]}),
        "pickle": replaced_members(contents, **{"t.npy": pickled.getvalue()}),
        "float32": replaced_members(contents, **{"t.npy": wide.getvalue()}),
        "not npy": replaced_members(contents, **{"t.npy": b"hello"}),
        "trailing bytes": as_plain(contents) + b"\0",
        "leading bytes": b"\0" + as_plain(contents),
        "NaN in the header": replaced_members(contents, text.replace(repr(contents.header["lower"]), "NaN")),
        "key twice": replaced_members(contents, text[:-1] + ', "scope": "patterns"}'),
        "overflow": replaced_members(contents, text.replace(repr(contents.header["lower"]), "1e999")),
        "deep": replaced_members(contents, "[" * 100000),
        "list": replaced_members(contents, "[1]"),
        "empty": b"",
        "text": b"not a zip file",
    }
    compressed = io.BytesIO()
    np.savez_compressed(compressed, header=np.frombuffer(text.encode(), np.uint8), **contents.arrays)
    files["compressed"] = compressed.getvalue()
    doubled = io.BytesIO(as_plain(contents))
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(doubled, "a") as archive:
        archive.writestr("t.npy", t)
    files["member twice"] = doubled.getvalue()
    for name, raw in files.items():
        with pytest.raises(RejectedCertificate):
            pytest.fail(f"{name} was not seen: {checker.parse(raw)}")
    assert checker.parse(replaced_members(contents, text)).header == contents.header


def as_plain(contents):
    return pack(contents.header, contents.arrays)


def test_arrays_of_the_wrong_form(relu):
    contents = relu[1]
    arrays = contents.arrays
    padded = arrays["patterns"].copy()
    padded[0, -1] |= 1
    wrong = {
        "bits past the last row": {"patterns": padded},
        "NaN": changed(contents, "t", 0, np.nan),
        "infinite weight": changed(contents, "weights", (0, 0), np.inf),
        "NaN multiplier": changed(contents, "multiplier_values", 0, np.nan),
        "block twice": {"blocks": np.full_like(arrays["blocks"], arrays["blocks"][0])},
        "no such block": changed(contents, "blocks", -1, 10**6),
        "negative block": changed(contents, "blocks", 0, -1),
        "no such row": changed(contents, "multiplier_rows", 0, 99),
        "starts": changed(contents, "multiplier_starts", 0, 1),
        "descending starts": changed(contents, "multiplier_starts", 1, 10**6),
        "shape": {"t": arrays["t"][:-1]},
        "flat": {"t": arrays["t"][:, 0]},
        "type": {"t": arrays["t"].astype(np.float32)},
        "big-endian": {"t": arrays["t"].astype(">f8")},
    }
    for name, change in wrong.items():
        with pytest.raises(RejectedCertificate):
            pytest.fail(f"{name} was not seen: {forged(contents, change)}")


def test_a_multiplier_that_comes_twice_is_refused(relu):
    _, contents = relu
    starts, rows = contents.arrays["multiplier_starts"], contents.arrays["multiplier_rows"]
    first = int(starts[np.flatnonzero(np.diff(starts) > 1)[0]])
    with pytest.raises(RejectedCertificate, match="must ascend in each part"):
        forged(contents, changed(contents, "multiplier_rows", first + 1, rows[first]))


def test_truncated_and_damaged_files(relu):
    """Every cut is rejected; a flipped byte is rejected or changes nothing that is read (a date in the zip file)."""
    contents = relu[1]
    raw = as_plain(contents)
    rng = np.random.default_rng(0)
    for length in [*range(0, len(raw), 97), len(raw) - 1]:
        with pytest.raises(RejectedCertificate):
            checker.parse(raw[:length])
    rejected = 0
    for place in rng.choice(len(raw), 400, replace=False):
        damaged = bytearray(raw)
        damaged[place] ^= 1 << rng.integers(8)
        try:
            found = checker.parse(bytes(damaged))
        except RejectedCertificate:
            rejected += 1
        else:
            assert pack(found.header, found.arrays) == raw
    assert rejected > 300


@pytest.mark.parametrize(
    ("loss", "c", "scale"),
    [("squared", 1, 1e-165), ("squared", 1, 1e6), ("huber", 3, 1.0), ("logistic", 1, 1.0), ("softmax", 3, 1.0)],
)
def test_the_rounding_of_a_dual_value_is_neither_more_nor_less(loss, c, scale):
    """By the sum of nc terms, each of a few operations, and the logarithms: between 1 and 8 times the usual bounds."""
    X = make_data("tall")
    X, Y = np.tile(X, (20, 1)), scale * np.tile(make_targets(loss, X, c), (20, 1))
    problem = cr.ConvexGatedReLU(X, Y, cr.sample_patterns(X, 3, seed=0), 1e3 * scale, loss)
    contents = as_contents(cr.certify(problem, problem.zero_weights()))
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


# Exact arithmetic


def exact_interval(problem, contents):
    """Both bounds of a gated program with squared loss and group_l1, literally, square roots to 1e-30."""
    root = lambda q: Fraction(checker.root_above(q))  # noqa: E731
    X = [[Fraction(x) for x in row] for row in problem.X.tolist()]
    y = [Fraction(v) for v in problem.Y[:, 0].tolist()]
    t = [Fraction(v) for v in contents.arrays["t"][:, 0].tolist()]
    D, n, lam = problem.patterns.D, problem.n, Fraction(problem.lam)
    f = [Fraction(0)] * n
    omega = Fraction(0)
    for i, w in zip(contents.arrays["blocks"].tolist(), contents.arrays["weights"].tolist(), strict=True):
        omega += root(sum(Fraction(v) ** 2 for v in w))
        for j in range(n):
            f[j] += D[j, i] * sum(x * Fraction(v) for x, v in zip(X[j], w, strict=True))
    upper = sum((a - b) ** 2 for a, b in zip(f, y, strict=True)) / (2 * n) + lam * omega
    largest = max(
        root(sum(sum(D[j, i] * X[j][k] * t[j] for j in range(n)) ** 2 for k in range(problem.d)))
        for i in range(D.shape[1])
    )
    s = min(Fraction(1), lam / largest)
    lower = -sum(Fraction(n, 2) * (s * a) ** 2 + s * a * b for a, b in zip(t, y, strict=True))
    return lower, upper


def test_exact_bounds_are_those_of_the_formulas():
    problem = make_problem("gated", shape="collinear")
    contents = as_contents(cr.solve(problem, "CLARABEL").certificate)
    verdict = checker.check(contents, problem.X, problem.y, exact=True)
    lower, upper = exact_interval(problem, contents)
    assert Fraction(verdict.lower) <= lower <= Fraction(np.nextafter(verdict.lower, np.inf))
    assert Fraction(verdict.upper) >= upper >= Fraction(np.nextafter(verdict.upper, -np.inf))
    assert verdict.arithmetic == "exact"


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.loss in ("squared", "huber") and case.penalty in EXACT], ids=str
)
def test_exact_and_rounded_claims(case):
    """A claim of rigor "rounded" holds to the last bit; the bounds agree with those in float64."""
    problem, solution = solved(case)
    contents = as_contents(solution.certificate)
    plain = checker.check(contents, problem.X, problem.y)
    exact = checker.check(contents, problem.X, problem.y, exact=True)
    assert exact.lower == pytest.approx(plain.lower, abs=plain.lower_rounding)
    assert exact.upper == pytest.approx(plain.upper, abs=plain.upper_rounding)
    rounded = {"rigor": "rounded", "lower": exact.lower, "upper": exact.upper}
    verdict = checker.check(forged(contents, **rounded), problem.X, problem.y, exact=True)
    assert (verdict.lower_rounding, verdict.upper_rounding) == (0.0, 0.0)
    for name, end in (("lower", np.inf), ("upper", -np.inf)):
        claim = {**rounded, name: float(np.nextafter(rounded[name], end))}
        with pytest.raises(RejectedCertificate, match=f"claimed {name} bound"):
            checker.check(forged(contents, **claim), problem.X, problem.y, exact=True)
        checker.check(forged(contents, **claim), problem.X, problem.y)
        checker.check(forged(contents, **{**claim, "rigor": "floating_point"}), problem.X, problem.y, exact=True)


def test_exact_rejects_tampering_too(relu):
    problem, contents = relu
    for change in (
        changed(contents, "t", 0, 1.01 * contents.arrays["t"][0]),
        {"weights": 1.01 * contents.arrays["weights"]},
        {"weights": -contents.arrays["weights"]},
    ):
        with pytest.raises(RejectedCertificate):
            checker.check(forged(contents, change), problem.X, problem.y, exact=True)


def test_exact_moves_weights_into_their_cones():
    """What misses its cone by less than rounding is moved in along the gate; without gates nothing is proved."""
    X, y, w = np.array([[0.1, 0.3]]), np.array([1.0]), np.array([-0.9, 0.3])
    product = sum(Fraction(a) * Fraction(b) for a, b in zip(X[0].tolist(), w.tolist(), strict=True))
    assert 0 < abs(product) < 1e-16
    weights = {"blocks": np.array([0]), "weights": -np.sign(float(product)) * w[None]}
    for gates in (np.ones((2, 1)), None):
        problem = cr.ConvexReLU(X, y, cr.ActivationPatterns(np.ones((1, 1), dtype=bool), gates), 0.1)
        outside = forged(as_contents(cr.certify(problem, problem.zero_weights())), weights, upper=1.0)
        assert 0.0 < checker.check(outside, X, y).cone_violation < 1e-15
        if gates is None:
            with pytest.raises(RejectedCertificate, match="no gate leads back"):
                checker.check(outside, X, y, exact=True)
        else:
            assert 0.0 < checker.check(outside, X, y, exact=True).cone_violation < 1e-15


def test_what_exact_cannot_do(gated):
    with pytest.raises(ValueError, match="logistic has exponentials"):
        checker.check(gated[1], gated[0].X, gated[0].y, exact=True)
    for penalty in ("nuclear", "none"):
        problem = make_problem("gated", penalty=penalty, shape="tripled")
        with pytest.raises(ValueError, match="takes lam > 0 and penalty"):
            checker.check(as_contents(cr.certify(problem, problem.zero_weights())), problem.X, problem.y, exact=True)
    X = np.random.default_rng(0).standard_normal((2000, 5))
    problem = cr.ConvexGatedReLU(X, X[:, 0], cr.sample_patterns(X, 101), 0.1)
    with pytest.raises(ValueError, match="n d c P = 1010000 is above 1000000"):
        checker.check(as_contents(cr.certify(problem, problem.zero_weights())), X, X[:, 0], exact=True)


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
