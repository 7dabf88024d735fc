"""The benchmark of decompositions, on small data."""

import re

from reference.benchmarks import decompositions


def test_the_benchmark_compares_times_and_values():
    told = decompositions.measure(20, 1, 1)
    assert "n = 500, d = 31, 20 blocks" in told
    assert float(re.search(r"native .* at most ([\d.e+-]+)", told)[1]) <= 1e-8
    assert float(re.search(r"ratio ([\d.]+)", told)[1]) > 0.0
    assert told.endswith("cone violation 0.0e+00")
