"""Real data as the paper prepares them."""

import numpy as np
from numpy.typing import NDArray

from reference.datasets.prepare import Array
from reference.datasets.real import load_table

_SPLIT_SEED = 1995
_TEST_SHARE = 0.2


def load_split(name: str) -> tuple[Array, Array, Array, NDArray[np.intp]]:
    """Return training rows and targets, test rows and classes, as the paper prepares them.

    A column of ones is appended; the first fifth of the rows, shuffled by ``default_rng(1995)``, is the test set;
    columns are divided by the norms of the training columns. Targets are -1 and +1, for one output if there are two
    classes, else one output for each.

    Parameters
    ----------
    name : str
        A set with classes that `reference.datasets.real.load_table` knows; it raises what that raises.
    """
    X, classes = load_table(name)
    X = np.column_stack([X, np.ones(len(X))])
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(X))
    X, classes = X[order], classes[order].astype(np.intp)
    n_test = int(_TEST_SHARE * len(X))
    test, train = X[:n_test], X[n_test:]
    norms = np.linalg.norm(train, axis=0)
    norms[norms == 0.0] = 1.0
    hot = 2.0 * np.eye(classes.max() + 1)[classes[n_test:]] - 1.0
    return train / norms, hot[:, 1] if hot.shape[1] == 2 else hot, test / norms, classes[:n_test]
