import cvxpy as cp
import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.cones.multipliers import cone_multipliers, features_are_larger
from cvxrelu.cones.pattern_cones import PatternCones
from cvxrelu.penalties.group_norms import FeatureGroupL1
from tests.helpers.cases import make_data
from tests.helpers.cones import multipliers, signed


def test_feature_multipliers_minimise_the_largest_group():
    X = make_data("tall")
    patterns = cr.sample_patterns(X, 4)
    cones = PatternCones(X, patterns)
    Z = np.random.default_rng(5).standard_normal((2 * len(patterns), 3))
    gamma = cone_multipliers(Z, cones, FeatureGroupL1(), 0.0, None)
    found = np.linalg.norm(cones.shift(Z, gamma), axis=0).max()
    g = cp.Variable((len(Z), len(X)), nonneg=True)
    rows = [Z[b] + signed(X, patterns.D, b % len(patterns)).T @ g[b] for b in range(len(Z))]
    best = cp.Problem(cp.Minimize(cp.max(cp.norm(cp.vstack(rows), 2, axis=0)))).solve(solver="CLARABEL")
    assert (gamma.data >= 0).all()
    assert best <= found * (1 + 1e-6)
    assert found <= best * (1 + 1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_features_are_larger_than_values_below_their_minimum(seed):
    """The value found is at least the minimum, and within a relative 1e-6 of it."""
    X = make_data("tall")
    cones = PatternCones(X, cr.sample_patterns(X, 4))
    Z = np.random.default_rng(seed).standard_normal((2 * cones.D.shape[1], 3))
    found = largest_feature(cones.shift(Z, cone_multipliers(Z, cones, FeatureGroupL1(), 0.0, None)))
    assert not features_are_larger(Z, cones, found)
    assert features_are_larger(Z, cones, found * (1 - 4e-6))


def test_one_feature_takes_one_projection(monkeypatch):
    """A single group is minimised by the projection itself."""
    X = np.random.default_rng(0).standard_normal((8, 1))
    cones = PatternCones(X, cr.sample_patterns(X, 2))
    Z = np.random.default_rng(1).standard_normal((2 * cones.D.shape[1], 1))
    project, calls = PatternCones.scaled_multipliers, []
    monkeypatch.setattr(PatternCones, "scaled_multipliers", lambda *args: calls.append(1) or project(*args))
    cone_multipliers(Z, cones, FeatureGroupL1(), 0.0, None)
    assert len(calls) == 1


def test_expired_time_leaves_valid_multipliers():
    """After one reweighting, or projections without linear programs, multipliers are non-negative and useful."""
    X = make_data("tall")
    cones = PatternCones(X, cr.sample_patterns(X, 4))
    Z = np.random.default_rng(5).standard_normal((2 * cones.D.shape[1], 3))
    for penalty, size in ((FeatureGroupL1(), largest_feature), (cr.L1(), largest_entry)):
        full, cut = (
            cone_multipliers(Z, cones, penalty, 0.0, None, None, expired) for expired in (lambda: False, lambda: True)
        )
        assert (cut.data >= 0.0).all()
        assert size(cones.shift(Z, full)) < size(cones.shift(Z, cut)) <= size(Z)


def largest_feature(Z):
    return np.linalg.norm(Z, axis=0).max()


def largest_entry(Z):
    return np.abs(Z).max()


def test_only_relevant_blocks_are_projected():
    X = make_data("tall")
    patterns = cr.sample_patterns(X, 6)
    cones = PatternCones(X, patterns)
    Z = np.random.default_rng(0).standard_normal((len(patterns), 3))
    sizes = np.linalg.norm(Z, axis=1)
    gamma = cone_multipliers(Z, cones, cr.GroupL1(), float(np.median(sizes)), None)
    untouched = np.diff(gamma.indptr) == 0
    assert untouched[sizes <= np.median(sizes)].all()
    exact = [np.linalg.norm(cones.shift_block(z, multipliers(cones, z, b), b)) for b, z in enumerate(Z)]
    found = np.linalg.norm(cones.shift(Z, gamma), axis=1)
    assert max(found.max(), np.median(sizes)) == pytest.approx(max(max(exact), np.median(sizes)))


def test_few_linear_programs_determine_the_largest_norm(monkeypatch):
    """Projections bound the other programs from above; lam_max is that of all programs."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal((60, 4)), np.ones(60)])
    problem = cr.ConvexReLU(X, rng.standard_normal(60), cr.sample_patterns(X, 40, seed=0), 1e-3, "squared", "l1")
    minimise, blocks = PatternCones.chebyshev_multipliers, []

    def note(self, z, block):
        blocks.append(block)
        return minimise(self, z, block)

    monkeypatch.setattr(PatternCones, "chebyshev_multipliers", note)
    lam_max = problem.lam_max()
    assert 0 < len(blocks) == len(set(blocks)) <= len(problem.patterns) // 2
    Z = problem.operator.adjoint(problem.loss.gradient(np.zeros_like(problem.Y), problem.Y)).reshape(-1, problem.d)
    cones, both = problem.cones, np.concatenate([Z, -Z])
    sizes = [np.abs(cones.shift_block(z, minimise(cones, z, b), b)).max() for b, z in enumerate(both)]
    assert lam_max == pytest.approx(max(sizes), rel=1e-9)
