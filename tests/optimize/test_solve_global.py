from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

import cvxrelu as cr
from cvxrelu.optimize import column_generation as module
from cvxrelu.optimize import solve_global as task
from cvxrelu.pricing import branch_and_bound as cone_search
from cvxrelu.pricing.neuron_problem import RowLines
from cvxrelu.training.smoothed_objective import SmoothedObjective
from tests.helpers.clock import Clock

rng = np.random.default_rng(7)
GENERIC = rng.standard_normal((10, 3))
TINY = {
    "one_feature": rng.standard_normal((9, 1)),
    "feature_and_constant": np.column_stack([rng.standard_normal(10), np.ones(10)]),
    "three_features": GENERIC,
    "two_features_and_constant": np.column_stack([rng.standard_normal((9, 2)), np.ones(9)]),
    "rank_four": rng.standard_normal((8, 4)),
    "grid": np.array([[i, j, 1.0] for i in range(-1, 2) for j in range(-1, 2)]),
    "duplicate_rows": np.repeat(rng.standard_normal((5, 3)), 2, axis=0),
    "opposite_and_zero_rows": np.vstack([GENERIC[:4], -GENERIC[:4], np.zeros((2, 3))]),
    "parallel_rows": np.vstack([GENERIC[:5], 3.0 * GENERIC[:5]]),
    "collinear_columns": np.column_stack([GENERIC, GENERIC @ [1.0, -2.0, 0.5], np.zeros(10)]),
    "constant_columns": np.column_stack([rng.standard_normal(9), np.ones(9), 2.0 * np.ones(9)]),
    "wide": rng.standard_normal((4, 7)),
    "badly_scaled": GENERIC * [1e-3, 1.0, 1e3],
}


NO_NEURON = cr.ReLUNetwork(np.zeros((0, 3)), np.zeros(0))


def targets(X, loss, seed=0):
    y = np.random.default_rng(seed).standard_normal(len(X))
    return np.where(y > 0.0, 1.0, -1.0) if loss == "logistic" else y


def largest_lam(X, y, loss):
    loss_function = {"squared": cr.Squared(), "logistic": cr.Logistic(), "huber": cr.Huber(0.5)}[loss]
    t = loss_function.gradient(np.zeros((len(X), 1)), y[:, None])
    return loss_function, cr.find_neuron(X, t[:, 0]).value


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize(
    ("loss", "ratio"), [("squared", 0.9), ("squared", 0.1), ("squared", 1e-3), ("logistic", 0.1), ("huber", 0.05)]
)
def test_global_optimum_is_that_of_all_patterns_by_clarabel(name, loss, ratio):
    X = TINY[name]
    y = targets(X, loss)
    loss_function, lam_max = largest_lam(X, y, loss)
    lam = ratio * lam_max
    every = cr.ConvexReLU(X, y, cr.enumerate_patterns(X), lam, loss_function)
    brute = cr.solve(every, "CLARABEL", tol=1e-7)
    solution = cr.solve_global(X, y, lam, loss_function)
    assert solution.status == "optimal"
    assert solution.certificate.scope == "global"
    assert solution.certificate.rel_gap <= 1e-6
    assert solution.objective == pytest.approx(brute.objective, rel=2e-6)
    assert solution.lower <= brute.objective * (1 + 1e-12)
    assert brute.lower <= solution.objective * (1 + 1e-12)
    network = solution.network()
    assert network.objective(X, y, lam, loss_function) == pytest.approx(solution.objective, rel=1e-9)
    # The dual point is feasible for every pattern, as scope "global" claims.
    assert every.dual_constraint_values(solution.dual.t)[0].max() <= lam * (1 + 1e-9)
    assert solution.lower == pytest.approx(-loss_function.conjugate(solution.dual.t, y[:, None]), rel=1e-12)


def test_zero_data_and_zero_targets():
    zero = cr.solve_global(np.zeros((4, 2)), np.ones(4), 0.1)
    assert (zero.status, zero.objective, zero.lower) == ("optimal", pytest.approx(0.5), pytest.approx(0.5))
    nothing = cr.solve_global(GENERIC, np.zeros(10), 0.1)
    assert (nothing.status, nothing.objective, nothing.lower) == ("optimal", 0.0, 0.0)


