"""Gates on kinks, orthogonal to rows up to rounding, as gates taken from trained neurons are."""

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.numerics.rows import unit_rows

MET = 1e-11  # relative to |x||g|: smaller products count as zero in these tests


def kink_problem(seed, n_met, loss="squared", n=60, d=5, n_gates=30, fraction=0.02):
    """Return a C-ReLU problem, half of whose gates are orthogonal to ``n_met`` rows each up to 1e-14 to 1e-12."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.standard_normal((n, d - 1)), np.ones(n)])
    y = np.sin(2 * X[:, 0]) + 0.5 * X[:, 1] ** 2 + 0.3 * rng.standard_normal(n)
    if loss == "logistic":
        y = np.where(y > np.median(y), 1.0, -1.0)
    G = rng.standard_normal((d, n_gates))
    for i in range(n_gates // 2):
        met = X[rng.choice(n, n_met, replace=False)]
        for _ in range(2):
            G[:, i] -= np.linalg.pinv(met) @ (met @ G[:, i])
    G += 10.0 ** rng.uniform(-14.3, -12, G.shape) * rng.choice([-1.0, 1.0], G.shape)
    problem = cr.ConvexReLU(X, y, cr.ActivationPatterns.from_gates(X, G), loss=loss)
    assert (margins(X, problem.patterns.D, problem.patterns.G) < MET).sum() >= n_gates // 2 - 2
    return problem.with_lam(fraction * problem.lam_max())


def margins(X, D, W):
    """Return min (2 D_ji - 1) x_j'w_i / ||x_j|| ||w_i|| over the non-zero rows, of shape (P,)."""
    rows = unit_rows(X)[np.any(X, axis=1)]
    signs = np.where(np.asarray(D)[np.any(X, axis=1)], 1.0, -1.0)
    return (signs * (rows @ unit_rows(W.T).T)).min(axis=0)


def without_gates(problem):
    return cr.ConvexReLU(problem.X, problem.y, cr.ActivationPatterns(problem.patterns.D), problem.lam, problem.loss)


@pytest.mark.parametrize("n_met", [1, 2, 3])
def test_a_gate_on_a_kink_is_no_witness(n_met):
    problem = kink_problem(0, n_met)
    X, D, G = problem.X, problem.patterns.D, problem.patterns.G
    W, found = problem.patterns.witnesses(X)
    assert found.all()
    assert margins(X, D, W).min() > 1e-6
    kept = margins(X, D, G) > 1e-5
    np.testing.assert_array_equal(W[:, kept], G[:, kept])


def test_more_rows_on_the_kink_than_features():
    rng = np.random.default_rng(0)
    rows = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0], [1.0, -1.0, 0.0], [2.0, 1.0, 0.0]])
    X = np.vstack([rows, rng.standard_normal((20, 3))])
    patterns = cr.ActivationPatterns.from_gates(X, np.array([[1e-13], [-2e-13], [1.0]]))
    W, found = patterns.witnesses(X)
    assert found.all()
    assert margins(X, patterns.D, W)[0] > 1e-3


def test_a_kink_between_opposite_rows_is_singular():
    # 3 x rounds: at a gate orthogonal to x, rounding may make both x and -3 x active, and the cone has no interior.
    rng = np.random.default_rng(1)
    x = rng.standard_normal(4)
    X = np.vstack([x, -x, rng.standard_normal((20, 4))])
    g = rng.standard_normal(4)
    g -= x * (x @ g) / (x @ x)
    D = (X @ g >= 0.0)[:, None]
    D[:2] = True
    assert cr.ActivationPatterns(D, g[:, None]).is_singular(X).all()


@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize(("seed", "n_met"), [(0, 1), (1, 2), (2, 3)])
def test_working_set_reaches_the_optimum_over_gates_on_kinks(seed, n_met, loss):
    problem = kink_problem(seed, n_met, loss)
    solution = cr.solve(problem, "WorkingSet", tol=1e-6)
    reference = cr.solve(without_gates(problem), "CLARABEL", tol=1e-6)
    assert solution.status == "optimal"
    assert solution.certificate.max_violation == 0.0
    assert reference.lower <= solution.objective <= reference.objective * (1 + 1e-6)
    assert cr.certify(problem, solution, rigor="rounded").rel_gap <= 2e-6


