"""No forged file is verified with a false statement, or stops the checker otherwise than by its rejection."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from cvxrelu.certificates import checker
from reference.forgeries.bases import Base, all_bases
from reference.forgeries.exact import entropy, log_sum_exp, root
from reference.forgeries.honest import VERIFIED, WIDER, write_and_check
from reference.forgeries.judge import FALSE, REJECTED, TRUE, outcome
from reference.forgeries.mutations import attempt
from reference.forgeries.oracle import largest_neuron, sampled_maximum
from reference.forgeries.run import FORGERS, campaign
from reference.rationals import rational


@pytest.mark.parametrize("seed", range(4))
def test_no_forged_file_deceives(seed):
    found = campaign(500, seed)
    assert found.failures == []
    total = sum(found.counts.values(), Counter())
    assert set(found.counts) == {forger.__name__ for forger in FORGERS}
    assert total.total() == 1000
    assert total[REJECTED] > 600
    assert total[TRUE] > 100


@pytest.mark.parametrize("interval", [False, True], ids=["exact", "interval"])
def test_honest_files_are_verified(interval):
    outcomes = {base.name: outcome(attempt(base, base.file), base, interval) for base in all_bases()}
    assert {name: found for name, found in outcomes.items() if found != (TRUE, "")} == {}


def test_honest_files_of_the_package_are_verified():
    found = write_and_check(40, 3)
    assert found.failures == []
    total = sum(found.counts.values(), Counter())
    assert total[VERIFIED] + total[WIDER] > 30
    assert any(kind.startswith("global") for kind in found.counts)


def test_no_forged_file_deceives_in_small_chunks(monkeypatch):
    """Sums over blocks and neurons in many parts, as for large data."""
    bases = all_bases()
    verdicts = [checker.check(checker.parse(base.raw), base.X, base.y) for base in bases]
    monkeypatch.setattr(checker, "CHUNK", 1)
    for base, verdict in zip(bases, verdicts, strict=True):
        again = checker.check(checker.parse(base.raw), base.X, base.y)
        assert (again["lower"], again["upper"]) == (verdict["lower"], verdict["upper"])
    found = campaign(150, 9)
    assert found.failures == []


# The judge is not blind


def found_by_a_checker_without(monkeypatch, reason, forge, bases):
    """Return the bases for which a checker that accepts in spite of a reason is deceived, by the judge."""
    real = checker.require
    monkeypatch.setattr(
        checker, "require", lambda fits, why, *error: None if reason in why else real(fits, why, *error)
    )
    return [base for base in bases if outcome(forge(base), base, False)[0] == FALSE]


def lying(base: Base):
    arrays = {"t": base.liar}
    if "corners" in base.file.arrays:
        arrays["multipliers"] = 1e6 * base.file.arrays["multipliers"] + 1e3
    return attempt(base, base.file.with_arrays(**arrays))


@pytest.mark.parametrize("reason", ["infeasible", "exceeds the bound of a leaf", "exceeds its bound"])
def test_a_checker_that_skips_the_dual_constraint_is_found(monkeypatch, reason):
    assert len(found_by_a_checker_without(monkeypatch, reason, lying, all_bases())) >= 4


def test_a_checker_that_skips_cones_is_found(monkeypatch):
    def outside(base):
        W = base.file.arrays["weights"]
        return attempt(
            base, base.file.with_arrays(weights=W + 1e-12 * np.abs(W).max(initial=0.0) * np.array([[[1.0]], [[0.0]]]))
        )

    assert len(found_by_a_checker_without(monkeypatch, "outside their cones", outside, all_bases())) >= 4


def test_a_checker_that_skips_the_statement_is_found(monkeypatch):
    def other(base):
        return attempt(base, base.file.with_header(lam=2.0 * base.statement.lam))

    assert len(found_by_a_checker_without(monkeypatch, "the file is about", other, all_bases()[:6])) >= 5


def test_bounds_that_are_too_tight_are_found(monkeypatch):
    base = all_bases()[0]
    upper = checker.objective_above
    monkeypatch.setattr(checker, "objective_above", lambda *parts: upper(*parts) * Fraction(10**9 - 1, 10**9))
    assert outcome(attempt(base, base.file), base, False)[0] == FALSE


# The oracle


@pytest.mark.parametrize("d", [1, 2, 3])
def test_largest_neuron(d):
    """The bound of the dual constraint is above the values of many neurons, and close for one or two columns."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X, t = rng.integers(-2, 3, (6, d)).astype(float), rng.standard_normal(6)
        X = np.vstack([X, X[:1], -X[1:2]]) if seed % 2 else X * rng.uniform(0.1, 10.0, X.shape)
        t = np.resize(t, len(X))
        bound, sampled = float(largest_neuron(rational(X), rational(t))), sampled_maximum(X, t)
        assert sampled <= bound * (1 + 1e-12)
        assert d == 3 or bound <= sampled * (1 + 1e-4)


def test_roots_and_logarithms():
    for square in (Fraction(2), Fraction(1, 3), Fraction(10) ** 600, Fraction(7, 10**620)):
        assert root(square, above=False) ** 2 <= square <= root(square, above=True) ** 2
        assert root(square, above=True) <= root(square, above=False) * (1 + Fraction(1, 2**200))
    numbers = [Fraction(1), Fraction(-3, 7), Fraction(-5000)]
    low, high = log_sum_exp(numbers, above=False), log_sum_exp(numbers, above=True)
    assert low <= high <= low + Fraction(1, 10**45)
    assert float(high) == pytest.approx(np.logaddexp(1.0, -3 / 7), rel=1e-15)
    assert float(entropy(Fraction(1, 4))) == pytest.approx(np.log(4) / 4, rel=1e-15)
    assert entropy(Fraction(0)) == entropy(Fraction(1)) == 0


def test_optimal_values_are_known_closely():
    """Where the optimal value is known only roughly, small lies cannot be found."""
    widths = [float((base.bounds[1] - base.bounds[0]) / base.bounds[1]) for base in all_bases()]
    assert sum(width < 1e-6 for width in widths) > 0.7 * len(widths)
