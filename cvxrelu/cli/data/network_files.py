"""Files of networks trained by the commands: the network for raw data, and a record of its training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from cvxrelu._files import write_arrays
from cvxrelu._validation import FloatArray
from cvxrelu.cli.data.table_files import listing
from cvxrelu.cli.data.tables import Table, TrainTestSplit
from cvxrelu.cli.settings import Task
from cvxrelu.networks.formats.npz import read_training, write_npz
from cvxrelu.networks.layers import Layers
from cvxrelu.networks.network import GatedReLUNetwork, Network
from cvxrelu.preprocessing.rows import Standardization

_MOMENTS = ("x_mean", "x_scale", "y_mean", "y_scale")


@dataclass(frozen=True, eq=False)
class Training:
    """Record of a network's training, with which its certificate can be reproduced.

    Attributes
    ----------
    features : tuple of str
        Columns of the table, in the network's order.
    target : str
        Column that the network predicts.
    task : Task
        REGRESSION or CLASSIFICATION.
    labels : tuple of str
        The labels that became -1 and +1; empty for regression.
    loss : str
        Name of the loss.
    lam : float
        Strength of the weight decay.
    test_size, seed : float and int
        Fraction and seed of the split.
    n_rows : int
        Number of training rows.
    rows_sha256 : str
        Hash of the training rows.
    standardization : Standardization
        Standardisation of the columns; the weight decay is of the weights on standardised columns.
    """

    features: tuple[str, ...]
    target: str
    task: Task
    labels: tuple[str, ...]
    loss: str
    lam: float
    test_size: float
    seed: int
    n_rows: int
    rows_sha256: str
    standardization: Standardization

    @classmethod
    def of(cls, split: TrainTestSplit, loss: str, lam: float, standardization: Standardization) -> Self:
        """Return the record of a training on a split."""
        table = split.table
        return cls(
            features=table.features,
            target=table.target,
            task=table.task,
            labels=table.labels,
            loss=loss,
            lam=lam,
            test_size=split.test_size,
            seed=split.seed,
            n_rows=len(split.y_train),
            rows_sha256=split.rows_sha256,
            standardization=standardization,
        )

    def check_columns(self, table: Table) -> None:
        """Raise ValueError if the table has other features or classes than the training."""
        if table.features != self.features:
            raise ValueError(
                f"the features must be those that the network was trained on, {_listing(self.features)}; "
                f"got {_listing(table.features)}"
            )
        if table.labels != self.labels:
            raise ValueError(
                f"the classes must be those that the network was trained on, {_listing(self.labels) or 'none'}; "
                f"got {_listing(table.labels) or 'none'}"
            )


def save_trained(network: Network, training: Training, path: Path, *, overwrite: bool) -> None:
    """Write a network for raw data and the record of its training to a file that `cvxrelu.load_network` reads.

    Raises
    ------
    OSError
        If the file cannot be written, or exists and ``overwrite`` is False.
    """
    moments = training.standardization
    record: dict[str, Any] = {
        "features": list(training.features),
        "target": training.target,
        "task": training.task.value,
        "labels": list(training.labels),
        "loss": training.loss,
        "lam": training.lam,
        "test_size": training.test_size,
        "seed": training.seed,
        "n_rows": training.n_rows,
        "rows_sha256": training.rows_sha256,
        **{name: getattr(moments, name).tolist() for name in _MOMENTS},
    }
    gates = network.G if isinstance(network, GatedReLUNetwork) else None
    write_npz(Layers(network.W1, None, network.w2, None, gates), path, overwrite, record)


def load_training(path: Path) -> Training | None:
    """Return the record of the training in the file of a network; None if there is none.

    Raises
    ------
    OSError, ValueError
        If the file cannot be read, or the record is invalid.
    """
    record = read_training(path)
    if record is None:
        return None
    try:
        moments = {name: np.array(record[name], dtype=np.float64) for name in _MOMENTS}
        return Training(
            features=tuple(record["features"]),
            target=record["target"],
            task=Task(record["task"]),
            labels=tuple(record["labels"]),
            loss=record["loss"],
            lam=record["lam"],
            test_size=record["test_size"],
            seed=record["seed"],
            n_rows=record["n_rows"],
            rows_sha256=record["rows_sha256"],
            standardization=Standardization(**moments, bias=True),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} has an invalid record of its network's training: {error!r}") from error


def check_network_file(path: Path | None) -> None:
    """Raise ValueError for an output file whose name does not end in .npz."""
    if path is not None and path.suffix.lower() != ".npz":
        raise ValueError(
            f"networks are written as npz files: give a name that ends in .npz, not {path} (to export it, use "
            "cvxrelu.load_network('net.npz').to_onnx('net.onnx', bias=True) in Python)"
        )


def save_rows(
    path: Path,
    X: FloatArray,
    y: FloatArray,
    training: Training,
    split: TrainTestSplit | None = None,
    *,
    overwrite: bool,
) -> None:
    """Write the standardised rows X and y of a certificate as an npz file, with their standardisation.

    Columns of X are those of ``features``, (value - x_center) / x_scale, and 1; y is (target - y_center) / y_scale, or
    -1 and +1 for ``labels``. With a split, X_test and y_test are written likewise.

    Raises
    ------
    OSError
        If the file cannot be written, or exists and ``overwrite`` is False.
    """
    moments = training.standardization
    arrays = {
        "X": X,
        "y": y,
        "features": np.array(training.features, dtype=np.str_),
        "x_center": moments.x_mean,
        "x_scale": moments.x_scale,
        "y_center": moments.y_mean[0],
        "y_scale": moments.y_scale[0],
    }
    if split is not None:
        arrays["X_test"] = moments.features(split.X_test)
        arrays["y_test"] = moments.targets(split.y_test[:, None])[:, 0]
        arrays["labels"] = np.array(split.table.labels, dtype=np.str_)
    write_arrays(path, {name: np.asarray(array) for name, array in arrays.items()}, overwrite=overwrite)


def _listing(names: tuple[str, ...]) -> str:
    return listing(np.array(names, dtype=object))