def sliver_problem(angle):
    """Half of the patterns have cones as thin as the angle between nearly parallel rows, with gates inside."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((40, 3))
    X[20:] = X[:20] + angle * rng.standard_normal((20, 3))
    y = np.abs(X[:, 0]) + 0.3 * rng.standard_normal(40)
    G = rng.standard_normal((3, 12))
    for i in range(6):
        middle = X[i] + X[20 + i]
        G[:, i] -= middle * (middle @ G[:, i]) / (middle @ middle)
    return cr.ConvexReLU(X, y, cr.ActivationPatterns.from_gates(X, G), lam=1e-3)


@pytest.mark.parametrize("angle", [1e-8, 1e-10, 1e-12, 1e-14])
def test_the_solver_does_not_walk_along_gates_of_slivers(angle):
    problem = sliver_problem(angle)
    solution = cr.solve(problem, "WorkingSet", tol=1e-5)
    assert solution.status == "optimal"
    assert solution.objective < 0.02542
    assert solution.certificate.max_violation <= 1e-15


@pytest.mark.parametrize("angle", [1e-8, 1e-10, 1e-12])
def test_answers_of_an_interior_point_are_repaired_into_slivers(angle):
    for problem in (sliver_problem(angle), without_gates(sliver_problem(angle))):
        solution = cr.solve(problem, "CLARABEL", tol=1e-5)
        assert solution.status == "optimal"
        assert solution.objective < 0.02542


def test_a_gate_proves_the_interior_of_a_sliver():
    problem = sliver_problem(1e-12)
    assert not problem.patterns.is_singular(problem.X).any()
    assert without_gates(problem).patterns.is_singular(problem.X).sum() == 6


def test_patterns_of_solved_neurons():
    problem = kink_problem(4, 2)
    network = cr.solve(problem, "WorkingSet", tol=1e-8).network()
    patterns, weights = cr.to_convex(network, problem.X)
    assert (margins(problem.X, patterns.D, patterns.G) < MET).any()
    again = cr.ConvexReLU(problem.X, problem.y, patterns, problem.lam)
    solution = cr.solve(again, "WorkingSet", tol=1e-6)
    assert solution.status == "optimal"
    assert solution.objective <= again.objective(weights) * (1 + 1e-6)
    certificate = cr.certify_network(network, problem.X, problem.y, problem.lam)
    assert certificate.rel_gap <= 1e-5
    assert certificate.improved_objective <= certificate.upper * (1 + 1e-9)


def test_repair_does_not_walk_along_a_gate_on_a_kink():
    problem = kink_problem(5, 2)
    solution = cr.solve(problem, "WorkingSet", tol=1e-8)
    rng = np.random.default_rng(0)
    pushed = tuple(
        part + 1e-9 * np.any(part, axis=-1, keepdims=True) * rng.standard_normal(part.shape)
        for part in solution.weights
    )
    repaired = problem.repair(pushed)
    assert problem.violation(pushed) > 0.0
    assert problem.violation(repaired) <= 1e-15
    assert problem.objective(repaired) <= solution.objective * (1 + 1e-6)


@pytest.mark.parametrize("method", ["witness", "socp"])
def test_decompositions_do_not_walk_along_a_gate_on_a_kink(method):
    problem = kink_problem(6, 2)
    gated = cr.solve(cr.ConvexGatedReLU(problem.X, problem.y, problem.patterns, problem.lam))
    V, W = cr.decompose(problem, gated, method)
    np.testing.assert_allclose(V - W, gated.weights, atol=1e-12 * np.abs(V).max())
    assert problem.violation((V, W)) == 0.0
    masks = without_gates(problem)
    plain = masks.objective(cr.decompose(masks, gated.weights, method))
    assert problem.objective((V, W)) <= 100 * plain


def test_bounds_from_gates_on_kinks():
    problem = kink_problem(7, 2)
    bound = cr.approximation_bound(problem, cr.solve(cr.ConvexGatedReLU(*arguments(problem))))
    best = cr.solve(without_gates(problem), "CLARABEL")
    assert bound.lower <= best.objective
    assert best.lower <= bound.upper_decomposed <= bound.upper_witness <= 100 * best.objective


def arguments(problem):
    return problem.X, problem.y, problem.patterns, problem.lam


def test_zero_is_optimal_from_lam_max_on():
    problem = kink_problem(8, 3)
    lam_max = problem.lam_max()
    for fraction, expected in ((1 + 1e-6, True), (1 - 1e-6, False)):
        assert problem.with_lam(fraction * lam_max).zero_is_optimal() is expected
        assert without_gates(problem.with_lam(fraction * lam_max)).zero_is_optimal() is expected
