"""Certificate files as contents, and with changes that a forger would make."""

from cvxrelu.certificates import checker, portable


def as_contents(certificate):
    return checker.parse(portable._encode(certificate))


def forged(contents, arrays=None, **header):
    """The contents with changes, their hash made anew: the work of a forger, or bytes that cannot be parsed."""
    return checker.parse(portable.pack({**contents.header, **header}, {**contents.arrays, **(arrays or {})}))


def changed(contents, name, place, value):
    array = contents.arrays[name].copy()
    array[place] = value
    return {name: array}
