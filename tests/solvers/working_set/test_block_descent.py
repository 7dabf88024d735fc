"""Block descent in WorkingSet: its Gram matrix, agreement with Newton steps, and the change to them."""

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.numerics.group_lasso import descend
from cvxrelu.solvers.interface import Budget
from cvxrelu.solvers.working_set.block_descent import SAVINGS, BlockDescent
from cvxrelu.solvers.working_set.compiled_rounds import CompiledRounds
from cvxrelu.solvers.working_set.descent_costs import DescentCosts
from cvxrelu.solvers.working_set.gated_rounds import _Rounds
from cvxrelu.solvers.working_set.row_descent import RowDescent
from tests.helpers.cases import assert_agrees, make_problem
from tests.helpers.working_sets import TOL, assert_compiled_once_it_pays, many_patterns, solve

TOL_GRAM = 3e-6  # in float32, with a ridge
SHAPES = ["tall", "wide", "collinear", "doubled"]


@pytest.fixture(autouse=True)
def without_compiled_rounds(monkeypatch):
    """Take the rounds of larger data."""
    descend.compile()
    monkeypatch.setattr(CompiledRounds, "supports", lambda problem: False)
    monkeypatch.setattr(RowDescent, "relative_work", classmethod(lambda cls, problem, tol: np.inf))


@pytest.fixture
def newton(monkeypatch):
    """Return a function that solves by Newton steps alone."""

    def run(problem, **options):
        with monkeypatch.context() as patch:
            patch.setattr(BlockDescent, "supports", staticmethod(lambda problem: False))
            return solve(problem, **options)

    return run


@pytest.fixture
def changes(monkeypatch):
    """Record whether each round of block descent pays."""
    calls = []
    pays = BlockDescent.pays
    monkeypatch.setattr(BlockDescent, "pays", lambda self, n_new: calls.append(pays(self, n_new)) or calls[-1])
    return calls


def explicit(problem, ids):
    """Return the expanded matrix (n, k d) of some patterns."""
    D = np.asarray(problem.patterns.D)[:, ids]
    return (D[:, :, None] * problem.X[:, None, :]).reshape(problem.n, -1)


# The Gram matrix


def second_derivatives(problem, f):
    """Return the second derivatives (n,) of a loss by finite differences, relative to their bound and at least 1e-3."""
    loss, h = problem.loss, 1e-5
    if loss.name == "squared":
        return np.ones(problem.n)
    change = loss.gradient(f + h, problem.Y) - loss.gradient(f - h, problem.Y)
    return np.maximum(change[:, 0] / (2 * h * loss.smoothness(problem.n)), 1e-3)


@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("shape", [*SHAPES, "long"])
def test_the_gram_matrix_grows(shape, loss):
    case = {"loss": loss, "n_gates": 12}
    problem = many_patterns(**case) if shape == "long" else make_problem("gated", shape=shape, **case)
    f = np.random.default_rng(1).standard_normal((problem.n, 1))
    descent = BlockDescent(problem, f)
    order = np.random.default_rng(0).permutation(len(problem.patterns))
    for new in (order[:2], order[:0], order[2:3], order[3:]):
        descent.add(new, np.ones((len(new), problem.d)))
    B = np.sqrt(second_derivatives(problem, f))[:, None] * explicit(problem, order)
    np.testing.assert_array_equal(descent.ids, order)
    np.testing.assert_allclose(descent._gram, B.T @ B, atol=TOL_GRAM * np.abs(B.T @ B).max())
    d = problem.d
    for i, bound in enumerate(descent._lipschitz):
        block = slice(i * d, (i + 1) * d)
        largest = np.linalg.eigvalsh(B[:, block].T @ B[:, block])[-1]
        assert largest * (1 - TOL_GRAM) <= bound <= max(d**0.125 * largest * (1 + TOL_GRAM), 1e-100)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", [cr.Logistic(), cr.Huber(delta=0.3)])
