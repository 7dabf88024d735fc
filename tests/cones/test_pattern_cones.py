from types import SimpleNamespace

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, nnls

import cvxrelu as cr
from cvxrelu.cones import projection as cone_projection
from cvxrelu.cones.multipliers import cone_multipliers, features_are_larger
from cvxrelu.cones.pattern_cones import PatternCones
from cvxrelu.cones.projection import ConeProjector
from cvxrelu.penalties.group_norms import FeatureGroupL1
from tests.helpers.cases import make_data


def repair(cones, w, block):
    return cones.repair(w[None], np.array([block]))[0]


def signed(X, D, i):
    return (2.0 * D[:, i] - 1)[:, None] * X


def project(R, z):
    w = cp.Variable(len(z))
    cp.Problem(cp.Minimize(cp.sum_squares(w - z)), [R @ w >= 0]).solve(
        solver="CLARABEL", tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10
    )
    return w.value


@pytest.mark.parametrize("shape", ["tall", "wide", "collinear"])
def test_euclidean_multipliers_give_the_projection(shape):
    X = make_data(shape)
    patterns = cr.sample_patterns(X, 5)
    cones = PatternCones(X, patterns)
    rng = np.random.default_rng(0)
    for i in range(len(patterns)):
        z = rng.standard_normal(X.shape[1])
        gamma = cones.euclidean_multipliers(z, i)
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
    p = cones.shift_block(z, cones.euclidean_multipliers(z, 0), 0)
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
    exact = [np.linalg.norm(cones.shift_block(z, cones.euclidean_multipliers(z, b), b)) for b, z in enumerate(Z)]
    found = np.linalg.norm(cones.shift(Z, gamma), axis=1)
    assert max(found.max(), np.median(sizes)) == pytest.approx(max(max(exact), np.median(sizes)))


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


def test_projections_start_from_the_last_face(monkeypatch):
    """Repeating a projection changes no tight rows, inside the cone or on its boundary."""
    X = make_data("tall")
    patterns = cr.sample_patterns(X, 5)
    blocks = np.arange(len(patterns))
    projector = ConeProjector(X, patterns.D, len(patterns))
    x = np.random.default_rng(0).standard_normal((len(patterns), 3))
    x[0] = patterns.G[:, 0]
    first = projector.project(blocks, x)
    np.testing.assert_array_equal(first[0], x[0])
    assert np.any(first != x)

    def no_pivots(*arguments):
        raise AssertionError("the face is known")

    monkeypatch.setattr(cone_projection, "project_blocks", no_pivots)
    np.testing.assert_allclose(projector.project(blocks, x), first, rtol=1e-14, atol=1e-14)


def test_projections_in_chunks_of_limited_memory(monkeypatch):
    """A block needs n products with the rows and a d x d basis; chunks do not change the result."""
    X = make_data("wide")
    patterns = cr.sample_patterns(X, 9)
    blocks, (n, d) = np.arange(len(patterns)), X.shape
    x = np.random.default_rng(0).standard_normal((len(blocks), d))
    full = ConeProjector(X, patterns.D, len(blocks)).project(blocks, x)
    project, sizes = ConeProjector._project, []

    def note(self, chunk, *rest):
        sizes.append(len(chunk))
        return project(self, chunk, *rest)

    monkeypatch.setattr(ConeProjector, "_project", note)
    monkeypatch.setattr(cone_projection, "_CHUNK_BYTES", 2 * 8 * (n + d**2) + 7)
    np.testing.assert_allclose(ConeProjector(X, patterns.D, len(blocks)).project(blocks, x), full, rtol=1e-14)
    assert sizes == [2] * (len(blocks) // 2) + [1] * (len(blocks) % 2)


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
