"""Compare rounded bounds on max over ||u|| <= 1 of |t'(Xu)_+| with rational arithmetic."""

from fractions import Fraction

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.numerics.rounding import norms_above
from cvxrelu.pricing.bounds import bound_neurons
from cvxrelu.pricing.neuron_problem import Multipliers, NeuronBound, RowLines
from cvxrelu.pricing.relaxation import ascended_bound
from cvxrelu.pricing.rounded import maximum_above, transferred_above
from reference.rationals import rational
from reference.rounded.exact import large_squared, largest_squared


def nasty_rows(rng, d, kind):
    n = int(rng.integers(1, 9))
    X = rng.standard_normal((n, d))
    if kind == "integers":
        X = np.round(2.0 * X)
    elif kind == "scales":
        X *= 10.0 ** rng.integers(-8, 9, (n, 1))
    elif kind == "opposite" and n > 2:
        X[1], X[2] = X[0] * (1.0 + 1e-15), -X[0]
    elif kind == "thin":
        X[:, -1] *= 1e-13
    elif kind == "flat":
        X[:, -1] = 0.0
    t = rng.standard_normal(n) * 10.0 ** rng.integers(-6, 3)
    return X, np.round(10.0 * t) if rng.integers(3) == 0 else t


@pytest.mark.parametrize("kind", ["plain", "integers", "scales", "opposite", "thin", "flat"])
@pytest.mark.parametrize("seed", range(12))
def test_exact_maximum_in_the_plane(kind, seed):
    X, t = nasty_rows(np.random.default_rng(seed), 2, kind)
    lines = RowLines(X)
    above = maximum_above(X, lines, t, bound_neurons(X, lines, t, 1.0))
    exact = largest_squared(rational(X), rational(t))
    assert Fraction(above) ** 2 >= exact
    assert above <= float(exact) ** 0.5 * (1.0 + 1e-10)


@pytest.mark.parametrize("kind", ["plain", "integers", "scales", "opposite"])
@pytest.mark.parametrize("seed", range(4))
def test_branch_and_bound_and_relaxation_in_space(kind, seed):
    X, t = nasty_rows(np.random.default_rng(seed), 3, kind)
    lines = RowLines(X)
    exact = large_squared(rational(X), rational(t), np.asarray(cr.enumerate_patterns(X).D))
    size = float(exact) ** 0.5
    searched = bound_neurons(X, lines, t, size * (1.0 + 1e-9) or 1.0)
    for bound in (searched, ascended_bound(lines, t)):
        above = maximum_above(X, lines, t, bound)
        assert Fraction(above) ** 2 >= exact
        assert above <= bound.upper * (1.0 + 1e-7)


def test_any_multipliers_prove_a_bound():
    rng = np.random.default_rng(0)
    X, t = rng.standard_normal((8, 3)), rng.standard_normal(8)
    lines = RowLines(X)
    exact = large_squared(rational(X), rational(t), np.asarray(cr.enumerate_patterns(X).D))
    for scale in (0.0, 1e-20, 1.0, 1e20):
        parts = [Multipliers(*(scale * np.abs(rng.standard_normal(len(lines.E))) for _ in range(3))) for _ in range(2)]
        bound = NeuronBound(0.0, "relaxation", np.empty((0, 3)), multipliers=tuple(parts))
        assert Fraction(maximum_above(X, lines, t, bound)) ** 2 >= exact


def test_a_basis_that_is_not_orthonormal_and_lines_off_their_rows_are_charged():
    rng = np.random.default_rng(1)
    X, t = rng.standard_normal((8, 3)), rng.standard_normal(8)
    lines = RowLines(X)
    bound = ascended_bound(lines, t)
    exact = maximum_above(X, lines, t, bound)
    lines.basis = 1.001 * lines.basis
    assert maximum_above(X, lines, t, bound) >= exact * (1.0 + 1e-4)
    lines.basis = lines.basis / 1.001
    lines.E = lines.E + 1e-3 * rng.standard_normal(lines.E.shape)
    assert maximum_above(X, lines, t, ascended_bound(lines, t)) >= exact


def test_nothing_is_proven_of_an_infinite_or_vanishing_bound():
    X, t = np.random.default_rng(2).standard_normal((8, 3)), np.ones(8)
    lines = RowLines(X)
    for upper in (np.inf, 1e-200):
        assert maximum_above(X, lines, t, NeuronBound(upper, "branch_and_bound", np.empty((0, 3)))) == np.inf
    assert maximum_above(X, lines, 0.0 * t, NeuronBound(0.0, "branch_and_bound", np.empty((0, 3)))) == 0.0


@pytest.mark.parametrize("weighted", [False, True])
def test_bounds_of_merged_rows_hold_for_their_copies(weighted):
    rng = np.random.default_rng(3)
    merged, index = rng.standard_normal((5, 2)), np.array([0, 0, 1, 2, 2, 2, 3, 4])
    shares = np.array([0.3, 0.7, 1.0, 0.1, 0.2, 0.7, 1.0, 1.0])
    t = rng.standard_normal(5)
    scales = np.sqrt(rng.random(8) + 0.5) if weighted else np.ones(8)
    X, copies = scales[:, None] * merged[index], shares * t[index] / scales
    lines = RowLines(merged)
    maximum = maximum_above(merged, lines, t, bound_neurons(merged, lines, t, 1.0))
    above = transferred_above(maximum, X, copies, merged, t, index)
    assert Fraction(above) ** 2 >= largest_squared(rational(X), rational(copies))
    assert above <= maximum * (1.0 + 1e-12)
    apart = transferred_above(maximum, X + np.array([1e-3, 0.0]), copies, merged, t, index)
    assert maximum < apart <= maximum + 2e-3 * float(np.abs(copies).sum()) + 1e-3 * norms_above(merged).sum()