def test_models_have_the_curvature_of_the_loss(loss, weighted):
    problem = many_patterns(loss.name)
    rng = np.random.default_rng(0)
    if weighted:
        loss = cr.Weighted(loss, rng.uniform(0.1, 3.0, problem.n))
    problem = cr.ConvexGatedReLU(problem.X, problem.y, problem.patterns, problem.lam, loss)
    f = 3.0 * rng.standard_normal((problem.n, 1))
    curvature = BlockDescent(problem, f)._curvature
    np.testing.assert_allclose(curvature, second_derivatives(problem, f), rtol=2e-3, atol=1e-3)


def test_a_new_curvature_keeps_blocks_that_are_or_may_become_active():
    problem = many_patterns("logistic", n_gates=6)
    descent = BlockDescent(problem, np.zeros_like(problem.Y))
    weights = np.zeros((6, problem.d))
    weights[[1, 4]] = [[1.0], [-2.0]]
    descent.add(np.arange(6), weights)
    Z = np.zeros((1, 6, problem.d))
    Z[0, :, 0] = problem.lam * np.array([0.0, 0.0, 0.99, 0.5, 1.1, 0.89])
    f = problem.operator.forward(weights[None])
    descent._renew(f, Z)
    np.testing.assert_array_equal(descent.ids, [1, 2, 4])
    np.testing.assert_array_equal(descent.weights, weights[[1, 2, 4]])
    B = np.sqrt(second_derivatives(problem, f))[:, None] * explicit(problem, [1, 2, 4])
    np.testing.assert_allclose(descent._gram, B.T @ B, atol=TOL_GRAM * np.abs(B.T @ B).max())


def test_models_take_fewer_cycles_where_the_curvature_spreads(monkeypatch):
    problem = many_patterns("logistic", ratio=0.003)

    def cycles():
        descent = BlockDescent(problem, np.zeros_like(problem.Y))
        descent.add(np.arange(8), np.zeros((8, problem.d)))
        budget = Budget(steps=2_000, expired=lambda: False)
        while not descent.minimise(1e-8, budget):
            pass
        return descent.n_cycles

    renewed = cycles()
    monkeypatch.setattr(BlockDescent, "_is_outdated", lambda self, *gaps: False)
    assert 3 * renewed < cycles()


@pytest.mark.parametrize("kind", ["noisy", "fitted", "scaled", "dependent", "wide"])
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_float32_gram_matrices_limit_no_accuracy(loss, kind, monkeypatch):
    """Rounds with gradients in float64 reach 1e-11, without Newton steps."""
    rng = np.random.default_rng(2)
    X = rng.standard_normal((10, 20) if kind == "wide" else (150, 3))
    patterns = cr.sample_patterns(X, 12, seed=0)
    f = X[:, 0] + np.maximum(X @ patterns.G[:, 0], 0.0)
    y = f if kind == "fitted" else f + rng.standard_normal(len(X))
    if kind == "scaled":
        X = X * [1.0, 1e-8, 1e4]
    if kind == "dependent":
        X = np.column_stack([X, X[:, 0], np.zeros(len(X))])
    y = np.where(y > 0.0, 1.0, -1.0) if loss == "logistic" else y
    problem = cr.ConvexGatedReLU(X, y, cr.ActivationPatterns(patterns.D), loss=loss)
    problem = problem.with_lam((1e-3 if kind == "fitted" and loss != "logistic" else 0.2) * problem.lam_max())
    monkeypatch.setattr(DescentCosts, "newton", lambda self, active: np.inf)
    monkeypatch.setattr(_Rounds, "newton", lambda self: iter(()))
    assert solve(problem, tol=1e-11).status == "optimal"


def test_zero_patterns_have_positive_bounds():
    problem = make_problem("gated")
    patterns = cr.ActivationPatterns(np.column_stack([problem.patterns.D, np.zeros(problem.n, dtype=bool)]))
    problem = cr.ConvexGatedReLU(problem.X, problem.y, patterns, lam=problem.lam)
    descent = BlockDescent(problem, np.zeros_like(problem.Y))
    descent.add(np.array([len(patterns) - 1]), np.zeros((1, problem.d)))
    assert descent._lipschitz[0] > 0.0
    assert solve(problem, tol=1e-8).status == "optimal"


