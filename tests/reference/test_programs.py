"""The literal programs against closed forms, each other and other solvers: duality, lam_max, patterns."""

import ast
import math
from pathlib import Path

import cvxpy as cp
import numpy as np
import pytest
from scipy.optimize import nnls
from scipy.special import expit, logsumexp
from scipy.special import softmax as softmax_of
from sklearn.linear_model import Lasso

from reference import programs as ref
from tests.helpers.literal_programs import DELTA, LAM, LOSSES, data, penalty_by_numpy, smooth_data, solve
from tests.helpers.needs import needs

PENALTIES = ("group_l1", "feature_group_l1", "l1", "squared_l2", "nuclear", "none")
NORMS = ("group_l1", "feature_group_l1", "l1", "nuclear")
COMBINATIONS = [
    (loss, penalty, c) for loss in LOSSES for penalty in PENALTIES for c in (1, 3) if (loss, c) != ("softmax", 1)
]
RELU_COMBINATIONS = [combination for combination in COMBINATIONS if combination[1] != "nuclear"]


def loss_by_numpy(f, Y, loss):
    r = np.abs(f - Y)
    if loss == "squared":
        per_row = (r**2).sum(axis=1) / 2
    elif loss == "logistic":
        per_row = np.logaddexp(0, -Y * f).sum(axis=1)
    elif loss == "softmax":
        per_row = logsumexp(f, axis=1) - (Y * f).sum(axis=1)
    else:
        per_row = np.where(r <= DELTA, r**2 / 2, DELTA * r - DELTA**2 / 2).sum(axis=1)
    return per_row.mean()


def gradient_by_numpy(f, Y, loss):
    if loss == "squared":
        return (f - Y) / len(Y)
    if loss == "logistic":
        return -Y * expit(-Y * f) / len(Y)
    if loss == "softmax":
        return (softmax_of(f, axis=1) - Y) / len(Y)
    return np.clip(f - Y, -DELTA, DELTA) / len(Y)


def prediction_by_numpy(X, D, U):
    return np.einsum("ni,nd,cid->nc", D, X, U)


def polar_distance(Xt, z):
    """||proj_K(z)|| for K = {w : Xt w >= 0}, the distance of z from the polar cone {-Xt' g : g >= 0}."""
    return nnls(Xt.T, -z)[1]


# --- the losses and their conjugates ------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_loss_gradient_and_conjugate_satisfy_fenchel_young(loss):
    _, Y, _ = data(loss, c=3)
    rng = np.random.default_rng(2)
    f, other = rng.standard_normal((2, *Y.shape))
    assert ref.F_at(f, Y, loss, DELTA) == pytest.approx(loss_by_numpy(f, Y, loss), rel=1e-12)
    t = gradient_by_numpy(f, Y, loss)
    value, domain = ref.loss_conjugate(cp.Constant(t), Y, loss, DELTA)
    assert all(np.max(constraint.violation()) <= 1e-12 for constraint in domain)
    assert ref.F_at(f, Y, loss, DELTA) + value.value == pytest.approx((t * f).sum(), abs=1e-12)
    assert ref.F_at(other, Y, loss, DELTA) + value.value > (t * other).sum() + 1e-3
    np.testing.assert_allclose(
        ref.loss_gradient_at_zero(Y, loss, DELTA), gradient_by_numpy(np.zeros_like(Y), Y, loss), atol=1e-15
    )


@pytest.mark.parametrize("loss", ["logistic", "softmax", "huber"])
def test_conjugate_says_where_it_is_infinite(loss):
    _, Y, _ = data(loss, c=3)
    _, domain = ref.loss_conjugate(cp.Constant(np.full(Y.shape, 2.0)), Y, loss, DELTA)
    assert max(np.max(constraint.violation()) for constraint in domain) > 1


