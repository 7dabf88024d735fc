import numpy as np

from cvxrelu.numerics.active_set import project_blocks, scratch


def test_the_most_violated_rows_are_remembered():
    """Rows 0 and 2, violated by 0.9 and 1, are examined first after one of them has entered."""
    unit, x = np.eye(4), np.array([[-0.9, 3.0, 1.0, -0.1]])
    active, tight = np.array([[True, True, False, True]]), np.zeros((1, 4), dtype=bool)
    row, level, basis = np.zeros((1, 4), dtype=np.intp), np.zeros((1, 4)), np.eye(4)[None].copy()
    vectors, margins, some = scratch(4, 4)
    some[:] = -1
    project_blocks(
        unit, active, np.empty((1, 0)), x, np.array([1e-9]), -1.0, 1, basis, tight, row, level, vectors, margins, some
    )
    np.testing.assert_array_equal(margins, [-0.9, 3.0, -1.0, -0.1])
    assert row[tight].tolist() == [2]
    assert some.tolist() == [0, 2, -1, -1]
