import re

import pytest

from reference.benchmarks import global_optima


def test_a_case_is_solved_and_told():
    told = global_optima.measure(["cancer-200x3"], threads=1)
    row = re.search(
        r"\| cancer-200x3 \| 3 \| 0.001 \| \S+ \| (\S+) \| (\S+) \| (\S+) \| branch_and_bound \| \d+ \|", told
    )
    objective, lower, gap = map(float, row.groups())
    assert lower <= objective
    assert gap <= 1e-6


def test_unknown_cases_are_named():
    with pytest.raises(SystemExit, match="there is no case 'cats'; choose from waves-20000, .*cancer-569x31"):
        global_optima.measure(["cats"], threads=1)
