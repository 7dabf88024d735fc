"""Certificates of networks in files: this package's own, ONNX, or plain arrays in an npz file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cvxrelu._validation import FloatArray, check_number
from cvxrelu.certificates import Certificate, certify
from cvxrelu.checker import read_data
from cvxrelu.exceptions import ConvergenceWarning
from cvxrelu.network_certificates import certify_network
from cvxrelu.network_files import load_network
from cvxrelu.networks import GatedReLUNetwork, Network, ReLUNetwork, as_columns, to_convex
from cvxrelu.onnx_export import from_onnx
from cvxrelu.pricing import NewNeuron
from cvxrelu.problems import ConvexGatedReLU
from cvxrelu.settings import Scope
from cvxrelu.solve import solve
from cvxrelu.tables import read_table
from cvxrelu.threads import silenced

_PICKLES = (".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib")
_ARRAYS = ("W1", "b1", "w2", "b2")
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


def read_network_file(path: Path) -> Any:
    """Return the network of a file, as `certify_network` takes it, or a gated one.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it holds no network, with what is accepted.
    """
    suffix = path.suffix.lower()
    if suffix in _PICKLES:
        path.open("rb").close()
        raise ValueError(
            f"{path} may be a pickle, which runs whatever code is in it, and is not opened; in Python, write the "
            "network by cvxrelu.from_torch(model).save('network.npz') (of scikit-learn: from_sklearn), or its arrays "
            "by numpy.savez('network.npz', W1=..., b1=..., w2=..., b2=...), W1 of shape (m, d) and w2 of shape (m,)"
        )
    if suffix == ".onnx":
        return from_onnx(path)
    arrays = _plain_arrays(path)
    if arrays is None:
        return load_network(path)
    if "b1" not in arrays and "b2" not in arrays:
        return ReLUNetwork(arrays["W1"], arrays["w2"])
    return tuple(arrays.get(name) for name in _ARRAYS)


def _plain_arrays(path: Path) -> dict[str, Any] | None:
    """Return W1, w2, b1, b2 of an npz file that someone else wrote; None where it is not such a file."""
    with path.open("rb") as file:  # numpy leaves a file open that it cannot read
        try:
            archive = np.load(file, allow_pickle=False)
            arrays = {name: archive[name] for name in archive.files}
        except Exception:  # whatever NumPy raises on files of another kind: for `load_network` to name
            return None
    if "header" in arrays:
        return None
    if not {"W1", "w2"} <= set(arrays) <= set(_ARRAYS):
        raise ValueError(
            f"{path} must hold arrays W1 (m, d) and w2 (m,) or (m, c), and b1 (m,) and b2 (c,) if there are biases; "
            f"it holds {', '.join(sorted(arrays)) or 'none'}"
        )
    return arrays


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
