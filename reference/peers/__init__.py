"""Other packages that solve the same programs, run for comparison in a separate virtual environment.

They need NumPy 1 and PyTorch, which cvxrelu does not, and are never imported here: `run_pyscnn.py`, `run_adelie.py`,
`run_skglm.py`, `run_celer.py` and `run_torch.py` are scripts for the peers environment (`make peers` builds
`.venv-peers`), which exchange problem and answer through files. `run_cvxpy.py`, for CVXPY's solvers, has the same
interface and runs in cvxrelu's environment::

    .venv-peers/bin/python reference/peers/run_pyscnn.py PROBLEM.npz OUT.npz --solver rfista --tol 1e-6
    .venv-peers/bin/python reference/peers/run_adelie.py PROBLEM.npz OUT.npz --solver gated --tol 1e-7
    .venv-peers/bin/python reference/peers/run_skglm.py PROBLEM.npz OUT.npz --solver GroupBCD --tol 1e-4
    .venv-extras/bin/python reference/peers/run_cvxpy.py PROBLEM.npz OUT.npz --solver relu --backend CLARABEL --tol 1e-7

PROBLEM.npz holds X (n, d), y (n,), G (d, P), lam and, for a path, lams that descend to lam; `job` documents OUT.npz.
Nothing is scaled and no bias is added: `run_torch.py` apart, all scripts solve exactly

    gated   min_U       1/(2n) ||sum_i D_i X U_i - y||^2 + lam sum_i ||U_i||
    relu    min_{V, W}  1/(2n) ||sum_i D_i X (V_i - W_i) - y||^2 + lam sum_i (||V_i|| + ||W_i||),
            (2 D_i - I) X V_i >= 0 and (2 D_i - I) X W_i >= 0,

with D_i = diag(1[X G_i >= 0]).
"""

from pathlib import Path

EXPANDED_LIMIT = 2 * 2**30
"""Largest expanded matrix (D_1 X, ..., D_P X) of the peers that need it, in bytes."""

PEERS_SCRIPTS = Path(__file__).parent
PEERS_PYTHON = PEERS_SCRIPTS.parents[1] / ".venv-peers" / "bin" / "python"


def expanded_size(n: int, d: int, n_gates: int) -> int:
    """Return the bytes of the expanded matrix (n, P d) in float64."""
    return 8 * n * d * n_gates
