"""Vectors of 32 bytes in kernels, which LLVM maps to the registers of the machine, whatever their width.

A vector is a value of a kernel. Arrays are one-dimensional; positions are not checked.
"""

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.runtime.blas import Routine

BYTES = 32


def _load(array: FloatArray, i: int) -> FloatArray:
    return array[i : i + lanes(array)].copy()


def _store(array: FloatArray, i: int, vector: FloatArray) -> None:
    array[i : i + len(vector)] = vector


def _total(vector: FloatArray) -> np.floating:
    while len(vector) > 1:
        vector = vector[: len(vector) // 2] + vector[len(vector) // 2 :]
    first: np.floating = vector[0]
    return first


lanes = Routine("lanes", lambda array: BYTES // array.itemsize)  # entries of a vector of the array's type
zeros = Routine("zeros", lambda array: np.zeros(lanes(array), array.dtype))  # zero vector of the array's type
load = Routine("load", _load)  # entries from a position on
store = Routine("store", _store)
add = Routine("add", np.add)
multiply = Routine("multiply", np.multiply)
scale = Routine("scale", np.multiply)  # product of a number and a vector
total = Routine("total", _total)  # sum of the entries
