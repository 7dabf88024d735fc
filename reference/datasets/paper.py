"""Real data, prepared and split as in the paper."""

import numpy as np
from numpy.typing import NDArray

from reference.datasets.prepare import Array
from reference.datasets.real import load_table

_SPLIT_SEED = 1995
_TEST_FRACTION = 0.2


def load_split(name: str) -> tuple[Array, Array, Array, NDArray[np.intp]]:
    """Return training rows and targets, test rows and test classes, prepared as in the paper.

    A column of ones is appended, the rows are shuffled by ``default_rng(1995)``, the first fifth is the test set, and
    columns are divided by the norms of the training columns. Targets are -1 and +1, with one output for two classes and
    otherwise one for each class.

    Parameters
    ----------
    name : str
        A classification data set of `reference.datasets.real.load_table`, whose errors are raised.
    """
    X, classes = load_table(name)
    X = np.column_stack([X, np.ones(len(X))])
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(X))
    X, classes = X[order], classes[order].astype(np.intp)
    n_test = int(_TEST_FRACTION * len(X))
    test, train = X[:n_test], X[n_test:]
    norms = np.linalg.norm(train, axis=0)
    norms[norms == 0.0] = 1.0
    hot = 2.0 * np.eye(classes.max() + 1)[classes[n_test:]] - 1.0
    return train / norms, hot[:, 1] if hot.shape[1] == 2 else hot, test / norms, classes[:n_test]
