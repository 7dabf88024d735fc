"""How far a network trained elsewhere is from the optimum."""

import time as clock
from functools import partial
from typing import Any

import numpy as np

from cvxrelu._validation import FloatArray, Weights, check_choice, check_number, check_targets
from cvxrelu.analysis.network_certificate import NetworkCertificate, Scope
from cvxrelu.certificates.certificate import certify, contradict, over_all_networks
from cvxrelu.exceptions import CertificateError, ConvergenceWarning
from cvxrelu.losses.base import Loss
from cvxrelu.losses.registry import get_loss
from cvxrelu.networks.convert import balance, to_convex, to_network
from cvxrelu.networks.layers import as_columns
from cvxrelu.networks.loading import read_network
from cvxrelu.networks.network import ReLUNetwork
from cvxrelu.numerics.rows import directions
from cvxrelu.optimize.solution import Solution
from cvxrelu.optimize.solve import solve as solve_problem
from cvxrelu.optimize.solve_global import solve_global
from cvxrelu.patterns.activation_patterns import ActivationPatterns
from cvxrelu.pricing.bounds import EXACT_RANK, LOOSER, SEARCH_RANK, bound_neurons, compile_search, feasible_multiple
from cvxrelu.pricing.local_search import NewNeuron, find_neuron, new_neuron
from cvxrelu.pricing.neuron_problem import NeuronBound, RowLines
from cvxrelu.pricing.relaxation import relaxed_point, within_reach
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
) -> NetworkCertificate:
    """Return proven bounds for a two-layer ReLU network of any trainer, and a better one.

    The objective is F(h(X)) + lam/2 (||W1||_F^2 + ||w2||_F^2), h(x) = sum_i (x'W1_i)_+ w2_i, with the package's
    F = (1/n) sum_j loss(h(x_j), y_j). **Biases**: if the network comes with any, X gets a column of ones as its last,
    and a hidden bias is the weight of that column, with weight decay like the rest. An output bias b2 becomes a neuron
    that is active on every row and costs lam |b2|: the problem has no free output bias. Trainers that penalise
    no biases (scikit-learn, whose alpha is n lam for one output) minimise another objective: it is this one that is
    certified.

    The layers are balanced first, which never raises the objective. The lower bound is the best of two dual points,
    each moved to feasibility: grad F at the network, and the dual of the convex program over its patterns
    (`ConvexReLU`), which is solved by `cvxrelu.solve` and gives ``improved``, too. For scope "global", `solve_global`
    goes on from these patterns in its place; with ``solve=False``, the largest |t'(Xu)_+| at grad F is bounded instead,
    and the semidefinite relaxation solved.

    Parameters
    ----------
    network : ReLUNetwork, tuple, torch.nn.Sequential, MLPRegressor or MLPClassifier
        Arrays (W1, b1, w2) or (W1, b1, w2, b2) with W1 (m, d), b1 (m,), w2 (m,) or (m, c), b2 (c,) or a number, None
        for a bias that does not exist; a Sequential(Linear, ReLU, Linear), with biases or without; a fitted MLP of
        scikit-learn with activation 'relu' and one hidden layer: for a classifier, loss must be that of its output.
        Files are read first, by `load_network` or `from_onnx`.
    X : array_like of shape (n, d)
        The data that the network takes, without a column of ones for biases.
    y : array_like of shape (n,) or (n, c)
        Targets as `ConvexReLU` takes them: -1/+1 for "logistic", one-hot rows for "softmax".
    lam : float >= 0
        Strength of the weight decay.
    loss : str or Loss
        "squared", "logistic", "softmax", "huber".
    patterns : ActivationPatterns, optional
        More patterns that networks may use, of X with its column of ones, if it gets one.
    scope : {"patterns", "global"}
        What the lower bound holds for. "patterns": networks whose neurons have the network's patterns or the given
        ones. "global": networks of any width and any patterns, for one output; what is proven for which rank of X is
        said at `solve_global`.
    solve : bool
        Whether to solve the convex program, for a better bound and a better network.
    tol : float
        Relative gap to solve it to.
    time_limit : float
        Seconds for scope "global"; what is proven by then is returned.
    n_starts, seed : int
        Of the search for the new neuron: see `find_neuron`. The network's own neurons are starts as well.

    Returns
    -------
    NetworkCertificate

    Raises
    ------
    TypeError, ValueError
        If an argument is not understood; if a network of several outputs has a neuron that feeds more than one,
        which the convex program does not cover; if scope "global" cannot be proven for this X and y.
    CertificateError
        If the bounds contradict each other by more than rounding, which would be a bug.

    Warns
    -----
    ConvergenceWarning
        If the convex program was not solved to tol. The bounds hold all the same.

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
    """
    check_choice("scope", scope, ("patterns", "global"))
    measure, lam = get_loss(loss), check_number("lam", lam, minimum=0.0)
    given, data = read_network(network, X, measure.name)
    _check_outputs(given, check_targets(y, len(data)).shape[1], scope)
    if scope == "global" and lam == 0.0:
        raise ValueError("lam must be > 0 for scope 'global'; got 0.0")
    balanced = balance(given)
    with np.errstate(over="ignore", invalid="ignore"):
        objective_given = given.objective(data, y, lam, measure)
        upper = balanced.objective(data, y, lam, measure)
    if not np.isfinite(upper):
        raise ValueError(f"network must have a finite objective on X and y; got {upper}")
    problem, weights = _program(given, data, y, patterns, lam, measure)

    lines = RowLines(problem.X)

    def price(t: FloatArray) -> NewNeuron:
        if scope == "global" and lines.rank <= EXACT_RANK:
            bound = bound_neurons(problem.X, lines, t[:, 0], lam)
            return new_neuron(problem.X, t, bound.candidates[0], 0, exact=True)
        starts = given.W1 if given.n_neurons else None
        return find_neuron(problem.X, t, starts=starts, n_starts=n_starts, seed=seed)

    gradient = measure.gradient(balanced.predict(problem.X).reshape(problem.Y.shape), problem.Y)
    neuron = price(gradient)
    solution: Solution | None = None
    if solve:
        solution = _trained(problem, scope, tol, time_limit, seed)
    certificate = certify(problem, weights, None if solution is None else solution.dual)
    dual, proof = certificate.dual, None
    if scope == "global" and solution is not None:
        dual, proof = solution.dual, solution.certificate.proof
    elif scope == "global":
        dual, proof = _global_point(problem, lines, gradient, tol, time_limit)
    if scope == "global":
        certificate = over_all_networks(certificate, dual, proof)
    if contradict(problem, dual.value, upper):
        raise CertificateError(
            f"lower bound {dual.value!r} exceeds the objective {upper!r} of the network: please report this"
        )

    improved: ReLUNetwork | None = None
    improved_objective = improved_neuron = None
    if solution is not None:
        candidates = [(solution.problem, solution.weights), (problem, certificate.weights)]
        source, best = min(candidates, key=lambda candidate: candidate[0].objective(candidate[1]))
        better = to_network(source, best)
        assert isinstance(better, ReLUNetwork)
        improved = better
        improved_objective = improved.objective(problem.X, problem.y, lam, measure)
        improved_neuron = price(source.gradient_point(best))
        left = (improved_objective - dual.value) / max(abs(improved_objective), np.finfo(np.float64).tiny)
        if left > tol and solution.status is not Status.OPTIMAL:
            warn(
                f"the convex program was solved to a relative gap of {left:.2e}, above tol = {tol:.2e} "
                f"({solution.solver}: {solution.status.value}). {solution.status.advice}",
                ConvergenceWarning,
                stacklevel=2,
            )
    return NetworkCertificate(
        objective_given=objective_given,
        upper=upper,
        lower=min(dual.value, upper),
        scope=scope,
        network=balanced,
        dual=dual,
        certificate=certificate,
        neuron=neuron,
        improved=improved,
        improved_objective=improved_objective,
        improved_neuron=improved_neuron,
        proof=proof,
    )


