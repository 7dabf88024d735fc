"""Certificates read from files: what they hold, and the verdicts on them."""

import math
from fractions import Fraction

import numpy as np
import pytest

import cvxrelu as cr
from reference.rationals import rational
from tests.helpers.cases import GATED_PENALTIES, make_problem, random_weights
from tests.helpers.forgery import as_contents, encoded
from tests.helpers.solved_cases import CASES, solved


def reloaded(certificate, path, **options):
    certificate.save(path, **options)
    return cr.load_certificate(path)


def statement(problem):
    return {
        "kind": "relu" if isinstance(problem, cr.ConvexReLU) else "gated",
        "scope": "patterns",
        "loss": problem.loss.name,
        "delta": getattr(problem.loss, "delta", None),
        "penalty": problem.penalty.name,
        "lam": problem.lam,
        "patterns": problem.patterns.D,
    }


@pytest.mark.parametrize("case", [case for case in CASES if case.penalty != "none"], ids=str)
def test_a_file_proves_the_bounds_of_the_certificate(case, tmp_path):
    problem, solution = solved(case)
    certificate = solution.certificate
    verdict = reloaded(certificate, tmp_path / "a.cert").verify(problem.X, problem.y, **statement(problem))
    scale = abs(certificate.upper)
    assert verdict.upper == pytest.approx(certificate.upper, abs=1e-9 * scale)
    assert verdict.lower == pytest.approx(certificate.lower, abs=1e-9 * scale)
    assert verdict.lower <= verdict.upper
    assert (verdict.arithmetic, verdict.statement["from_file"]) == ("exact", [])
    if problem.loss.name in ("squared", "huber"):
        assert Fraction(verdict.lower) <= verdict.lower_exact <= verdict.upper_exact <= Fraction(verdict.upper)
    else:
        assert verdict.lower_exact is verdict.upper_exact is None


@pytest.mark.parametrize("case", [case for case in CASES if case.penalty == "none"], ids=str)
def test_without_a_penalty_only_zero_is_feasible_exactly(case, tmp_path):
    problem, solution = solved(case)
    with pytest.warns(cr.ConvergenceWarning, match="larger than that of the certificate.*no dual point but zero"):
        loaded = reloaded(solution.certificate, tmp_path / "a.cert")
    verdict = loaded.verify(problem.X, problem.y, **statement(problem))
    assert verdict.upper == pytest.approx(solution.objective, rel=1e-9)
    assert 0.0 <= verdict.lower <= verdict.upper
    assert not loaded.dual.t.any()


@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_the_file_holds_what_the_certificate_holds(kind, tmp_path):
    problem = make_problem(kind, "huber", c=3 if kind == "gated" else 1, ratio=0.05)
    certificate = cr.solve(problem, "CLARABEL", tol=1e-7).certificate
    loaded = reloaded(certificate, tmp_path / "a.cert")
    found, expected = problem.blocks(loaded.weights), problem.blocks(certificate.weights)
    np.testing.assert_allclose(found, expected, atol=1e-12 * np.abs(expected).max())
    np.testing.assert_array_equal(loaded.patterns.D, problem.patterns.D)
    assert loaded.patterns.G is None
    t = certificate.dual.t
    np.testing.assert_allclose(loaded.dual.t, t, atol=1e-9 * np.abs(t).max())
    assert math.isnan(loaded.dual.value)
    if kind == "relu":
        assert loaded.dual.multipliers.nnz > 0
        assert abs(loaded.dual.multipliers - certificate.dual.multipliers).max() <= 1e-9
    else:
        assert loaded.dual.multipliers is None
    assert (loaded.kind, loaded.scope, loaded.proof, loaded.lam) == (kind, "patterns", None, problem.lam)
    assert (loaded.loss, loaded.penalty) == (problem.loss, problem.penalty)
    assert not hasattr(loaded, "lower")
    assert not hasattr(loaded, "upper")
    assert "derived from the data by verify" in str(loaded)
    again = type(problem)(problem.X, problem.y, loaded.patterns, loaded.lam, loaded.loss, loaded.penalty)
    assert cr.certify(again, loaded.weights, loaded.dual).lower == pytest.approx(certificate.lower, rel=1e-9)


