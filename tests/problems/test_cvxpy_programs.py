import re
import warnings

import cvxpy as cp
import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.problems import cvxpy_programs as programs_module
from reference import programs as oracle
from tests.helpers.cases import all_cases, make_problem

CASES = list(all_cases())


def solve(program):
    return program.solve(solver="CLARABEL")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_primal_agrees_with_the_literal_program(case):
    problem = case.build()
    literal = oracle.c_relu if case.kind == "relu" else oracle.c_gated_relu
    program = literal(problem.X, problem.Y, problem.patterns.D, problem.lam, case.loss, case.penalty)
    program.problem.solve(solver="CLARABEL")
    assert solve(problem.to_cvxpy()) == pytest.approx(program.problem.value, rel=2e-6, abs=1e-7)
    # Objective of the literal program's weights: the same formula by two implementations.
    weights = program.weights()
    blocks = np.stack(weights) if isinstance(weights, tuple) else weights
    assert problem.objective(problem.weights(blocks)) == pytest.approx(program.problem.value, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("case", [case for case in CASES if case.penalty != "none"], ids=str)
def test_dual_agrees_with_primal_and_with_the_literal_dual(case):
    problem = case.build()
    literal = oracle.c_relu_dual if case.kind == "relu" else oracle.c_gated_relu_dual
    program = literal(problem.X, problem.Y, problem.patterns.D, problem.lam, case.loss, case.penalty)
    program.problem.solve(solver="CLARABEL")
    dual = problem.to_cvxpy("dual")
    assert solve(dual) == pytest.approx(program.problem.value, rel=2e-6, abs=1e-7)
    assert dual.value == pytest.approx(solve(problem.to_cvxpy()), rel=2e-6, abs=1e-7)
    t, multipliers = cr.read_dual(problem, dual)
    assert problem.dual_point(t, multipliers).value == pytest.approx(dual.value, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("form", ["primal", "dual"])
def test_programs_are_dpp(case, form):
    program = case.build().to_cvxpy(form)
    assert program.is_dcp(dpp=True)
    unregularised = form == "dual" and case.penalty == "none"
    assert set(program.param_dict) == ({"y"} if unregularised else {"y", "lam"})


@pytest.mark.filterwarnings("ignore:Solution may be inaccurate")  # values are compared in any case
@pytest.mark.parametrize("case", CASES[::5], ids=str)
@pytest.mark.parametrize("form", ["primal", "dual"])
def test_new_parameters_solve_a_new_problem_without_recompiling(case, form):
    problem = case.build()
    program = problem.to_cvxpy(form)
    solve(program)
    chain = program.get_problem_data("CLARABEL")[1]
    y = -problem.Y if case.loss != "softmax" else np.roll(problem.Y, 1, axis=1)
    other = type(problem)(problem.X, y, problem.patterns, 2 * problem.lam, case.loss, case.penalty)
    program.param_dict["y"].value = y
    if "lam" in program.param_dict:
        program.param_dict["lam"].value = 2 * problem.lam
    assert solve(program) == pytest.approx(solve(other.to_cvxpy(form)), rel=1e-6, abs=1e-8)
    assert program.get_problem_data("CLARABEL")[1] is chain  # recompiling would create a new one


def test_variables_and_constraints_are_named():
    gated, relu = make_problem("gated", c=3), make_problem("relu", c=3)
    rows = 3 * len(gated.patterns)
    program = gated.to_cvxpy()
    assert program.var_dict["U"].shape == (rows, 3)
    assert program.var_dict["f"].shape == (12, 3)
    assert [constraint.label for constraint in program.constraints] == ["prediction"]
    program = relu.to_cvxpy()
    assert program.var_dict["V"].shape == program.var_dict["W"].shape == (rows, 3)
    assert [constraint.label for constraint in program.constraints] == ["prediction", "cone_V", "cone_W"]
    program = relu.to_cvxpy("dual")
    assert program.var_dict["t"].shape == (12, 3)
    assert program.var_dict["g"].shape == program.var_dict["h"].shape == (rows, 12)
    assert None not in [constraint.label for constraint in program.constraints]


def test_row_k_P_plus_i_is_block_k_i():
    problem = make_problem("gated", c=3)
    program = problem.to_cvxpy()
    solve(program)
    U = cr.read_weights(problem, program)
    np.testing.assert_array_equal(U[2, 1], program.var_dict["U"].value[2 * len(problem.patterns) + 1])
    np.testing.assert_allclose(problem.predict(U), program.var_dict["f"].value, atol=1e-7)


def test_users_add_constraints():
    problem = make_problem("relu", ratio=0.01)
    program = problem.to_cvxpy()
    free = solve(program)
    V, W = program.var_dict["V"], program.var_dict["W"]
    assert (cr.read_weights(problem, program)[1] > 1e-3).any()
    constrained = cp.Problem(program.objective, [*program.constraints, V >= 0, W == 0])
    assert solve(constrained) > free + 1e-4
    weights = cr.read_weights(problem, constrained)
    assert weights[0].min() >= -1e-7
    assert problem.objective(weights) == pytest.approx(constrained.value, rel=1e-6)


def test_large_programs_warn_before_they_are_built(monkeypatch):
    problem = make_problem("relu")
    nonzeros = problem.d * (problem.patterns.D.sum() + 2 * problem.patterns.D.size)
    monkeypatch.setattr(programs_module, "_LARGE_PROGRAM", nonzeros - 1)
    with pytest.warns(cr.ProgramSizeWarning, match=re.escape(f"about {nonzeros:.1e} non-zeros")):
        problem.to_cvxpy()
    monkeypatch.setattr(programs_module, "_LARGE_PROGRAM", nonzeros)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        problem.to_cvxpy()


UNITS = [("group_l1", 1e-9), ("l1", 1e-9), ("feature_group_l1", 1e-9), ("squared_l2", 1e-12), ("none", 0.0)]


@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize(("penalty", "ratio"), UNITS)
def test_interior_point_violates_dual_constraints_by_a_fraction_of_lam_at_most(penalty, ratio, loss):
    """With columns of 1e-4 to 1e4 and lam far below the solver's tolerance, its dual point gives a tight bound."""
    rng = np.random.default_rng(6)
    X = rng.standard_normal((40, 3)) * [1e-4, 1.0, 1e4]
    y = X @ [1e4, -1.0, 1e-4] + rng.standard_normal(40)
    patterns = cr.sample_patterns(X, 2, seed=0)
    problem = cr.ConvexReLU(X, np.sign(y) if loss == "logistic" else y, patterns, ratio, loss, penalty)
    solution = cr.solve(problem, "CLARABEL")
    assert solution.status == "optimal"
    assert solution.certificate.rel_gap <= 1e-6
