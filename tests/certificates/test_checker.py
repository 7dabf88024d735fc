"""The functions of the stand-alone checker against brute force, and what it accepts as a file."""

import dataclasses
import json
import math
from decimal import Context, Decimal
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from cvxrelu.certificates import checker
from cvxrelu.certificates.checker import InvalidInput, RejectedCertificate
from tests.helpers.certificate_files import data_hash, global_case, patterns_case

PRECISE = Context(80)


def precise(value):
    return PRECISE.divide(Decimal(value.numerator), Decimal(value.denominator))


def checked(case, **options):
    return checker.check(checker.parse(case.encoded()), case.x, case.y, **options)


def random_fractions(rng, count, spread=60):
    exponents = rng.integers(-spread, spread, count).tolist()
    return [Fraction(int(p)) * Fraction(2) ** e for p, e in zip(rng.integers(1, 2**53, count), exponents, strict=True)]


def test_roots_are_above_and_close():
    for square in [Fraction(0), Fraction(4, 9), Fraction(1, 2**2148), *random_fractions(np.random.default_rng(0), 50)]:
        root = checker.root_above(square)
        assert square <= root**2 <= square * (1 + Fraction(1, 2**100))


def test_log_sum_exp_is_above_and_close():
    rng = np.random.default_rng(1)
    rows = [[Fraction(0)], [Fraction(-(10**9)), Fraction(0)], [Fraction(10**6), Fraction(10**6)], [Fraction(1, 10**40)]]
    for values in [*rows, *([*random_fractions(rng, 4, 2), Fraction(0)] for _ in range(20))]:
        values = [value / 2**50 if value > 2**30 else value for value in values]
        found, top = checker.log_sum_exp_above(values), max(values)
        total = sum(Fraction(PRECISE.exp(precise(value - top))) for value in values)
        true = top + Fraction(PRECISE.ln(precise(total)))
        assert true - Fraction(1, 10**70) <= found <= true + (abs(true) + 1) * Fraction(1, 10**27)


def test_entropy_is_below_and_close():
    assert checker.entropy_below(Fraction(0)) == checker.entropy_below(Fraction(1)) == 0
    for p in [Fraction(1, 3), 1 - Fraction(1, 2**200), Fraction(1, 2**1074), Fraction(1, 2), 1 - Fraction(1, 2**53)]:
        true, found = -p * Fraction(PRECISE.ln(precise(p))), checker.entropy_below(p)
        assert max(true - Fraction(1, 10**28), 0) <= found <= true


def determinant(M):
    if not M:
        return 1
    return sum((-1) ** j * M[0][j] * determinant([row[:j] + row[j + 1 :] for row in M[1:]]) for j in range(len(M)))


def test_semidefinite_matrices_have_no_negative_principal_minor():
    rng, seen = np.random.default_rng(2), set()
    for trial in range(300):
        size, rank = rng.integers(1, 5), rng.integers(0, 5)
        A = rng.integers(-2, 3, (size, rank))
        S = A @ A.T - (trial % 3 == 0) * np.diag(rng.integers(0, 2, size)) + (trial % 3 == 1) * np.eye(size, dtype=int)
        subsets = [[i for i in range(size) if mask >> i & 1] for mask in range(1, 2**size)]
        true = all(determinant(S[np.ix_(part, part)].tolist()) >= 0 for part in subsets)
        assert checker.is_semidefinite(S.astype(object)) == true
        seen.add((true, bool(abs(determinant(S.tolist())) > 0)))
    assert seen == {(True, True), (True, False), (False, True), (False, False)}


def test_products_are_exact_or_within_their_bounds():
    rng = np.random.default_rng(3)
    for scale in (1.0, 2.0**-530, 2.0**-700, 2.0**400):
        A = rng.standard_normal((3, 7)) * scale * 2.0 ** rng.integers(-9, 9, (3, 7))
        B = rng.standard_normal((7, 2)) * scale * 2.0 ** rng.integers(-9, 9, (7, 2))
        true = checker.rational(A) @ checker.rational(B)
        M, R, unit = checker.product(A, B)
        assert (M * unit == true).all()
        assert not R.any()
        M, R, unit = checker.product(A, B, interval=True)
        assert unit == 1
        assert (np.abs(checker.rational(M) - true) <= checker.rational(R)).all()
        assert (1e-14 * (np.abs(A) @ np.abs(B)) + 1e-290 >= R).all()
    with pytest.raises(RejectedCertificate, match="overflows"):
        checker.product(np.full((1, 2), 1e308), np.full((2, 1), 1e308), interval=True)