# --- strong duality -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("loss", "penalty", "c"), COMBINATIONS)
def test_gated_primal_and_dual_have_one_value(loss, penalty, c):
    X, Y, D = data(loss, c, repeated=penalty == "none")
    primal = solve(ref.c_gated_relu(X, Y, D, LAM, loss, penalty, DELTA))
    dual = solve(ref.c_gated_relu_dual(X, Y, D, LAM, loss, penalty, DELTA))
    assert primal.value == pytest.approx(dual.value, rel=1e-6, abs=1e-7)
    assert primal.value < ref.F_at(np.zeros_like(Y), Y, loss, DELTA) - 1e-4  # the instance is not trivial
    U = primal.weights()
    f = prediction_by_numpy(X, D, U)
    assert U.shape == (c, D.shape[1], X.shape[1])
    assert primal.value == pytest.approx(
        loss_by_numpy(f, Y, loss) + LAM * penalty_by_numpy([U], penalty), rel=1e-6, abs=1e-8
    )
    np.testing.assert_allclose(dual.t.value, gradient_by_numpy(f, Y, loss), atol=2e-5)


@pytest.mark.parametrize(("loss", "penalty", "c"), RELU_COMBINATIONS)
def test_relu_primal_and_dual_have_one_value(loss, penalty, c):
    X, Y, D = data(loss, c, repeated=penalty == "none")
    primal = solve(ref.c_relu(X, Y, D, LAM, loss, penalty, DELTA))
    dual = solve(ref.c_relu_dual(X, Y, D, LAM, loss, penalty, DELTA))
    assert primal.value == pytest.approx(dual.value, rel=1e-6, abs=1e-7)
    assert primal.value < ref.F_at(np.zeros_like(Y), Y, loss, DELTA) - 1e-4
    V, W = primal.weights()
    f = prediction_by_numpy(X, D, V - W)
    assert primal.value == pytest.approx(
        loss_by_numpy(f, Y, loss) + LAM * penalty_by_numpy([V, W], penalty), rel=1e-6, abs=1e-8
    )
    signs = 2.0 * D - 1
    for blocks in (V, W):
        assert np.einsum("ni,nd,cid->nic", signs, X, blocks).min() > -1e-6
    np.testing.assert_allclose(dual.t.value, gradient_by_numpy(f, Y, loss), atol=2e-5)


def test_relu_multipliers_give_the_norm_of_the_projection():
    """Feasibility by multipliers is feasibility by projection, found by non-negative least squares."""
    X, Y, D = smooth_data(c=2)
    dual = solve(ref.c_relu_dual(X, Y, D, LAM))
    largest = 0.0
    for i in range(D.shape[1]):
        Xt = ref.signed_rows(X, D, i)
        Z = X.T @ np.diag(D[:, i]) @ dual.t.value
        for k in range(2):
            for z, g in ((-Z[:, k], dual.g[i]), (Z[:, k], dual.h[i])):
                norm = polar_distance(Xt, z)
                assert norm <= np.linalg.norm(z + Xt.T @ np.maximum(g.value[:, k], 0)) + 1e-7
                largest = max(largest, norm)
    assert largest == pytest.approx(LAM, rel=1e-5)


@pytest.mark.parametrize("solver", [pytest.param("ECOS", marks=needs("ecos")), "SCS"])
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_other_solvers_find_the_same_values(solver, loss):
    X, Y, D = data(loss, c=1)
    options = {"SCS": {"eps": 1e-8, "max_iters": 50_000}, "ECOS": {}}[solver]
    for build in (ref.c_gated_relu, ref.c_gated_relu_dual, ref.c_relu, ref.c_relu_dual):
        expected = solve(build(X, Y, D, LAM, loss)).value
        assert solve(build(X, Y, D, LAM, loss), solver, **options).value == pytest.approx(expected, rel=1e-5)


# --- special cases with known answers -----------------------------------------------------------------------


