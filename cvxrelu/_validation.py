"""Validate users' arrays and scalars; each message names the argument, what it accepts and what it got."""

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
BoolArray = NDArray[np.bool_]
Weights = FloatArray | tuple[FloatArray, FloatArray]

_FLOATS = frozenset(map(np.dtype, (np.float32, np.float64)))


def check_numeric(name: str, value: Any) -> FloatArray:
    """Return ``value`` as a dense float32 or float64 array with finite entries.

    Raises
    ------
    TypeError
        If it is sparse, complex, or holds text or objects.
    ValueError
        If it is empty or holds NaN or infinite entries.
    """
    if type(value) is np.ndarray and value.dtype in _FLOATS and value.size and is_finite(value):
        return value  # at once, as this is checked often
    if sp.issparse(value):
        raise TypeError(
            f"{name} must be a dense array; got a scipy.sparse {type(value).__name__} (use {name}.toarray())"
        )
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} must be a plain array; got a masked array (fill or drop the masked entries)")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be a rectangular array of numbers; got {error}") from error
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers; got an array of dtype {array.dtype}")
    if array.size == 0:
        raise ValueError(f"{name} must not be empty; got shape {array.shape}")
    if array.dtype not in _FLOATS:
        array = array.astype(np.float64)
    if not np.isfinite(array).all():
        bad = ~np.isfinite(array)
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"{name} must be finite; got {array[index]} at index {index} ({int(bad.sum())} such entries in all)"
        )
    return array


def is_finite(array: NDArray[Any]) -> bool:
    """Return whether all entries of an array of floats are finite, which a finite sum of squares shows in less time."""
    flat = array.ravel("K")  # a view of contiguous arrays, whatever their order
    return math.isfinite(np.vdot(flat, flat)) or bool(np.isfinite(flat).all())


def check_matrix(name: str, value: Any, shape: str = "(n, d)") -> FloatArray:
    """Return ``value`` as a finite 2-D float array; errors as in `check_numeric`."""
    array = check_numeric(name, value)
    if array.ndim != 2:
        raise ValueError(f"{name} must be a 2-D array of shape {shape}; got shape {array.shape}")
    return array


def check_targets(value: Any, n: int) -> FloatArray:
    """Return ``y`` (n,) or (n, c) as an array of shape (n, c); errors as in `check_numeric`."""
    array = check_numeric("y", value)
    if array.ndim not in (1, 2):
        raise ValueError(f"y must have shape (n,) or (n, c); got shape {array.shape}")
    if array.shape[0] != n:
        raise ValueError(f"y must have one entry for each row of X; got {array.shape[0]} entries for {n} rows")
    return array.reshape(n, -1)


def check_bool_matrix(name: str, value: Any) -> BoolArray:
    """Return ``value`` (n, P), boolean or 0/1, as a boolean array."""
    array = np.asarray(value)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name} must be a non-empty 2-D array of shape (n, P); got shape {array.shape}")
    if array.dtype == np.bool_:
        return array
    if array.dtype.kind not in "fiu" or not np.isin(array, (0, 1)).all():
        raise TypeError(f"{name} must be boolean (or 0/1); got an array of dtype {array.dtype} with other values")
    return array.astype(np.bool_)


def check_number(
    name: str, value: Any, *, minimum: float = -np.inf, maximum: float = np.inf, strict: bool = False
) -> float:
    """Return ``value`` as a finite float in [minimum, maximum], or (minimum, maximum] if ``strict``."""
    accepts = f"{name} must be a finite number"
    if minimum > -np.inf:
        accepts += f" {'>' if strict else '>='} {minimum:g}"
    if maximum < np.inf:
        accepts += f" and <= {maximum:g}"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{accepts}; got {value!r}")
    number = float(value)
    if not np.isfinite(number) or number < minimum or number > maximum or (strict and number == minimum):
        raise ValueError(f"{accepts}; got {number!r}")
    return number


def check_integer(name: str, value: Any, *, minimum: int) -> int:
    """Return ``value`` as an int >= minimum."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer >= {minimum}; got {value!r}")
    if value < minimum:
        raise ValueError(f"{name} must be an integer >= {minimum}; got {value}")
    return int(value)


def check_choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """Return ``value`` if it is one of ``choices``; else raise a ValueError that lists them."""
    listed = sorted(choices)
    if value not in listed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, listed))}; got {value!r}")
    return str(value)


def check_solver(value: Any, choices: Iterable[str]) -> str:
    """Return the choice that equals ``value`` up to case; else raise a ValueError that lists the choices."""
    spelling = {name.lower(): name for name in choices}
    return check_choice(
        "solver", spelling.get(value.lower(), value) if isinstance(value, str) else value, spelling.values()
    )


def check_flag(name: str, value: Any) -> bool:
    """Return ``value`` if it is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False; got {value!r}")
    return bool(value)


def as_float64(array: Any) -> FloatArray:
    """Return the array as float64, without a copy if it is already."""
    return np.asarray(array, dtype=np.float64)


def read_only(array: NDArray[Any], order: Literal["C", "F"] = "C") -> NDArray[Any]:
    """Return a read-only copy."""
    frozen = np.array(array, order=order, copy=True)
    frozen.flags.writeable = False
    return frozen


def defines(kind: type, *methods: str) -> bool:
    """Return whether a class defines all these methods itself.

    Inherited ones do not count: a subclass may have changed what its parent's formulas are about.
    """
    return all(method in vars(kind) for method in methods)
