"""Networks as npz files without pickled objects, exact to the bit."""

import io
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvxrelu._files import content_hash, load_arrays, pack, write
from cvxrelu._version import __version__
from cvxrelu.networks.layers import Layers

FORMAT, VERSION = "cvxrelu network", 1
_CERTIFICATE = b"cvxrelu certificate"
_MEMBERS = {"relu": ["W1", "w2"], "gated": ["G", "W1", "w2"]}


def write_npz(
    layers: Layers, path: str | os.PathLike[str], overwrite: bool, training: Mapping[str, Any] | None = None
) -> None:
    """Write the arrays of a network without biases to a file; see `ReLUNetwork.save`.

    ``training``, of JSON types, is stored for `read_training`.
    """
    kind = "relu" if layers.G is None else "gated"
    arrays = {name: getattr(layers, name) for name in _MEMBERS[kind]}
    arrays = {name: array.astype(array.dtype.newbyteorder("<")) for name, array in arrays.items()}
    header: dict[str, Any] = {"format": FORMAT, "version": VERSION, "kind": kind, "cvxrelu": __version__}
    if training is not None:
        header["training"] = dict(training)
    write(path, pack(header, arrays), overwrite)


def read_npz(path: str | os.PathLike[str]) -> Layers:
    """Return the arrays of a file written by `write_npz`, not yet validated as a network.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If the file is not that of a network, damaged, changed, or of a version newer than this package reads.
    """
    arrays = _contents(path)[1]
    return Layers(arrays["W1"], None, arrays["w2"], None, arrays.get("G"))


def read_training(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return the record of the training in a file written by `write_npz`; None if it has none or is another file."""
    try:
        training = _contents(path)[0].get("training")
    except ValueError:
        return None
    return training if isinstance(training, dict) else None


def _contents(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the validated header and arrays of a file."""
    raw = pathlib.Path(path).read_bytes()
    if raw.startswith(_CERTIFICATE):
        raise ValueError(f"path must be the file of a network; {path} holds the format {_CERTIFICATE.decode()!r}")
    try:
        header, arrays = _unpack(raw)
    except Exception as error:  # the parsers of zip, npy and JSON raise many kinds on invalid bytes
        raise ValueError(f"path must be the file of a network; {path} is not one, or damaged: {error!r}") from error
    version = header.get("version")
    if header.get("format") != FORMAT:
        raise ValueError(f"path must be the file of a network; {path} holds the format {header.get('format')!r}")
    if isinstance(version, int) and version > VERSION:
        raise ValueError(
            f"path must be of format version {VERSION} for cvxrelu {__version__}; {path} has version {version}, "
            f"written by cvxrelu {header.get('cvxrelu')}: install that version or a later one"
        )
    try:
        _check(version == VERSION, f"version {version!r} is unknown")
        _check(content_hash(header, arrays) == header.get("content_sha256"), "the contents were changed")
        kind = str(header.get("kind"))
        _check(kind in _MEMBERS, f"kind {kind!r} is unknown")
        _check(sorted(arrays) == _MEMBERS[kind], f"members must be {_MEMBERS[kind]}; got {sorted(arrays)}")
        for name, array in arrays.items():
            _check(array.dtype.str in ("<f4", "<f8"), f"{name} must be <f4 or <f8; got {array.dtype.str}")
        return header, {name: array.astype(array.dtype.newbyteorder("=")) for name, array in arrays.items()}
    except ValueError as error:
        raise ValueError(f"path must be the file of a network; {path} is damaged: {error}") from error


def _unpack(raw: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    _check(raw.startswith(b"PK"), "not an npz")  # NumPy would suggest that other bytes are a pickle
    arrays = load_arrays(io.BytesIO(raw))
    header = json.loads(arrays.pop("header").tobytes())
    _check(isinstance(header, dict), "its header is not a JSON object")
    _check(all(isinstance(array, np.ndarray) for array in arrays.values()), "a member is not an array")
    return header, arrays


def _check(condition: bool, reason: str) -> None:
    if not condition:
        raise ValueError(reason)
