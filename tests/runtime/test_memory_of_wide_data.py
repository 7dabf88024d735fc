"""The memory of a whole fit of few rows and very many columns, measured in a process of its own."""

import subprocess
import sys

import pytest

FIT = """
import resource, warnings
import numpy as np
import cvxrelu as cr

warnings.simplefilter("ignore")
X = np.random.default_rng(0).standard_normal((60, 20_000))
labels = np.arange(60) % 3
X[:, 0] += 3 * labels
cr.{estimator}(random_state=0).fit(X, labels)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux")
@pytest.mark.parametrize("estimator", ["ConvexReLUClassifier", "GatedReLUClassifier"])
def test_softmax_on_20_000_columns_takes_less_than_a_gigabyte(estimator):
    program = FIT.format(estimator=estimator)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(run.stdout) * 1024 < 1e9
