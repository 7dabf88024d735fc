from dataclasses import replace

import cvxrelu as cr
from tests.helpers.cases import make_problem
from tests.helpers.rescaling import rescaled


def test_records_and_callbacks_use_original_units():
    problem = make_problem("gated", "squared", "group_l1")
    big = rescaled(problem, 2.0**-9, 2.0**20)
    records, plain = [], []
    solution = cr.solve(big, "RFISTA", tol=1e-4, callback=records.append)
    cr.solve(problem, "RFISTA", tol=1e-4, callback=plain.append)
    assert solution.history == tuple(records)
    assert abs(records[-1].objective - solution.objective) <= 1e-12 * solution.objective
    assert [record.n_iter for record in records] == [record.n_iter for record in plain]
    assert [record.objective for record in records] == [2.0**40 * record.objective for record in plain]
    assert [record.step for record in records] == [2.0**18 * record.step for record in plain]


def test_step_of_the_user_is_in_original_units():
    problem = make_problem("gated", "squared", "squared_l2")
    big = rescaled(problem, 2.0**7, 2.0**3)
    solver = cr.RFISTA(step=1e-3, step_rule="keep")
    plain = cr.solve(problem, solver, tol=1e-5)
    scaled = cr.solve(big, replace(solver, step=2.0**-14 * 1e-3), tol=1e-5)
    assert scaled.n_iter == plain.n_iter
    assert scaled.history[0].step == 2.0**-14 * plain.history[0].step
