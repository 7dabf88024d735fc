"""Certificates of networks from any trainer."""

import math
import time as clock
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from cvxrelu._validation import FloatArray, Weights, check_choice, check_number
from cvxrelu.analysis.network_certificate import NetworkCertificate, Scope
from cvxrelu.analysis.parsed_network import ParsedNetwork, network_of, parse_network
from cvxrelu.certificates.certificate import Certificate, Rigor, certify, over_all_networks
from cvxrelu.certificates.rounded_bounds import loss_above, objective_above, weight_decay_above
from cvxrelu.certificates.rounded_certificate import (
    check_rigor,
    choose,
    rounded_certificate,
    rounded_network,
    rounded_over_all_networks,
)
from cvxrelu.exceptions import ConvergenceWarning
from cvxrelu.losses.base import Loss
from cvxrelu.losses.registry import get_loss
from cvxrelu.networks.layers import as_columns
from cvxrelu.networks.network import GatedReLUNetwork, Network
from cvxrelu.numerics.active_set import project_blocks
from cvxrelu.numerics.gaps import ROUNDING, check_bounds, relative_gap
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
    rigor: Rigor | None = None,
) -> NetworkCertificate:
    """Return bounds for a two-layer ReLU or gated-ReLU network from any trainer, and a better network.

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
    rigor : {"rounded", "floating_point"}, optional
        Rigor of the bounds, see `NetworkCertificate`. By default "rounded" if lam > 0, the loss bounds its rounding
        errors, and these do not lift the gap of the network or the better one above tol (or 1e-9, if that is larger).

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
    parsed = parse_network(network, X, y, check_number("lam", lam, minimum=0.0), get_loss(loss), patterns, scope)
    problem = parsed.problem
    problem.require_ordinary_size()
    check_rigor(rigor, problem)
    lines = RowLines(problem.X) if isinstance(problem, ConvexReLU) else None
    best_neuron = None if lines is None else partial(_best_neuron, parsed, scope, lines, n_starts, seed)
    predictions = parsed.network.predict(problem.X).reshape(problem.Y.shape)
    gradient = problem.loss.gradient(predictions, problem.Y)
    solution = _solve(parsed, scope, tol, time_limit, seed, rigor) if solve else None
    certificate, t = _dual_bound(parsed, scope, lines, gradient, solution, tol, time_limit)
    improved = None if solution is None else _improve(parsed, certificate, solution, tol)
    estimate = NetworkCertificate(
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
    if scope == "global" and solution is not None and solution.certificate.rigor == "floating_point":
        return estimate
    tol = max(tol, ROUNDING)  # a smaller gap of estimates means nothing
    chosen = choose(estimate, partial(_rounded, estimate, parsed, lines, t, improved, tol), rigor, tol)
    if rigor is None and (estimate.improved_rel_gap or 0.0) <= tol < (chosen.improved_rel_gap or 0.0):
        return estimate
    return chosen


class _Improved(NamedTuple):
    """The best network found, its objective, grad F there, and its convex program and weights."""

    network: Network
    objective: float
    gradient: FloatArray
    problem: ConvexProblem
    weights: Weights


def _best_neuron(
    parsed: ParsedNetwork, scope: Scope, lines: RowLines, n_starts: int, seed: int, t: FloatArray
) -> NewNeuron:
    """Return the neuron of the largest |t'(Xu)_+|: exact for scope "global" at low rank, else by local search."""
    problem, given = parsed.problem, parsed.given
    if scope == "global" and lines.rank <= EXACT_RANK:
        bound = bound_neurons(problem.X, lines, t[:, 0], problem.lam)
        return new_neuron(problem.X, t, bound.candidates[0], 0, exact=True)
    starts = given.W1 if given.n_neurons else None
    return find_neuron(problem.X, t, starts=starts, n_starts=n_starts, seed=seed)


def _dual_bound(
    parsed: ParsedNetwork,
    scope: Scope,
    lines: RowLines | None,
    gradient: FloatArray,
    solution: Solution | None,
    tol: float,
    time_limit: float,
) -> tuple[Certificate, FloatArray]:
    """Return the certificate of the network's weights with the best dual point of the scope, and the t of its proof.

    The latter is a multiple of the dual point, (n,).
    """
    problem = parsed.problem
    certificate = certify(problem, parsed.weights, None if solution is None else solution.dual)
    t = certificate.dual.t[:, 0]
    if scope == "global" and solution is not None:
        certificate = over_all_networks(certificate, solution.dual, solution.certificate.proof)
        t = solution.dual.t[:, 0]
    elif lines is not None and scope == "global":
        point, t, bound = _global_point(problem, lines, gradient, tol, time_limit)
        certificate = over_all_networks(certificate, point, bound)
    check_bounds(certificate.dual.value, parsed.upper, problem.value_at_zero, "the network")
    return certificate, t