def test_above_lam_max_the_zero_network_is_proven_optimal():
    y = targets(GENERIC, "squared")
    _, lam_max = largest_lam(GENERIC, y, "squared")
    solution = cr.solve_global(GENERIC, y, 1.01 * lam_max)
    assert solution.status == "optimal"
    assert solution.certificate.n_active == 0
    assert solution.lower == pytest.approx(0.5 * np.mean(y**2), rel=1e-6)


def prepared(n, n_features):
    X, classes = load_breast_cancer(return_X_y=True)
    X = X[:n, :n_features] - X[:n, :n_features].mean(axis=0)
    X /= np.linalg.norm(X, axis=0)
    return np.column_stack([X, np.full(n, n**-0.5)]), 2.0 * classes[:n] - 1.0


@pytest.mark.parametrize(("n", "rank"), [(200, 3), (569, 4), (569, 5), (200, 6)])
def test_real_data_are_solved_to_a_proven_optimum(n, rank):
    X, y = prepared(n, rank - 1)
    solution = cr.solve_global(X, y, 1e-3)
    assert solution.status == "optimal"
    assert solution.certificate.proof.method == "branch_and_bound"
    assert solution.certificate.proof.n_nodes > 0
    assert "branch_and_bound" in str(solution.certificate)
    random = cr.solve(cr.ConvexReLU(X, y, cr.sample_patterns(X, 200), 1e-3), tol=1e-4)
    assert solution.lower < solution.objective < random.lower
    assert cr.find_neuron(X, solution.dual.t[:, 0], n_starts=500, seed=1).value <= 1e-3 * (1 + 1e-9)


def test_one_feature_and_a_constant_on_many_rows():
    rows = np.random.default_rng(0)
    x = rows.uniform(-1.0, 1.0, 5_000)
    solution = cr.solve_global(np.column_stack([x, np.ones(5_000)]), np.sin(5.0 * x), 1e-3)
    assert solution.status == "optimal"
    assert solution.certificate.proof.method == "exact"


def test_records_are_monotone():
    X, y = prepared(200, 3)
    seen = []
    solution = cr.solve_global(X, y, 1e-3, callback=lambda record: seen.append(record))
    assert tuple(seen) == solution.history
    assert len(seen) > 2
    objectives, lowers = ([getattr(record, name) for record in seen] for name in ("objective", "lower"))
    assert objectives == sorted(objectives, reverse=True)
    assert lowers == sorted(lowers)
    assert max(lowers) <= min(objectives)
    assert all(0 < record.n_patterns <= 500 for record in seen)
    assert seen[0].violation > 0.0 > seen[-1].violation - 1e-5
    assert solution.n_iter == len(seen)


def interrupt(record):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"time_limit": 1e-3}, "time_limit"),
        ({"callback": lambda record: True}, "stopped"),
        ({"callback": interrupt}, "interrupted"),
    ],
    ids=["time_limit", "stopped", "interrupted"],
)
def test_early_stops_warn_and_keep_the_best_point(options, status):
    X, y = prepared(200, 3)
    with pytest.warns(cr.ConvergenceWarning, match=rf"relative gap .* above tol = 1.00e-06 \({status}\)"):
        solution = cr.solve_global(X, y, 1e-3, **options)
    assert solution.status == status
    assert solution.certificate.scope == "global"
    full = cr.solve_global(X, y, 1e-3)
    assert 0.0 <= solution.lower <= full.objective
    assert full.lower <= solution.objective <= 0.5 * (1 + 1e-12)


def run_clock(monkeypatch, tick):
    """Make each clock call of column generation take ``tick`` seconds, and everything else no time."""
    clock = Clock(tick)
    for each in (module, task, cone_search):
        monkeypatch.setattr(each, "clock", SimpleNamespace(perf_counter=clock))
    return clock


def test_clock_is_irrelevant_without_a_time_limit(monkeypatch):
    X, y = prepared(200, 3)
    found = []
    for tick in (0.0, 1e3):
        run_clock(monkeypatch, tick)
        found.append(cr.solve_global(X, y, 1e-3, tol=1e-4))
    first, second = found
    assert np.array_equal(first.dual.t, second.dual.t)
    assert np.array_equal(first.weights, second.weights)
    assert first.certificate.proof.n_nodes == second.certificate.proof.n_nodes
    assert len(first.history) == len(second.history)