def _trained(problem: ConvexReLU, scope: Scope, tol: float, time_limit: float, seed: int) -> Solution:
    """Train over a network's patterns, or from them over all, without a warning.

    The neurons of a trained network lie on the boundaries of their cones, and signs that rounding decides there can
    make the cones of their patterns so thin that the native solver stalls: then training starts from random gates.
    """
    started = clock.perf_counter()
    if scope == "patterns":
        return silenced(solve_problem, ConvergenceWarning)(problem, tol=tol)
    train = partial(silenced(solve_global, ConvergenceWarning), problem.X, problem.y, problem.lam, problem.loss)
    solution = train(tol=tol, patterns=problem.patterns, time_limit=time_limit, seed=seed)
    left = time_limit - (clock.perf_counter() - started)
    if solution.status is Status.STALLED and left > 0.0:
        again = train(tol=tol, time_limit=left, seed=seed)
        solution = max(solution, again, key=lambda each: each.lower)
    return solution


def _check_outputs(network: ReLUNetwork, n_outputs: int, scope: str) -> None:
    w2 = as_columns(network.w2)
    if w2.shape[1] != n_outputs:
        raise ValueError(f"y must have {w2.shape[1]} columns, one for each output of the network; got {n_outputs}")
    if n_outputs == 1:
        return
    if scope == "global":
        raise ValueError(f"scope must be 'patterns' for more than one output; got 'global' with {n_outputs}")
    shared = int(np.count_nonzero(np.count_nonzero(w2, axis=1) > 1))
    if shared:
        raise ValueError(
            f"network must have neurons that feed one output each: its bound is that of a convex program for each "
            f"output, and a neuron that is shared costs less than its parts; got {shared} neurons that feed several"
        )


