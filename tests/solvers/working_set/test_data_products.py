"""Products of pairs of patterns that the outputs of a solve share."""

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.problems.operators.gated_operator import GatedOperator
from cvxrelu.solvers.working_set import data_products
from cvxrelu.solvers.working_set.compiled_rounds import CompiledRounds
from cvxrelu.solvers.working_set.data_products import PairProducts
from cvxrelu.solvers.working_set.row_descent import RowDescent
from tests.helpers.cases import make_problem
from tests.helpers.working_sets import many_patterns, solve


@pytest.fixture
def computed(monkeypatch):
    """Record the pairs of each product."""
    calls = []
    gram = GatedOperator.gram

    def recording(self, first, second, weights=None):
        calls.append(len(first))
        return gram(self, first, second, weights)

    monkeypatch.setattr(GatedOperator, "gram", recording)
    return calls


def explicit(problem, first, second):
    """Return the blocks (m, d, d) by NumPy."""
    D, X = np.asarray(problem.patterns.D), problem.X
    return np.array([(D[:, [i]] * X).T @ (D[:, [j]] * X) for i, j in zip(first, second, strict=True)])


def index(*patterns):
    return np.array(patterns, dtype=np.intp)


@pytest.mark.parametrize("shape", ["tall", "wide", "collinear"])
def test_blocks_in_any_order(shape):
    problem = make_problem("gated", shape=shape, n_gates=12)
    pairs, random = PairProducts(problem.operator), np.random.default_rng(0)
    tolerance = 1e-12 * np.abs(problem.X.T @ problem.X).max()
    for size in (0, 1, 5, 40):
        first, second = random.integers(len(problem.patterns), size=(2, size))
        expected = explicit(problem, first, second).reshape(-1, problem.d, problem.d)
        np.testing.assert_allclose(pairs.take(first, second), expected, atol=tolerance)


def test_known_blocks_are_not_computed_again(computed):
    pairs = PairProducts(make_problem("gated", n_gates=12).operator)
    pairs.take(index(3, 3, 1), index(3, 1, 1))
    pairs.take(index(1, 3, 1), index(3, 3, 2))
    assert computed == [3, 1]
    assert pairs.missing(index(1, 5), index(3, 5)) == 0.5


def test_requested_blocks_are_computed_together(computed):
    pairs = PairProducts(make_problem("gated", n_gates=12).operator)
    pairs.request(index(0, 0), index(0, 1))
    pairs.request(index(0, 2), index(1, 2))
    assert computed == []
    pairs.take(index(5), index(5))
    pairs.take(index(0, 1, 2), index(0, 0, 2))
    assert computed == [4]


def test_memory_is_bounded(computed, monkeypatch):
    problem = make_problem("gated", n_gates=12)
    monkeypatch.setattr(data_products, "_MOST_BYTES", 3 * 8 * problem.d**2)
    pairs = PairProducts(problem.operator)
    pairs.request(index(4, 5, 6), index(4, 5, 6))
    for first, second in [((0, 1), (0, 1)), ((0, 1, 2, 3), (0, 1, 2, 2)), ((2,), (2,)), ((0, 1, 2), (0, 1, 2))]:
        blocks = pairs.take(index(*first), index(*second))
        np.testing.assert_allclose(blocks, explicit(problem, first, second), atol=1e-12)
    assert computed == [2, 4, 1]
    assert sum(blocks.nbytes for _, blocks in pairs._products) <= data_products._MOST_BYTES


def test_equal_outputs_cost_the_products_of_one(computed, monkeypatch):
    monkeypatch.setattr(CompiledRounds, "supports", lambda problem: False)  # whose kernel computes its own
    monkeypatch.setattr(RowDescent, "relative_work", classmethod(lambda cls, problem, tol: np.inf))  # takes none
    one = many_patterns(n_gates=60)
    solve(one)
    alone = sum(computed)
    computed.clear()
    problem = cr.ConvexGatedReLU(one.X, np.tile(one.Y, 5), one.patterns, one.lam)
    assert solve(problem).status == "optimal"
    assert 0 < sum(computed) <= 1.5 * alone