def test_lam_a_rounding_below_its_largest():
    """No pattern violates the dual constraint in float64 and none is active, but the gap is not zero."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((100, 4)).astype(np.float32)
    problem = cr.ConvexGatedReLU(X, np.abs(X[:, 0]), cr.sample_patterns(X, 20, seed=0))
    for excess in (0.0, 1e-15, 1e-9, 3e-9, 1e-8, 3e-8):
        solution = solve(problem.with_lam(problem.lam_max() * (1.0 - excess)), tol=1e-6)
        assert "failed" not in solution.solver_status


def test_newton_steps_from_accurate_weights_in_float32_go_on():
    """The first proximal-point step, a short one, moves the solution of block descent by less than rounding."""
    rng = np.random.default_rng(1040)
    X = rng.standard_normal((10, 4)).astype(np.float32)
    y = np.where(X @ rng.standard_normal(4) + 0.3 * rng.standard_normal(10) > 0.0, 1.0, -1.0)
    problem = cr.ConvexGatedReLU(X, y, cr.sample_patterns(X, 20, seed=0), loss="logistic")
    assert solve(problem.with_lam(1e-3 * problem.lam_max()), tol=1e-5).status == "optimal"


def test_memory_is_bounded(changes):
    """Ten patterns of 450 features are more than 4,000 columns."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, 450))
    problem = cr.ConvexGatedReLU(X, X[:, 0] + X[:, 1], cr.sample_patterns(X, 30, seed=0))
    assert solve(problem.with_lam(0.5 * problem.lam_max()), tol=1e-4).status == "optimal"
    assert changes == [False]


# Agreement with Newton steps and Clarabel


@pytest.mark.parametrize("ratio", [0.95, 0.3, 0.1, 0.03, 1e-3])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("loss", ["squared", "logistic", "huber"])
def test_agrees_from_near_lam_max_to_near_zero(loss, shape, ratio, newton):
    problem = make_problem("gated", loss, shape=shape, ratio=ratio, n_gates=12)
    solution, other = solve(problem, tol=TOL), newton(problem, tol=TOL)
    assert_agrees(problem, solution, TOL)
    assert max(solution.lower, other.lower) <= min(solution.objective, other.objective)


@pytest.mark.parametrize("scales", [(1e-8, 1.0), (1e8, 1.0), (1e-3, 1.0, 1e3)])
@pytest.mark.parametrize("ratio", [0.3, 0.01])
def test_agrees_on_badly_scaled_columns(scales, ratio, newton):
    problem = make_problem("gated", shape="tall", ratio=ratio, columns=scales, n_gates=12)
    solution, other = solve(problem, tol=1e-6), newton(problem, tol=1e-6)
    assert solution.status == other.status == "optimal"
    assert max(solution.lower, other.lower) <= min(solution.objective, other.objective)


@pytest.mark.parametrize("size", [1e-8, 1e8])
def test_agrees_for_small_and_large_targets(size):
    problem = many_patterns(ratio=0.1)
    scaled = cr.ConvexGatedReLU(problem.X, size * problem.y, problem.patterns, size * problem.lam)
    solution, other = solve(problem, tol=1e-8), solve(scaled, tol=1e-8)
    assert other.status == "optimal"
    assert other.objective == pytest.approx(size**2 * solution.objective, rel=2e-8)


def test_duplicate_patterns_and_columns(newton):
    problem = many_patterns(ratio=0.1, n_gates=40)
    D = np.repeat(np.asarray(problem.patterns.D), 2, axis=1)
    X = np.column_stack([problem.X, problem.X[:, 0], np.zeros(problem.n)])
    doubled = cr.ConvexGatedReLU(X, problem.y, cr.ActivationPatterns(D), lam=problem.lam)
    assert_agrees(doubled, solve(doubled, tol=TOL), TOL)


