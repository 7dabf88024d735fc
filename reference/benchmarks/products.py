"""Speed of the masked products A u and A't: the kernels, NumPy's products and the machine's plain matrix product."""

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from threadpoolctl import threadpool_limits

import cvxrelu as cr
from cvxrelu.problems.operators import packed_products
from reference.machine import machine


class Shape(NamedTuple):
    """Rows, columns, patterns and outputs of an operator, and the number of patterns of which these are a part."""

    n: int
    d: int
    P: int
    c: int
    total: int | None = None


# Sizes of real data, from diabetes to MNIST, with all patterns or those of a working set.
SHAPES = (
    Shape(351, 34, 500, 1),
    Shape(569, 31, 500, 1),
    Shape(768, 9, 500, 1),
    Shape(5404, 6, 500, 1),
    Shape(5404, 6, 20, 1),
    Shape(19020, 11, 500, 1),
    Shape(19020, 11, 20, 1),
    Shape(4597, 58, 500, 1),
    Shape(4597, 58, 50, 1),
    Shape(20000, 21, 500, 1),
    Shape(1797, 65, 200, 10),
    Shape(1797, 65, 50, 10),
    Shape(2000, 785, 500, 1),
    Shape(8000, 785, 20, 1),
    Shape(50000, 10, 20, 1, 2000),
)
_SIDE = 1000
_SECONDS = 3e-3  # of each measurement


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--repeats", type=int, default=9, help="number of runs; medians are printed (default: 9)")
    parser.add_argument("--threads", type=int, default=1, help="threads of the matrix products (default: 1)")


def run(arguments: argparse.Namespace) -> str:
    """Time masked products by the kernels and by NumPy, beside the machine's plain matrix product."""
    return measure(SHAPES, arguments.repeats, arguments.threads)


def measure(shapes: Sequence[Shape], repeats: int, threads: int) -> str:
    """Return a table of CPU times, and of speeds as fractions of the machine's, of 2 n P d c operations a product."""
    lines = [
        f"{machine()}, {threads} thread(s), medians of {repeats}, CPU ms; fractions of the speed of a plain product of "
        f"{_SIDE} x {_SIDE} matrices",
        f"{'':36}{'A t: kernel':>15}{'NumPy':>15}{'gain':>6}{'A u: kernel':>15}{'NumPy':>15}{'gain':>6}",
    ]
    for kernels in (packed_products.ADJOINT, packed_products.FORWARD):
        for product in kernels.values():
            product.kernel.compile()
    with threadpool_limits(threads):
        for dtype in (np.float64, np.float32):
            for shape in shapes:
                lines.append(_line(shape, dtype, repeats))
    return "\n".join(lines)


def _line(shape: Shape, dtype: type[np.floating], repeats: int) -> str:
    n, d, P, c, total = shape
    rng = np.random.default_rng(0)
    X, D = rng.standard_normal((n, d)).astype(dtype), np.asfortranarray(rng.random((n, total or P)) < 0.5)
    U, t = rng.standard_normal((c, P, d)).astype(dtype), rng.standard_normal((n, c)).astype(dtype)
    square = rng.standard_normal((_SIDE, _SIDE)).astype(dtype)
    operator = cr.GatedOperator(X, D)
    if total is not None:
        operator = operator.take(np.linspace(0, total - 1, P).astype(int))

    kernel, plain = 0.0, np.inf
    times = _medians(
        [
            (kernel, lambda: square @ square),
            (kernel, lambda: operator.adjoint(t)),
            (plain, lambda: operator.adjoint(t)),
            (kernel, lambda: operator.forward(U)),
            (plain, lambda: operator.forward(U)),
        ],
        repeats,
    )
    speed = 2.0 * _SIDE**3 / times[0]
    cells = [f"{1e3 * seconds:8.2f} ({2.0 * n * P * d * c / seconds / speed:4.2f})" for seconds in times[1:]]
    name = f"{dtype.__name__} {n} x {d}, P = {P}{f' of {total}' if total else ''}, c = {c}"
    gains = [f"{times[k + 1] / times[k]:6.1f}" for k in (1, 3)]
    return f"{name:36}{cells[0]}{cells[1]}{gains[0]}{cells[2]}{cells[3]}{gains[1]}"


def _medians(calls: Sequence[tuple[float, Callable[[], Any]]], repeats: int) -> list[float]:
    """Return the median CPU seconds of each call, with its smallest size of a kernel; calls alternate.

    Each is repeated for a few milliseconds, as in a solve.
    """
    times: list[list[float]] = [[] for _ in calls]
    counts = [1] * len(calls)
    for repeat in range(repeats + 1):
        for k, (smallest, call) in enumerate(calls):
            with mock.patch.object(packed_products, "SMALLEST", smallest):
                call()
                start = time.process_time()
                for _ in range(counts[k]):
                    call()
                seconds = (time.process_time() - start) / counts[k]
            if repeat:
                times[k].append(seconds)
            else:
                counts[k] = max(1, round(_SECONDS / max(seconds, 1e-6)))
    return [float(np.median(seconds)) for seconds in times]