def test_outputs_do_not_hide_underflow_in_intervals():
    """Products of data and weights below the smallest float, times outputs of 2^1023."""
    X, Y = np.array([[0.5], [1.0]]), np.array([[0.0], [2.0**-51]])
    W, outputs = np.array([[[2.0**-1074]], [[0.0]]]), np.array([[2.0**1023]])
    header = {"kind": "gated", "penalty": "nuclear", "loss": "squared", "lam": 2.0**-60}
    exact, interval = (
        checker.objective_above(
            checker.Problem(X, Y, header, {}, np.ones((1, 2), bool), mode), W, outputs, np.array([0])
        )
        for mode in (False, True)
    )
    assert interval >= exact > 0


def test_errors_that_overflow_are_rejected():
    """The predictions cancel, the bounds of their errors times the outputs do not."""
    X, Y, W = np.array([[1e300, -1e300]]), np.zeros((1, 1)), np.array([[[1.0, 1.0]], [[0.0, 0.0]]])
    header = {"kind": "gated", "penalty": "nuclear", "loss": "squared", "lam": 1.0}
    problem = checker.Problem(X, Y, header, {}, np.ones((1, 1), bool), True)
    with pytest.raises(RejectedCertificate, match="overflows"):
        checker.objective_above(problem, W, np.array([[1e300]]), np.array([0]))


def test_angles_order_as_those_of_floats():
    rng = np.random.default_rng(4)
    turns = [tuple(turn) for turn in rng.integers(-9, 10, (200, 2)).tolist() if any(turn)]
    by_float = sorted({math.atan2(y, x) % (2 * math.pi): (x, y) for x, y in turns}.items())
    keys = [checker.angle(*turn) for _, turn in by_float]
    assert keys == sorted(keys)
    assert checker.angle(3, 3) == checker.angle(1, 1) < checker.angle(0, 1)


def terms(E, tau, w0, limit):
    """Return both sides of f with integers, as check_maximum takes them."""
    E, tau, w0 = (np.array(v, dtype=object) for v in (E, tau, w0))
    f = checker.Terms(E, tau, w0, 1, 1, limit)
    return [f, f._replace(tau=-tau, w0=-w0)]


@pytest.mark.parametrize("size", [1, 2**40])
def test_maxima_agree_with_dense_sampling(size):
    rng = np.random.default_rng(5)
    angles = np.linspace(0, 2 * np.pi, 20001)
    Z = np.stack([np.cos(angles), np.sin(angles)])
    for _ in range(60):
        E, tau, w0 = rng.integers(-2, 3, (6, 2)), rng.integers(-5, 6, 6), rng.integers(-5, 6, 2)
        greatest = np.abs(w0 @ Z + tau @ np.maximum(E @ Z, 0)).max()
        scaled = [(v * size).tolist() for v in (E, tau)] + [[int(w) * size**2 for w in w0]]
        checker.check_maximum(terms(*scaled, Fraction((greatest * (1 + 1e-3) + 1e-9) ** 2) * size**4), {})
        if greatest > 0:
            with pytest.raises(RejectedCertificate):
                checker.check_maximum(terms(*scaled, Fraction((greatest * (1 - 1e-6)) ** 2) * size**4), {})


def test_norms_are_decided_exactly():
    Z = checker.rational(np.array([[3.0, 4.0], [0.0, 0.0]]))
    assert checker.has_norm(Z, Fraction(5))
    assert not checker.has_norm(Z, 5 - Fraction(1, 10**30))
    assert not checker.has_norm(0 * Z, Fraction(-1))
    assert checker.has_norm(0 * Z, Fraction(0))


