"""Contents of certificate files, and forged ones."""

from cvxrelu._files import pack
from cvxrelu.certificates import checker


def as_contents(certificate):
    return checker.parse(certificate._encoded())


def forged(contents, arrays=None, **header):
    """Return changed contents with a valid hash, as a forger would make; raise if they cannot be parsed."""
    return checker.parse(pack({**contents.header, **header}, {**contents.arrays, **(arrays or {})}))


def changed(contents, name, index, value):
    array = contents.arrays[name].copy()
    array[index] = value
    return {name: array}


def as_plain(contents):
    return pack(contents.header, contents.arrays)
