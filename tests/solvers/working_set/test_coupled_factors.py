"""Factors of coupled outputs against the explicit matrix."""

import numpy as np
import pytest

from cvxrelu.losses.base import ConjugateDerivatives
from cvxrelu.penalties.prox_jacobians import block_jacobian
from cvxrelu.solvers.working_set.column_systems import _Columns
from cvxrelu.solvers.working_set.coupled_factors import coupled_entries, coupled_inverse, coupled_work
from tests.helpers.newton_systems import D, P, make_operator

C, SHIFT = 3, 0.2
ROWS = {"whole": 40, "by output": 12}  # more than half the columns, and fewer


def coupled_system(n, dtype, *, empty=False):
    """Return the matrix of a random step, with blocks that single outputs, or one output, shrink to zero."""
    rng = np.random.default_rng(n)
    A = make_operator(n=n).astype(dtype)
    p = rng.dirichlet(np.full(C, 0.5), n)
    w = rng.standard_normal((C, P, D))
    if empty:
        w[1] *= 1e-3
    M = block_jacobian(w, 1.5).astype(dtype)
    assert 0 < np.count_nonzero(M.shrinkage) < C * P
    return _Columns(A, M, ConjugateDerivatives(p.astype(dtype), p.astype(dtype), p.astype(dtype)), SHIFT)


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize(("dtype", "tol"), [(np.float64, 1e-10), (np.float32, 1e-3)])
@pytest.mark.parametrize("n", ROWS.values(), ids=ROWS)
def test_inverse_of_the_matrix_on_the_active_blocks(n, dtype, tol, empty):
    system = coupled_system(n, dtype, empty=empty)
    used = system.M.support()
    assert (np.count_nonzero(used) * D <= 2 * n) == (n == ROWS["whole"])
    x = np.random.default_rng(0).standard_normal((C, P, D)).astype(dtype)
    x[~used] = 0.0
    r = SHIFT * x + system.adjoint(system.forward(x))
    solved = coupled_inverse(system.A, system.M, system.Q, SHIFT)(r.astype(dtype))
    assert not solved[~used].any()
    np.testing.assert_allclose(solved, x, rtol=0, atol=tol * np.abs(x).max())


def test_rows_in_chunks(monkeypatch):
    system = coupled_system(ROWS["whole"], np.float64)
    r = np.random.default_rng(0).standard_normal((C, P, D))
    expected = coupled_inverse(system.A, system.M, system.Q, SHIFT)(r)
    monkeypatch.setattr("cvxrelu.solvers.working_set.coupled_factors._CHUNK", 7)
    np.testing.assert_allclose(coupled_inverse(system.A, system.M, system.Q, SHIFT)(r), expected, rtol=1e-9)


@pytest.mark.parametrize("n", ROWS.values(), ids=ROWS)
def test_indefinite_matrices_are_refused(n):
    system = coupled_system(n, np.float64)
    Q = ConjugateDerivatives(system.Q.gradient, system.Q.diagonal, 10.0 * system.Q.coupling)
    with pytest.raises(np.linalg.LinAlgError):
        coupled_inverse(system.A, system.M, Q, 1e-6)


def test_many_columns_cost_less_by_output():
    columns = np.array([300.0, 100.0])
    assert coupled_entries(200, columns) == 400.0**2
    assert coupled_entries(10, columns) == 300.0**2 + 100.0**2 + 10 * 400.0 + 10.0**2
    assert coupled_work(10, columns) < 400.0**3 / 3.0 < coupled_work(200, columns)
