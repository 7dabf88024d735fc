"""Certificates of networks from any trainer."""

import time as clock
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from cvxrelu._validation import FloatArray, Weights, check_choice, check_number, check_targets
from cvxrelu.analysis.network_certificate import NetworkCertificate, Scope
from cvxrelu.certificates.certificate import Certificate, certify, over_all_networks
from cvxrelu.exceptions import ConvergenceWarning
from cvxrelu.losses.base import Loss
from cvxrelu.losses.registry import get_loss
from cvxrelu.networks.convert import balance, to_convex, to_network
from cvxrelu.networks.layers import as_columns
from cvxrelu.networks.loading import read_network
from cvxrelu.networks.network import GatedReLUNetwork, Network, ReLUNetwork
from cvxrelu.numerics.active_set import project_blocks
from cvxrelu.numerics.gaps import check_bounds, relative_gap
from cvxrelu.numerics.rows import directions
from cvxrelu.optimize import solve as optimization
from cvxrelu.optimize.solution import Solution
from cvxrelu.optimize.solve_global import solve_global
from cvxrelu.patterns.activation_patterns import ActivationPatterns
from cvxrelu.pricing.bounds import EXACT_RANK, LOOSER, SEARCH_RANK, bound_neurons, compile_search, feasible_multiple
from cvxrelu.pricing.local_search import NewNeuron, find_neuron, new_neuron
from cvxrelu.pricing.neuron_problem import NeuronBound, RowLines
from cvxrelu.pricing.relaxation import relaxed_point, within_reach
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.dual import DualPoint
from cvxrelu.problems.gated_relu import ConvexGatedReLU
from cvxrelu.problems.relu import ConvexReLU
from cvxrelu.runtime.threads import silenced, warn
from cvxrelu.status import Status