def test_one_pattern_of_all_rows_is_least_squares_ridge_or_lasso():
    X, Y, _ = smooth_data()
    n, d = X.shape
    D = np.ones((n, 1), dtype=bool)
    least_squares = np.linalg.lstsq(X, Y, rcond=None)[1][0] / (2 * n)
    assert solve(ref.c_gated_relu(X, Y, D, 0.0)).value == pytest.approx(least_squares, rel=1e-7)
    assert solve(ref.c_gated_relu_dual(X, Y, D, 0.0)).value == pytest.approx(least_squares, rel=1e-7)
    u = np.linalg.solve(X.T @ X + n * LAM * np.eye(d), X.T @ Y)
    ridge = np.sum((X @ u - Y) ** 2) / (2 * n) + LAM / 2 * np.sum(u**2)
    assert solve(ref.c_gated_relu(X, Y, D, LAM, penalty="squared_l2")).value == pytest.approx(ridge, rel=1e-7)
    lasso = Lasso(LAM, fit_intercept=False, tol=1e-12).fit(X, Y)
    program = solve(ref.c_gated_relu(X, Y, D, LAM, penalty="l1"))
    np.testing.assert_allclose(program.weights()[0, 0], lasso.coef_, atol=1e-5)
    for same in ("feature_group_l1", "l1"):  # one block, one output: one entry for each feature
        assert solve(ref.c_gated_relu(X, Y, D, LAM, penalty=same)).value == pytest.approx(program.value, rel=1e-6)


def test_for_one_output_the_nuclear_norm_is_group_l1():
    X, Y, D = smooth_data()
    group, nuclear = (solve(ref.c_gated_relu(X, Y, D, LAM, penalty=p)).value for p in ("group_l1", "nuclear"))
    assert group == pytest.approx(nuclear, rel=1e-6)


def test_targets_of_one_output_may_be_a_vector():
    X, Y, D = smooth_data()
    for build in (ref.c_gated_relu, ref.c_relu_dual):
        assert solve(build(X, Y[:, 0], D, LAM)).value == solve(build(X, Y, D, LAM)).value


# --- the smallest lam with the zero network -----------------------------------------------------------------


def test_lam_max_of_group_l1_is_the_largest_dual_constraint_value():
    X, Y, D = smooth_data(c=2)
    n = len(X)
    gated, relu = 0.0, 0.0
    for i in range(D.shape[1]):
        for z in (X.T @ np.diag(D[:, i]) @ (-Y / n)).T:
            gated = max(gated, np.linalg.norm(z))
            Xt = ref.signed_rows(X, D, i)
            relu = max(relu, polar_distance(Xt, z), polar_distance(Xt, -z))
    assert solve(ref.gated_lam_max(X, Y, D)).value == pytest.approx(gated, rel=1e-6)
    assert solve(ref.relu_lam_max(X, Y, D)).value == pytest.approx(relu, rel=1e-6)


@pytest.mark.parametrize("penalty", NORMS)
@pytest.mark.parametrize("loss", ["squared", "softmax"])
def test_the_zero_network_is_optimal_from_lam_max_on_and_not_before(loss, penalty):
    X, Y, D = data(loss, c=3)
    at_zero = ref.F_at(np.zeros_like(Y), Y, loss)
    pairs = [(ref.gated_lam_max, ref.c_gated_relu)]
    if penalty != "nuclear":
        pairs.append((ref.relu_lam_max, ref.c_relu))
    for lam_max, build in pairs:
        lam = solve(lam_max(X, Y, D, loss, penalty)).value
        assert solve(build(X, Y, D, 1.001 * lam, loss, penalty)).value == pytest.approx(at_zero, rel=1e-7)
        assert solve(build(X, Y, D, 0.8 * lam, loss, penalty)).value < at_zero - 1e-5


# --- gated and ReLU -----------------------------------------------------------------------------------------


def test_without_penalty_gated_and_relu_agree_for_non_singular_patterns():
    X, Y, D = smooth_data(n=12, d=2, P=3)
    gated, relu = solve(ref.c_gated_relu(X, Y, D, 0.0)), solve(ref.c_relu(X, Y, D, 0.0))
    assert gated.value > 0.05
    assert relu.value == pytest.approx(gated.value, rel=1e-6)


def test_a_singular_pattern_breaks_the_equivalence():
    X, Y, D = np.array([[1.0], [-1.0]]), np.array([1.0, -1.0]), np.ones((2, 1), dtype=bool)
    assert solve(ref.c_gated_relu(X, Y, D, 0.0)).value == pytest.approx(0, abs=1e-8)
    assert solve(ref.c_relu(X, Y, D, 0.0)).value == pytest.approx(0.5, rel=1e-6)


