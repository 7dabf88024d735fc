"""Files of the package: npz without pickled objects, with a JSON header and a hash, written whole or not at all."""

import io
import json
import os
import pathlib
import uuid
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvxrelu.checker import content_hash


def pack(header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> bytes:
    """Return header and arrays as the bytes of a file, with the hash of the contents."""
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    text = json.dumps({**header, "content_sha256": content_hash(header, arrays)}, indent=1)
    members = {"header": np.frombuffer(text.encode(), np.uint8), **arrays}
    return _archive(members)


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
    temporary = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        temporary.write_bytes(raw)
        os.replace(temporary, target)  # the old file is there until the new one is, in full
    except BaseException:
        if not overwrite:
            target.unlink(missing_ok=True)
        raise
    finally:
        temporary.unlink(missing_ok=True)


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