def test_time_limit_ends_the_search(monkeypatch):
    """The clock advances only when read: the round or bound under way ends after a few more reads."""
    X, y = prepared(200, 7)
    clock = run_clock(monkeypatch, 1.0)
    with pytest.warns(cr.ConvergenceWarning):
        solution = cr.solve_global(X, y, 1e-3, time_limit=20.0)
    assert solution.status == "time_limit"
    assert clock.now <= 1000.0 + 20.0 + 20.0
    assert 0.0 <= solution.lower <= solution.objective <= 0.5


def test_time_limit_expired_after_the_first_round_at_rank_two():
    x = np.random.default_rng(0).uniform(-1.0, 1.0, 20_000)
    with pytest.warns(cr.ConvergenceWarning, match="time_limit"):
        solution = cr.solve_global(np.column_stack([x, np.ones(20_000)]), np.sin(5.0 * x), 1e-5, time_limit=0.01)
    assert 0.0 < solution.lower < solution.objective


@pytest.mark.parametrize(("tick", "relaxed"), [(0.0, True), (1.0, False)])
def test_relaxation_is_skipped_when_time_is_too_short(monkeypatch, tick, relaxed):
    rows, calls = np.random.default_rng(0), []
    run_clock(monkeypatch, tick)
    monkeypatch.setattr(module, "relaxed_point", lambda *arguments, **options: calls.append(options))
    with pytest.warns(cr.ConvergenceWarning):
        cr.solve_global(rows.standard_normal((40, 14)), rows.standard_normal(40), 1e-3, time_limit=2.0, tol=0.1)
    assert bool(calls) == relaxed


@pytest.mark.parametrize("noise", [1e-15, 1e-13, 1e-11, 1e-9])
def test_rank_nearly_two(noise):
    rows = np.random.default_rng(0)
    plane = rows.standard_normal((12, 2)) @ rows.standard_normal((2, 4))
    X = plane + noise * rows.standard_normal(plane.shape)
    y = rows.standard_normal(12)
    solution = cr.solve_global(X, y, 1e-2)
    assert solution.status == "optimal"
    assert solution.objective == pytest.approx(cr.solve_global(plane, y, 1e-2).objective, rel=1e-5)


def test_same_seed_gives_the_same_solution():
    first, second = (cr.solve_global(GENERIC, targets(GENERIC, "squared"), 1e-2, seed=3) for _ in range(2))
    assert np.array_equal(first.dual.t, second.dual.t)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"lam": 0.0}, ValueError, "lam"),
        ({"tol": 0.0}, ValueError, "tol"),
        ({"n_gates": 0}, ValueError, "n_gates"),
        ({"time_limit": -1.0}, ValueError, "time_limit"),
        ({"seed": -1}, ValueError, "seed"),
        ({"y": np.ones((10, 2))}, ValueError, "one column"),
        ({"y": np.ones(9)}, ValueError, "y"),
        ({"loss": "softmax", "y": np.ones((10, 1))}, cr.SolverError, "squared, huber, logistic"),
        ({"loss": "logistic"}, ValueError, "-1"),
    ],
)
def test_bad_arguments(arguments, error, message):
    given = {"X": GENERIC, "y": np.linspace(0.0, 1.0, 10), "lam": 0.1, **arguments}
    with pytest.raises(error, match=message):
        cr.solve_global(**given)