def test_relu_value_lies_between_gated_value_and_both_upper_bounds():
    """p_G <= p_R <= decomposed point <= p_G + 2 lam kappa sum ||u_i||; X has full row rank."""
    X, Y, D = smooth_data(n=4, d=5, P=5)
    gated = solve(ref.c_gated_relu(X, Y, D, LAM))
    relu = solve(ref.c_relu(X, Y, D, LAM))
    U = gated.weights()[0]
    decomposed = gated.value - LAM * np.linalg.norm(U, axis=1).sum()
    for i, u in enumerate(U):
        decomposed += LAM * solve(ref.cd_socp(X, D[:, i], u)).value
    a_priori = gated.value + 2 * LAM * np.linalg.cond(X) * np.linalg.norm(U, axis=1).sum()
    assert gated.value + 1e-4 < relu.value
    assert relu.value <= decomposed + 1e-7
    assert decomposed <= a_priori


# --- all patterns -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "d"), [(4, 1), (5, 2), (6, 3), (4, 6)])
def test_rows_in_general_position_have_covers_number_of_patterns(n, d):
    X = np.random.default_rng(n).standard_normal((n, d))
    D = ref.all_patterns(X)
    assert D.shape == (n, 2 * sum(math.comb(n - 1, k) for k in range(min(n, d))))
    assert len(np.unique(D, axis=1).T) == D.shape[1]
    sampled = X @ np.random.default_rng(0).standard_normal((d, 50)) >= 0
    assert {tuple(column) for column in sampled.T} <= {tuple(column) for column in D.T}


def test_number_of_patterns_depends_on_the_rank():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((5, 2)) @ rng.standard_normal((2, 4))
    assert ref.all_patterns(X).shape[1] == 2 * (1 + 4)


def test_patterns_of_opposite_equal_and_zero_rows():
    X = np.array([[1.0, 1.0], [-1.0, -1.0], [2.0, 2.0], [0.0, 0.0]])
    D = ref.all_patterns(X)
    assert {tuple(column) for column in D.T.tolist()} == {
        (True, False, True, True),
        (False, True, False, True),
    }


# --- arguments and imports ----------------------------------------------------------------------------------


def test_arguments_are_checked():
    X, Y, D = smooth_data()
    with pytest.raises(ValueError, match="nuclear"):
        ref.c_relu(X, Y, D, LAM, penalty="nuclear")
    with pytest.raises(ValueError, match="no lam_max"):
        ref.gated_lam_max(X, Y, D, penalty="squared_l2")
    with pytest.raises(ValueError, match="not one of"):
        ref.c_gated_relu(X, Y, D, LAM, penalty="elastic")
    with pytest.raises(ValueError, match="not one of"):
        ref.c_gated_relu_dual(X, Y, D, LAM, loss="hinge")
    with pytest.raises(ValueError, match="-1 and"):
        ref.c_gated_relu_dual(X, Y, D, LAM, loss="logistic")
    with pytest.raises(ValueError, match="one-hot"):
        ref.c_relu(X, Y, D, LAM, loss="softmax")
    with pytest.raises(ValueError, match="at least 0"):
        ref.c_relu(X, Y, D, float("nan"))
    with pytest.raises(ValueError, match="do not match"):
        ref.c_relu(X, Y[:-1], D, LAM)
    with pytest.raises(ValueError, match="11 rows"):
        ref.all_patterns(np.ones((11, 2)))
    with pytest.raises(RuntimeError, match="solve"):
        _ = ref.c_relu(X, Y, D, LAM).value


def test_the_oracle_imports_only_numpy_cvxpy_and_the_standard_library():
    modules = set()
    for path in Path(ref.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0
                if not node.module.startswith("reference.programs."):
                    modules.add(node.module.split(".")[0])
    assert {"numpy", "cvxpy"} <= modules
    assert modules <= {"__future__", "collections", "cvxpy", "dataclasses", "itertools", "numpy", "typing"}
