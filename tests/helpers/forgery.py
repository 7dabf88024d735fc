"""Contents of certificate files, and changed ones."""

import json

import numpy as np

from cvxrelu.certificates import checker
from cvxrelu.certificates.writer import encode_certificate


def as_contents(certificate, **options):
    """Return the contents of the file that `Certificate.save` writes first."""
    return checker.parse(encode_certificate(certificate, **options))


def encoded(contents, arrays=None, **header):
    """Return the bytes of a file with changed header and arrays."""
    header, arrays = {**contents.header, **header}, {**contents.arrays, **(arrays or {})}
    body = [np.ascontiguousarray(arrays[name], dtype).tobytes() for name, dtype, *_ in checker.layout(header)]
    return checker.MAGIC + json.dumps(header, sort_keys=True).encode() + b"\n" + b"".join(body)


def forged(contents, arrays=None, **header):
    """Return changed contents; raise if they cannot be parsed."""
    return checker.parse(encoded(contents, arrays, **header))


def changed(contents, name, index, value):
    array = contents.arrays[name].copy()
    array[index] = value
    return {name: array}
