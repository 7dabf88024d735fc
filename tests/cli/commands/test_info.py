"""``cvxrelu info``."""

import numpy as np

import cvxrelu as cr
from cvxrelu.problems.cvxpy_backends import Availability
from tests.helpers.command import invoke, invoke_json


def test_info_names_what_is_there_and_what_is_not(monkeypatch):
    states = {"MOSEK": Availability.NO_LICENCE, "GUROBI": Availability.SIZE_LIMITED, "XPRESS": Availability.MISSING}
    monkeypatch.setattr("cvxrelu.cli.runs.info.availability", lambda name: states.get(name, Availability.OK))
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = invoke_json("info")
    solvers = {one["name"]: one for one in found["solvers"]}
    for name, state in states.items():
        assert (solvers[name]["availability"], solvers[name]["licensed"]) == (state.value, True)
    assert (solvers["CLARABEL"]["availability"], solvers["CLARABEL"]["licensed"]) == ("ok", False)
    assert found["versions"]["cvxrelu"] == cr.__version__
    assert found["versions"]["numpy"] == np.__version__
    assert "WorkingSet" in found["native_solvers"]
    assert any(pool["api"] == "blas" and pool["threads"] >= 1 for pool in found["threads"])
    assert found["variables"]["OMP_NUM_THREADS"] == "3"
    result = invoke("info", columns=80)
    text = " ".join(result.stdout.split())
    for words in (
        "MOSEK installed, but does not run, most likely without a licence",
        "GUROBI ok for small programs: the licence limits their size",
        "XPRESS not installed: pip install xpress, and a licence",
        f"numpy {np.__version__}",
        "OMP_NUM_THREADS 3",
    ):
        assert words in text
    assert max(map(len, result.stdout.splitlines())) <= 80
