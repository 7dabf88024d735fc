"""Masks at one bit per entry, for masks too large at one byte per entry."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from cvxrelu._validation import BoolArray, read_only

# Largest mask stored at one byte per entry.
_PLAIN_BYTES = 2**29
# Largest copy of a part of a mask while it is packed.
_COPY_BYTES = 2**20


class PackedMask:
    """A read-only mask D of shape (n, P), at one bit per entry.

    ``D[rows, patterns]`` unpacks a part: rows are a slice of step 1, patterns a slice, an index or an index array.
    ``np.asarray(D)`` unpacks the whole mask. Kernels of products read the bits of 32 rows at a time: a `GatedOperator`
    with this mask holds them in that order in addition, another n P / 8 bytes.

    Parameters
    ----------
    bits : ndarray of shape (P, ceil(n / 8)), uint8
        ``np.packbits(D.T, axis=1)``; not copied.
    n : int
        Number of rows.

    Raises
    ------
    ValueError
        If the bits are no array of that type and width.

    Attributes
    ----------
    shape : tuple of int
        (n, P).
    bits : ndarray of shape (P, ceil(n / 8)), uint8
        The bits, read-only; those past the last row are zero.
    """

    dtype = np.dtype(np.bool_)

    def __init__(self, bits: NDArray[np.uint8], n: int) -> None:
        if bits.dtype != np.uint8 or bits.ndim != 2 or bits.shape[1] != -(-n // 8):
            raise ValueError(f"bits must be uint8 of shape (P, {-(-n // 8)}); got {bits.dtype} {bits.shape}")
        self.bits = bits.view()
        self.bits.flags.writeable = False
        self.shape = (n, len(bits))

    @property
    def size(self) -> int:
        """Number n P of entries."""
        return self.shape[0] * self.shape[1]

    @property
    def nbytes(self) -> int:
        """Memory of the bits, in bytes."""
        return int(self.bits.nbytes)

    def __repr__(self) -> str:
        """Return a summary of shape and memory."""
        return f"PackedMask({self.shape[1]} patterns of {self.shape[0]} rows in {self.nbytes} bytes)"

    def __getitem__(self, key: tuple[slice, slice | int | NDArray[np.intp]]) -> BoolArray:
        """Return a part as an array in which the rows of a pattern are contiguous.

        Raises
        ------
        IndexError
            If rows are skipped or reversed, or patterns are out of range.
        """
        rows, patterns = key
        start, stop, step = rows.indices(self.shape[0])
        if step != 1:
            raise IndexError(f"rows of a PackedMask must be a slice of step 1; got step {step}")
        first, stop = start // 8, max(start, stop)
        bits = self.bits[patterns, first : -(-stop // 8)]
        unpacked = np.unpackbits(bits, axis=-1, count=stop - 8 * first)
        part: BoolArray = unpacked[..., start - 8 * first :].view(np.bool_).T
        return part

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Return all entries as an array (n, P)."""
        if copy is False:
            raise ValueError("a PackedMask cannot be viewed as an array without a copy: np.asarray(mask) unpacks it")
        return self[:, :].astype(np.bool_ if dtype is None else dtype, copy=False)


Mask: TypeAlias = BoolArray | PackedMask


def as_stored(D: Mask) -> Mask:
    """Return D read-only in its stored form: packed if above 2^29 entries, else in Fortran order."""
    if D.size > _PLAIN_BYTES:
        return D if isinstance(D, PackedMask) else PackedMask(packed_bits(D), len(D))
    if isinstance(D, PackedMask):
        unpacked = np.asarray(D)
        unpacked.flags.writeable = False
        return unpacked
    return read_only(D, order="F")  # patterns are accessed by column


def count_active(D: Mask) -> int:
    """Return the number of true entries."""
    if isinstance(D, PackedMask):
        ones = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1).astype(np.uint8)
        return int(ones[D.bits].sum(dtype=np.int64))
    return int(np.count_nonzero(D))


def take_patterns(D: Mask, index: NDArray[np.intp] | slice) -> Mask:
    """Return the patterns in ``index``, packed if D is packed."""
    return PackedMask(D.bits[index], D.shape[0]) if isinstance(D, PackedMask) else D[:, index]


def packed_bits(D: Mask) -> NDArray[np.uint8]:
    """Return the bits (P, ceil(n / 8)) of the patterns, the same for packed and unpacked masks."""
    if isinstance(D, PackedMask):
        return D.bits
    n, P = D.shape
    bits = np.empty((P, -(-n // 8)), dtype=np.uint8)
    step = max(1, _COPY_BYTES // max(n, 1))
    for start in range(0, P, step):
        bits[start : start + step] = np.packbits(np.ascontiguousarray(D[:, start : start + step].T), axis=1)
    return bits
