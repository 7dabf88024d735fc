"""Write the package's files atomically: npz without pickled objects, with a JSON header and a content hash."""

import hashlib
import io
import json
import os
import pathlib
import re
import threading
import uuid
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

_PARSING = threading.Lock()  # NumPy parses headers by `ast`, whose depth is shared by threads (CPython issue 106905)


def pack(header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> bytes:
    """Return the bytes of a file that holds header, arrays and the hash of both."""
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    text = json.dumps({**header, "content_sha256": content_hash(header, arrays)}, indent=1)
    members = {"header": np.frombuffer(text.encode(), np.uint8), **arrays}
    return _archive(members)


def content_hash(header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> str:
    """Return the SHA-256 of header and arrays, the stored hash excluded; the checker of certificates has its own."""
    rest = {key: value for key, value in header.items() if key != "content_sha256"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), allow_nan=False)
    digest = hashlib.sha256(text.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"\n{name} {array.dtype.str} {list(array.shape)}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def check_free(path: str | os.PathLike[str], overwrite: bool) -> None:
    """Raise FileExistsError where `write` would; for callers with long work ahead."""
    if not overwrite and pathlib.Path(path).exists():
        raise FileExistsError(f"path {path} exists already: choose another one, or pass overwrite=True")


def write(path: str | os.PathLike[str], raw: bytes, overwrite: bool) -> None:
    """Write a file atomically.

    Raises
    ------
    FileExistsError
        If the file exists and ``overwrite`` is false.
    OSError
        If it cannot be written; an existing file is then unchanged.
    """
    target = pathlib.Path(path)
    check_free(target, overwrite)
    if not overwrite:
        target.open("xb").close()  # reserves the name: no other process can create the file meanwhile
    try:
        with replacing(target) as file:
            file.write(raw)
    except BaseException:
        if not overwrite:
            target.unlink(missing_ok=True)
        raise


@contextmanager
def replacing(target: pathlib.Path) -> Iterator[IO[bytes]]:
    """Yield a temporary file that replaces the target on success and is removed on failure.

    Temporary files that killed processes left for the same target are removed.
    """
    _sweep(target)
    temporary = target.with_name(f"{target.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
        os.replace(temporary, target)  # atomic: the old file stays until the new one is complete
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(folder: pathlib.Path) -> None:
    """Raise OSError if no file can be created in the folder; for callers with long work ahead."""
    probe = folder / f"{uuid.uuid4().hex}.tmp"
    probe.touch()
    probe.unlink()


def _sweep(target: pathlib.Path) -> None:
    if os.name != "posix":  # elsewhere signal 0 does more than test for existence
        return
    temporary_name = re.compile(re.escape(target.name) + r"\.(\d+)-[0-9a-f]{8}\.tmp")
    for path in target.parent.glob("*.tmp"):
        match = temporary_name.fullmatch(path.name)
        if match is None:
            continue
        try:
            os.kill(int(match[1]), 0)
        except ProcessLookupError:
            path.unlink(missing_ok=True)
        except OSError:
            continue  # the process exists and belongs to another user


def write_arrays(path: str | os.PathLike[str], arrays: dict[str, NDArray[Any]], overwrite: bool) -> None:
    """Write arrays of numbers or text to an npz file; errors as in `write`."""
    write(path, _archive(arrays), overwrite)


def load_arrays(file: IO[bytes], names: Iterable[str] | None = None) -> dict[str, NDArray[Any]]:
    """Return arrays of an open npz file without pickled objects, by default all.

    Other files raise errors of many kinds. NumPy does not close a file that it cannot read: the caller does.
    """
    with _PARSING:
        archive = np.load(file, allow_pickle=False)
        return {name: archive[name] for name in (archive.files if names is None else names)}


def _archive(members: dict[str, NDArray[Any]]) -> bytes:
    """Return the bytes of an npz file."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_STORED) as archive:
        for name, array in members.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())
    return raw.getvalue()