def _small_case(seed):
    """Return data of rank zero to two, some with zero rows, and networks of all kinds on them."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.standard_normal(6), np.ones(6)])
    y = rng.standard_normal(6)
    if seed == 1:
        X[:] = 1.0
    if seed == 2:
        X[:] = 0.0
    if seed == 3:
        X[1:3], X[-1], y[:] = 0.0, X[0], 1.0
    if seed == 4:
        y[:] = 0.0
    full = cr.ConvexReLU(X, y, cr.enumerate_patterns(X))
    full = full.with_lam(0.1 * full.lam_max() or 1.0)
    best = cr.solve(full).network()
    dead = next((w for w in rng.standard_normal((100, 2)) if (X @ w < 0.0).all()), np.zeros(2))
    random = rng.standard_normal((2, 2))
    networks = [
        best,
        cr.ReLUNetwork(0.95 * best.W1, best.w2),
        cr.ReLUNetwork(best.W1 + 1e-3 * rng.standard_normal(best.W1.shape), best.w2),
        cr.ReLUNetwork(np.zeros((0, 2)), np.zeros(0)),
        cr.ReLUNetwork(np.zeros((2, 2)), np.zeros(2)),
        cr.ReLUNetwork(dead[None], np.ones(1)),
        cr.ReLUNetwork(random[[0, 0, 1]], np.array([1.0, -1.0, 0.0])),
    ]
    return full, networks


@pytest.mark.parametrize("fraction", [1.0, 15.0], ids=["below_lam_max", "above_lam_max"])
@pytest.mark.parametrize("seed", range(5))
def test_networks_of_all_kinds_get_valid_bounds(seed, fraction):
    full, networks = _small_case(seed)
    full = full.with_lam(fraction * full.lam)
    reference = cr.solve(full, "CLARABEL", tol=1e-8)
    slack = 1e-9 * max(1.0, reference.objective)
    for network in networks:
        for scope, solve in (("patterns", True), ("patterns", False), ("global", True), ("global", False)):
            found = cr.certify_network(network, full.X, full.y, full.lam, scope=scope, solve=solve)
            assert found.lower <= found.upper
            assert found.upper >= reference.lower - slack
            if scope == "global":
                assert found.lower <= reference.objective + slack
            if solve:
                assert reference.lower - slack <= found.improved_objective <= found.upper + slack
            if solve and scope == "global":
                assert found.improved_objective - found.lower <= 1e-5 * found.improved_objective + 1e-12


def test_all_patterns_may_be_idle():
    """The master program is never left without patterns, so later neurons can still be added."""
    X = np.column_stack([np.linspace(-1.0, 1.0, 8), np.ones(8)])
    problem = cr.ConvexReLU(X, np.abs(X[:, 0]), cr.sample_patterns(X, n_gates=3, seed=0), lam=0.01)
    search = module.ColumnGeneration(
        problem, RowLines(problem.X), problem.zero_weights(), 1e-6, np.random.default_rng(0), 0.0, None
    )
    search._master = search._master._replace(idle=search._master.idle + 10)
    assert search._add([]) == 0
    assert search._add([cr.find_neuron(X, -problem.y / 8)]) > 0
    assert search.problem.blocks(search.weights).shape[2] == len(search.problem.patterns)


@pytest.mark.parametrize("D", [[[1, 1, 0], [1, 1, 0], [0, 0, 0]], [[0], [0], [0]]], ids=["double", "zero"])
def test_initial_patterns_may_be_repeated_or_zero(D):
    X = np.array([[1.0, 1.0], [2.0, 1.0], [-1.0, 1.0]])
    y = np.array([1.0, 2.0, 0.5])
    found = cr.solve_global(X, y, 0.01, patterns=cr.ActivationPatterns(np.array(D)))
    best = cr.solve(cr.ConvexReLU(X, y, cr.enumerate_patterns(X), lam=0.01), "CLARABEL", tol=1e-8)
    assert found.status == "optimal"
    assert found.objective <= best.objective * (1 + 2e-6)


@pytest.mark.parametrize("loss", ["squared", "huber", "logistic"])
@pytest.mark.parametrize("columns", [1, 2, 3])
def test_the_certificate_is_rounded_by_default_and_hardly_wider(loss, columns):
    X, y = GENERIC[:, :columns], targets(GENERIC, loss)
    lam = 0.1 * largest_lam(X, y, loss)[1]
    rounded = cr.solve_global(X, y, lam, loss)
    plain = cr.solve_global(X, y, lam, loss, rigor="floating_point")
    assert (rounded.certificate.rigor, plain.certificate.rigor) == ("rounded", "floating_point")
    assert "hold in spite of all rounding errors" in str(rounded.certificate)
    assert "an estimate" in str(plain.certificate)
    assert plain.lower * (1 - 1e-9) <= rounded.lower <= plain.lower * (1 + 1e-12)
    assert plain.objective * (1 - 1e-13) <= rounded.objective <= plain.objective * (1 + 1e-11)
    assert rounded.certificate.within(1e-6)


def test_a_loss_without_bounds_of_its_rounding_errors_gives_an_estimate():
    y = targets(GENERIC, "logistic")
    loss = cr.Weighted("logistic", np.arange(1.0, 11.0))
    solution = cr.solve_global(GENERIC, y, 0.1, loss, tol=1e-3)
    assert solution.certificate.rigor == "floating_point"
    with pytest.raises(ValueError, match="rigor 'rounded' needs a loss"):
        cr.solve_global(GENERIC, y, 0.1, loss, rigor="rounded")
    with pytest.raises(ValueError, match="rigor must be one of"):
        cr.solve_global(GENERIC, y, 0.1, rigor="exact")


@pytest.mark.parametrize("start", ["trained", "sampled"])
def test_every_start_reaches_the_optimum(start):
    y = targets(GENERIC, "squared")
    solution = cr.solve_global(GENERIC, y, 1e-2, start=start)
    assert solution.status == "optimal"
    assert solution.objective == pytest.approx(cr.solve_global(GENERIC, y, 1e-2, seed=5).objective, rel=2e-6)


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_a_given_network_is_a_start_that_is_never_made_worse(scale):
    y = targets(GENERIC, "squared")
    rows = np.random.default_rng(0)
    network = cr.ReLUNetwork(scale * rows.standard_normal((5, 3)), rows.standard_normal(5))
    seen = []
    cr.solve_global(GENERIC, y, 1e-3, start=network, callback=seen.append)
    assert seen[0].objective <= network.objective(GENERIC, y, 1e-3)
    best = cr.solve_global(GENERIC, y, 1e-3)
    again = cr.solve_global(GENERIC, y, 1e-3, start=best.network())
    assert again.status == "optimal"
    assert again.objective <= best.objective * (1.0 + 1e-12)


@pytest.mark.parametrize("network", [cr.ReLUNetwork(-np.ones((1, 3)), np.ones(1)), NO_NEURON])
def test_a_network_that_is_never_active_is_no_start(network):
    rows = np.abs(GENERIC)
    assert cr.solve_global(rows, targets(rows, "squared"), 1e-2, start=network).status == "optimal"


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ("random", "start must be 'trained', 'sampled' or a ReLUNetwork; got 'random'"),
        (np.ones(2), "start must be 'trained', 'sampled' or a ReLUNetwork; got array"),
        (cr.ReLUNetwork(np.ones((2, 4)), np.ones(2)), "on the 3 columns of X; got W1 of shape"),
        (cr.ReLUNetwork(np.ones((2, 3)), np.ones((2, 2))), "network of one output"),
    ],
)
def test_starts_are_checked(start, message):
    with pytest.raises(ValueError, match=message):
        cr.solve_global(GENERIC, targets(GENERIC, "squared"), 1e-2, start=start)


@pytest.mark.parametrize(("of_X", "of_y", "lam"), [(0.0, 1.0, 1e-30), (1.0, 0.0, 1e-30), (1e25, 0.0, 1e-2)])
def test_nothing_is_trained_where_zero_is_optimal(of_X, of_y, lam):
    y = of_y * targets(GENERIC, "squared")
    solution = cr.solve_global(of_X * GENERIC, y, lam, start="trained")
    assert solution.status == "optimal"
    assert not np.any(solution.weights)


def test_an_interrupt_of_the_training_keeps_its_network(monkeypatch):
    X, y = prepared(200, 3)
    calls = []
    evaluate = SmoothedObjective.evaluate

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 20:
            raise KeyboardInterrupt
        return evaluate(*arguments)

    monkeypatch.setattr(SmoothedObjective, "evaluate", interrupted)
    with pytest.warns(cr.ConvergenceWarning, match="interrupted"):
        solution = cr.solve_global(X, y, 1e-3, start="trained")
    assert solution.status == "interrupted"
    assert len(calls) == 20
    assert 0.0 <= solution.lower < solution.objective < 0.9 * 0.5


def test_a_time_limit_ends_the_training(monkeypatch):
    X, y = prepared(200, 3)
    with pytest.warns(cr.ConvergenceWarning, match="time_limit"):
        solution = cr.solve_global(X, y, 1e-3, start="trained", time_limit=1e-3)
    assert solution.status == "time_limit"
    assert 0.0 <= solution.lower < solution.objective <= 0.5 * (1 + 1e-12)


def test_training_prints_its_stages(capsys):
    y = targets(GENERIC, "squared")
    cr.solve_global(GENERIC, y, 1e-2, start="trained", verbose=True)
    lines = capsys.readouterr().out.splitlines()
    stages = [line for line in lines if line.startswith("training")]
    assert 1 <= len(stages) < len(lines)
    assert lines[: len(stages)] == stages
    objectives = [float(line.split("objective ")[1].split()[0]) for line in stages]
    assert objectives == sorted(objectives, reverse=True)
