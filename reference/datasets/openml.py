"""Data sets of OpenML and UCI, downloaded and cached by scikit-learn, and verified by checksum afterwards."""

import hashlib
import json
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import pandas as pd
from sklearn.datasets import fetch_openml, get_data_home

from cvxrelu._files import write


@dataclass(frozen=True)
class Source:
    """OpenML number of a data set, which identifies one version permanently, and its title."""

    number: int
    title: str


OPENML = {
    "openml_banknote": Source(1462, "UCI Banknote Authentication"),
    "openml_blood": Source(1464, "UCI Blood Transfusion Service Center"),
    "openml_qsar": Source(1494, "UCI QSAR Biodegradation"),
    "openml_wdbc": Source(1510, "UCI Breast Cancer Wisconsin (Diagnostic)"),
    "openml_kc1": Source(1067, "PROMISE KC1, defects of software"),
    "openml_eeg": Source(1471, "UCI EEG Eye State"),
}


def fetch(name: str) -> tuple[pd.DataFrame, pd.Series]:
    """Return features and target of one of `OPENML`, from the cache or by download.

    scikit-learn verifies downloads by OpenML's checksum. The cache is scikit-learn's data folder
    (``SCIKIT_LEARN_DATA``), where a checksum of the first table is stored too; later, a table that differs is refused.

    Raises
    ------
    ConnectionError
        If it is not in the cache and cannot be downloaded.
    ValueError
        If the table differs from the one downloaded first.
    """
    source = OPENML[name]
    try:
        bunch = fetch_openml(data_id=source.number, as_frame=True, parser="pandas")
    except (OSError, HTTPException) as error:
        raise ConnectionError(
            f"{name} ({source.title}, number {source.number} of OpenML) is not in the cache {get_data_home()} and "
            f"cannot be downloaded ({type(error).__name__}: {error}): go online once, or copy that folder from another "
            "machine"
        ) from error
    features, target = bunch.data, bunch.target
    _check(name, features.assign(target=target))
    kept = features.notna().all(axis=1) & target.notna()
    return features[kept], target[kept]


def _check(name: str, table: pd.DataFrame) -> None:
    checksums = Path(get_data_home()) / "cvxrelu-openml.json"
    known = json.loads(checksums.read_text()) if checksums.exists() else {}
    found = hashlib.sha256(table.to_csv(index=False).encode()).hexdigest()
    if name not in known:
        write(checksums, json.dumps(known | {name: found}, indent=1).encode(), overwrite=True)
    elif known[name] != found:
        raise ValueError(
            f"{name} is not the table that was downloaded first: its checksum is {found}, not {known[name]}; "
            f"remove the entry from {checksums} if the new table is right"
        )
