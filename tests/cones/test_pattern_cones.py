from types import SimpleNamespace

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, nnls

import cvxrelu as cr
from cvxrelu.cones.pattern_cones import PatternCones
from tests.helpers.cases import make_data
from tests.helpers.cones import multipliers, project, signed


def repair(cones, w, block):
    return cones.repair(w[None], np.array([block]))[0]


@pytest.mark.parametrize("shape", ["tall", "wide", "collinear"])
def test_multipliers_give_the_projection(shape):
    X = make_data(shape)
    patterns = cr.sample_patterns(X, 5)
    cones = PatternCones(X, patterns)
    rng = np.random.default_rng(0)
    for i in range(len(patterns)):
        z = rng.standard_normal(X.shape[1])
        gamma = multipliers(cones, z, i)
        p = cones.shift_block(z, gamma, i)
        assert (gamma >= 0).all()
        # Feasible and as close as the interior-point solution: the projection is unique.
        assert (signed(X, patterns.D, i) @ p).min() >= -1e-12
        nearest = project(signed(X, patterns.D, i), z)
        assert np.sum((p - z) ** 2) == pytest.approx(np.sum((nearest - z) ** 2), rel=1e-8)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["tall", "wide", "collinear"]))
def test_projection_satisfies_moreau(seed, shape):
    rng = np.random.default_rng(seed)
    X = make_data(shape, seed)
    patterns = cr.sample_patterns(X, 4, seed=seed)
    cones = PatternCones(X, patterns)
    z = rng.standard_normal(X.shape[1]) * 10.0 ** rng.integers(-6, 7)
    p = cones.shift_block(z, multipliers(cones, z, 0), 0)
    scale = np.linalg.norm(z)
    assert (signed(X, patterns.D, 0) @ p).min() >= -1e-9 * scale * np.linalg.norm(X, axis=1).max()
    assert abs(p @ (z - p)) <= 1e-9 * scale**2


def test_chebyshev_multipliers_are_optimal():
    X = make_data("tall")
    patterns = cr.sample_patterns(X, 5)
    cones = PatternCones(X, patterns)
    rng = np.random.default_rng(3)
    for i in range(len(patterns)):
        z = rng.standard_normal(3)
        gamma = cones.chebyshev_multipliers(z, i)
        assert (gamma >= 0).all()
        g = cp.Variable(len(X), nonneg=True)
        best = cp.Problem(cp.Minimize(cp.norm_inf(z + signed(X, patterns.D, i).T @ g))).solve(solver="CLARABEL")
        assert np.abs(cones.shift_block(z, gamma, i)).max() == pytest.approx(best, abs=1e-7)


@pytest.mark.parametrize("shape", ["tall", "wide", "collinear"])
def test_scaled_multipliers_are_those_of_non_negative_least_squares(shape):
    X = make_data(shape)
    patterns = cr.sample_patterns(X, 4)
    cones = PatternCones(X, patterns)
    rng = np.random.default_rng(3)
    Z, scale = rng.standard_normal((2 * len(patterns), X.shape[1])), 10.0 ** rng.uniform(-3, 0, X.shape[1])
    gamma = cones.scaled_multipliers(Z, scale)
    assert (gamma.data >= 0.0).all()
    found = np.linalg.norm(scale * cones.shift(Z, gamma), axis=1)
    for b, z in enumerate(Z):
        generators = scale[:, None] * signed(X, patterns.D, b % len(patterns)).T
        assert found[b] == pytest.approx(nnls(generators, -scale * z)[1], rel=1e-8, abs=1e-10)


@settings(max_examples=80)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["tall", "wide", "collinear"]), st.sampled_from([1e-9, 1.0]))
def test_repair_is_exact_in_non_singular_cones(seed, shape, size):
    rng = np.random.default_rng(seed)
    X = make_data(shape, seed)
    patterns = cr.sample_patterns(X, 4, seed=seed)
    cones = PatternCones(X, patterns)
    inside = rng.random() * patterns.G[:, 0]
    point = repair(cones, inside + size * rng.standard_normal(X.shape[1]), 0)
    blocks = np.zeros((1, len(patterns), X.shape[1]))
    blocks[0, 0] = point
    assert cones.violations(blocks).max() == 0.0
    # Products stay non-negative in another order of summation.
    assert (signed(X[:, ::-1].copy(), patterns.D, 0) @ point[::-1].copy() >= 0.0).all()


def test_repair_moves_no_further_than_the_projection_needs():
    X = make_data("tall")
    patterns = cr.sample_patterns(X, 3)
    cones = PatternCones(X, patterns)
    w = np.random.default_rng(1).standard_normal(3)
    p = project(signed(X, patterns.D, 0), w)
    assert np.linalg.norm(repair(cones, w, 0) - w) <= np.linalg.norm(p - w) + 1e-6


def test_repair_keeps_feasible_points():
    X = make_data("tall")
    patterns = cr.sample_patterns(X, 3)
    w = 0.3 * patterns.G[:, 1]
    np.testing.assert_array_equal(repair(PatternCones(X, patterns), w, 1), w)


def test_repair_in_singular_cones():
    X = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    D = np.array([[1, 0], [1, 0], [1, 1]], dtype=bool)  # both cones are the half line w_1 = 0, w_2 >= 0
    cones = PatternCones(X, cr.ActivationPatterns(D))
    np.testing.assert_allclose(repair(cones, np.array([0.5, 2.0]), 0), [0.0, 2.0], atol=1e-15)
    np.testing.assert_allclose(repair(cones, np.array([0.5, -2.0]), 1), [0.0, 0.0], atol=1e-15)


@pytest.mark.parametrize(("n", "d"), [(6, 8), (40, 3), (900, 5)])
def test_chebyshev_multipliers_solve_the_full_linear_program(n, d):
    """Row generation gives the optimum with many, zero and repeated rows."""
    rng = np.random.default_rng(n)
    X = np.column_stack([rng.standard_normal((n, d - 1)), np.ones(n)])
    X[1], X[2] = 0.0, X[3]
    patterns = cr.sample_patterns(X, 4, seed=0)
    cones = PatternCones(X, patterns)
    for i in range(len(patterns)):
        z = 10.0 ** rng.uniform(-3, 3) * rng.standard_normal(d)
        gamma = cones.chebyshev_multipliers(z, i)
        assert (gamma >= 0.0).all()
        rows, ones = (2.0 * patterns.D[:, i, None] - 1.0) * X, np.ones((d, 1))
        full = linprog(
            np.append(np.zeros(n), 1.0),
            A_ub=np.block([[rows.T, -ones], [-rows.T, -ones]]),
            b_ub=np.concatenate([-z, z]) / np.abs(z).max(),
        )
        size = np.abs(z).max()
        assert np.abs(cones.shift_block(z, gamma, i)).max() == pytest.approx(full.fun * size, abs=1e-9 * size)


@pytest.mark.parametrize("x", [None, np.ones(4)])
def test_failed_linear_program_gives_zero_multipliers(monkeypatch, x):
    """The point returned by a failed program is ignored."""
    X = make_data("tall")
    cones = PatternCones(X, cr.sample_patterns(X, 2))
    failed = SimpleNamespace(status=4, x=x, ineqlin=None)
    monkeypatch.setattr("scipy.optimize.linprog", lambda *args, **options: failed)
    np.testing.assert_array_equal(cones.chebyshev_multipliers(-cones.patterns.G[:, 0], 0), np.zeros(len(X)))
