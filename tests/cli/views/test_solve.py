"""Records of a solve."""

import dataclasses
import math

from cvxrelu.cli.views.solve import record


def test_record_has_no_infinite_numbers(demo_run):
    odd = dataclasses.replace(demo_run, network_objective=math.inf, test={"rmse": math.nan})
    assert record(odd)["network_objective"] is None
    assert record(odd)["test"] == {"rmse": None}
