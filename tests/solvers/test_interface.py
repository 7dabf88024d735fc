from cvxrelu.solvers.interface import Limits


def test_a_slow_solver_is_judged_as_soon_as_its_patience_is_used_up():
    """A round that begins shortly before must not take as long again until its first check."""
    time = [0.0]
    limits = Limits(tol=1e-6, max_iter=10**6, patience=5.0, work=lambda: time[0])
    time[0] = 4.0
    due = limits.rounds()
    assert not due()
    time[0] = 5.0
    assert due()
    later = limits.rounds()
    assert not later()
    time[0] = 9.9
    assert not later()
    time[0] = 10.0
    assert later()