def certify_network(
    network: Any,
    X: Any,
    y: Any,
    lam: float,
    loss: str | Loss = "squared",
    patterns: ActivationPatterns | None = None,
    scope: Scope = "patterns",
    *,
    solve: bool = True,
    tol: float = 1e-6,
    time_limit: float = 300.0,
    n_starts: int = 100,
    seed: int = 0,
) -> NetworkCertificate:
    """Return proven bounds for a two-layer ReLU or gated-ReLU network from any trainer, and a better network.

    The objective is F(h(X)) + lam/2 (||W1||_F^2 + ||w2||_F^2), h(x) = sum_i (x'W1_i)_+ w2_i, with the package's
    F = (1/n) sum_j loss(h(x_j), y_j). **Biases**: if the network has any, a column of ones is appended to X; a hidden
    bias is the weight of that column, penalised like the rest. An output bias b2 becomes a neuron that is active on
    every row and costs lam |b2|: the problem has no free output bias. Trainers that do not penalise biases
    (scikit-learn, whose alpha is n lam for one output) minimise a different objective; the certificate is of this one.

    The layers are balanced first, which never raises the objective. The lower bound is the best of two dual points,
    each made feasible: grad F at the network, and the dual solution of the convex program over its patterns
    (`ConvexReLU`), which `cvxrelu.solve` solves and which also gives ``improved``. For scope "global", `solve_global`
    starts from these patterns instead; with ``solve=False``, the largest |t'(Xu)_+| at grad F is bounded, and the
    semidefinite relaxation solved.

    The gates of a gated network are fixed, so its problem is the convex program itself (`ConvexGatedReLU`; with several
    outputs, weight decay is the nuclear norm of their weights). Only scope "patterns" applies, no new neuron is sought,
    and neurons may feed several outputs.

    Parameters
    ----------
    network : ReLUNetwork, GatedReLUNetwork, tuple, mapping, torch module, MLPRegressor or MLPClassifier
        Arrays (W1, b1, w2) or (W1, b1, w2, b2) with W1 (m, d), b1 (m,), w2 (m,) or (m, c), b2 (c,) or a number, None
        for an absent bias; a mapping of these names to arrays, as returned by ``numpy.load("net.npz")``; a
        Sequential(Linear, ReLU, Linear), with or without biases, or the result of `GatedReLUNetwork.to_torch`; a fitted
        MLP of scikit-learn with activation 'relu' and one hidden layer (for a classifier, loss must match its output).
        Read files of networks with `load_network` or `from_onnx` first.
    X : array_like of shape (n, d)
        The network's input data. If a network without biases takes d + 1 columns, such as an estimator's ``network_``,
        a column of ones is appended.
    y : array_like of shape (n,) or (n, c)
        Targets as `ConvexReLU` takes them: -1/+1 for "logistic", one-hot rows for "softmax".
    lam : float >= 0
        Strength of the weight decay.
    loss : str or Loss
        "squared", "logistic", "softmax", "huber".
    patterns : ActivationPatterns, optional
        Further patterns for the program: of X, including a column of ones if one is appended; with gates for gated
        networks.
    scope : {"patterns", "global"}
        Set of networks for which the lower bound holds. "patterns": networks whose neurons have the network's patterns
        or the given ones. "global": networks of any width and any patterns, for one output; `solve_global` states what
        can be proven for which rank of X.
    solve : bool
        Whether to solve the convex program, for a better bound and a better network.
    tol : float
        Relative gap at which the solve stops.
    time_limit : float
        Time limit in seconds for scope "global"; the best bound proven by then is returned.
    n_starts, seed : int
        Starts and seed of the search for the new neuron, as in `find_neuron`. The network's neurons are starts too.

    Returns
    -------
    NetworkCertificate

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid; if a ReLU network of several outputs has a neuron that feeds more than one, which
        the convex program does not cover; if scope "global" is not available for this network, y or lam.
    CertificateError
        If the bounds contradict each other by more than rounding, which would be a bug.

    Warns
    -----
    ConvergenceWarning
        If the convex program was not solved to tol. The bounds hold nevertheless.

    References
    ----------
    Pilanci & Ergen, "Neural Networks are Convex Regularizers", ICML 2020, arXiv 2002.10553; Mishkin, Sahiner & Pilanci,
    "Fast Convex Optimization for Two-Layer ReLU Networks", ICML 2022, arXiv 2202.01331.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.column_stack([np.linspace(-1, 1, 8), np.ones(8)])  # one feature, and the bias
    >>> y = np.abs(X[:, 0])
    >>> x = X[:, :1]
    >>> W1, b1, w2 = np.array([[1.2], [-0.8]]), np.array([0.0, 0.1]), np.array([0.8, 1.0])
    >>> certificate = cr.certify_network((W1, b1, w2), x, y, lam=0.01, scope="global")
    >>> certificate.scope, certificate.proof.method
    ('global', 'exact')
    >>> certificate.lower <= certificate.improved_objective < certificate.upper <= certificate.objective_given
    True
    >>> gated = cr.solve(cr.ConvexGatedReLU(X, y, cr.sample_patterns(X, 5, seed=0), lam=0.01)).network()
    >>> certificate = cr.certify_network(gated, X, y, lam=0.01)
    >>> certificate.within(1e-5), certificate.neuron
    (True, None)
    """
    check_choice("scope", scope, ("patterns", "global"))
    parsed = _read(network, X, y, check_number("lam", lam, minimum=0.0), get_loss(loss), patterns, scope)
    problem = parsed.problem
    problem.require_ordinary_size()
    lines = RowLines(problem.X) if isinstance(problem, ConvexReLU) else None
    best_neuron = None if lines is None else partial(_best_neuron, parsed, scope, lines, n_starts, seed)
    predictions = parsed.network.predict(problem.X).reshape(problem.Y.shape)
    gradient = problem.loss.gradient(predictions, problem.Y)
    solution = _solve(parsed, scope, tol, time_limit, seed) if solve else None
    certificate = _dual_bound(parsed, scope, lines, gradient, solution, tol, time_limit)
    improved = None if solution is None else _improve(parsed, certificate, solution, tol)
    return NetworkCertificate(
        objective_given=parsed.objective_given,
        upper=parsed.upper,
        lower=min(certificate.dual.value, parsed.upper),
        scope=scope,
        network=parsed.network,
        dual=certificate.dual,
        certificate=certificate,
        neuron=None if best_neuron is None else best_neuron(gradient),
        improved=None if improved is None else improved.network,
        improved_objective=None if improved is None else improved.objective,
        improved_neuron=None if best_neuron is None or improved is None else best_neuron(improved.gradient),
        ones_appended=parsed.ones_appended,
        proof=certificate.proof,
    )


class _ParsedNetwork(NamedTuple):
    """A network as given and with balanced layers, both objectives, and its convex program with its weights."""

    given: Network
    network: Network
    objective_given: float
    upper: float
    problem: ConvexReLU | ConvexGatedReLU
    weights: Weights
    ones_appended: bool


class _Improved(NamedTuple):
    """The best network found, its objective, and grad F there."""

    network: Network
    objective: float
    gradient: FloatArray


