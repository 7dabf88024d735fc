import sys

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.exceptions import ConvergenceWarning
from cvxrelu.networks.baselines import _Visited, train_network
from tests.helpers.cases import LOSSES, make_targets
from tests.helpers.needs import require


@pytest.fixture
def torch():
    """PyTorch with one thread, as threads of small products wait for each other on a busy machine."""
    module = require("torch")
    threads = module.get_num_threads()
    module.set_num_threads(1)
    yield module
    module.set_num_threads(threads)


RNG = np.random.default_rng(3)
X = RNG.standard_normal((20, 3))
Y = np.maximum(X @ RNG.standard_normal((3, 2)), 0.0) @ RNG.standard_normal((2, 2))
GATES = RNG.standard_normal((3, 5))
LAM = 1e-2


def outputs(kind, W1):
    """Return the activations of the neurons, and a mask of the active ones."""
    active = X @ (GATES if kind == "gated" else W1.T) >= 0
    return active * (X @ W1.T), active


def objective(kind, W1, w2, y, lam=LAM):
    residual = outputs(kind, W1)[0] @ w2 - y
    return np.sum(residual**2) / (2 * len(X)) + lam / 2 * (np.sum(W1**2) + np.sum(w2**2))


def gradients(kind, W1, w2, Y, lam=LAM):
    """Return the gradients of W1 (m, d) and w2 (m, c), by hand."""
    hidden, active = outputs(kind, W1)
    t = (hidden @ w2 - Y) / len(X)
    return (active * (t @ w2.T)).T @ X + lam * W1, hidden.T @ t + lam * w2


def arguments(kind):
    return {"n_neurons": 5, "lam": LAM, "gates": GATES if kind == "gated" else None}


def start(kind, y, **options):
    network = train_network(X, y, **arguments(kind), n_epochs=0, **options).network
    return network.W1, network.w2


@pytest.mark.parametrize("kind", ["relu", "gated"])
@pytest.mark.parametrize("y", [Y[:, 0], Y], ids=["vector", "matrix"])
def test_history_starts_at_the_objective_of_the_start(torch, kind, y):
    run = train_network(X, y, **arguments(kind), n_epochs=0)
    assert run.network.W1.shape == (5, 3)
    assert run.network.w2.shape == (5, *y.shape[1:])
    assert run.history == pytest.approx([objective(kind, run.network.W1, run.network.w2, y)], rel=1e-14)
    assert run.objective == pytest.approx(run.history[0], rel=1e-14)
    assert run.patterns is None


def test_start_is_gaussian_of_the_documented_scale(torch):
    network = train_network(np.ones((2, 16)), [1.0, 2.0], 2500, LAM, n_epochs=0).network
    for weights, scale in ((network.W1, 0.25), (network.w2, 0.02)):
        assert np.std(weights) == pytest.approx(scale, rel=0.05)
        assert np.mean(np.abs(weights) < scale) == pytest.approx(0.6827, abs=0.03)


@pytest.mark.parametrize("kind", ["relu", "gated"])
def test_full_batch_sgd_takes_the_gradient_steps_computed_by_hand(torch, kind):
    W1, w2 = start(kind, Y)
    expected = [objective(kind, W1, w2, Y)]
    for rate in (0.1, 0.1, 0.05, 0.05, 0.025):
        first, second = gradients(kind, W1, w2, Y)
        W1, w2 = W1 - rate * first, w2 - rate * second
        expected.append(objective(kind, W1, w2, Y))
    run = train_network(X, Y, **arguments(kind), optimizer="sgd", learning_rate=0.1, n_epochs=5, decay_every=2)
    np.testing.assert_allclose(run.history, expected, rtol=1e-12)
    np.testing.assert_allclose(run.network.W1, W1, atol=1e-13)
    np.testing.assert_allclose(run.network.w2, w2, atol=1e-13)


