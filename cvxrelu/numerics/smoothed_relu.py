"""The smoothed ReLU of local training: activations, derivatives, and the chain rule, on blocks of rows in float32.

With the half width e > 0 of its neuron, the ramp D(z) = clip((z + e) / 2e, 0, 1) stands for the derivative of the ReLU,
and its integral for the ReLU: (z + e)^2 / 4e between -e and e.
"""

import numpy as np
from numpy.typing import NDArray

from cvxrelu.runtime.compilation import PreparedArray, Savings, kernel

Block = NDArray[np.float32]

_COMPILATION = 3.0  # CPU seconds of both kernels


@kernel("float32[:, ::1], float32[:, ::1], float32[::1]")
def activate(Z, D, widths):  # type: ignore[no-untyped-def]
    """Replace the products Z (b, m) by their activations, and write their derivatives to D (b, m)."""
    b, m = Z.shape
    half = np.float32(0.5)
    for i in range(b):
        for j in range(m):
            e = widths[j]
            z = Z[i, j]
            shifted = min(max(z + e, np.float32(0.0)), e + e)
            slope = half * shifted / e
            D[i, j] = slope
            Z[i, j] = max(z - e, np.float32(0.0)) + half * shifted * slope


@kernel("float32[:, ::1], float32[:, ::1], float32[:, ::1], float32[::1], float32[::1]")
def chain(D, R, V, sums, row):  # type: ignore[no-untyped-def]
    """Multiply the derivatives D (b, m) by R V, for R (b, c) and V (c, m), and add to the ``sums`` (m,).

    These are the column sums of R V D (1 - D). ``row`` (m,) is scratch.
    """
    b, m = D.shape
    c = R.shape[1]
    one = np.float32(1.0)
    for i in range(b):
        r = R[i, 0]
        for j in range(m):
            row[j] = r * V[0, j]
        for k in range(1, c):
            r = R[i, k]
            for j in range(m):
                row[j] += r * V[k, j]
        for j in range(m):
            slope = D[i, j]
            product = row[j] * slope
            D[i, j] = product
            sums[j] += product * (one - slope)


SAVINGS = (Savings(activate, _COMPILATION / 2), Savings(chain, _COMPILATION / 2))


def activate_by_numpy(Z: PreparedArray, D: PreparedArray, widths: Block) -> None:
    """Do what `activate` does."""
    products, slopes = Z.array, D.array
    shifted = np.clip(products + widths, 0.0, 2.0 * widths)
    np.divide(shifted, 2.0 * widths, out=slopes)
    np.maximum(products - widths, 0.0, out=products)
    products += 0.5 * shifted * slopes


def chain_by_numpy(D: PreparedArray, R: Block, V: Block, sums: Block, row: Block) -> None:
    """Do what `chain` does."""
    slopes = D.array.copy()
    D.array[...] *= R @ V
    sums += np.einsum("ij,ij->j", D.array, 1.0 - slopes)
