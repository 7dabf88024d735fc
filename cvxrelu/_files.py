"""Files of the package: npz without pickled objects, with a JSON header and a hash, written whole or not at all."""

import hashlib
import io
import json
import os
import pathlib
import re
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray


def pack(header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> bytes:
    """Return header and arrays as the bytes of a file, with the hash of the contents."""
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    text = json.dumps({**header, "content_sha256": content_hash(header, arrays)}, indent=1)
    members = {"header": np.frombuffer(text.encode(), np.uint8), **arrays}
    return _archive(members)


def content_hash(header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> str:
    """Return the hash of header and arrays, without the hash itself; the checker of certificates has its own."""
    rest = {key: value for key, value in header.items() if key != "content_sha256"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), allow_nan=False)
    digest = hashlib.sha256(text.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"\n{name} {array.dtype.str} {list(array.shape)}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def check_free(path: str | os.PathLike[str], overwrite: bool) -> None:
    """Raise FileExistsError if `write` will: for callers with long work before it."""
    if not overwrite and pathlib.Path(path).exists():
        raise FileExistsError(f"path {path} exists already: choose another one, or overwrite=True")


def write(path: str | os.PathLike[str], raw: bytes, overwrite: bool) -> None:
    """Write a file in full or not at all.

    Raises
    ------
    FileExistsError
        If there is one already, and ``overwrite`` is false.
    OSError
        If it cannot be written; an old file is then as it was.
    """
    target = pathlib.Path(path)
    check_free(target, overwrite)
    if not overwrite:
        target.open("xb").close()  # an empty file holds the name: nobody else's can appear meanwhile
    try:
        with replacing(target) as file:
            file.write(raw)
    except BaseException:
        if not overwrite:
            target.unlink(missing_ok=True)
        raise


@contextmanager
def replacing(target: pathlib.Path) -> Iterator[IO[bytes]]:
    """Give a file to write to that takes the place of the target at the end, in full; nothing is left of it otherwise.

    What a killed process has left of the same target is removed.
    """
    _sweep(target)
    temporary = target.with_name(f"{target.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
        os.replace(temporary, target)  # the old file is there until the new one is, in full
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(folder: pathlib.Path) -> None:
    """Raise OSError if no file can be made in the folder: for callers with long work before they write."""
    probe = folder / f"{uuid.uuid4().hex}.tmp"
    probe.touch()
    probe.unlink()


def _sweep(target: pathlib.Path) -> None:
    if os.name != "posix":  # elsewhere signal 0 is not a question
        return
    ours = re.compile(re.escape(target.name) + r"\.(\d+)-[0-9a-f]{8}\.tmp")
    for path in target.parent.glob("*.tmp"):
        match = ours.fullmatch(path.name)
        if match is None:
            continue
        try:
            os.kill(int(match[1]), 0)
        except ProcessLookupError:
            path.unlink(missing_ok=True)
        except OSError:
            continue  # it is there, and another user's


def write_arrays(path: str | os.PathLike[str], arrays: dict[str, NDArray[Any]], overwrite: bool) -> None:
    """Write arrays of numbers or text to an npz file; raises as `write` does."""
    write(path, _archive(arrays), overwrite)


def _archive(members: dict[str, NDArray[Any]]) -> bytes:
    """Return the bytes of an npz file."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_STORED) as archive:
        for name, array in members.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())
    return raw.getvalue()