def test_without_decay_the_rate_is_constant(torch):
    options = {"optimizer": "sgd", "n_epochs": 30, "learning_rate": 0.02}
    constant, unit, decaying = (
        train_network(X, Y, **arguments("relu"), **options, **decay).history
        for decay in ({"decay_every": None}, {"decay": 1.0, "decay_every": 3}, {"decay_every": 3})
    )
    np.testing.assert_array_equal(constant, unit)
    assert constant[-1] < decaying[-1] - 1e-4


def test_first_step_of_adam_has_the_length_of_the_rate(torch):
    W1, w2 = start("relu", Y)
    run = train_network(X, Y, **arguments("relu"), learning_rate=1e-3, n_epochs=1)
    for before, after, gradient in zip(
        (W1, w2), (run.network.W1, run.network.w2), gradients("relu", W1, w2, Y), strict=True
    ):
        np.testing.assert_allclose(after - before, -1e-3 * gradient / (np.abs(gradient) + 1e-8), atol=1e-13)


def test_each_mini_batch_has_the_whole_regulariser(torch):
    """For equal rows every batch has the full gradient, so an epoch of three batches is three full steps."""
    rows, targets = np.repeat(X[:1], 6, axis=0), np.ones(6)
    options = {"optimizer": "sgd", "learning_rate": 0.05}
    batches = train_network(rows, targets, 5, 0.3, batch_size=2, n_epochs=1, **options)
    full = train_network(rows, targets, 5, 0.3, n_epochs=3, **options)
    np.testing.assert_allclose(batches.history, full.history[[0, 3]], rtol=1e-12)


def test_an_epoch_of_mini_batches_sees_each_row_once(torch):
    """To first order in the rate, the four steps of an epoch sum to four full ones; the batches are shuffled."""
    W1, w2 = start("relu", Y)
    one, two = (
        train_network(X, Y, **arguments("relu"), optimizer="sgd", learning_rate=1e-6, batch_size=5, n_epochs=epochs)
        for epochs in (1, 2)
    )
    first, second = gradients("relu", W1, w2, Y)
    np.testing.assert_allclose(one.network.W1 - W1, -4e-6 * first, atol=1e-10)
    np.testing.assert_allclose(one.network.w2 - w2, -4e-6 * second, atol=1e-10)
    assert np.abs(first).max() > 1e-3
    assert two.history[2] < two.history[1] < two.history[0]

    ordered = W1, w2
    for rows in np.arange(20).reshape(4, 5):
        active = X[rows] @ ordered[0].T >= 0
        hidden = active * (X[rows] @ ordered[0].T)
        t = (hidden @ ordered[1] - Y[rows]) / 5
        step = (active * (t @ ordered[1].T)).T @ X[rows] + LAM * ordered[0], hidden.T @ t + LAM * ordered[1]
        ordered = ordered[0] - 1e-2 * step[0], ordered[1] - 1e-2 * step[1]
    shuffled = train_network(
        X, Y, **arguments("relu"), optimizer="sgd", learning_rate=1e-2, batch_size=5, n_epochs=1
    ).network
    assert np.abs(shuffled.W1 - ordered[0]).max() > 1e-6


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("loss", [*LOSSES, cr.Huber(0.2)], ids=str)
@pytest.mark.parametrize("kind", ["relu", "gated"])
def test_training_lowers_the_objective_and_returns_the_best_iterate(torch, kind, loss, optimizer):
    rows = X[:18]
    y = make_targets(getattr(loss, "name", loss), rows, 3)
    run = train_network(
        rows, y, **arguments(kind), loss=loss, optimizer=optimizer, learning_rate=0.05, n_epochs=60, batch_size=4
    )
    assert run.history.shape == (61,)
    assert run.objective == run.network.objective(rows, y, LAM, loss)
    assert run.objective == pytest.approx(run.history.min(), rel=1e-13)
    assert run.objective < 0.95 * run.history[0]


