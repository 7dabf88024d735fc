"""Certificates of networks in files: this package's own, ONNX, or plain arrays in an npz file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cvxrelu._validation import FloatArray, check_number
from cvxrelu.analysis.certify_network import certify_network
from cvxrelu.certificates.certificate import Certificate, certify
from cvxrelu.certificates.checker import read_data
from cvxrelu.cli.data.tables import read_table
from cvxrelu.cli.settings import Scope
from cvxrelu.exceptions import ConvergenceWarning
from cvxrelu.networks.convert import to_convex
from cvxrelu.networks.layers import as_columns
from cvxrelu.networks.network import GatedReLUNetwork, Network, ReLUNetwork
from cvxrelu.optimize.solve import solve
from cvxrelu.pricing.local_search import NewNeuron
from cvxrelu.problems.gated_relu import ConvexGatedReLU
from cvxrelu.runtime.threads import silenced

_SHARE = 0.1  # of the tolerance: the gap to which the bound is computed, so that the rest is the network's


@dataclass(frozen=True, eq=False)
class CertifiedNetwork:
    """What is proven of a network.

    Attributes
    ----------
    kind : str
        "relu" or "gated".
    n_neurons, n_inputs, n_outputs : int
        Its size; a column of ones counts as an input.
    ones_appended : bool
        Whether X got a column of ones, as the network takes one column more.
    given : float
        Its objective as it is.
    upper : float
        The same after its layers were balanced (of a gated network, and neurons of one pattern merged): the predictions
        are the same, and it is never worse.
    lower : float
        Proven lower bound of all networks in the scope.
    certificate : Certificate
        What proves it, and can be saved.
    improved : ReLUNetwork or GatedReLUNetwork
        The best network found.
    improved_objective : float
        Its objective.
    neuron : NewNeuron or None
        The new neuron that lowers the objective most; of ReLU networks only.
    tol : float
        The relative gap that counts as proved.
    """

    kind: str
    n_neurons: int
    n_inputs: int
    n_outputs: int
    ones_appended: bool
    given: float
    upper: float
    lower: float
    certificate: Certificate
    improved: Network
    improved_objective: float
    neuron: NewNeuron | None
    tol: float

    @property
    def rel_gap(self) -> float:
        """(upper - lower) / |upper|; 0 if they are equal."""
        gap = self.upper - self.lower
        return gap / max(abs(self.upper), float(np.finfo(np.float64).tiny)) if gap > 0.0 else 0.0

    @property
    def bound_gap(self) -> float:
        """How far the best network found is from the bound, relatively: what is open for want of a bound."""
        gap = self.improved_objective - self.lower
        return gap / max(abs(self.improved_objective), float(np.finfo(np.float64).tiny)) if gap > 0.0 else 0.0

    @property
    def proved(self) -> bool:
        """Whether the network is optimal to the tolerance."""
        return self.rel_gap <= self.tol


def read_plain_data(path: Path, target: str | None) -> tuple[FloatArray, FloatArray]:
    """Return X and y as they are, not scaled: of an npz file any y, of a table one column, classes as -1 and +1.

    Raises
    ------
    OSError, ValueError
        If they cannot be read.
    """
    if path.suffix.lower() == ".npz":
        if target is not None:
            raise ValueError(f"leave --target out: the target of {path} is its array y")
        return read_data(path)
    table = read_table(path, target)
    return table.X, table.y


def certify_file(
    network: Any, X: FloatArray, y: FloatArray, lam: float, loss: str, scope: Scope, *, tol: float, time_limit: float
) -> CertifiedNetwork:
    """Return what is proven of a network from `read_network_file`; raises as `certify_network` does.

    Without a warning where the bound is not tight: ``proved`` and ``bound_gap`` tell.

    If it takes one column more than X has, that is a column of ones.
    """
    tol = check_number("tol", tol, minimum=0.0, strict=True)
    time_limit = check_number("time limit", time_limit, minimum=0.0, strict=True)
    ones = isinstance(network, ReLUNetwork | GatedReLUNetwork) and np.ndim(X) == 2
    ones = ones and network.W1.shape[1] == X.shape[1] + 1
    if ones:
        X = np.column_stack([X, np.ones(len(X))])
    if isinstance(network, GatedReLUNetwork):
        return _certify_gated(network, X, y, lam, loss, scope, tol, ones)
    # The bound is computed to a smaller tolerance than the one asked for: a warning of it would be none of the user's.
    found = silenced(certify_network, ConvergenceWarning)(
        network, X, y, lam, loss, scope=scope.value, tol=_SHARE * tol, time_limit=time_limit
    )
    problem = found.problem
    assert found.improved is not None
    assert found.improved_objective is not None
    return CertifiedNetwork(
        kind="relu",
        n_neurons=found.network.n_neurons,
        n_inputs=problem.d,
        n_outputs=problem.n_outputs,
        ones_appended=ones or problem.d > np.shape(X)[1],
        given=found.objective_given,
        upper=found.upper,
        lower=found.lower,
        certificate=found.certificate,
        improved=found.improved,
        improved_objective=found.improved_objective,
        neuron=found.neuron,
        tol=tol,
    )


def _certify_gated(
    network: GatedReLUNetwork, X: FloatArray, y: FloatArray, lam: float, loss: str, scope: Scope, tol: float, ones: bool
) -> CertifiedNetwork:
    if scope is Scope.GLOBAL:
        raise ValueError("scope 'global' is of ReLU networks; this one is gated, whose gates are fixed: use 'patterns'")
    given = network.objective(X, y, lam, loss)
    patterns, weights = to_convex(network, X)
    n_outputs = as_columns(network.w2).shape[1]
    # With several outputs, weight decay is the nuclear norm.
    problem = ConvexGatedReLU(X, y, patterns, lam, loss, "group_l1" if n_outputs == 1 else "nuclear")
    solution = silenced(solve, ConvergenceWarning)(problem, tol=_SHARE * tol, start=weights)
    certificate = certify(problem, weights, solution.dual)
    improved = solution.network()
    return CertifiedNetwork(
        kind="gated",
        n_neurons=network.n_neurons,
        n_inputs=problem.d,
        n_outputs=n_outputs,
        ones_appended=ones,
        given=given,
        upper=certificate.upper,
        lower=certificate.lower,
        certificate=certificate,
        improved=improved,
        improved_objective=improved.objective(X, y, lam, loss),
        neuron=None,
        tol=tol,
    )