def test_exact_fits_are_found():
    """With fewer rows than columns the fit is exact in the limit, and the gap cancels in the Gram matrix."""
    problem = make_problem("gated", shape="wide", ratio=1e-7, n_gates=30)
    assert_agrees(problem, solve(problem, tol=1e-6), 1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float32_data_and_warm_starts(dtype):
    problem = many_patterns(dtype=dtype, ratio=0.2)
    solution = solve(problem, tol=1e-5)
    assert solution.status == "optimal"
    again = solve(problem.with_lam(0.9 * problem.lam), tol=1e-5, start=solution.weights)
    assert again.status == "optimal"
    assert again.n_iter <= solution.n_iter + 5


# Stopping, and the change to Newton steps


@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-6, 1e-8])
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_it_stops_where_asked(loss, tol):
    """The gap is at most tol, and no sweep more than needed has made it far smaller."""
    problem = many_patterns(loss, ratio=0.2)
    solution = solve(problem, tol=tol)
    assert 0.003 * tol < solution.certificate.rel_gap <= tol


@pytest.mark.parametrize("loss", ["squared", "logistic", "huber"])
def test_few_active_patterns_are_left_to_descent(loss, changes):
    problem = many_patterns(loss, ratio=0.3)
    assert solve(problem, tol=1e-6).status == "optimal"
    assert changes
    assert all(changes)


@pytest.mark.parametrize("rounds", [0, 1, 2])
def test_newton_steps_continue_from_its_weights(rounds, monkeypatch):
    problem = many_patterns(ratio=0.1)
    calls = []
    monkeypatch.setattr(BlockDescent, "pays", lambda self, n_new: calls.append(1) or len(calls) <= rounds)
    solution = solve(problem, tol=TOL)
    assert_agrees(problem, solution, TOL)
    assert len(calls) == rounds + 1
    counts, objectives = zip(*((record.n_iter, record.objective) for record in solution.history), strict=True)
    assert list(counts) == sorted(set(counts))
    assert list(objectives) == sorted(objectives, reverse=True)


def test_slow_descent_ends_early():
    problem = make_problem("gated", shape="wide", ratio=1e-5, n_gates=12)
    descent = BlockDescent(problem, np.zeros_like(problem.Y))
    descent.add(np.arange(len(problem.patterns)), np.zeros((len(problem.patterns), problem.d)))
    assert not descent.minimise(1e-12, Budget(steps=10_000, expired=lambda: False))
    assert descent.n_cycles <= 30


def test_limits_are_kept():
    problem = many_patterns(ratio=0.1)
    solution = solve(problem, solver=cr.WorkingSet(max_iter=3), tol=1e-12)
    assert solution.status == "max_iter"
    assert solution.n_iter == 3
    assert solve(problem, tol=1e-12, time_limit=1e-9).status == "time_limit"


def test_newton_steps_stand_in_for_an_uncompiled_kernel(monkeypatch):
    """Their time is counted, and the kernel is compiled once they have taken as long as that takes."""
    assert_compiled_once_it_pays(monkeypatch, descend, SAVINGS, 2.0)


def test_a_kernel_that_fails_to_compile_is_left_alone(monkeypatch):
    def fail():
        raise RuntimeError("no compiler")

    problem = many_patterns(ratio=0.1)
    monkeypatch.setattr(descend, "_compiled", None)
    monkeypatch.setattr(descend, "_looked_up", True)
    monkeypatch.setattr(descend, "compile", fail)
    monkeypatch.setattr(SAVINGS, "_seconds", 2.0)
    monkeypatch.setattr(SAVINGS, "_failed", False)
    with pytest.warns(RuntimeWarning, match="no compiler"):
        solution = cr.solve(problem, "WorkingSet", tol=TOL)
    assert solution.status == "optimal"
    assert cr.solve(problem, "WorkingSet", tol=TOL).status == "optimal"  # without a second warning
