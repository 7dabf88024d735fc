"""Certificate files as header and arrays, written without the package's writer, which checks what it writes."""

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
MAGIC = b"cvxrelu certificate 3\n"
_COMMON = ("weights 2 blocks d", "blocks blocks", "t n c")
_LINES = ("basis rank d", "lines lines rank", "row_lines n", "row_sizes n")
_SHAPES = {
    None: ("patterns patterns bytes", "multipliers entries", "places entries 2"),
    "maximum": _LINES,
    "relaxation": (*_LINES, "multipliers 2 4 lines", "corners 2 2"),
    "cones": (*_LINES, "cuts cones 4", "points leaves rank", "multipliers entries", "places entries 2"),
}
TYPES = {"blocks": "<i8", "places": "<i8", "row_lines": "<i8", "cuts": "<u2", "patterns": "|u1"}  # others are float64


@dataclass(frozen=True)
class File:
    """Header and arrays of a certificate, in the order of the file."""

    header: dict[str, Any]
    arrays: dict[str, Array]

    def with_header(self, **changes: Any) -> "File":
        """Return the file with other values in its header."""
        return replace(self, header={**self.header, **changes})

    def with_arrays(self, **changes: Any) -> "File":
        """Return the file with other arrays, and their sizes in the header."""
        arrays = self.arrays | {name: np.ascontiguousarray(array, dtype(name)) for name, array in changes.items()}
        return resized(replace(self, arrays=arrays))


def dtype(name: str) -> str:
    """Return the type of an array."""
    return TYPES.get(name, "<f8")


def layout(header: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Return names and shapes of the arrays of a file with a valid header."""
    nuclear = ("outputs blocks c",) if header["penalty"] == "nuclear" else ()
    return [(each.split()[0], each.split()[1:]) for each in (*_COMMON, *nuclear, *_SHAPES[header["proof"]])]


def resized(file: File) -> File:
    """Return the file with the sizes of its arrays in the header."""
    sizes = dict(file.header["sizes"])
    for name, shape in layout(file.header):
        if name in file.arrays:
            sizes |= {size: n for size, n in zip(shape, file.arrays[name].shape, strict=True) if size.isalpha()}
    return file.with_header(sizes=sizes)


def header_bytes(header: Any) -> bytes:
    """Return the canonical form of a header."""
    return json.dumps(header, sort_keys=True).encode()


def encode(file: File, header: bytes | None = None) -> bytes:
    """Return the bytes of a file, with any header."""
    header = header_bytes(file.header) if header is None else header
    return MAGIC + header + b"\n" + b"".join(array.tobytes() for array in file.arrays.values())


def decode(raw: bytes) -> File:
    """Return header and arrays of an honest file."""
    end = raw.index(b"\n", len(MAGIC))
    header, start, arrays = json.loads(raw[len(MAGIC) : end]), end + 1, {}
    for name, shape in layout(header):
        lengths = [header["sizes"][size] if size.isalpha() else int(size) for size in shape]
        arrays[name] = np.frombuffer(raw, dtype(name), int(np.prod(lengths)), start).reshape(lengths)
        start += arrays[name].nbytes
    return File(header, arrays)


def data_hash(X: Array, Y: Array) -> str:
    """Return the hash of the data, as certificate_format.md defines it."""
    X, Y = (np.ascontiguousarray(part, dtype="<f8") + 0.0 for part in (X, Y))
    return hashlib.sha256(json.dumps([list(X.shape), list(Y.shape)]).encode() + X.tobytes() + Y.tobytes()).hexdigest()
