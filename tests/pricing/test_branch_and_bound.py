from types import SimpleNamespace

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.pricing import branch_and_bound as cone_search
from cvxrelu.pricing.bounds import bound_neurons
from cvxrelu.pricing.branch_and_bound import search
from cvxrelu.pricing.neuron_problem import RowLines
from tests.helpers.clock import Clock
from tests.helpers.neurons import ordinary


@pytest.mark.parametrize("limit", [{"max_nodes": 40}, {"deadline": 0.0}], ids=["nodes", "time"])
def test_a_search_ended_by_a_limit_still_has_a_bound(limit):
    X, t = ordinary()
    lines = RowLines(X)
    objective = lines.objective(t)
    full = search(objective, 1e-6, lambda u: u)
    short = search(objective, 1e-6, lambda u: u, **limit)
    assert full.finished
    assert not short.finished
    assert np.isfinite(short.upper)
    assert short.upper >= full.upper
    assert short.n_nodes <= 40


def test_a_deadline_ends_the_search(monkeypatch):
    """Each reading of the clock takes a second: five nodes for the first sign, one for the second."""
    clock = Clock(1.0)
    monkeypatch.setattr(cone_search, "clock", SimpleNamespace(perf_counter=clock))
    rng = np.random.default_rng(0)
    X, t = rng.standard_normal((300, 9)), rng.standard_normal(300)
    bound = bound_neurons(X, RowLines(X), t, 1e-3, deadline=clock.now + 5.0)
    assert clock.now == 1006.0
    assert bound.n_nodes > 0
    assert bound.upper >= cr.find_neuron(X, t).value
