"""Certificates of networks in files: this package's own, ONNX, or plain arrays in an npz file."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cvxrelu._files import load_arrays
from cvxrelu._validation import FloatArray, check_number
from cvxrelu.analysis.certify_network import certify_network
from cvxrelu.analysis.network_certificate import NetworkCertificate
from cvxrelu.cli.data.network_files import Training, load_training
from cvxrelu.cli.data.table_files import TableError, read_arrays
from cvxrelu.cli.data.tables import Table, read_table, split_table
from cvxrelu.cli.settings import Scope
from cvxrelu.exceptions import ConvergenceWarning
from cvxrelu.networks.loading import read_network_file
from cvxrelu.networks.network import Network
from cvxrelu.runtime.threads import silenced

_FRACTION = 0.1  # of the tolerance: relative gap of the bound, so that most of the gap is due to the network


@dataclass(frozen=True, eq=False)
class Subject:
    """A network and the data of its certificate, standardised as in its training.

    Attributes
    ----------
    network : Any
        As `certify_network` accepts it; if ``training`` is known, for standardised data with a column of ones.
    X, y : ndarray of shape (n, d), and (n,) or (n, c)
        The data.
    training : Training or None
        Record of the training by `cvxrelu solve`; None for other networks, which are certified on the raw data.
    n_given : int
        Number of rows in the data file: more than n if only the training rows are used.
    known_rows : bool
        Whether the rows are the network's training rows.
    """

    network: Any
    X: FloatArray
    y: FloatArray
    training: Training | None
    n_given: int
    known_rows: bool

    def raw(self, network: Network) -> Network:
        """Return the network for the raw columns of the data file."""
        return network if self.training is None else self.training.standardization.network(network)


def read_subject(network: Path, data: Path, target: str | None) -> Subject:
    """Return a network and the data of its certificate.

    For a network by `cvxrelu solve`, the columns are standardised as in its training, and only its training rows are
    used if the table holds them: the certificate is then that of the training.

    Raises
    ------
    OSError, ValueError
        If the files cannot be read, or do not match each other.
    """
    given = read_network_file(network)
    training = load_training(network)
    if data.suffix.lower() == ".npz" and (training is None or _standardized_by(data, training)):
        if target is not None:
            raise ValueError(f"omit --target: the target of {data} is its array y")
        X, y = read_arrays(data)
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
    """Return the training rows of a network in a table and True, or all rows and False if they are not there."""
    for test_size in (0.0, training.test_size):
        with contextlib.suppress(TableError):  # a table that cannot be split like this is another one
            split = split_table(table, test_size, training.seed)
            if split.rows_sha256 == training.rows_sha256:
                return split.X_train, split.y_train, True
    return table.X, table.y, False


def certify_file(
    subject: Subject, lam: float, loss: str | None, scope: Scope, *, tol: float, time_limit: float
) -> NetworkCertificate:
    """Return the certificate of a network; errors as in `certify_network`.

    There is no warning if the bound is not tight: see ``within`` and ``improved_rel_gap``.
    """
    tol = check_number("tol", tol, minimum=0.0, strict=True)
    time_limit = check_number("time limit", time_limit, minimum=0.0, strict=True)
    if loss is None:
        loss = "squared" if subject.training is None else subject.training.loss
    # The bound is computed to a tighter tolerance than the user's, so its warning does not concern the user.
    return silenced(certify_network, ConvergenceWarning)(
        subject.network, subject.X, subject.y, lam, loss, scope=scope.value, tol=_FRACTION * tol, time_limit=time_limit
    )


def _standardized_by(data: Path, training: Training) -> bool:
    """Return whether a data file holds standardised rows written by `cvxrelu solve`.

    Raises
    ------
    ValueError
        If their standardisation differs from that of the network's training.
    """
    with data.open("rb") as file:
        try:
            arrays = load_arrays(file, ("x_center", "x_scale"))
        except Exception:  # without these arrays, or no npz: the reader of X and y then reports the error
            return False
    moments = training.standardization
    if not (np.array_equal(arrays["x_center"], moments.x_mean) and np.array_equal(arrays["x_scale"], moments.x_scale)):
        raise ValueError(f"the rows of {data} were not standardised as in the network's training")
    return True
