import pytest

import cvxrelu as cr
from tests.helpers.cases import assert_agrees, make_problem


@pytest.mark.parametrize(
    "options",
    [
        {"accelerate": False},
        {"line_search": False},
        {"accelerate": False, "line_search": False},
        {"restart": "value"},
        {"restart": "none"},
        {"step_rule": "forward_track"},
        {"step_rule": "keep"},
        {"step": 1e3},
        {"step": 1e-3},
    ],
    ids=str,
)
def test_every_variant_converges(options):
    problem = make_problem("gated", shape="collinear")
    assert_agrees(problem, cr.solve(problem, cr.RFISTA(**options), tol=1e-4), 1e-4)


def test_acceleration_and_restarts_reduce_iterations():
    """The paper's ablation: fewer iterations with momentum, and fewer still with restarts."""
    problem = make_problem("gated", shape="collinear", ratio=0.01)
    plain, fista, rfista = (
        cr.solve(problem, solver, tol=1e-4).n_iter
        for solver in (
            cr.RFISTA(accelerate=False, max_iter=50_000),
            cr.RFISTA(restart="none", max_iter=50_000),
            cr.RFISTA(max_iter=50_000),
        )
    )
    assert rfista < fista < plain
