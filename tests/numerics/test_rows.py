import numpy as np

from cvxrelu.numerics.rows import row_norms, safe_norm, safe_row_norms
from tests.helpers.sizes import SIZES


def test_norms_of_any_size():
    x = np.random.default_rng(0).standard_normal((5, 3))
    np.testing.assert_array_equal(safe_row_norms(x), np.linalg.norm(x, axis=1))
    assert safe_norm(x[0]) == np.linalg.norm(x[0])
    for size in SIZES:
        np.testing.assert_allclose(safe_row_norms(size * x) / size, row_norms(x), rtol=1e-12)
        np.testing.assert_allclose(safe_norm(size * x[0]) / size, row_norms(x)[0], rtol=1e-12)
    assert safe_norm(np.zeros(3)) == 0.0


def test_norms_that_overflow_are_infinite():
    np.testing.assert_array_equal(row_norms(np.full((2, 3), 1e200)), np.inf)
