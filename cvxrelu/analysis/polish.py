"""Polishing: the best network over the activation patterns of a trained one, pruned."""

import time as clock
from dataclasses import replace
from typing import Any

from cvxrelu._validation import check_number
from cvxrelu.analysis.parsed_network import parse_network
from cvxrelu.certificates.certificate import certify
from cvxrelu.exceptions import ConvergenceWarning
from cvxrelu.losses.base import Loss
from cvxrelu.losses.registry import get_loss
from cvxrelu.networks.pruning import prune
from cvxrelu.optimize.solution import Solution
from cvxrelu.optimize.solve import solve
from cvxrelu.runtime.interrupts import note_interrupt
from cvxrelu.runtime.threads import silenced, warn
from cvxrelu.status import Status


def polish(
    network: Any,
    X: Any,
    y: Any,
    lam: float,
    loss: str | Loss = "squared",
    *,
    tol: float = 1e-6,
    time_limit: float | None = None,
) -> Solution:
    """Return the best network over the activation patterns of a trained network, pruned; it is never worse.

    Neurons of the same pattern, output and sign are merged, which never raises the objective F + lam/2 (||W1||_F^2 +
    ||w2||_F^2). The convex program over the patterns is solved, and the better of its solution and the network is
    pruned to neurons with linearly independent predictions (`prune`). For small lam it may have more neurons than the
    given network: up to two for each pattern and output. Networks with other patterns may have a lower objective: pass
    the polished network to `solve_global` as its ``start``, or bound the difference by `certify_network`.

    Parameters
    ----------
    network : ReLUNetwork, GatedReLUNetwork, tuple, mapping, torch module, MLPRegressor or MLPClassifier
        The network, with or without biases, as `certify_network` takes it. Every neuron of a ReLU network must feed one
        output.
    X : array_like of shape (n, d)
        The network's input data. If it has biases, or is a network of d + 1 columns, a column of ones is appended.
    y : array_like of shape (n,) or (n, c)
        Targets as `ConvexReLU` takes them: -1/+1 for "logistic", one-hot rows for "softmax".
    lam : float >= 0
        Weight decay, of biases too.
    loss : str or Loss
        "squared", "logistic", "softmax", "huber".
    tol : float
        Relative certified gap at which the solve stops.
    time_limit : float, optional
        Time limit of the solve in seconds, excluding compilation at the first call, and pruning with its certificate.

    Returns
    -------
    Solution
        Over the network's patterns, with a certificate of scope "patterns". ``problem.X`` has the column of ones, if
        one was appended. ``objective``, that of ``network()``, is at most that of the given network, all to rounding.
        ``solver`` is "network" if the solve has not found a better one. On Ctrl-C after the first solution, the best so
        far.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid, or a ReLU network of several outputs has a neuron that feeds more than one.

    Warns
    -----
    ConvergenceWarning
        If the gap is above tol; even then, the network is not worse.

    References
    ----------
    Pilanci & Ergen, "Neural Networks are Convex Regularizers", ICML 2020, arXiv 2002.10553: the convex program; Mishkin
    & Pilanci, "Optimal Sets and Solution Paths of ReLU Networks", ICML 2023, arXiv 2306.00119: pruning.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> x = np.linspace(-1, 1, 8)[:, None]
    >>> y = np.abs(x[:, 0])
    >>> W1, b1, w2 = np.array([[1.2], [-0.8], [0.3]]), np.array([0.0, 0.1, 0.0]), np.array([0.8, 1.0, 0.1])
    >>> polished = cr.polish((W1, b1, w2), x, y, lam=0.01)
    >>> print(polished.status)
    optimal
    >>> network = polished.network()  # of two columns: x and ones
    >>> given = cr.ReLUNetwork(np.column_stack([W1, b1]), w2)
    >>> given.n_neurons, network.n_neurons
    (3, 2)
    >>> network.objective(polished.problem.X, y, lam=0.01) < given.objective(polished.problem.X, y, lam=0.01)
    True
    """
    started = clock.perf_counter()
    tol = check_number("tol", tol, minimum=0.0, strict=True)
    lam = check_number("lam", lam, minimum=0.0)
    parsed = parse_network(network, X, y, lam, get_loss(loss), None, "patterns")
    problem = parsed.problem
    problem.require_ordinary_size()
    solution = silenced(solve, ConvergenceWarning)(problem, tol=tol, start=parsed.start, time_limit=time_limit)
    certificate, status, solver = solution.certificate, solution.status, solution.solver
    try:
        if parsed.upper < certificate.upper:
            given = certify(problem, parsed.weights, solution.dual)
            if given.upper < certificate.upper:
                certificate, solver = given, "network"
        pruned = certify(problem, prune(problem, certificate.weights), solution.dual)
        if pruned.upper <= parsed.upper and (pruned.within(tol) or not certificate.within(tol)):  # but for rounding
            certificate = pruned
    except KeyboardInterrupt:
        note_interrupt()
        status = Status.INTERRUPTED
    if certificate.within(tol):
        status = Status.OPTIMAL
    else:
        status = Status.INACCURATE if status is Status.OPTIMAL else status
        warn(
            f"polish ended with a relative gap of {certificate.rel_gap:.2e}, above tol = {tol:.2e} "
            f"({solver}: {status.value}). {status.advice}",
            ConvergenceWarning,
            stacklevel=2,
        )
    return replace(
        solution,
        weights=certificate.weights,
        certificate=certificate,
        status=status,
        solver=solver,
        time=clock.perf_counter() - started,
    )
