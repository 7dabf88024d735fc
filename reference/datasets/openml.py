"""Data sets of OpenML and UCI, downloaded by scikit-learn, cached, and checked against a checksum ever after."""

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
    """The number of a data set at OpenML, which names one version of it for good, and what it is."""

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
    """Return features and target of one of `OPENML`, from the cache or else by a download.

    scikit-learn checks what it downloads against OpenML's own checksum. The cache is scikit-learn's data folder
    (``SCIKIT_LEARN_DATA``). Of the first download a checksum of the table is kept beside it, and a table that differs
    from it later is refused.

    Raises
    ------
    ConnectionError
        If it is not in the cache and cannot be downloaded.
    ValueError
        If the table is not the one that was there at first.
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
            f"{name} is not the table that was downloaded first: its checksum is {found}, that was {known[name]}; "
            f"remove it from {checksums} if the new one is right"
        )