def _program(
    network: ReLUNetwork, X: FloatArray, y: Any, patterns: ActivationPatterns | None, lam: float, loss: Loss
) -> tuple[ConvexReLU, Weights]:
    """Return the convex program with the network's patterns, then those given, and the network as its weights."""
    if patterns is not None:
        if not isinstance(patterns, ActivationPatterns):
            raise TypeError(f"patterns must be an ActivationPatterns or None; got {type(patterns).__name__}")
        patterns.check_matches(X)
    parts = [] if patterns is None else [patterns]
    outputs = np.shape(y)[1] if np.ndim(y) == 2 else 1
    V = W = np.zeros((outputs, 0, X.shape[1]))
    # Neurons with a second layer of zero count, with their pattern; those with a first layer of zero have none.
    units, sizes = directions(network.W1)
    used = sizes[:, 0] > 0.0
    scaled = ReLUNetwork(units[used], (as_columns(network.w2) * sizes)[used])
    if used.any() and scaled.hidden(X).any():
        own, (V, W) = to_convex(scaled, X)
        parts.insert(0, own)
    if parts:
        gates = [part.G for part in parts if part.G is not None]
        D = np.column_stack([np.asarray(part.D) for part in parts])
        merged = ActivationPatterns(D, np.column_stack(gates) if len(gates) == len(parts) else None).unique()
    else:
        # The zero network: the program whose one pattern is zero has no other.
        merged = ActivationPatterns(np.zeros((len(X), 1), dtype=np.bool_))
    zeros = np.zeros((outputs, len(merged) - V.shape[1], X.shape[1]))
    weights = (np.concatenate([V, zeros], axis=1), np.concatenate([W, zeros], axis=1))
    return ConvexReLU(X, y, merged, lam, loss), weights


def _global_point(
    problem: ConvexReLU, lines: RowLines, t: FloatArray, tol: float, time_limit: float
) -> tuple[DualPoint, NeuronBound]:
    """Return a feasible point of the dual over all networks, a multiple of t (n, 1), with what proves it."""
    point = problem.loss.project_domain(t, problem.Y)[:, 0]
    compile_search(lines.rank)
    deadline = clock.perf_counter() + time_limit
    found = find_neuron(problem.X, point).value
    tries: list[tuple[FloatArray, NeuronBound]] = []
    if lines.rank <= SEARCH_RANK and found > 0.0:
        targets = [factor * found for factor in (*LOOSER, 1.0 + tol)]
        tries += [(point, bound_neurons(problem.X, lines, point, target, deadline=deadline)) for target in targets]
    if lines.rank > EXACT_RANK and within_reach(lines):
        relaxed = relaxed_point(lines, problem.Y, problem.lam, problem.loss, time_limit=time_limit)
        if relaxed is not None:
            tries.append(relaxed)
    zero = np.zeros(len(point))
    tries.append((zero, NeuronBound(0.0, "exact", np.empty((0, problem.d)))))
    points = [feasible_multiple(problem.loss, problem.Y, problem.lam, t, bound.upper) for t, bound in tries]
    best = max(range(len(points)), key=lambda i: points[i].value)
    return points[best], tries[best][1]