class Doubled(cr.Squared):
    """A loss of one's own: twice its parent."""

    def value(self, f, Y):
        return 2.0 * super().value(f, Y)

    def gradient(self, f, Y):
        return 2.0 * super().gradient(f, Y)


@pytest.mark.parametrize("kind", ["relu", "gated"])
def test_a_loss_of_one_s_own_is_trained_by_its_value_and_gradient(torch, kind):
    """Twice the loss at twice lam: SGD takes the same steps of half the size."""
    options = {"optimizer": "sgd", "n_epochs": 20, "batch_size": 6}
    own, plain = (
        train_network(X, Y, **arguments(kind) | {"lam": lam}, loss=loss, learning_rate=rate, **options)
        for loss, lam, rate in ((Doubled(), 2.0 * LAM, 0.01), ("squared", LAM, 0.02))
    )
    np.testing.assert_allclose(own.network.W1, plain.network.W1, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(own.history, 2.0 * plain.history, rtol=1e-9)


WEIGHTED = cr.Weighted(cr.Huber(0.5), np.arange(1.0, len(X) + 1.0))


def test_weights_of_rows_are_repetitions(torch):
    """Each row as often as its weight says: the same steps over all rows."""
    counts = np.arange(1, len(X) + 1)
    one = train_network(X, Y, **arguments("relu"), loss=WEIGHTED, n_epochs=20)
    many = train_network(
        np.repeat(X, counts, axis=0), np.repeat(Y, counts, axis=0), **arguments("relu"), loss=cr.Huber(0.5), n_epochs=20
    )
    np.testing.assert_allclose(one.history, many.history, rtol=1e-9)
    np.testing.assert_allclose(one.network.W1, many.network.W1, rtol=1e-7, atol=1e-9)


def test_gated_network_keeps_its_gates_and_uses_them(torch):
    run = train_network(X, Y, None, LAM, gates=GATES, learning_rate=0.05, n_epochs=50)
    assert isinstance(run.network, cr.GatedReLUNetwork)
    np.testing.assert_array_equal(run.network.G, GATES)
    prediction = ((X @ GATES >= 0) * (X @ run.network.W1.T)) @ run.network.w2
    np.testing.assert_allclose(run.network.predict(X), prediction, atol=1e-14)
    relu = train_network(X, Y, 5, LAM, learning_rate=0.05, n_epochs=50)
    assert abs(relu.history[50] - run.history[50]) > 1e-3


def test_gated_training_reaches_the_optimum_of_the_convex_program_and_not_less(torch):
    gates = np.repeat(GATES, 4, axis=1)
    y = Y[:, 0]
    run = train_network(X, y, None, LAM, gates=gates, learning_rate=0.05, n_epochs=800)
    problem = cr.ConvexGatedReLU(X, y, cr.ActivationPatterns.from_gates(X, gates), lam=LAM)
    optimum = cr.solve(problem, solver="CLARABEL", tol=1e-8)
    assert optimum.lower - 1e-9 <= run.objective <= optimum.objective * (1 + 1e-3)


def test_patterns_are_those_of_every_step_with_their_first_gates(torch):
    options = {"optimizer": "sgd", "learning_rate": 0.1, "track_patterns": True}
    W1, w2 = start("relu", Y)
    weights = [W1]
    for _ in range(6):
        first, second = gradients("relu", W1, w2, Y)
        W1, w2 = W1 - 0.1 * first, w2 - 0.1 * second
        weights.append(W1)
    expected = cr.ActivationPatterns.from_gates(X, np.concatenate(weights).T)
    run = train_network(X, Y, **arguments("relu"), **options, n_epochs=6)
    np.testing.assert_array_equal(run.patterns.D, expected.D)
    np.testing.assert_allclose(run.patterns.G, expected.G, atol=1e-13)
    assert len(run.patterns) > 5
    assert run.patterns.G.shape == (3, len(run.patterns))


def test_patterns_of_mini_batches_are_those_of_every_step(torch):
    options = {"optimizer": "sgd", "learning_rate": 0.1, "n_epochs": 1, "batch_size": 1}
    run = train_network(X, Y, **arguments("relu"), **options, track_patterns=True)
    ends = np.concatenate([start("relu", Y)[0], run.network.W1]).T
    run.patterns.check_matches(X)
    visited = {column.tobytes() for column in run.patterns.D.T}
    at_ends = {column.tobytes() for column in cr.ActivationPatterns.from_gates(X, ends).D.T}
    assert len(visited) == len(run.patterns)
    assert at_ends < visited


@pytest.mark.parametrize("gates", [None, GATES], ids=["relu", "gated"])
def test_tracking_patterns_changes_nothing_else(torch, gates):
    plain, tracked = (
        train_network(X, Y, 5, LAM, gates=gates, n_epochs=5, batch_size=7, track_patterns=flag)
        for flag in (False, True)
    )
    np.testing.assert_array_equal(plain.history, tracked.history)
    assert plain.patterns is None
    assert (tracked.patterns is None) == (gates is not None)


def test_no_patterns_where_no_neuron_is_ever_active(torch):
    rows, seed = -np.ones((1, 1)), 0
    while train_network(rows, [1.0], 1, LAM, n_epochs=0, seed=seed).network.W1[0, 0] < 0:
        seed += 1
    assert train_network(rows, [1.0], 1, LAM, n_epochs=3, seed=seed, track_patterns=True).patterns is None


@pytest.mark.parametrize("batch_size", [None, 6])
def test_convex_optimum_with_the_visited_patterns_is_no_more_than_the_trained_objective(torch, batch_size):
    y = Y[:, 0]
    run = train_network(
        X, y, 6, LAM, learning_rate=0.02, n_epochs=150, batch_size=batch_size, seed=1, track_patterns=True
    )
    visited = {column.tobytes() for column in run.patterns.D.T}
    final, weights = cr.to_convex(run.network, X)
    assert {column.tobytes() for column in final.D.T} <= visited
    assert cr.ConvexReLU(X, y, final, lam=LAM).objective(weights) <= run.objective * (1 + 1e-12)

    def optimum(patterns):
        return cr.solve(cr.ConvexReLU(X, y, patterns, lam=LAM), solver="CLARABEL", tol=1e-7).objective

    assert optimum(run.patterns) <= run.objective + 1e-9
    assert optimum(cr.sample_patterns(X, 1)) > run.objective  # other patterns give no such bound


def test_equal_seeds_give_equal_runs_and_others_do_not(torch):
    first, again, other = (train_network(X, Y, 5, LAM, n_epochs=5, batch_size=6, seed=seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first.history, again.history)
    np.testing.assert_array_equal(first.network.W1, again.network.W1)
    assert np.all(first.history != other.history)


def test_global_state_is_untouched(torch):
    states = torch.get_rng_state(), np.random.get_state()[1], torch.get_num_threads(), torch.get_default_dtype()  # noqa: NPY002
    train_network(X, Y, 5, LAM, n_epochs=2, batch_size=6)
    assert torch.equal(states[0], torch.get_rng_state())
    np.testing.assert_array_equal(states[1], np.random.get_state()[1])  # noqa: NPY002
    assert states[2:] == (torch.get_num_threads(), torch.get_default_dtype())


@pytest.mark.parametrize("layout", [np.float32, np.asfortranarray, lambda a: a[::-1], lambda a: a.tolist()])
def test_other_layouts_of_the_data(torch, layout):
    rows = layout(X)
    if not isinstance(rows, list):
        rows.flags.writeable = False
    run = train_network(rows, Y, 5, LAM, n_epochs=30, track_patterns=True)
    plain = train_network(np.array(rows, dtype=float), Y, 5, LAM, n_epochs=30)
    np.testing.assert_allclose(run.history, plain.history, rtol=1e-10)
    assert run.objective == pytest.approx(run.network.objective(rows, Y, LAM), rel=1e-12)
    visited = {column.tobytes() for column in run.patterns.D.T}
    assert {column.tobytes() for column in cr.to_convex(run.network, rows)[0].D.T} <= visited


@pytest.mark.parametrize("options", [{"learning_rate": 1e3}, {"learning_rate": 1e150, "batch_size": 5}], ids=str)
def test_a_run_that_diverges_warns_and_returns_the_best_so_far(torch, options):
    with pytest.warns(ConvergenceWarning, match="diverged.*learning_rate"):
        run = train_network(X, Y, 5, LAM, optimizer="sgd", n_epochs=50, track_patterns=True, **options)
    run.patterns.check_matches(X)
    assert len(run.history) < 51
    assert not np.isfinite(run.history[-1])
    assert np.isfinite(run.history[:-1]).all()
    assert run.objective == pytest.approx(run.history[:-1].min(), rel=1e-13)


def test_weights_that_overflow_give_no_pattern():
    visited = _Visited(2)
    visited.add(np.array([[np.inf, 1.0], [1.0, -1.0]]), np.array([[np.inf], [3.0]]))
    np.testing.assert_array_equal(visited.patterns().D, [[True], [False]])
    np.testing.assert_array_equal(visited.patterns().G, [[3.0]])


def test_history_is_read_only(torch):
    with pytest.raises(ValueError, match="read-only"):
        train_network(X, Y, 5, LAM, n_epochs=0).history[0] = 0.0


def test_without_torch_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"non-convex networks in PyTorch.*pip install 'cvxrelu\[torch\]'"):
        train_network(X, Y, 5, LAM)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"X": X[0]}, ValueError, "X must be a 2-D array"),
        ({"X": X * np.nan}, ValueError, "X must be finite"),
        ({"y": Y[:3]}, ValueError, "y must have one entry for each row"),
        ({"loss": "hinge"}, ValueError, "loss must be one of"),
        ({"loss": WEIGHTED, "batch_size": 5}, ValueError, "batch_size must be None for a loss with a weight for each"),
        ({"loss": "logistic"}, ValueError, "y must hold labels"),
        ({"n_neurons": 0}, ValueError, "n_neurons must be an integer >= 1"),
        ({"n_neurons": None}, TypeError, "n_neurons must be an integer >= 1"),
        ({"n_neurons": 4, "gates": GATES}, ValueError, "n_neurons must be None or the number of gates, 5; got 4"),
        ({"gates": GATES.T}, ValueError, "gates must have one row for each of the 3 features"),
        ({"gates": "dense"}, TypeError, "gates must hold real numbers"),
        ({"lam": -1.0}, ValueError, "lam must be"),
        ({"optimizer": "lbfgs"}, ValueError, "optimizer must be one of 'adam', 'sgd'"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate must be a finite number > 0"),
        ({"batch_size": 0}, ValueError, "batch_size must be an integer >= 1"),
        ({"batch_size": 21}, ValueError, "batch_size must be None or at most the 20 rows"),
        ({"n_epochs": -1}, ValueError, "n_epochs must be an integer >= 0"),
        ({"n_epochs": 1.5}, TypeError, "n_epochs must be an integer"),
        ({"decay": 0.0}, ValueError, "decay must be a finite number > 0 and <= 1"),
        ({"decay": 1.5}, ValueError, "decay must be a finite number > 0 and <= 1"),
        ({"decay_every": 0}, ValueError, "decay_every must be an integer >= 1"),
        ({"seed": -1}, ValueError, "seed must be an integer >= 0"),
        ({"seed": 2**70}, ValueError, "seed must be a finite number >= 0 and <= 9.2"),
        ({"track_patterns": 1}, TypeError, "track_patterns must be True or False"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_bad_arguments_are_named(change, error, message):
    good = {"X": X, "y": Y, "n_neurons": 5, "lam": LAM, "n_epochs": 0}
    with pytest.raises(error, match=message):
        train_network(**{**good, **change})
