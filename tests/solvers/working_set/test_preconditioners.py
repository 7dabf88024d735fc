import numpy as np
import pytest

from cvxrelu.problems.operators.gated_operator import GatedOperator
from cvxrelu.solvers.working_set import column_systems
from cvxrelu.solvers.working_set.data_products import DataProducts
from cvxrelu.solvers.working_set.newton_systems import NewtonSystems
from cvxrelu.solvers.working_set.preconditioners import ColumnFactor
from tests.helpers.newton_systems import ALL_PATTERNS, RESIDUAL_TOL, D, force, make_operator, make_step, matrices


@pytest.mark.parametrize("penalty", ["group_l1", "l1", "nuclear"])
@pytest.mark.parametrize("loss", ["logistic", "softmax", "huber"])
def test_small_systems_are_factored_with_output_couplings(monkeypatch, penalty, loss):
    """Columns of 1e-2 to 1e2 and curvatures near 0 take conjugate gradients alone hundreds of iterations."""
    force(monkeypatch, "dense")
    counts = []
    iterate = column_systems.conjugate_gradients

    def counted(*arguments):
        found = iterate(*arguments)
        counts.append(found[1])
        return found

    monkeypatch.setattr(column_systems, "conjugate_gradients", counted)
    original = make_operator()
    operator = GatedOperator(original.X * np.logspace(-2.0, 2.0, D), original.D)
    for sigma in (1.0, 1e3):
        step = make_step(loss, penalty, operator, 3, sigma=sigma)
        systems = NewtonSystems(constant_curvature=False, products=DataProducts(operator.X))
        systems.enter(operator, ALL_PATTERNS)
        found = systems.direction(step)
        Q, AMA = matrices(operator, step)
        # Multiplied by Q, which may be singular: (I + sigma Q A M A') dt = -Q g.
        right = -(Q @ step.gradient.ravel())
        left = found.ravel() + sigma * Q @ (AMA @ found.ravel())
        assert np.linalg.norm(left - right) <= RESIDUAL_TOL * np.linalg.norm(right)
    assert max(counts) <= 2


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("least", [1.0, 1e-3])
def test_column_factors_invert_the_matrix_without_products_with_the_jacobian(dtype, least):
    rng = np.random.default_rng(3)
    (k, d), shift = (7, 4), 0.3
    B = rng.standard_normal((k * d, 20))
    gram = B @ B.T  # singular
    s = np.append(rng.uniform(least, 1.0, k - 2), [least, 1.0])
    e = rng.standard_normal((k, d))
    e /= np.linalg.norm(e, axis=1)[:, None]
    half = np.zeros((k * d, k * d))
    for i in range(k):
        own = slice(i * d, (i + 1) * d)
        half[own, own] = np.sqrt(s[i]) * np.eye(d) + (1.0 - np.sqrt(s[i])) * np.outer(e[i], e[i])
    r = rng.standard_normal((k, d))
    solved = ColumnFactor(gram.astype(dtype), s.astype(dtype), e.astype(dtype), shift)(r.astype(dtype))
    expected = np.linalg.solve(shift * np.eye(k * d) + half @ gram @ half, r.ravel()).reshape(k, d)
    np.testing.assert_allclose(solved, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_column_factors_leave_blocks_that_the_output_shrinks_to_zero_at_zero():
    rng = np.random.default_rng(4)
    k, d = 3, 2
    B, e = rng.standard_normal((k * d, 9)), np.zeros((k, d))
    e[:2] = np.eye(2)
    r = np.concatenate([rng.standard_normal((2, d)), np.zeros((1, d))])
    factor = ColumnFactor(B @ B.T, np.array([0.5, 0.2, 0.0]), e, 0.1)
    without = ColumnFactor((B @ B.T)[:4, :4].copy(), np.array([0.5, 0.2]), e[:2], 0.1)
    np.testing.assert_allclose(factor(r)[:2], without(r[:2]), rtol=0, atol=1e-5 * np.abs(r).max())


@pytest.mark.parametrize("least", [1e-4, 1e-7, 1e-12])
def test_column_factors_in_float32_are_definite_with_blocks_at_the_threshold(least):
    """There 1 / s exceeds the precision, and along e the inverse of M is 1."""
    rng = np.random.default_rng(5)
    k, d, shift = 6, 5, 1e-2
    X, e = rng.standard_normal((40, k * d)) / 6.0, rng.standard_normal((k, d))
    e /= np.linalg.norm(e, axis=1)[:, None]
    s, r = np.append(np.full(k - 1, least), 1.0), rng.standard_normal((k, d))
    exact = ColumnFactor(X.T @ X, s, e, shift)(r)
    single = ColumnFactor(*(each.astype(np.float32) for each in (X.T @ X, s, e)), shift)(r.astype(np.float32))
    np.testing.assert_allclose(single, exact, rtol=0, atol=0.05 * np.abs(exact).max())


def test_column_factors_of_indefinite_matrices_are_refused():
    with pytest.raises(np.linalg.LinAlgError):
        ColumnFactor(-np.eye(4), np.ones(2), np.zeros((2, 2)), 0.5)