@pytest.mark.parametrize("loss", ["squared", "logistic", "softmax"])
@pytest.mark.parametrize("penalty", ["group_l1", "l1", "feature_group_l1", "nuclear", "squared_l2"])
def test_intervals_enclose_exact_bounds(loss, penalty):
    for kind in ("gated", "relu") if penalty != "nuclear" else ("gated",):
        case = patterns_case(11, kind, loss, penalty, c=1 if loss == "logistic" else 2)
        exact, interval = checked(case), checked(case, interval=True)
        assert (exact["arithmetic"], interval["arithmetic"]) == ("exact", "interval")
        assert Decimal(interval["lower"]) <= Decimal(exact["upper"])
        assert Decimal(exact["upper"]) <= Decimal(interval["upper"])
        assert Decimal(interval["upper"]) - Decimal(exact["upper"]) < Decimal("1e-8") * Decimal(exact["upper"])
        assert abs(Decimal(exact["lower"]) - Decimal(interval["lower"])) < Decimal("1e-8")


def test_the_verdict_is_the_contract_of_json():
    found = checked(patterns_case(12, "relu"))
    assert found == json.loads(json.dumps(found))
    assert set(found) == {
        "verified", "statement", "lower", "upper", "lower_exact", "upper_exact", "arithmetic", "seconds",
    }  # fmt: skip
    assert found["verified"] is True
    assert isinstance(found["seconds"], float)
    for bound, sign in (("lower", 1), ("upper", -1)):
        p, q = found[f"{bound}_exact"].split("/")
        assert sign * (Fraction(int(p), int(q)) - Fraction(found[bound])) >= 0
    assert checked(patterns_case(12, loss="softmax"))["lower_exact"] is None
    assert checked(patterns_case(12, "relu"), interval=True)["upper_exact"] is None


def test_the_sentence_says_what_was_left_to_the_file():
    case = patterns_case(13)
    whole = {key: case.header[key] for key in ("kind", "scope", "loss", "penalty", "lam")}
    masks = np.unpackbits(case.arrays["patterns"], axis=1, count=len(case.x)).T
    assert "own statement" not in checker.sentence(checked(case, **whole, patterns=masks[:, ::-1]))
    text = checker.sentence(checked(case, lam=0.5))
    assert '"penalty": "group_l1"' in text.splitlines()[0]
    assert '"lam"' not in text.splitlines()[0]
    with pytest.raises(RejectedCertificate, match="patterns"):
        checked(case, patterns=masks[:, 1:])
    with pytest.raises(RejectedCertificate, match="patterns"):
        checked(global_case(1), patterns=masks)
    for patterns in (masks[0], 2 * masks, masks.astype(str), masks * np.nan):
        with pytest.raises(InvalidInput, match="patterns"):
            checked(case, patterns=patterns)


def test_a_network_takes_the_place_of_the_weights():
    case = global_case(2)
    zero = checked(case, network=(np.zeros((0, 3)), np.zeros(0)))
    assert Fraction(zero["upper_exact"]) == Fraction((checker.rational(case.y) ** 2).sum(), 2 * len(case.y))
    same = checked(case, network=(case.arrays["weights"].sum(axis=0), 1.0 - 2.0 * case.arrays["blocks"]))
    assert abs(Fraction(same["upper"]) / Fraction(checked(case)["upper"]) - 1) < 1e-12
    assert same["statement"]["network"]
    with pytest.raises(RejectedCertificate, match="networks of kind relu"):
        checked(patterns_case(2, d=3), network=(np.ones((1, 3)), np.ones((1, 2))))
    for network in ((np.zeros((1, 2)), np.zeros(1)), (np.zeros((2, 3)), np.zeros(1)), (np.zeros(()), np.zeros(()))):
        with pytest.raises(InvalidInput, match="network"):
            checked(case, network=network)


def mapped_case():
    """A file about rows that a map makes of raw data and of labels a, b."""
    case = patterns_case(14, c=1, loss="logistic")
    raw, labels = 2.0 * case.x[:, :2] + 3.0, np.where(case.y[:, 0] > 0, "b", "a")
    x = np.column_stack([case.x[:, :2], np.ones(len(case.x))])
    rows = {"x_shift": [3.0, 3.0], "x_scale": [2.0, 2.0], "y_shift": [0.0], "y_scale": [1.0]}
    rows |= {"bias": True, "classes": ["a", "b"]}
    header = {**case.header, "rows": rows, "data_sha256": data_hash(x, case.y)}
    case = dataclasses.replace(case, header=header, arrays={**case.arrays, "t": 0 * case.arrays["t"]})
    return SimpleNamespace(header=header, raw=raw, labels=labels, case=case)