def test_the_upper_bound_is_the_exact_objective_rounded_up(tmp_path):
    problem = make_problem("gated", penalty="squared_l2")  # without roots: the objective is a rational number
    weights = random_weights(problem, np.random.default_rng(0))
    verdict = reloaded(cr.certify(problem, weights), tmp_path / "a.cert").verify(problem.X, problem.y)
    X, Y, U = (rational(values) for values in (problem.X, problem.Y[:, 0], weights[0]))
    f = sum(problem.patterns.D[:, i].astype(int) * (X @ U[i]) for i in range(len(U)))
    expected = ((f - Y) ** 2).sum() / (2 * len(Y)) + Fraction(problem.lam) * (U * U).sum() / 2
    assert verdict.upper_exact == expected
    assert math.nextafter(verdict.upper, -math.inf) < verdict.upper_exact <= verdict.upper
    assert math.nextafter(verdict.lower, math.inf) > verdict.lower_exact >= verdict.lower


@pytest.fixture
def relu(tmp_path):
    """A ReLU problem, and its certificate read from a file."""
    problem = make_problem("relu", ratio=0.05)
    return problem, reloaded(cr.solve(problem, tol=1e-8).certificate, tmp_path / "relu.cert")


def test_the_statement_is_the_verifier_s(relu):
    problem, loaded = relu
    data, own = (problem.X, problem.y), statement(problem)
    verdict = loaded.verify(*data, **own)
    assert verdict.statement["patterns"]["count"] == len(problem.patterns)
    assert "from_file" in loaded.verify(*data).statement
    assert set(loaded.verify(*data, lam=problem.lam).statement["from_file"]) == {
        "kind",
        "scope",
        "loss",
        "penalty",
        "patterns",
    }
    others = {
        "kind": "gated",
        "scope": "global",
        "loss": "logistic",
        "delta": 1.0,
        "penalty": "l1",
        "lam": np.nextafter(problem.lam, 1.0),
        "patterns": problem.patterns.D[:, :-1],
    }
    for name, value in others.items():
        with pytest.raises(cr.RejectedCertificate, match=name):
            loaded.verify(*data, **{**own, name: value})


def test_the_verdict_is_a_sentence_with_all_of_the_statement(relu):
    problem, loaded = relu
    verdict = loaded.verify(problem.X, problem.y, **statement(problem))
    text = str(verdict)
    for words in ("exact arithmetic", "12 x 3", "squared loss", "group_l1", repr(problem.lam), "ReLU network"):
        assert words in text
    assert repr(verdict.lower) in text
    assert repr(verdict.upper) in text
    assert verdict.gap >= verdict.upper_exact - verdict.lower_exact


def test_a_network_of_one_s_own(relu):
    """The upper bound is of the network that the verifier holds, with balanced layers."""
    problem, loaded = relu
    network = cr.to_network(problem, loaded.weights)
    own = loaded.verify(problem.X, problem.y)
    scales = np.linspace(1.0, 3.0, len(network.w2))
    verdict = loaded.verify(problem.X, problem.y, network=(network.W1 * scales[:, None], network.w2.ravel() / scales))
    assert verdict.upper == pytest.approx(own.upper, rel=1e-12)
    assert "given network" in str(verdict)
    output = np.array([1.0, -2.0, 0.5])
    other = cr.ReLUNetwork(np.eye(3) * np.sqrt(np.abs(output)), np.sign(output) * np.sqrt(np.abs(output)))
    verdict = loaded.verify(problem.X, problem.y, network=(np.eye(3), output))
    assert verdict.upper == pytest.approx(other.objective(problem.X, problem.Y[:, 0], problem.lam), rel=1e-12)
    assert verdict.lower == own.lower
    for wrong in ((other.W1[:, :2], other.w2), (other.W1, other.w2[:2]), (np.nan * other.W1, other.w2)):
        with pytest.raises(ValueError, match="W1"):
            loaded.verify(problem.X, problem.y, network=wrong)