def _read(
    network: Any, X: Any, y: Any, lam: float, loss: Loss, patterns: ActivationPatterns | None, scope: Scope
) -> _ParsedNetwork:
    """Validate the network and return it with its convex program."""
    given, data = read_network(network, X, loss.name)
    gated = isinstance(given, GatedReLUNetwork)
    if gated and scope == "global":
        raise ValueError("scope must be 'patterns' for gated networks, whose gates are fixed; got 'global'")
    _check_outputs(given, check_targets(y, len(data)).shape[1], scope)
    if scope == "global" and lam == 0.0:
        raise ValueError("lam must be > 0 for scope 'global'; got 0.0")
    if patterns is not None:
        if not isinstance(patterns, ActivationPatterns):
            raise TypeError(f"patterns must be an ActivationPatterns or None; got {type(patterns).__name__}")
        patterns.check_matches(data)
        if gated and patterns.G is None:
            raise ValueError("patterns must have gates for a gated network; these are masks only")
    with np.errstate(over="ignore", invalid="ignore"):
        objective_given = given.objective(data, y, lam, loss)
        problem, weights = _program(given, data, y, patterns, lam, loss)
        balanced = balance(given) if isinstance(given, ReLUNetwork) else _network_of(problem, weights)
        upper = balanced.objective(data, y, lam, loss)
    if not np.isfinite(upper):
        raise ValueError(f"network must have a finite objective on X and y; got {upper}")
    return _ParsedNetwork(given, balanced, objective_given, upper, problem, weights, data.shape[1] > np.shape(X)[1])


def _best_neuron(
    parsed: _ParsedNetwork, scope: Scope, lines: RowLines, n_starts: int, seed: int, t: FloatArray
) -> NewNeuron:
    """Return the neuron of the largest |t'(Xu)_+|: exact for scope "global" at low rank, else by local search."""
    problem, given = parsed.problem, parsed.given
    if scope == "global" and lines.rank <= EXACT_RANK:
        bound = bound_neurons(problem.X, lines, t[:, 0], problem.lam)
        return new_neuron(problem.X, t, bound.candidates[0], 0, exact=True)
    starts = given.W1 if given.n_neurons else None
    return find_neuron(problem.X, t, starts=starts, n_starts=n_starts, seed=seed)


def _dual_bound(
    parsed: _ParsedNetwork,
    scope: Scope,
    lines: RowLines | None,
    gradient: FloatArray,
    solution: Solution | None,
    tol: float,
    time_limit: float,
) -> Certificate:
    """Return the certificate of the network's weights with the best dual point of the scope and its proof."""
    problem = parsed.problem
    certificate = certify(problem, parsed.weights, None if solution is None else solution.dual)
    if scope == "global" and solution is not None:
        certificate = over_all_networks(certificate, solution.dual, solution.certificate.proof)
    elif lines is not None and scope == "global":
        certificate = over_all_networks(certificate, *_global_point(problem, lines, gradient, tol, time_limit))
    check_bounds(certificate.dual.value, parsed.upper, problem.value_at_zero, "the network")
    return certificate


def _improve(parsed: _ParsedNetwork, certificate: Certificate, solution: Solution, tol: float) -> _Improved:
    """Return the better of the given network and the solution, as a network; warn if its gap is above tol."""
    problem = parsed.problem
    candidates = [(solution.problem, solution.weights), (problem, certificate.weights)]
    source, best = min(candidates, key=lambda candidate: candidate[0].objective(candidate[1]))
    network = _network_of(source, best)
    objective = network.objective(problem.X, problem.y, problem.lam, problem.loss)
    gap = relative_gap(certificate.dual.value, objective)
    if gap > tol and solution.status is not Status.OPTIMAL:
        warn(
            f"the convex program was solved to a relative gap of {gap:.2e}, above tol = {tol:.2e} "
            f"({solution.solver}: {solution.status.value}). {solution.status.advice}",
            ConvergenceWarning,
            stacklevel=3,
        )
    return _Improved(network, objective, source.gradient_point(best))


def _network_of(problem: ConvexProblem, weights: Weights) -> Network:
    """Return the network of convex weights; the empty gated network needs no gates."""
    if problem.patterns.G is None and not problem.has_cones and not np.any(problem.blocks(weights)):
        d = problem.d
        return GatedReLUNetwork(np.zeros((d, 0)), np.zeros((0, d)), np.zeros((0, *problem.y.shape[1:])))
    return to_network(problem, weights)


def _solve(parsed: _ParsedNetwork, scope: Scope, tol: float, time_limit: float, seed: int) -> Solution:
    """Solve over the network's patterns, or from them over all patterns, without a warning.

    The neurons of a trained network often lie on the boundaries of their cones, where rounding decides signs and can
    make the cones of their patterns so thin that the native solver stalls; the solve then restarts from random gates.
    """
    problem = parsed.problem
    if scope == "patterns":
        start = None if problem.has_cones else parsed.weights
        return silenced(optimization.solve, ConvergenceWarning)(problem, tol=tol, start=start)
    project_blocks.compile()
    compile_search(RowLines(problem.X).rank)
    started = clock.perf_counter()
    train = partial(silenced(solve_global, ConvergenceWarning), problem.X, problem.y, problem.lam, problem.loss)
    solution = train(tol=tol, patterns=problem.patterns, time_limit=time_limit, seed=seed)
    time_left = time_limit - (clock.perf_counter() - started)
    if solution.status is Status.STALLED and time_left > 0.0:
        again = train(tol=tol, time_limit=time_left, seed=seed)
        solution = max(solution, again, key=lambda each: each.lower)
    return solution