def test_maps_take_the_data_to_the_rows():
    made = mapped_case()
    found = checker.check(checker.parse(made.case.encoded()), made.raw, made.labels)
    assert "the file's map" in checker.sentence(found)
    for change in (
        {"x_scale": [0.0, 2.0]},
        {"x_shift": [[3.0, 3.0]]},
        {"x_shift": [3.0]},
        {"y_shift": []},
        {"x_shift": "ab"},
        {"x_shift": [10**400, 3.0]},
        {"bias": False},
        {"classes": ["a", "b", "c"]},
        {"classes": ["a", "c"]},
        {"classes": "ab"},
        {"classes": [[], {}]},
        {"classes": ["b", "a"]},
        {"classes": ["a", "b", math.nan]},
    ):
        other = dataclasses.replace(made.case, header={**made.header, "rows": {**made.header["rows"], **change}})
        with pytest.raises(RejectedCertificate):
            checker.check(checker.parse(other.encoded()), made.raw, made.labels)
    whole = made.header["rows"]
    for rows in ({}, [], 1, "x", True, whole | {"more": 1}, whole | {"bias": 1}, whole | {"y_shift": [0]}):
        with pytest.raises(RejectedCertificate, match=r"header|map"):
            checker.parse(dataclasses.replace(made.case, header={**made.header, "rows": rows}).encoded())


@pytest.mark.parametrize(
    "values",
    [
        np.array([[2**63 - 1, 1]]),
        np.array([[2**64 - 1, 1]], dtype=np.uint64),
        np.array([[2**53 + 1, 1]]),
        np.array([[math.nan, 1.0]]),
        np.array([[1.0 + 0j, 1.0]]),
        np.array([["1", "2"]]),
        np.array([[None, 1]], dtype=object),
        np.array([["2020-01-01"]], dtype="datetime64[D]"),
        np.array([[np.longdouble(1) / 3]]),
        np.zeros((0, 2)),
        np.zeros((1, 0)),
        np.zeros(3),
    ],
)
def test_data_that_float64_does_not_represent_are_invalid(values):
    if values.dtype == np.longdouble and np.longdouble(1) / 3 == 1 / 3:
        pytest.skip("long double is float64 here")
    contents = checker.parse(patterns_case(1).encoded())
    with pytest.raises(InvalidInput):
        checker.check(contents, values, np.zeros(len(values)))


def header_changes(header):
    sizes = header["sizes"]
    for key in header:
        for value in (None, [], {}, True, 0, -1.0, "x", "\ud800", [[1]], math.inf, 10**4000):
            yield {**header, key: value}
        yield {name: value for name, value in header.items() if name != key}
    for key in sizes:
        for value in (None, True, 0, -1, 1.0, 2**39, 2**40, 2**64, 10**4000, "1", []):
            yield {**header, "sizes": {**sizes, key: value}}
        yield {**header, "sizes": {name: value for name, value in sizes.items() if name != key}}


@pytest.mark.parametrize("case", [patterns_case(1, "relu"), global_case(1, "cones"), global_case(1, "relaxation")])
def test_a_changed_header_is_rejected_or_says_as_much(case):
    """Nothing but RejectedCertificate is raised, and the data decide the rest."""
    for header in header_changes(case.header):
        if header == case.header:
            continue
        changed = type(case)(case.x, case.y, header, case.arrays)
        try:
            found = checked(changed)
        except RejectedCertificate:
            continue
        assert {**found["statement"], "rows": None}["lam"] == header["lam"] or header["lam"] == 0


@pytest.mark.parametrize("header", [b"[" * 10**6, b"1" * 10**6, b'{"a":' * 10**5, b"{" + b" " * 2**21, b"\xff", b"NaN"])
def test_headers_that_exhaust_a_parser_are_rejected(header):
    with pytest.raises(RejectedCertificate):
        checker.parse(checker.MAGIC + header + b"\n")


