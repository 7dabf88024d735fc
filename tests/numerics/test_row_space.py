import numpy as np
import pytest

from cvxrelu.numerics.row_space import RowSpace


@pytest.mark.parametrize("spread", [0, 8])
def test_the_row_space_is_as_accurate_as_each_column_and_row(spread):
    rng = np.random.default_rng(2)
    X = rng.standard_normal((30, 400)) * 10.0 ** rng.uniform(-spread, spread, 400)
    X[3] = 0.0
    X[5] = X[4]
    space = RowSpace.of(X)
    error = np.abs(space.rows @ space.basis.T - X)
    assert (error.max(axis=0) <= 1e-13 * np.abs(X).max(axis=0)).all()
    assert (np.linalg.norm(error, axis=1) <= 1e-14 * np.linalg.norm(X, axis=1)).all()
    assert not space.rows[3].any()
    assert np.abs(space.basis.T @ space.basis - np.eye(30)).max() <= 1e-13