def _check_outputs(network: Network, n_outputs: int, scope: str) -> None:
    w2 = as_columns(network.w2)
    if w2.shape[1] != n_outputs:
        raise ValueError(f"y must have {w2.shape[1]} columns, one for each output of the network; got {n_outputs}")
    if n_outputs == 1 or isinstance(network, GatedReLUNetwork):
        return
    if scope == "global":
        raise ValueError(f"scope must be 'patterns' for more than one output; got 'global' with {n_outputs}")
    shared = int(np.count_nonzero(np.count_nonzero(w2, axis=1) > 1))
    if shared:
        raise ValueError(
            "network must have neurons that feed one output each: the convex program penalises each output separately, "
            f"and a neuron that feeds several costs less than its parts; got {shared} neurons that feed several"
        )


def _program(
    network: Network, X: FloatArray, y: Any, patterns: ActivationPatterns | None, lam: float, loss: Loss
) -> tuple[ConvexReLU | ConvexGatedReLU, Weights]:
    """Return the convex program over the network's patterns followed by those given, and the network as its weights."""
    gated = isinstance(network, GatedReLUNetwork)
    parts = [] if patterns is None else [patterns]
    outputs = np.shape(y)[1] if np.ndim(y) == 2 else 1
    blocks = [np.zeros((outputs, 0, X.shape[1]))] * (1 if gated else 2)
    # A neuron with zero output weights still contributes its pattern; one with zero input weights has none.
    units, sizes = directions(network.W1)
    second = as_columns(network.w2) * sizes
    if not np.isfinite(second).all():
        raise ValueError("network must have a finite objective on X and y; its weights are too large")
    if isinstance(network, GatedReLUNetwork):
        scaled: Network = GatedReLUNetwork(network.G, units, second)
        active = bool((X @ network.G >= 0.0).any())
    else:
        used = sizes[:, 0] > 0.0
        scaled = ReLUNetwork(units[used], second[used])
        active = bool(used.any() and scaled.hidden(X).any())
    if active:
        own, weights = to_convex(scaled, X)
        blocks = [weights] if isinstance(weights, np.ndarray) else list(weights)
        parts.insert(0, own)
    if parts:
        gates = [part.G for part in parts if part.G is not None]
        D = np.column_stack([np.asarray(part.D) for part in parts])
        merged = ActivationPatterns(D, np.column_stack(gates) if len(gates) == len(parts) else None).unique()
    else:
        # No pattern at all: with the zero pattern alone, the program has no network but the zero one.
        merged = ActivationPatterns(np.zeros((len(X), 1), dtype=np.bool_))
    zeros = np.zeros((outputs, len(merged) - blocks[0].shape[1], X.shape[1]))
    padded = [np.concatenate([part, zeros], axis=1) for part in blocks]
    if gated:
        penalty = "group_l1" if outputs == 1 else "nuclear"  # weight decay of neurons that feed several outputs
        return ConvexGatedReLU(X, y, merged, lam, loss, penalty), padded[0]
    return ConvexReLU(X, y, merged, lam, loss), (padded[0], padded[1])


def _global_point(
    problem: ConvexProblem, lines: RowLines, t: FloatArray, tol: float, time_limit: float
) -> tuple[DualPoint, NeuronBound]:
    """Return a feasible point of the dual over all networks, the best found, and its proof.

    Candidates are multiples of t (n, 1), the point of the semidefinite relaxation, and zero.
    """
    point = problem.loss.project_domain(t, problem.Y)[:, 0]
    compile_search(lines.rank)
    deadline = clock.perf_counter() + time_limit
    found = find_neuron(problem.X, point).value
    tries: list[tuple[FloatArray, NeuronBound]] = []
    if lines.rank <= SEARCH_RANK and found > 0.0:
        prove = partial(bound_neurons, problem.X, lines, point, deadline=deadline)
        tries += [(point, prove(factor * found)) for factor in LOOSER]
        tries.append((point, prove((1.0 + tol) * found, keep_tree=True)))
    time_left = deadline - clock.perf_counter()
    if lines.rank > EXACT_RANK and time_left > 0.0 and within_reach(lines):
        relaxed = relaxed_point(lines, problem.Y, problem.lam, problem.loss, time_limit=time_left)
        if relaxed is not None:
            tries.append(relaxed)
    zero = np.zeros(len(point))
    tries.append((zero, NeuronBound(0.0, "exact", np.empty((0, problem.d)))))
    points = [feasible_multiple(problem.loss, problem.Y, problem.lam, t, bound.upper) for t, bound in tries]
    best = max(range(len(points)), key=lambda i: points[i].value)
    return points[best], tries[best][1]