@pytest.mark.parametrize("dtype", ["<i8", "<f8", "<u2"])
@pytest.mark.parametrize(
    "case",
    [patterns_case(2, "relu"), patterns_case(2, penalty="nuclear"), global_case(0, "cones", n=4, lines=2)],
)
def test_extreme_numbers_in_the_arrays_raise_nothing_else(case, dtype):
    """Each array is filled with extreme numbers, also with --interval; warnings are errors in the tests."""
    extremes = {
        "<i8": [-(2**63), 2**63 - 1, -1],
        "<f8": [1.7e308, -1.7e308, 5e-324, -5e-324, -0.0],
        "<u2": [0, 65535],
    }[dtype]
    for name, array in case.arrays.items():
        for value in extremes if array.dtype == np.dtype(dtype) and array.size else ():
            for at in (slice(None), 0, -1):
                changed = case.with_array(name, lambda v, at=at, value=value: v.__setitem__(at, value))
                for interval in (False, True):
                    try:
                        found = checked(changed, interval=interval)
                    except RejectedCertificate:
                        continue
                    assert Decimal(found["lower"]) <= Decimal(found["upper"])


@pytest.mark.parametrize("copies", [2, 100])
@pytest.mark.parametrize("penalty", ["squared_l2", "feature_group_l1"])
def test_repeated_patterns_do_not_divide_the_penalty(penalty, copies):
    case = patterns_case(3, penalty=penalty, patterns=3)
    repeated = np.repeat(case.arrays["patterns"], copies, axis=0)
    sizes = {**case.header["sizes"], "patterns": len(repeated)}
    file = type(case)(case.x, case.y, {**case.header, "sizes": sizes}, {**case.arrays, "patterns": repeated})
    D = np.unpackbits(case.arrays["patterns"], axis=1, count=len(case.x)).T
    with pytest.raises(RejectedCertificate, match="patterns"):
        checked(file, patterns=D)
    assert checked(file)["statement"]["patterns"]["count"] == 3 * copies  # the file's own statement
    assert checked(file, patterns=np.repeat(D, copies, axis=1)[:, ::-1])["verified"]


@pytest.mark.parametrize("proof", ["cones", "maximum", "relaxation"])
def test_scope_and_proof_belong_together(proof):
    case = global_case(5, proof)
    for change in ({"scope": "patterns"}, {"kind": "gated"}, {"penalty": "l1"}, {"lam": 0.0}, {"lam": -0.0}):
        with pytest.raises(RejectedCertificate, match="no proof has this scope"):
            checked(case.with_header(**change))
    with pytest.raises(RejectedCertificate, match="no proof has this scope"):
        checked(patterns_case(5).with_header(scope="global"))


def test_the_estimate_of_interval_arithmetic_allows_for_signs_that_it_does_not_decide():
    gated, relu = (checker.parse(patterns_case(4, kind, c=1).encoded()) for kind in ("gated", "relu"))
    n, d, m = (relu.header["sizes"][name] for name in ("n", "d", "blocks"))
    assert m > 0
    assert checker.estimate(relu, True)[0] > 1e-7 * n * d * m
    assert checker.estimate(gated, True)[0] < checker.estimate(gated, False)[0]


def test_memory_is_bounded_before_anything_is_computed():
    with pytest.raises(InvalidInput, match="bytes"):
        checked(patterns_case(4), max_memory=1e6)


@pytest.mark.parametrize("kind", ["gated", "relu"])
@pytest.mark.parametrize("loss", ["squared", "huber", "logistic"])
def test_files_without_patterns(kind, loss):
    case = patterns_case(3, kind, c=1, loss=loss, penalty="squared_l2")
    empty = {"weights": 0, "blocks": 0, "patterns": 0, "multipliers": 0, "places": 0}
    arrays = {
        name: value[:, :0] if name == "weights" else value[:0] if name in empty else value
        for name, value in case.arrays.items()
    }
    sizes = case.header["sizes"] | {"blocks": 0, "patterns": 0, "entries": 0}
    without = dataclasses.replace(case, header={**case.header, "sizes": sizes}, arrays=arrays)
    for interval in (False, True):
        found = checked(without, interval=interval)
        assert Fraction(found["lower"]) <= Fraction(found["upper"])
