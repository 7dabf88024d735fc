"""Other packages that solve the same programs, run for comparison in a virtual environment of their own.

They need NumPy 1 and PyTorch, which cvxrelu does not, so they are never imported here: `run_pyscnn.py` and
`run_adelie.py` are scripts for the peers environment (`make peers` builds `.venv-peers`), and files carry the
problem there and the answer back. `run_cvxpy.py`, CVXPY's solvers, is of the same form and runs in cvxrelu's own::

    .venv-peers/bin/python reference/peers/run_pyscnn.py PROBLEM.npz OUT.npz --solver rfista --tol 1e-6
    .venv-peers/bin/python reference/peers/run_adelie.py PROBLEM.npz OUT.npz --solver gated --tol 1e-7
    .venv-extras/bin/python reference/peers/run_cvxpy.py PROBLEM.npz OUT.npz --solver relu --backend CLARABEL --tol 1e-7

PROBLEM.npz holds X (n, d), y (n,), G (d, P), lam and, if a path is wanted, lams that descend to lam; `job` says what
OUT.npz holds. Nothing is scaled and no bias is added: all scripts solve exactly

    gated   min_U       1/(2n) ||sum_i D_i X U_i - y||^2 + lam sum_i ||U_i||
    relu    min_{V, W}  1/(2n) ||sum_i D_i X (V_i - W_i) - y||^2 + lam sum_i (||V_i|| + ||W_i||),
            (2 D_i - I) X V_i >= 0 and (2 D_i - I) X W_i >= 0,

with D_i = diag(1[X G_i >= 0]).
"""
