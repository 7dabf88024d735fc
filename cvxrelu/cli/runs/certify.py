"""Certificates of networks in files: this package's own, ONNX, or plain arrays in an npz file."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cvxrelu._validation import FloatArray, check_number
from cvxrelu.analysis.certify_network import certify_network
from cvxrelu.analysis.network_certificate import NetworkCertificate
from cvxrelu.certificates.checker import read_data
from cvxrelu.cli.data.network_files import Training, load_training
from cvxrelu.cli.data.table_files import TableError
from cvxrelu.cli.data.tables import Table, read_table, split_table
from cvxrelu.cli.settings import Scope
from cvxrelu.exceptions import ConvergenceWarning
from cvxrelu.networks.loading import read_network_file
from cvxrelu.networks.network import Network
from cvxrelu.runtime.threads import silenced

_FRACTION = 0.1  # of the tolerance: the gap to which the bound is computed, so that the rest is the network's


@dataclass(frozen=True, eq=False)
class Subject:
    """A network of a file and the data that it is judged on, in the units of its weight decay.

    Attributes
    ----------
    network : Any
        As `certify_network` takes it; where ``training`` is known, for standardised data with a column of ones.
    X, y : ndarray of shape (n, d), and (n,) or (n, c)
        The data.
    training : Training or None
        How `cvxrelu solve` trained it; None for networks of other origin, which are judged on the data as they are.
    n_given : int
        Rows of the file of data: more than n where only those that the network was trained on are taken.
    known_rows : bool
        Whether the rows are those that the network was trained on.
    """

    network: Any
    X: FloatArray
    y: FloatArray
    training: Training | None
    n_given: int
    known_rows: bool

    def raw(self, network: Network) -> Network:
        """Return the network for the columns as they are in the file of data."""
        return network if self.training is None else self.training.standardization.network(network)


def read_subject(network: Path, data: Path, target: str | None) -> Subject:
    """Return a network and the data to judge it on.

    Of a network by `cvxrelu solve`, the columns are standardised as they were, and of a table that holds the rows that
    it was trained on, these are taken; so that the certificate is the one that the training ended with.

    Raises
    ------
    OSError, ValueError
        If they cannot be read, or do not fit each other.
    """
    given = read_network_file(network)
    training = load_training(network)
    if data.suffix.lower() == ".npz" and (training is None or _standardized_by(data, training)):
        if target is not None:
            raise ValueError(f"leave --target out: the target of {data} is its array y")
        X, y = read_data(data)
        if training is not None:
            given = training.standardization.standardized(given)
        return Subject(given, X, y, training, len(X), known_rows=training is not None)
    if training is None:
        table = read_table(data, target)
        return Subject(given, table.X, table.y, None, len(table.y), known_rows=False)
    is_npz = data.suffix.lower() == ".npz"
    table = read_table(data, target or (None if is_npz else training.target), training.task)
    training.check_columns(table)
    X, y, known = _rows_of_training(table, training)
    moments = training.standardization
    return Subject(
        network=moments.standardized(given),
        X=moments.features(X),
        y=moments.targets(y[:, None])[:, 0],
        training=training,
        n_given=len(table.y),
        known_rows=known,
    )


def _rows_of_training(table: Table, training: Training) -> tuple[FloatArray, FloatArray, bool]:
    """Return the rows of a table that a network was trained on and True, or all of them and False."""
    for test_size in (0.0, training.test_size):
        with contextlib.suppress(TableError):  # a table that cannot be split so is another one
            split = split_table(table, test_size, training.seed)
            if split.rows_sha256 == training.rows_sha256:
                return split.X_train, split.y_train, True
    return table.X, table.y, False


def certify_file(
    subject: Subject, lam: float, loss: str | None, scope: Scope, *, tol: float, time_limit: float
) -> NetworkCertificate:
    """Return what is proven of a network; raises as `certify_network` does.

    Without a warning where the bound is not tight: ``within`` and ``improved_rel_gap`` tell.
    """
    tol = check_number("tol", tol, minimum=0.0, strict=True)
    time_limit = check_number("time limit", time_limit, minimum=0.0, strict=True)
    if loss is None:
        loss = "squared" if subject.training is None else subject.training.loss
    # The bound is computed to a smaller tolerance than the one asked for: a warning of it would be none of the user's.
    return silenced(certify_network, ConvergenceWarning)(
        subject.network, subject.X, subject.y, lam, loss, scope=scope.value, tol=_FRACTION * tol, time_limit=time_limit
    )


def _standardized_by(data: Path, training: Training) -> bool:
    """Return whether a file of data holds standardised rows, as `cvxrelu solve` writes them.

    Raises
    ------
    ValueError
        If they were standardised in another way than those that the network was trained on.
    """
    with data.open("rb") as file:
        try:
            archive = np.load(file, allow_pickle=False)
            arrays = {name: archive[name] for name in ("x_center", "x_scale") if name in archive}
        except Exception:  # whatever NumPy raises on files of another kind: for who reads X and y to name
            return False
    if len(arrays) < 2:
        return False
    moments = training.standardization
    if not (np.array_equal(arrays["x_center"], moments.x_mean) and np.array_equal(arrays["x_scale"], moments.x_scale)):
        raise ValueError(f"the rows of {data} were standardised by another training than that of the network")
    return True
