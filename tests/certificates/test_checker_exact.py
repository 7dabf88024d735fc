"""Bounds in exact arithmetic."""

from fractions import Fraction

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.certificates import checker
from cvxrelu.certificates.checker import RejectedCertificate
from tests.helpers.cases import make_problem
from tests.helpers.forgery import as_contents, changed, forged
from tests.helpers.solved_cases import CASES, solved

EXACT = ("group_l1", "l1", "feature_group_l1", "squared_l2")


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
    """Weights within rounding of their cone are moved in along the gate; without gates nothing is proved."""
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
