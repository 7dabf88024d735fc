"""Changed arrays, claims and headers: the checker verifies no false certificate."""

import io
import zipfile

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu._files import pack
from cvxrelu.certificates import checker
from cvxrelu.certificates.checker import RejectedCertificate
from tests.helpers.cases import make_problem
from tests.helpers.forgery import as_contents, changed, forged


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
    for index in np.flatnonzero(values > 1e-3 * values.max()):
        with pytest.raises(RejectedCertificate, match="multipliers must be >= 0"):
            forged(contents, changed(contents, "multiplier_values", index, -values[index]))
    # Those of a block that is not tight have room; these are of tight ones, the largest in particular.
    for factor in (0.5, 2.0):
        for index in (np.argmax(values), *np.flatnonzero(values > 0.5 * values.max())):
            tampered = forged(contents, changed(contents, "multiplier_values", index, factor * values[index]))
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


@pytest.mark.parametrize("index", [(0, 0), (2, 1)])
def test_a_swapped_pattern_bit_is_not_of_the_gates(relu, index):
    problem, contents = relu
    i, byte = index
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
