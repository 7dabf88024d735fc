"""Thread safety of the public interface: the same bits as sequential calls, whatever was done before."""

import itertools
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass

import numpy as np
import pytest
import scipy.sparse as sp

import cvxrelu as cr
from cvxrelu.exceptions import ConvergenceWarning
from cvxrelu.runtime.threads import cvxpy_alone, silenced, warn
from tests.helpers.cases import all_cases, make_problem, random_weights

WORKERS = 8
TIMES = {"time", "solve_time", "compile_time", "problem", "history", "gated_seconds", "relu_seconds"}


@pytest.fixture(autouse=True)
def switch_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def switch_at_each_chance(switch_often):
    sys.setswitchinterval(1e-6)


def bits(value):
    """Return the content of a result to the last bit, without times."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if sp.issparse(value):
        return bits(value.toarray())
    if isinstance(value, list | tuple):
        return tuple(bits(each) for each in value)
    if isinstance(value, float):
        return value.hex()
    if is_dataclass(value):
        return {field.name: bits(getattr(value, field.name)) for field in fields(value) if field.name not in TIMES}
    if hasattr(value, "__dict__") and type(value).__module__.startswith("cvxrelu"):
        return {name: bits(each) for name, each in vars(value).items() if name not in TIMES}
    return value if isinstance(value, int | str | type(None)) else repr(value)


def assert_same_from_threads(function, arguments, repeats=1, expected=None):
    """Compare sequential calls for each argument with calls from threads that start together."""
    arguments = list(arguments)
    if expected is None:
        expected = [bits(function(argument)) for argument in arguments]
    start = threading.Barrier(WORKERS)

    def work(first):
        start.wait()
        indices = [(first + i) % len(arguments) for i in range(-(-repeats * len(arguments) // WORKERS))]
        return [(index, bits(function(arguments[index]))) for index in indices]

    with ThreadPoolExecutor(WORKERS) as pool:
        found = list(itertools.chain.from_iterable(pool.map(work, range(WORKERS))))
    assert {index for index, _ in found} == set(range(len(arguments)))
    for index, result in found:
        assert result == expected[index], index


@pytest.mark.usefixtures("switch_at_each_chance")
@pytest.mark.parametrize(("n", "d", "P"), [(300, 3, 8), (300, 8, 3), (20_000, 2, 30)], ids=str)
def test_products_of_one_operator(n, d, P):
    rng = np.random.default_rng(0)
    X, D = rng.standard_normal((n, d)), rng.random((n, P)) < 0.5
    ts, Us = rng.standard_normal((6, n, 1)), rng.standard_normal((6, 1, P, d))
    fresh = [bits(cr.GatedOperator(X, D).adjoint(t)) for t in ts], [bits(cr.GatedOperator(X, D).forward(U)) for U in Us]
    for name, arguments, expected in zip(("adjoint", "forward"), (ts, Us), fresh, strict=True):
        for _ in range(2):  # a new operator each time
            operator = cr.GatedOperator(X, D)
            assert_same_from_threads(getattr(operator, name), arguments, 4, expected)


def fresh(case_or_problem):
    """Return a new problem without cached attributes."""
    problem = case_or_problem if isinstance(case_or_problem, cr.ConvexReLU | cr.ConvexGatedReLU) else None
    problem = case_or_problem.build() if problem is None else problem
    return type(problem)(problem.X, problem.y, problem.patterns, problem.lam, problem.loss, problem.penalty)


@pytest.mark.usefixtures("switch_at_each_chance")
@pytest.mark.parametrize("case", list(all_cases())[::6], ids=str)
def test_certificates_of_one_problem(case):
    problem = fresh(case)
    rng = np.random.default_rng(0)
    points = [(factor * problem.lam, random_weights(problem, rng)) for factor in (0.5, 1.0, 2.0, 4.0)]
    expected = [bits(cr.certify(fresh(case).with_lam(lam), weights)) for lam, weights in points]
    shared = fresh(case)
    assert_same_from_threads(lambda point: cr.certify(shared.with_lam(point[0]), point[1]), points, 2, expected)


@pytest.mark.parametrize("case", list(all_cases())[1::9], ids=str)
def test_certificates_are_independent_of_earlier_calls(case):
    used = fresh(case)
    solution = cr.solve(used, tol=1e-2)
    weights = random_weights(used, np.random.default_rng(0))
    for point in (weights, solution.weights):
        assert bits(cr.certify(used, point)) == bits(cr.certify(fresh(case), point))
    assert bits(cr.solve(used, tol=1e-2)) == bits(cr.solve(fresh(case), tol=1e-2))


SOLVERS = [
    ("gated", "squared", "group_l1", "WorkingSet"),
    ("gated", "softmax", "nuclear", "WorkingSet"),
    ("gated", "huber", "l1", "RFISTA"),
    ("gated", "logistic", "feature_group_l1", "RFISTA"),
    ("gated", "squared", "squared_l2", "LeastSquares"),
    ("relu", "squared", "group_l1", "WorkingSet"),
    ("relu", "logistic", "group_l1", "WorkingSet"),
    ("relu", "huber", "group_l1", "AugmentedLagrangian"),
    ("relu", "squared", "squared_l2", "AugmentedLagrangian"),
    ("relu", "squared", "group_l1", "decompose"),
    ("relu", "squared", "l1", "CLARABEL"),
    ("gated", "softmax", "group_l1", "CLARABEL"),
]


@pytest.mark.filterwarnings("ignore::cvxrelu.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("kind", "loss", "penalty", "solver"), SOLVERS, ids=str)
def test_solves_of_one_problem(kind, loss, penalty, solver):
    problem = make_problem(kind, loss, penalty, c=3 if loss == "softmax" else 1, n_gates=16)
    lams = problem.lam * np.array([1.0, 0.5])

    def solve(shared, lam):
        return cr.solve(shared.with_lam(lam), solver, tol=1e-2, max_iter=200)

    expected = [bits(solve(fresh(problem), lam)) for lam in lams]
    shared = fresh(problem)
    assert_same_from_threads(lambda lam: solve(shared, lam), lams, 4, expected)


def make_regression(n=24, d=2, seed=0):
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.standard_normal((n, d)), np.ones(n)])
    return X, np.abs(X[:, 0]) - X[:, 1] + 0.1 * rng.standard_normal(n)


@pytest.mark.parametrize("d", [1, pytest.param(2, marks=pytest.mark.slow)])  # exact search; branch and bound
def test_global_searches(d):
    X, y = make_regression(10, 2)
    X = X[:, [0, 2] if d == 1 else [0, 1, 2]]
    assert_same_from_threads(lambda lam: cr.solve_global(X, y, lam, tol=1e-3), [0.05, 0.1], 4)


def test_networks_and_the_optimum():
    X, y = make_regression()
    rng = np.random.default_rng(1)
    networks = [cr.ReLUNetwork(rng.standard_normal((4, 3)), rng.standard_normal(4)) for _ in range(3)]
    assert_same_from_threads(lambda network: cr.certify_network(network, X, y, 0.05), networks, 3)


def test_patterns():
    X, _ = make_regression(30)
    assert_same_from_threads(lambda seed: cr.sample_patterns(X, 30, seed=seed), range(4), 4)
    assert_same_from_threads(lambda rows: cr.enumerate_patterns(X[:rows]), (10, 20, 30), 4)


@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_paths_of_one_problem(kind, tmp_path):
    problem = make_problem(kind, n_gates=12)

    def path(shared, save_to=None):
        return cr.regularization_path(shared, n_lams=4, eps=0.1, tol=1e-3, save_to=save_to)

    expected = bits(path(fresh(problem)))
    shared = fresh(problem)
    assert_same_from_threads(lambda _: path(shared), [0], WORKERS, [expected])
    folders = [tmp_path / str(worker) for worker in range(WORKERS)]
    assert_same_from_threads(lambda folder: path(shared, folder), folders, 1, [expected] * WORKERS)


def test_one_folder_for_the_paths_of_several_threads(tmp_path):
    problem = make_problem("gated")
    with ThreadPoolExecutor(WORKERS) as pool:
        jobs = [
            pool.submit(cr.regularization_path, problem, n_lams=4, eps=0.1, tol=1e-3, save_to=tmp_path)
            for _ in range(WORKERS)
        ]
    assert all(job.result().complete for job in jobs)
    assert {path.suffix for path in tmp_path.iterdir()} == {".npz"}
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("estimator", [cr.GatedReLURegressor, cr.ConvexReLURegressor], ids=lambda kind: kind.__name__)
def test_estimators(estimator):
    X, y = make_regression(60)
    X = X[:, :2]
    arguments = {"n_gates": 10, "tol": 1e-3, "alpha": 0.01}
    assert_same_from_threads(lambda seed: estimator(random_state=seed, **arguments).fit(X, y).predict(X), range(3), 3)
    fitted = estimator(random_state=0, **arguments).fit(X, y)
    assert_same_from_threads(lambda rows: fitted.predict(X[:rows]), [20, 40, 60], 5)


def test_warnings_are_silenced_in_one_thread_only():
    ready, done = threading.Event(), threading.Event()

    def long_call():
        ready.set()
        done.wait(10.0)
        warn("not heard", ConvergenceWarning, stacklevel=1)

    filters = list(warnings.filters)
    thread = threading.Thread(target=silenced(long_call, ConvergenceWarning))
    thread.start()
    ready.wait(10.0)
    with pytest.warns(ConvergenceWarning, match="^heard"):
        warn("heard", ConvergenceWarning, stacklevel=1)
    done.set()
    thread.join()
    assert list(warnings.filters) == filters
    with pytest.warns(ConvergenceWarning, match="again"):
        warn("heard again", ConvergenceWarning, stacklevel=1)


def test_other_warnings_are_issued_in_silenced_calls():
    def call():
        warn("of another kind", cr.UnsupportedOptionWarning, stacklevel=1)

    with pytest.warns(cr.UnsupportedOptionWarning, match="another kind"):
        silenced(call, ConvergenceWarning)()


def test_concurrent_changes_of_filters_are_kept():
    """CVXPY's warning is silenced during its calls only, and other changes of filters are kept."""
    inside, swapped = threading.Event(), threading.Event()

    def solve():
        with cvxpy_alone():
            warnings.warn("Solution may be inaccurate. Try another solver", stacklevel=1)
            inside.set()
            swapped.wait(10.0)

    before = list(warnings.filters)
    thread = threading.Thread(target=solve)
    thread.start()
    inside.wait(10.0)
    with warnings.catch_warnings():
        swapped.set()
        thread.join()
    assert list(warnings.filters) == before


def test_variables_of_programs_built_at_once_differ():
    problem = make_problem("relu")

    def names(_):
        program = problem.to_cvxpy()
        return sorted(variable.id for variable in program.variables())

    with ThreadPoolExecutor(WORKERS) as pool:
        found = list(itertools.chain.from_iterable(pool.map(names, range(40))))
    assert len(set(found)) == len(found)
