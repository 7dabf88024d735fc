"""WorkingSet on C-ReLU: agreement with Clarabel and honest certificates."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import cvxrelu as cr
from cvxrelu.numerics.cone_newton import cone_step
from cvxrelu.solvers.working_set import relu_newton
from cvxrelu.solvers.working_set.compiled_steps import CompiledSteps
from cvxrelu.solvers.working_set.working_blocks import WorkingBlocks
from tests.helpers.cases import assert_agrees, assert_honest, make_problem

TOL = 1e-7
LOSSES = ("squared", "huber", "logistic")
BAD_COLUMNS = (1e-4, 1.0, 1e4)


@pytest.fixture(autouse=True)
def _compiled():
    """Take the same methods whether or not kernels are cached."""
    cone_step.compile()


@pytest.fixture
def without_kernel(monkeypatch):
    monkeypatch.setattr(CompiledSteps, "supports", staticmethod(lambda problem: False))


@pytest.mark.parametrize("kernel", [True, False])
@pytest.mark.parametrize("ratio", [0.99, 0.3, 1e-2, 1e-4])
@pytest.mark.parametrize("shape", ["tall", "wide", "collinear", "doubled"])
@pytest.mark.parametrize(("loss", "c"), [("squared", 1), ("squared", 3), ("huber", 1), ("logistic", 1)])
def test_agrees_from_near_lam_max_to_near_zero(monkeypatch, loss, c, shape, ratio, kernel):
    if not kernel:
        monkeypatch.setattr(CompiledSteps, "supports", staticmethod(lambda problem: False))
    problem = make_problem("relu", loss, shape=shape, c=c, ratio=ratio)
    assert_agrees(problem, cr.solve(problem, "WorkingSet", tol=TOL), TOL)


@pytest.mark.parametrize("ratio", [0.3, 1e-2, 1e-4])
@pytest.mark.parametrize("shape", ["tall", "collinear", "doubled"])
@pytest.mark.parametrize(("loss", "c"), [("squared", 3), ("huber", 1), ("logistic", 1)])
def test_agrees_with_newton_systems_in_float32(monkeypatch, without_kernel, loss, c, shape, ratio):
    monkeypatch.setattr(relu_newton, "_SINGLE_WORK", 0.0)
    problem = make_problem("relu", loss, shape=shape, c=c, ratio=ratio)
    assert_agrees(problem, cr.solve(problem, "WorkingSet", tol=TOL), TOL)


@pytest.mark.parametrize("error", [1.0, np.nan])
def test_inaccurate_systems_in_float32_are_solved_again_in_float64(monkeypatch, without_kernel, error):
    problem = make_problem("relu", "squared", ratio=1e-2)
    expected = cr.solve(problem, "WorkingSet", tol=TOL)
    types = []

    def wrong_in_float32(self, *arguments):
        types.append(len(arguments) > 5)
        return exact(self, *arguments) * (1.0 + error) if types[-1] else exact(self, *arguments)

    exact = WorkingBlocks.solve
    monkeypatch.setattr(WorkingBlocks, "solve", wrong_in_float32)
    monkeypatch.setattr(relu_newton, "_SINGLE_WORK", 0.0)
    solution = cr.solve(problem, "WorkingSet", tol=TOL)
    assert types[0]
    assert not any(types[1:])
    assert (solution.n_iter, solution.certificate.upper) == (expected.n_iter, expected.certificate.upper)


@pytest.mark.parametrize("ratio", [1e-4, 1e-5, 1e-6])
@pytest.mark.parametrize("loss", ["squared", "huber"])
def test_agrees_near_zero_where_many_constraints_are_tight(loss, ratio):
    """Newton steps fail for long proximal-point steps; shorter ones reach the optimum."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((100, 10))
    y = np.sign(np.maximum(X @ rng.standard_normal((10, 100)), 0.0) @ rng.standard_normal(100))
    problem = cr.ConvexReLU(X, y, cr.sample_patterns(X, 10, seed=0), lam=1.0, loss=loss)
    problem = problem.with_lam(ratio * problem.lam_max())
    assert_agrees(problem, cr.solve(problem, "WorkingSet", tol=1e-6), 1e-6)


@pytest.mark.filterwarnings("ignore::cvxrelu.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("shape", ["tall", "wide"])
@pytest.mark.parametrize("loss", LOSSES)
def test_honest_on_badly_scaled_columns(loss, shape):
    problem = make_problem("relu", loss, shape=shape, columns=BAD_COLUMNS)
    assert_honest(problem, cr.solve(problem, "WorkingSet", tol=1e-5, max_iter=300), 1e-5)


@st.composite
def any_problem(draw):
    loss = draw(st.sampled_from(LOSSES))
    return make_problem(
        "relu",
        loss,
        shape=draw(st.sampled_from(["tall", "wide", "collinear", "doubled"])),
        c=draw(st.sampled_from([1, 3])),
        ratio=10.0 ** draw(st.floats(-5.0, -0.02)),
        n_gates=draw(st.sampled_from([3, 10])),
        seed=draw(st.integers(0, 1000)),
    )


@settings(max_examples=25, deadline=None)
@given(any_problem())
def test_agrees_on_any_problem(problem):
    assume(problem.lam > 1e-12)  # lam_max is 0 to rounding for balanced targets
    assert_agrees(problem, cr.solve(problem, "WorkingSet", tol=1e-6), 1e-6)


@pytest.mark.filterwarnings("ignore::cvxrelu.ConvergenceWarning")
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_more_iterations_never_give_a_worse_point(loss):
    problem = make_problem("relu", loss, ratio=3e-3)
    n_iter = cr.solve(problem, "WorkingSet", tol=1e-8).n_iter
    objectives = [cr.solve(problem, "WorkingSet", tol=1e-8, max_iter=m).objective for m in range(2, n_iter, 2)]
    assert len(objectives) > 3
    assert np.all(np.diff(objectives) <= 1e-12 * objectives[0])
