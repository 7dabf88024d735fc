"""Vectors of 32 bytes in kernels, which LLVM maps to the registers of the machine, whatever their width.

A vector is a value of a kernel. Arrays are one-dimensional; positions are not checked. Exponents of numbers are read
and written in their bits, in loops that LLVM turns into vectors itself.
"""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from cvxrelu._validation import FloatArray
from cvxrelu.runtime.blas import Routine

BYTES = 32
_LINE = 64


def _load(array: FloatArray, i: int) -> FloatArray:
    return array[i : i + lanes(array)].copy()


def _store(array: FloatArray, i: int, vector: FloatArray) -> None:
    array[i : i + len(vector)] = vector


def _total(vector: FloatArray) -> np.floating:
    while len(vector) > 1:
        vector = vector[: len(vector) // 2] + vector[len(vector) // 2 :]
    first: np.floating = vector[0]
    return first


def _transpose_bits(matrix: NDArray[np.uint32], i: int, words: NDArray[np.uint32], j: int) -> None:
    bits = np.unpackbits(matrix[i : i + 32].view(np.uint8)).reshape(32, 32)
    words[j : j + 32] = np.packbits(bits.T).view(np.uint32)


def _power_of_two(x: float, shift: float) -> float:
    return float(np.ldexp(1.0, int(np.rint(x)) + int(shift)))


def _exponent(x: float) -> float:
    return float(np.frexp(x)[1] - 1)


lanes = Routine("lanes", lambda array: BYTES // array.itemsize)  # entries of a vector of the array's type
zeros = Routine("zeros", lambda array: np.zeros(lanes(array), array.dtype))  # zero vector of the array's type
load = Routine("load", _load)  # entries from a position on
store = Routine("store", _store)
add = Routine("add", np.add)
multiply = Routine("multiply", np.multiply)
scale = Routine("scale", np.multiply)  # product of a number and a vector
# sum of a vector and the product of two, or of a number and one; it may be rounded once
add_product = Routine("add_product", lambda vector, a, b: vector + a * b)
add_scaled = Routine("add_scaled", lambda vector, number, a: vector + number * a)
total = Routine("total", _total)  # sum of the entries
# transpose of the 32 x 32 bits in words from a position on, to words from another; bits in the order of `np.packbits`
transpose_bits = Routine("transpose_bits", _transpose_bits)
power_of_two = Routine("power_of_two", _power_of_two)  # 2^(k + shift), a normal number; k is the integer next to x
exponent = Routine("exponent", _exponent)  # largest k with 2^k <= x, for normal numbers x > 0


def padded(d: int, dtype: np.dtype[np.floating]) -> int:
    """Return the entries of whole vectors of kernels that hold d."""
    size = BYTES // dtype.itemsize
    return -(-d // size) * size


def aligned_zeros(size: int, dtype: DTypeLike) -> NDArray[Any]:
    """Return a zero vector that starts with a cache line, so that no vector is in two of them."""
    n_bytes = size * np.dtype(dtype).itemsize
    raw = np.zeros(n_bytes + _LINE, dtype=np.uint8)
    start = -raw.ctypes.data % _LINE
    return raw[start : start + n_bytes].view(dtype)
