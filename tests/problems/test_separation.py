import warnings

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.problems.separation import separates


def separable(form=cr.ConvexReLU, loss="logistic", lam=0.0, penalty="none", scale=1.0, margin=0.5):
    """Return data of two classes separated by a plane, some rows near it."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal((40, 3)), np.ones(40)])
    X[:, 0] += margin * np.sign(X[:, 0])
    y = np.sign(X[:, 0])
    Y = y if loss == "logistic" else np.column_stack([y > 0, y < 0]).astype(float)
    G = np.column_stack([cr.sample_patterns(X, 8, seed=0).G, np.eye(4)[3]])  # the last one is active on every row
    return form(scale * X, Y, cr.ActivationPatterns(X @ G >= 0, G), lam, loss, penalty)


@pytest.mark.parametrize(
    ("form", "solver", "loss", "scale"),
    [
        (cr.ConvexReLU, "auto", "logistic", 1.0),
        (cr.ConvexReLU, "auto", "softmax", 1e-8),
        (cr.ConvexReLU, "CLARABEL", "softmax", 1.0),
        (cr.ConvexReLU, "AugmentedLagrangian", "logistic", 1.0),
        (cr.ConvexGatedReLU, "auto", "softmax", 1e8),
        (cr.ConvexGatedReLU, "RFISTA", "logistic", 1.0),
    ],
)
def test_an_optimum_that_is_not_attained_ends_the_solve(form, solver, loss, scale):
    """It ends at once, at a loss of tol times that of zero, with its own status and message."""
    problem = separable(form, loss, scale=scale)
    with pytest.warns(cr.ConvergenceWarning, match="infimum 0 of the loss is not attained.*Set lam > 0"):
        solution = cr.solve(problem, solver, tol=1e-6)
    assert solution.status == "unattained"
    assert len(solution.attempts) == 1
    assert solution.n_iter <= 400
    assert solution.objective <= 1e-6 * problem.objective(problem.zero_weights())
    assert (solution.lower, solution.certificate.rel_gap) == (0.0, 1.0)
    if form is cr.ConvexReLU:
        assert problem.violation(solution.weights) == 0.0


def test_regularised_or_inseparable_problems_attain_their_optimum():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for penalty in ("group_l1", "squared_l2"):
            assert cr.solve(separable(lam=1e-3, penalty=penalty)).status == "optimal"
    problem = separable(cr.ConvexGatedReLU)
    weights = cr.solve(separable(cr.ConvexGatedReLU, lam=1e-3, penalty="group_l1")).weights
    assert separates(problem, weights)
    assert not separates(problem, problem.zero_weights())
    assert not separates(problem, -weights)
    assert not separates(problem.with_lam(0.0).replace(loss=cr.Squared()), weights)


def test_margins_of_rounding_do_not_separate():
    """Rows of both classes differ by rounding only: the infimum is about 2 log(2) / n."""
    problem = separable(cr.ConvexGatedReLU)
    X = np.vstack([problem.X, problem.X[:1], problem.X[:1] * (1 + 1e-15)])
    y = np.concatenate([problem.y, [1.0, -1.0]])
    near = cr.ConvexGatedReLU(X, y, cr.ActivationPatterns(np.ones((len(X), 1), dtype=bool)), 0.0, "logistic")
    weights = cr.solve(separable(cr.ConvexGatedReLU, lam=1e-3, penalty="group_l1")).weights.sum(axis=1, keepdims=True)
    assert not separates(near, weights)
