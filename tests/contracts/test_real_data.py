"""Solvers on real data agree with each other and with optima measured by other solvers."""

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_wine
from sklearn.preprocessing import scale

import cvxrelu as cr
from reference.datasets.prepare import breast_cancer
from tests.helpers.needs import needs


def with_constant(X):
    n = len(X)
    return np.column_stack([scale(X) / np.sqrt(n), np.full(n, n**-0.5)])


def problems():
    X, y = breast_cancer()
    patterns = cr.sample_patterns(X, 20, seed=1)
    yield "breast-cancer-gated", cr.ConvexGatedReLU(X, y, patterns, lam=1e-3), 1e-6
    few = cr.sample_patterns(X, 5, seed=1)
    yield "breast-cancer-relu", cr.ConvexReLU(X, y, few, lam=1e-3), 1e-6
    yield "breast-cancer-logistic", cr.ConvexGatedReLU(X, y, few, lam=1e-3, loss="logistic"), 1e-6
    X, y = load_diabetes(return_X_y=True)
    X, y = with_constant(X), scale(y)
    few = cr.sample_patterns(X, 8, seed=2)
    yield "diabetes-huber-relu", cr.ConvexReLU(X, y, few, lam=1e-4, loss="huber"), 1e-6
    X, y = load_wine(return_X_y=True)
    X, Y = with_constant(X), np.eye(3)[y]
    few = cr.sample_patterns(X, 6, seed=3)
    yield "wine-softmax-relu", cr.ConvexReLU(X, Y, few, lam=1e-4, loss="softmax"), 1e-6
    raw = np.column_stack([load_wine().data, np.ones(len(X))])  # columns from 0.1 to 1,000
    yield "wine-unscaled-gated", cr.ConvexGatedReLU(raw, Y, cr.sample_patterns(raw, 6, seed=3), lam=1e-1), 1e-6


@needs("ecos")
@pytest.mark.parametrize(("problem", "tol"), [pytest.param(*rest, id=name) for name, *rest in problems()])
def test_clarabel_and_ecos_agree(problem, tol):
    clarabel, ecos = (cr.solve(problem, solver, tol=tol) for solver in ("CLARABEL", "ECOS"))
    for solution in (clarabel, ecos):
        assert solution.status == "optimal"
        assert solution.certificate.rel_gap <= tol
        assert problem.violation(solution.weights) == 0.0
        network = solution.network()
        objective = network.objective(problem.X, problem.y, problem.lam, problem.loss)
        assert objective == pytest.approx(solution.objective, rel=1e-8)
    assert max(clarabel.lower, ecos.lower) <= min(clarabel.objective, ecos.objective) * (1 + 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cls", "n_gates", "optimum"),
    [(cr.ConvexGatedReLU, 500, 0.0714981174), (cr.ConvexReLU, 50, 0.1297760091)],
)
def test_optima_measured_elsewhere(cls, n_gates, optimum):
    """The optimal values are those of ECOS and a specialised solver on the same problems."""
    X, y = breast_cancer()
    solution = cr.solve(cls(X, y, cr.sample_patterns(X, n_gates, seed=0), lam=1e-3))
    assert solution.status == "optimal"
    assert solution.objective == pytest.approx(optimum, rel=1e-6)
    assert solution.lower <= optimum + 1e-10


@pytest.mark.slow
def test_unique_columns_of_a_large_mask():
    rng = np.random.default_rng(0)
    D = rng.random((10_000, 20_000)) < 0.5
    D[:, 10_000:] = D[:, rng.permutation(10_000)]
    np.testing.assert_array_equal(cr.patterns.unique_columns(D), np.arange(10_000))
