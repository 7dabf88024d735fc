"""Training over all activation patterns by column generation, with a lower bound for networks of any width."""

import time as clock
from collections.abc import Callable
from typing import Any

import numpy as np

from cvxrelu._validation import (
    check_integer,
    check_matrix,
    check_number,
    check_targets,
)
from cvxrelu.certificates.certificate import Rigor
from cvxrelu.certificates.rounded_certificate import check_rigor
from cvxrelu.exceptions import ConvergenceWarning, SolverError
from cvxrelu.losses.base import Loss, dual_term, offers_dual_term
from cvxrelu.losses.registry import LOSSES, get_loss
from cvxrelu.losses.weighted import unweighted
from cvxrelu.networks.network import ReLUNetwork
from cvxrelu.optimize.column_generation import ColumnGeneration
from cvxrelu.optimize.first_network import Start, check_start, first_patterns, first_program
from cvxrelu.optimize.global_record import GlobalRecord
from cvxrelu.optimize.solution import Solution
from cvxrelu.patterns.activation_patterns import ActivationPatterns
from cvxrelu.pricing.bounds import EXACT_RANK
from cvxrelu.pricing.neuron_problem import RowLines
from cvxrelu.problems.relu import ConvexReLU
from cvxrelu.runtime.compilation import compiling
from cvxrelu.runtime.interrupts import interrupts_noted
from cvxrelu.runtime.threads import warn
from cvxrelu.status import Status

_TRAINING = 0.5  # of the time limit, at most for the first network


