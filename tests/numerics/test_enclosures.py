"""Upper bounds of exponentials and logarithms against 60 decimal digits."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvxrelu.numerics.enclosures import entropy_above, exp_above, log1p_above, log_above, log_sum_exp_above, rest_terms

EPS = Decimal(2) ** -52
TINY = Decimal(2) ** -1074


@pytest.fixture(autouse=True)
def digits():
    with localcontext() as context:
        context.prec = 60
        context.Emin, context.Emax = -(10**12), 10**12
        yield


def values(function, x):
    """Return exact arguments and their bounds, as decimals."""
    bounds = function(np.asarray(x, dtype=float))
    return [(Decimal(a), Decimal(b)) for a, b in zip(np.asarray(x).tolist(), bounds.tolist(), strict=True)]


def test_exp():
    rng = np.random.default_rng(0)
    special = [0.0, -0.0, 5e-324, -5e-324, 709.0, -708.5, -744.0, -745.2, -800.0, -900.0, -1e300]
    for x, bound in values(exp_above, [*special, *rng.uniform(-750, 709, 1500), *rng.uniform(-1, 1, 1500)]):
        exact = x.exp()
        assert exact <= bound <= exact * (1 + 32 * EPS) + 2 * TINY
    assert np.all(exp_above(np.array([709.5, 1e308, np.inf])) == np.inf)


def test_log():
    rng = np.random.default_rng(0)
    numbers = [1.0, 2.0**-1000, 1.0 - 2.0**-53, 1.0 + 2.0**-52, *10 ** rng.uniform(-300, 300, 1500), *rng.random(1500)]
    for x, bound in values(log_above, numbers):
        assert x.ln() <= bound <= x.ln() + 32 * EPS + 2 * EPS * abs(x.ln())
    lowest = log_above(np.array([2.0**-1000]))
    assert np.all(log_above(np.array([0.0, 5e-324, 1e-305])) == lowest)


def test_log1p():
    rng = np.random.default_rng(0)
    for x, bound in values(log1p_above, [0.0, 5e-324, 1.0, 0.5, *10 ** rng.uniform(-300, 300, 3000)]):
        exact = (1 + x).ln() if x > Decimal("1e-25") else x - x * x / 2
        assert exact <= bound <= exact * (1 + Decimal("3e-11")) + 16 * TINY


def test_bounds_hold_for_a_wrong_library_logarithm(monkeypatch):
    x = np.random.default_rng(0).uniform(0.1, 10.0, 100)
    exact = [Decimal(number).ln() for number in x.tolist()]
    for error in (-1.0, -1e-9, 1e-9, 1.0):
        right = np.log(x)
        monkeypatch.setattr(np, "log", lambda a, right=right, error=error: right + error)
        bounds = log_above(x)
        monkeypatch.undo()
        assert all(Decimal(bound) >= number for bound, number in zip(bounds.tolist(), exact, strict=True))


def exact_log_sum_exp(margins):
    rows = [[Decimal(m) for m in row] for row in margins.tolist()]
    return sum(((1 + sum(m.exp() for m in row)).ln() for row in rows), Decimal(0))


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-12, 1e-3, 1.0, 30.0, 1e3, 1e7]), st.integers(1, 4))
def test_log_sum_exp(seed, scale, k):
    margins = scale * np.random.default_rng(seed).standard_normal((5, k))
    with localcontext() as context:
        context.prec, context.Emin, context.Emax = 120, -(10**12), 10**12
        exact, digits = exact_log_sum_exp(margins), Decimal("1e-110")
        assert exact - digits <= Decimal(log_sum_exp_above(margins)) <= exact * (1 + Decimal("1e-10")) + digits


def test_small_losses_are_relatively_accurate():
    for size in (5.0, 8.0, 12.0, 40.0, 300.0):
        margins = np.array([[-size, -size - 1.0], [-size - 2.0, -2e4]])
        with localcontext() as context:
            context.prec = 400
            exact = exact_log_sum_exp(margins)
            assert exact <= Decimal(log_sum_exp_above(margins)) <= exact * (1 + Decimal("1e-10"))


def exact_entropy(fractions, n):
    total = Decimal(0)
    for row in fractions.tolist():
        a = [n * Decimal(fraction) for fraction in row]
        rest = 1 - sum(a)
        total += rest * rest.ln() + sum(x * x.ln() for x in a if x > 0)
    return total


@settings(max_examples=100)
@given(st.integers(0, 2**32 - 1), st.integers(1, 2000), st.integers(1, 4), st.sampled_from([1.0, 1e-4, 1e-9, 1e-30]))
def test_entropy(seed, n, k, size):
    rng = np.random.default_rng(seed)
    fractions = np.floor(2.0**40 * rng.dirichlet(np.ones(k + 1), 6)[:, :k] * (1 - 1e-6)) * 2.0**-40 * size / n
    fractions = np.float64(2.0**-52) * np.floor(fractions * 2.0**52) if size == 1.0 else fractions[:, :1]
    fractions[0] = 0.0
    with localcontext() as context:
        context.prec = 60
        exact = exact_entropy(fractions, n)
        assert exact <= Decimal(entropy_above(fractions, n)) <= exact + abs(exact) * Decimal("1e-11") + 1000 * TINY


@pytest.mark.parametrize("n", [1, 2, 3, 64, 569])
def test_entropy_at_the_boundary_of_its_domain(n):
    fractions = np.full((3, 1), np.nextafter(1.0 / n, 0.0))
    exact = exact_entropy(fractions, n)
    assert exact <= Decimal(entropy_above(fractions, n)) <= exact + 1000 * EPS


def test_rest_terms_are_relatively_accurate():
    """The error is that of the series, s^4 / 4, plus rounding, if smaller than the rounding of 1 - s."""
    fractions = np.concatenate([10.0 ** np.random.default_rng(0).uniform(-12, -3, 300), [0.0, 0.25, 0.9]])
    for s, bound in values(lambda totals: rest_terms(totals, 1), fractions):
        exact = (1 - s) * (1 - s).ln()
        assert exact <= bound <= exact + s * min(s**3 / 2 + 32 * EPS, 32 * EPS / max(s, TINY)) + 2 * TINY
