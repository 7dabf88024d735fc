"""Ctrl-C at any point of a call: a valid best point or KeyboardInterrupt, and objects that stay usable."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV

import cvxrelu as cr
from cvxrelu.exceptions import ConvergenceWarning
from cvxrelu.optimize import progress
from cvxrelu.runtime import interrupts
from cvxrelu.solvers.interface import SolverResult
from cvxrelu.solvers.working_set.compiled_steps import CompiledSteps
from cvxrelu.status import Status
from tests.helpers.cases import make_problem
from tests.helpers.interrupting import run_traced

pytestmark = pytest.mark.filterwarnings("ignore::cvxrelu.exceptions.ConvergenceWarning")


def points(call, number, opcodes=False):
    """Yield the results of a call interrupted at evenly spread points; None if it raised."""
    _, total = run_traced(call, opcodes=opcodes)
    for at in np.unique(np.linspace(1, total, number).astype(int)).tolist():
        interrupts._seen.moment = -np.inf  # a new session
        yield run_traced(call, at, opcodes)[0]


def assert_valid(problem, solution, best, tol):
    """Check that the weights are feasible with the reported objective, and that the bounds are valid."""
    rounding = 1e-9 * max(1.0, abs(best))
    assert solution.status in ("optimal", "interrupted"), solution
    assert (solution.status == "optimal") == (solution.certificate.rel_gap <= tol), solution
    assert problem.violation(solution.weights) <= 1e-12
    assert problem.objective(solution.weights) == solution.objective >= best - rounding
    assert solution.lower <= best + rounding
    assert problem.dual_objective(solution.dual.t, solution.dual.multipliers) >= solution.lower - rounding


def same_weights(first, second):
    return np.array_equal(np.asarray(first), np.asarray(second))


SOLVERS = [
    ("gated", "squared", "group_l1", "WorkingSet"),
    ("gated", "softmax", "nuclear", "WorkingSet"),
    ("relu", "squared", "group_l1", "WorkingSet"),
    ("relu", "logistic", "group_l1", "WorkingSet"),
    ("gated", "squared", "group_l1", "RFISTA"),
    ("gated", "huber", "feature_group_l1", "RFISTA"),
    ("relu", "squared", "group_l1", "AugmentedLagrangian"),
    ("relu", "squared", "l1", "AugmentedLagrangian"),
    ("gated", "squared", "squared_l2", "LeastSquares"),
    ("relu", "squared", "group_l1", "decompose"),
    ("relu", "squared", "group_l1", "CLARABEL"),
]


def check_solver(kind, loss, penalty, solver, number, opcodes):
    problem = make_problem(kind, loss, penalty, c=3 if loss == "softmax" else 1, n_gates=16)
    tol = {"AugmentedLagrangian": 0.2, "decompose": 1.0}.get(solver, 1e-3)

    def solve():
        return cr.solve(problem, solver, tol=tol)

    def fresh():
        return type(problem)(problem.X, problem.y, problem.patterns, problem.lam, problem.loss, problem.penalty)

    best = cr.solve(fresh(), tol=1e-7 if kind == "gated" or penalty == "group_l1" else 1e-5).objective
    expected = solve()
    assert expected.status == "optimal"
    statuses = set()
    for solution in points(solve, number, opcodes):
        if solution is not None:
            statuses.add(str(solution.status))
            assert_valid(problem, solution, best, tol)
    assert same_weights(solve().weights, expected.weights)  # the problem is unaffected
    assert same_weights(cr.certify(problem, expected).weights, expected.weights)
    return statuses


@pytest.mark.parametrize(("kind", "loss", "penalty", "solver"), SOLVERS, ids=str)
def test_solvers(kind, loss, penalty, solver):
    slow = solver in ("AugmentedLagrangian", "CLARABEL", "decompose")
    statuses = check_solver(kind, loss, penalty, solver, 10 if slow else 24, opcodes=False)
    if solver not in ("LeastSquares", "CLARABEL", "decompose"):
        assert "interrupted" in statuses


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "loss", "penalty", "solver"), SOLVERS, ids=str)
def test_solvers_at_bytecodes(kind, loss, penalty, solver):
    check_solver(kind, loss, penalty, solver, 300, opcodes=True)


def stall(self, problem, start, limits):
    """Run of a native solver that ends at once, far from the optimum."""
    status = Status.STALLED
    return SolverResult(weights=problem.zero_weights(), status=status, solver_status="none", n_iter=0, solve_time=0.0)


@pytest.fixture
def slow_fingers(monkeypatch):
    """Make each Ctrl-C come more than a second after the last."""
    moments = itertools.count(0.0, 2.0)
    monkeypatch.setattr(interrupts, "_now", lambda: next(moments))


def interrupt_certificates(monkeypatch, *numbers):
    """Press Ctrl-C at the end of the given certificates; return the list of finished ones."""
    certify_solved, begun, finished = progress.certify_solved, itertools.count(1), []

    def certify(*arguments):
        certificate = certify_solved(*arguments)
        if next(begun) in numbers:
            raise KeyboardInterrupt
        finished.append(certificate)
        return certificate

    monkeypatch.setattr(progress, "certify_solved", certify)
    return finished


def test_interrupts_between_solvers(monkeypatch):
    """After the first certificate no Ctrl-C is raised, except in the last lines that return the solution."""
    problem = make_problem("relu", n_gates=4)
    best = cr.solve(problem, tol=1e-7).objective
    monkeypatch.setattr(cr.WorkingSet, "run", stall)
    finished = interrupt_certificates(monkeypatch)
    expected, total = run_traced(lambda: cr.solve(problem))
    assert expected.status == "optimal"
    statuses = set()
    for at in np.linspace(1, total - 20, 20).astype(int).tolist():
        finished.clear()
        interrupts._seen.moment = -np.inf  # a new session
        solution, _ = run_traced(lambda: cr.solve(problem), at)
        assert (solution is None) == (not finished)
        if solution is not None:
            assert_valid(problem, solution, best, 1e-6)
            statuses.add(str(solution.status))
    assert "interrupted" in statuses  # of the first solver, which was certified


@pytest.mark.parametrize("kind", ["gated", "relu"])
@pytest.mark.parametrize("tol", [1e-6, 1e-12], ids=["optimal", "short_of_tol"])
def test_interrupted_certificates_are_restarted(monkeypatch, slow_fingers, kind, tol):
    problem = make_problem(kind)
    expected = cr.solve(problem, "WorkingSet", tol=tol, max_iter=8)
    finished = interrupt_certificates(monkeypatch, 1)
    solution = cr.solve(problem, "WorkingSet", tol=tol, max_iter=8)
    assert len(finished) == 1
    assert solution.status == ("optimal" if expected.status == "optimal" else "interrupted")
    assert [one.status for one in solution.attempts] == [solution.status]
    assert solution.objective == expected.objective
    assert solution.lower == pytest.approx(expected.lower, rel=1e-9)


def test_an_interrupted_certificate_of_a_second_solver(monkeypatch, slow_fingers):
    problem = make_problem("relu")
    expected = cr.solve(problem)
    monkeypatch.setattr(cr.WorkingSet, "run", stall)
    interrupt_certificates(monkeypatch, 2)
    solution = cr.solve(problem)
    assert (solution.solver, solution.status) == ("CLARABEL", "optimal")
    assert solution.objective == pytest.approx(expected.objective, rel=2e-6)
    interrupt_certificates(monkeypatch, 2, 3)  # again, in the restarted certificate
    with pytest.warns(ConvergenceWarning, match="Ctrl-C"):
        solution = cr.solve(problem)
    assert (solution.solver, solution.status) == ("WorkingSet", "interrupted")
    assert [str(one.status) for one in solution.attempts] == ["stalled", "interrupted"]
    assert "interrupted" in str(solution)
    zero = cr.certify(problem, problem.zero_weights())
    assert (solution.objective, solution.lower) == (zero.upper, zero.lower)


def test_interrupt_before_any_certificate_is_raised(monkeypatch, slow_fingers):
    problem = make_problem("relu")
    interrupt_certificates(monkeypatch, 1, 2)
    with pytest.raises(KeyboardInterrupt):
        cr.solve(problem)


def test_a_second_interrupt_within_a_second_is_raised_from_certificates(monkeypatch):
    monkeypatch.setattr(interrupts, "_now", lambda: 0.0)
    problem = make_problem("relu")
    monkeypatch.setattr(cr.WorkingSet, "run", stall)
    interrupt_certificates(monkeypatch, 2, 3)
    with pytest.raises(KeyboardInterrupt):
        cr.solve(problem)


def small_data(n=12):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal(n), np.ones(n)])
    return X, np.abs(X[:, 0]) + 0.1 * rng.standard_normal(n)


def check_global(columns, number, opcodes):
    X, y = small_data()
    X = np.column_stack([X, X[:, 0] ** 2])[:, :columns]

    def solve():
        return cr.solve_global(X, y, 0.05, tol=1e-3, n_gates=3)

    best = cr.solve_global(X, y, 0.05, tol=1e-8)
    statuses = set()
    for solution in points(solve, number, opcodes):
        if solution is not None:
            problem, certificate = solution.problem, solution.certificate
            assert (solution.status == "optimal") == (certificate.rel_gap <= 1e-3)
            assert problem.violation(solution.weights) <= 1e-12
            objective = problem.objective(solution.weights)
            assert objective <= solution.objective * (1 + 1e-15) <= objective * (1 + 1e-12)  # rounded up
            assert solution.objective >= best.lower * (1 - 1e-9)
            assert solution.lower <= best.objective * (1 + 1e-9)
            assert certificate.scope == "global"
            statuses.add(str(solution.status))
    assert "interrupted" in statuses


def test_column_generation():
    check_global(2, 30, opcodes=False)


@pytest.mark.slow
@pytest.mark.parametrize("columns", [2, 3])
def test_column_generation_at_bytecodes(columns):
    check_global(columns, 300, opcodes=True)


@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_paths(kind, tmp_path):
    problem = make_problem(kind)
    expected = cr.regularization_path(problem, n_lams=4, eps=0.1, tol=1e-3)
    best = cr.regularization_path(problem, expected.lams, tol=1e-9).objectives
    lengths = set()
    runs = points(lambda: cr.regularization_path(problem, n_lams=4, eps=0.1, tol=1e-3, save_to=tmp_path), 40)
    for path in runs:
        for file in tmp_path.iterdir():
            assert file.suffix == ".npz"  # complete
            file.unlink()
        if path is None:
            continue
        assert path.complete == (path.halted is None) == (len(path) == 4)
        for solution, weights, objective in zip(path.solutions, expected.weights, best, strict=False):
            assert_valid(solution.problem, solution, objective, 1e-3)
            assert same_weights(solution.weights, weights)
        lengths.add(len(path))
    assert len(lengths) > 2
    again = cr.regularization_path(problem, n_lams=4, eps=0.1, tol=1e-3)
    assert all(same_weights(one, other) for one, other in zip(again.weights, expected.weights, strict=True))


@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_certificates(kind):
    problem = make_problem(kind, "huber")
    weights = problem.weights(0.5 * problem.blocks(cr.solve(problem).weights))
    expected = cr.certify(problem, weights)
    for certificate in points(lambda: cr.certify(problem, weights), 40):
        assert certificate is None or (certificate.lower, certificate.upper) == (expected.lower, expected.upper)
    again = cr.certify(problem, weights)
    assert (again.lower, again.upper) == (expected.lower, expected.upper)


@pytest.mark.parametrize("estimator", [cr.GatedReLURegressor, cr.ConvexReLURegressor], ids=lambda kind: kind.__name__)
def test_estimators(estimator):
    X, y = small_data(30)
    model = estimator(n_gates=8, alpha=0.01, tol=1e-4, random_state=0)
    best = model.fit(X, y).certificate_
    predictions = model.predict(X)
    kept = 0
    for fitted in points(lambda: estimator(n_gates=8, alpha=0.01, tol=1e-4, random_state=0).fit(X, y), 30):
        if fitted is not None:
            certificate = fitted.certificate_
            objective = certificate.problem.objective(certificate.weights)
            assert objective <= certificate.upper * (1 + 1e-15) <= objective * (1 + 1e-12)  # rounded up
            assert certificate.upper >= best.lower
            assert certificate.lower <= best.upper
            assert np.isfinite(fitted.predict(X)).all()
            kept += 1
    assert kept
    np.testing.assert_array_equal(model.fit(X, y).predict(X), predictions)


@pytest.fixture
def several_rounds(monkeypatch):
    """Let small problems take several rounds, so that a gap check comes before the last."""
    monkeypatch.setattr(CompiledSteps, "supports", staticmethod(lambda problem: False))


def interrupted_solve(problem, at=2):
    """Solve with a Ctrl-C at each gap check from the ``at``-th on."""
    seen = []

    def callback(record):
        seen.append(record)
        if len(seen) >= at:
            raise KeyboardInterrupt

    return cr.solve(problem, tol=1e-12, callback=callback)


def test_the_second_interrupt_within_a_second_is_raised(monkeypatch, several_rounds):
    moment = [100.0]
    monkeypatch.setattr(interrupts, "_now", lambda: moment[0])
    problem = make_problem("relu", n_gates=16)
    with pytest.warns(ConvergenceWarning, match="Ctrl-C"):
        assert interrupted_solve(problem).status == "interrupted"
    moment[0] += 1.5
    with pytest.warns(ConvergenceWarning, match="Ctrl-C"):
        assert interrupted_solve(problem).status == "interrupted"
    moment[0] += 0.9
    with pytest.raises(KeyboardInterrupt):
        interrupted_solve(problem)
    moment[0] += 0.9  # and the third
    with pytest.raises(KeyboardInterrupt):
        interrupted_solve(problem)
    moment[0] += 1.1
    with pytest.warns(ConvergenceWarning, match="Ctrl-C"):
        assert interrupted_solve(problem).status == "interrupted"


def test_interrupts_are_counted_by_thread(several_rounds):
    problem = make_problem("relu", n_gates=16)
    start = threading.Barrier(4)

    def work(_):
        start.wait()  # so that no thread gets two of them
        return interrupted_solve(problem)

    with ThreadPoolExecutor(4) as pool:
        solutions = list(pool.map(work, range(4)))
    assert [str(solution.status) for solution in solutions] == 4 * ["interrupted"]


@pytest.mark.parametrize("presses", [1, 2])
def test_two_interrupts_end_a_search_over_parameters(monkeypatch, several_rounds, presses):
    """One ends the current fit, with a warning, and the search continues; two within a second end the search."""
    X, y = small_data(30)
    run, left = cr.WorkingSet.run, [presses]

    def interrupted(self, problem, start, limits):
        def callback(record):
            if left[0]:
                left[0] -= 1
                raise KeyboardInterrupt

        return run(self, problem, start, replace(limits, callback=callback))

    monkeypatch.setattr(cr.WorkingSet, "run", interrupted)
    search = GridSearchCV(cr.ConvexReLURegressor(n_gates=8, tol=1e-9), {"alpha": [0.01, 0.1]}, cv=2)
    if presses == 1:
        with pytest.warns(ConvergenceWarning, match="Ctrl-C"):
            search.fit(X, y)
    else:
        with pytest.raises(KeyboardInterrupt):
            search.fit(X, y)
    assert left == [0]
