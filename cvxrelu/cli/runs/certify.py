"""Certificates of networks in files: this package's own, ONNX, or plain arrays in an npz file."""

from pathlib import Path
from typing import Any

from cvxrelu._validation import FloatArray, check_number
from cvxrelu.analysis.certify_network import certify_network
from cvxrelu.analysis.network_certificate import NetworkCertificate
from cvxrelu.certificates.checker import read_data
from cvxrelu.cli.data.tables import read_table
from cvxrelu.cli.settings import Scope
from cvxrelu.exceptions import ConvergenceWarning
from cvxrelu.runtime.threads import silenced

_SHARE = 0.1  # of the tolerance: the gap to which the bound is computed, so that the rest is the network's


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
) -> NetworkCertificate:
    """Return what is proven of a network from `read_network_file`; raises as `certify_network` does.

    Without a warning where the bound is not tight: ``within`` and ``improved_rel_gap`` tell.
    """
    tol = check_number("tol", tol, minimum=0.0, strict=True)
    time_limit = check_number("time limit", time_limit, minimum=0.0, strict=True)
    # The bound is computed to a smaller tolerance than the one asked for: a warning of it would be none of the user's.
    return silenced(certify_network, ConvergenceWarning)(
        network, X, y, lam, loss, scope=scope.value, tol=_SHARE * tol, time_limit=time_limit
    )
