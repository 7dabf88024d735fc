"""Certificate files as contents, and with changes that a forger would make."""

from cvxrelu._files import pack
from cvxrelu.certificates import checker


def as_contents(certificate):
    return checker.parse(certificate._encoded())


def forged(contents, arrays=None, **header):
    """The contents with changes, their hash made anew: the work of a forger, or bytes that cannot be parsed."""
    return checker.parse(pack({**contents.header, **header}, {**contents.arrays, **(arrays or {})}))


def changed(contents, name, place, value):
    array = contents.arrays[name].copy()
    array[place] = value
    return {name: array}
