import numpy as np

from cvxrelu.problems.dual import DualPoint
from cvxrelu.solvers.interface import Iterate, Limits
from cvxrelu.solvers.monitor import monitor
from tests.helpers.cases import make_problem


def test_slowness_is_judged_by_the_decrease_of_the_gap():
    """Each check advances the clock by a second and divides the gap by ``factor``."""

    def end(factor, patience, tol=1e-6):
        clock = iter(np.arange(1000.0)).__next__
        problem = make_problem("gated")
        weights = problem.zero_weights()
        limits = Limits(tol=tol, max_iter=10**6, patience=patience, work=clock)
        dual = DualPoint(np.zeros_like(problem.Y), None, 0.0)

        def candidates():
            for k in range(1, 200):
                yield Iterate(weights=weights, n_iter=k, step=1.0, objective=1e-9 + factor**-k, dual=dual)

        raw = monitor(problem, candidates(), limits, "test")
        return raw.status, raw.n_iter

    assert end(1.1, None, tol=2.0)[0] == "optimal"
    assert end(1.1, 5.0)[0] == "slow"
    assert end(1.1, 5.0)[1] <= 6
    assert end(1.1, 1e6)[0] == "stalled"  # no iterates left
