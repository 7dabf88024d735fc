"""Sets of enumerated patterns, and what holds for each."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp


def columns(patterns):
    """Return the patterns as a set."""
    return {column.tobytes() for column in np.asarray(patterns.D).T}


def assert_proven(X, patterns):
    """Check that patterns are distinct and match their gates, with no product within rounding of zero."""
    X = np.asarray(X)
    assert len(columns(patterns)) == len(patterns)
    np.testing.assert_array_equal(patterns.D, X @ patterns.G >= 0)
    sizes = np.abs(X) @ np.abs(patterns.G)
    assert (np.abs(X @ patterns.G) > 1e-15 * sizes)[X.any(axis=1)].all()
    np.testing.assert_allclose(np.abs(patterns.G).sum(axis=0), 1.0)
    assert not patterns.is_singular(X).any()


def integer_data(max_rows, max_features, largest=3):
    shapes = st.tuples(st.integers(1, max_rows), st.integers(1, max_features))
    return hnp.arrays(np.float64, shapes, elements=st.integers(-largest, largest).map(float))