def solve_global(
    X: Any,
    y: Any,
    lam: float,
    loss: str | Loss = "squared",
    *,
    tol: float = 1e-6,
    start: Start | ReLUNetwork = "sampled",
    patterns: ActivationPatterns | None = None,
    n_gates: int = 50,
    time_limit: float | None = None,
    callback: Callable[[GlobalRecord], Any] | None = None,
    seed: int = 0,
    verbose: bool = False,
    rigor: Rigor | None = None,
) -> Solution:
    """Train a two-layer ReLU network of any width to global optimality, with a lower bound for networks of any width.

    Column generation solves the convex program over a set of patterns (`ConvexReLU`, by `WorkingSet`), searches for
    neurons that violate the dual constraint |t'(Xu)_+| <= lam by local ascent from many starts (`find_neuron`), adds
    their patterns and drops idle ones. Once no such neuron is found, or earlier if it is cheap, it proves an upper
    bound of the maximum over all u, which makes a multiple of t feasible for the dual over networks of any width:

    - rank of X at most 2: the exact maximum, in O(n log n);
    - rank at most 12: branch and bound over cones (reaches tol = 1e-6 up to rank about 8), which also finds neurons
      that the ascent has missed;
    - higher ranks: a semidefinite relaxation, tight to tens of per cent. The status is then "unproven" at best.

    Parameters
    ----------
    X : array_like of shape (n, d)
        The data; a bias is the weight of a constant column.
    y : array_like of shape (n,) or (n, 1)
        Targets: real for "squared" and "huber", -1/+1 for "logistic".
    lam : float > 0
        Weight decay.
    loss : str or Loss
        "squared", "logistic", "huber"; the last two also `Weighted`.
    tol : float
        Relative gap (objective - lower) / |objective| to prove.
    start : {"sampled", "trained"} or ReLUNetwork
        First patterns. "sampled": those of random gates. "trained": those of a network trained locally, by L-BFGS on a
        wide network whose activations are ever less smooth. Training ends at half of the time limit, but loading its
        parts may take seconds in a new process; without a limit it may take minutes on large data. It calls no
        callback, suits only columns of similar size, and is left out for data of rank at most 2, where pricing is exact
        and faster. Or those of a given network of one output, without biases. The result is never worse than it.
    patterns : ActivationPatterns, optional
        First patterns of X, in place of those of ``start``.
    n_gates : int >= 1
        Number of random gates for "sampled".
    time_limit : float, optional
        Time limit in seconds, excluding compilation at the first call; the best result so far is returned.
    callback : callable, optional
        Called with the `GlobalRecord` of each round; a true value stops the search.
    seed : int >= 0
        Seed of the random gates, of the trained network, and of the starts of the ascent.
    verbose : bool
        Print each round, and each stage of training.
    rigor : {"rounded", "floating_point"}, optional
        Rigor of the certificate, see `Certificate`. By default "rounded" if the loss bounds its rounding errors and
        these do not lift the gap above tol.

    Returns
    -------
    Solution
        Solution over the final patterns, with a certificate of scope "global" whose ``proof`` names the method, and
        whose ``upper`` is the objective of the network. The status is "optimal" if the gap computed in float64 is at
        most tol; with the default rigor, that of the certificate then is too. On Ctrl-C, the best so far.
        ``history`` holds a `GlobalRecord` for each round, and ``n_iter`` is their number.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range or inconsistent with the others.
    SolverError
        If the loss is not supported.

    Warns
    -----
    ConvergenceWarning
        If the gap is above tol.

    References
    ----------
    Pilanci & Ergen, "Neural Networks are Convex Regularizers", ICML 2020, arXiv 2002.10553: the convex program over
    all patterns and its dual.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.column_stack([np.linspace(-1, 1, 8), np.ones(8)])  # one feature, and the bias
    >>> y = np.abs(X[:, 0])
    >>> best = cr.solve_global(X, y, lam=0.01)
    >>> print(best.status, best.certificate.scope, best.certificate.proof.method)
    optimal global exact
    >>> network = best.network()
    >>> network.n_neurons, round(network.objective(X, y, lam=0.01), 5)
    (2, 0.01818)
    """
    started = clock.perf_counter()
    data = check_matrix("X", X).astype(np.float64)
    loss_function = get_loss(loss)
    lam = check_number("lam", lam, minimum=0.0, strict=True)
    tol = check_number("tol", tol, minimum=0.0, strict=True)
    targets = check_targets(y, len(data))
    if targets.shape[1] != 1:
        raise ValueError(f"y must have one column, as global bounds need a single output; got shape {np.shape(y)}")
    if dual_term(loss_function, targets) is None or not unweighted(loss_function).sums_over_entries:
        names = ", ".join(name for name, kind in LOSSES.items() if offers_dual_term(kind) and kind.sums_over_entries)
        raise SolverError(f"loss must be one of {names}; got {loss_function!r}")
    if time_limit is not None:
        time_limit = check_number("time_limit", time_limit, minimum=0.0, strict=True)
    rng = np.random.default_rng(check_integer("seed", seed, minimum=0))
    n_gates = check_integer("n_gates", n_gates, minimum=1)
    start = check_start(start, data.shape[1])
    if patterns is None:
        patterns = first_patterns(data, n_gates, rng)
    else:
        start, patterns = "sampled", patterns.unique() if np.asarray(patterns.D).any() else patterns
    problem = ConvexReLU(data, y, patterns, lam, loss_function)
    problem.require_ordinary_size()
    check_rigor(rigor, problem)
    lines = RowLines(data)
    if start == "trained" and lines.rank <= EXACT_RANK:
        start = "sampled"
    entered = interrupts_noted()
    deadline = np.inf if time_limit is None else started + _TRAINING * time_limit
    with compiling(time_limit is None):
        problem, weights = first_program(problem, start, rng, deadline, verbose=verbose)
    search = ColumnGeneration(problem, lines, weights, tol, rng, started, time_limit)
    status = Status.INTERRUPTED if interrupts_noted() > entered else search.run(callback, verbose)
    estimate, certificate = search.certificates(rigor)
    if estimate.within(tol):
        status = Status.OPTIMAL
    else:
        warn(
            f"solve_global ended with a relative gap of {certificate.rel_gap:.2e}, above tol = {tol:.2e} "
            f"({status.value}). {status.advice}",
            ConvergenceWarning,
            stacklevel=2,
        )
    return Solution(
        weights=certificate.weights,
        status=status,
        solver="column generation",
        solver_status=status.value,
        certificate=certificate,
        n_iter=len(search.history),
        time=clock.perf_counter() - started,
        compile_time=0.0,
        solve_time=None,
        history=tuple(search.history),
        problem=certificate.problem,
    )
