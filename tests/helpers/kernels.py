"""The source of two small kernels, and what their tests look at."""

import numpy as np

TINY = """
from cvxrelu.runtime.compilation import kernel

@kernel()
def half(x):
    return 0.5 * x

@kernel("(float64[::1],)")
def halve(x):
    for i in range(len(x)):
        x[i] = half(x[i])
"""


def halved(module):
    x = np.array([1.0, 3.0])
    module.halve(x)
    return x.tolist()


def cached(folder):
    (file,) = folder.iterdir()
    return file