def _rounded(
    estimate: NetworkCertificate,
    parsed: ParsedNetwork,
    lines: RowLines | None,
    t: FloatArray,
    improved: _Improved | None,
    tol: float,
) -> NetworkCertificate:
    """Return the network certificate with bounds that hold in spite of rounding.

    For scope "global" with a better network, the dual point is the one that `solve_global` has proven feasible.
    """
    of_weights, problem = estimate.certificate, parsed.problem
    if estimate.scope == "patterns" or lines is None:
        made = rounded_certificate(of_weights)
    elif improved is None:
        made = rounded_over_all_networks(of_weights, t, lines, estimate.proof)
    else:
        made = rounded_network(of_weights, of_weights.dual, estimate.proof)
    upper = _objective_above(parsed.network, problem, parsed.weights)
    better = None if improved is None else _objective_above(improved.network, improved.problem, improved.weights)
    return replace(
        estimate,
        upper=upper,
        lower=check_bounds(made.dual.value, upper, problem.value_at_zero, "the network"),
        dual=made.dual,
        certificate=choose(of_weights, lambda: made, None, tol),
        improved_objective=better,
        rigor="rounded",
    )


def _objective_above(network: Network, problem: ConvexProblem, weights: Weights) -> float:
    """Return an upper bound, in exact arithmetic, of a network's objective; gates are those of its convex program."""
    if isinstance(network, GatedReLUNetwork):
        return objective_above(problem, weights)
    w2 = as_columns(network.w2)
    loss = loss_above(problem.operator.X, problem.Y, network.W1, w2, problem.loss)
    return math.nextafter(loss + weight_decay_above(network.W1, w2, problem.lam), math.inf)


def _improve(parsed: ParsedNetwork, certificate: Certificate, solution: Solution, tol: float) -> _Improved:
    """Return the better of the given network and the solution, as a network; warn if its gap is above tol."""
    problem = parsed.problem
    candidates = [(solution.problem, solution.weights), (problem, certificate.weights)]
    source, best = min(candidates, key=lambda candidate: candidate[0].objective(candidate[1]))
    network = network_of(source, best)
    objective = network.objective(problem.X, problem.y, problem.lam, problem.loss)
    gap = relative_gap(certificate.dual.value, objective)
    if gap > tol and solution.status is not Status.OPTIMAL:
        warn(
            f"the convex program was solved to a relative gap of {gap:.2e}, above tol = {tol:.2e} "
            f"({solution.solver}: {solution.status.value}). {solution.status.advice}",
            ConvergenceWarning,
            stacklevel=3,
        )
    return _Improved(network, objective, source.gradient_point(best), source, best)


def _solve(
    parsed: ParsedNetwork, scope: Scope, tol: float, time_limit: float, seed: int, rigor: Rigor | None
) -> Solution:
    """Solve over the network's patterns, or from them over all patterns, without a warning.

    The neurons of a trained network often lie on the boundaries of their cones, where rounding decides signs and can
    make the cones of their patterns so thin that the native solver stalls; the solve then restarts from random gates.
    """
    problem = parsed.problem
    if scope == "patterns":
        return silenced(optimization.solve, ConvergenceWarning)(problem, tol=tol, start=parsed.start)
    project_blocks.compile()
    compile_search(RowLines(problem.X).rank)
    started = clock.perf_counter()
    data = problem.X, problem.y, problem.lam, problem.loss
    train = partial(silenced(solve_global, ConvergenceWarning), *data, rigor=rigor)
    solution = train(tol=tol, patterns=problem.patterns, time_limit=time_limit, seed=seed)
    time_left = time_limit - (clock.perf_counter() - started)
    if solution.status is Status.STALLED and time_left > 0.0:
        again = train(tol=tol, time_limit=time_left, seed=seed)
        solution = max(solution, again, key=lambda each: each.lower)
    return solution


def _global_point(
    problem: ConvexProblem, lines: RowLines, t: FloatArray, tol: float, time_limit: float
) -> tuple[DualPoint, FloatArray, NeuronBound]:
    """Return the best feasible point found of the dual over all networks, the t (n,) of its proof, and the proof.

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
        tries.append((point, prove((1.0 + tol) * found)))
    time_left = deadline - clock.perf_counter()
    if lines.rank > EXACT_RANK and time_left > 0.0 and within_reach(lines):
        relaxed = relaxed_point(lines, problem.Y, problem.lam, problem.loss, time_limit=time_left)
        if relaxed is not None:
            tries.append(relaxed)
    zero = np.zeros(len(point))
    tries.append((zero, NeuronBound(0.0, "exact", np.empty((0, problem.d)))))
    points = [feasible_multiple(problem.loss, problem.Y, problem.lam, t, bound.upper) for t, bound in tries]
    best = max(range(len(points)), key=lambda i: points[i].value)
    return points[best], *tries[best]