def test_intervals_are_wider_and_named(relu):
    problem, loaded = relu
    exact, interval = (loaded.verify(problem.X, problem.y, interval=choice) for choice in (False, True))
    assert interval.arithmetic == "interval"
    assert interval.lower_exact is interval.upper_exact is None
    assert Fraction(interval.lower) <= exact.lower_exact <= exact.upper_exact <= Fraction(interval.upper)
    assert interval.gap <= 1e-9 * interval.upper + exact.gap
    with pytest.raises(ValueError, match="more than allowed"):
        loaded.verify(problem.X, problem.y, max_memory=1e3)


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_data_are_compared_by_value_not_dtype(dtype, tmp_path):
    X = np.arange(-12, 12).reshape(8, 3).astype(dtype)
    X[3, 1] *= -1
    y = np.arange(8.0)
    patterns = cr.sample_patterns(X, 4)
    certificate = cr.certify(problem := cr.ConvexReLU(X, y, patterns, 0.1), problem.zero_weights())
    loaded = reloaded(certificate, tmp_path / "a.cert")
    for data, targets in ((X, y), (X.astype(np.float64), y[:, None]), (np.asfortranarray(X), y.astype(np.float32))):
        assert loaded.verify(data, targets).upper == certificate.upper
    with pytest.raises(cr.RejectedCertificate, match="data"):
        loaded.verify(X, y[::-1])
    for wrong in (np.full((8, 3), np.nan), np.full((8, 3), "1"), np.full((8, 3), 2**53 + 1), X[:, :, None]):
        with pytest.raises(ValueError, match="X must"):
            loaded.verify(wrong, y)


@pytest.mark.parametrize("penalty", GATED_PENALTIES)
def test_masks_without_gates_and_empty_networks(penalty, tmp_path):
    problem = make_problem("gated", penalty=penalty)
    masks = cr.ActivationPatterns(problem.patterns.D)
    problem = cr.ConvexGatedReLU(problem.X, problem.y, masks, problem.lam, penalty=penalty)
    for name, weights in (
        ("zero", problem.zero_weights()),
        ("some", random_weights(problem, np.random.default_rng(0))),
    ):
        cr.certify(problem, weights).save(tmp_path / name)
        loaded = cr.load_certificate(tmp_path / name)
        assert loaded.patterns.G is None
        np.testing.assert_allclose(loaded.weights, weights, rtol=1e-12, atol=1e-14)
        verdict = loaded.verify(problem.X, problem.y)
        assert verdict.upper == pytest.approx(problem.objective(weights), rel=1e-12)


def test_damaged_files_and_other_versions_are_refused(relu, tmp_path):
    _, loaded = relu
    raw = encoded(loaded.contents)
    with (tmp_path / "old.cert").open("wb") as file:
        np.savez(file, header=np.zeros(3, np.uint8))
    files = {
        "cut": (raw[:-1], "the file ends within"),
        "longer": (raw + b"0", "bytes follow"),
        "text": (b"verified\n", "no cvxrelu certificate of version 3"),
        "empty": (b"", "no cvxrelu certificate of version 3"),
        "old": ((tmp_path / "old.cert").read_bytes(), "version 1 or 2.*save the certificate again"),
        "next": (raw.replace(b"certificate 3", b"certificate 4", 1), "no cvxrelu certificate of version 3"),
    }
    for name, (content, words) in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(cr.RejectedCertificate, match=words):
            cr.load_certificate(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        cr.load_certificate(tmp_path / "none.cert")


def test_a_rejected_file_has_no_verdict(relu):
    """A dual point that is not feasible proves nothing, however near it is."""
    problem, _ = relu
    contents = as_contents(cr.solve(problem, tol=1e-8).certificate)
    raw = encoded(contents, {"t": contents.arrays["t"] * (1.0 + 1e-9)})
    loaded = cr.PortableCertificate(cr.certificates.checker.parse(raw))
    with pytest.raises(cr.RejectedCertificate, match="a dual norm exceeds lam"):
        loaded.verify(problem.X, problem.y)
