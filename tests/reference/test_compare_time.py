"""The comparison's clock, memory and versions: only the solver's call is measured."""

import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from reference.compare import ladder
from reference.compare.error_summary import error_summary
from reference.compare.ladder import Effort
from reference.compare.results import append, read
from reference.compare.run import Plan, compare
from reference.compare.solvers import find
from reference.instances.instance import Instance
from reference.peers import job

TINY = Instance("wide", "gated", 6, 0.3, "small")
ZEROS = "    return np.zeros((1, len(problem.patterns), problem.d))\n"
HEAD = "import time\nimport numpy as np\n"
# The solver's clock is frozen at the time that it is supposed to have spent, so that slow machines do not matter.
SPENDS = """
def solve(problem, tol, time_limit):
    if problem.n > 10:  # not in the warm-up
        end = time.perf_counter() + time_limit + {more}
        time.perf_counter = lambda: end
"""


@pytest.fixture
def table_of(tmp_path):
    def made(body, asked=(0.1, 1e-4), timeout=3.0, **changes):
        path = tmp_path / "own.py"
        path.write_text(body)
        plan = Plan(asked, Effort(1, timeout), 1, tmp_path / "results.csv", **changes)
        return compare([TINY], [find(f"{path}:solve")], plan)

    return made


def test_imports_are_not_the_solvers_time(table_of):
    """Imports that take longer than the time-out are neither timed nor stopped."""
    table = table_of(HEAD + "time.sleep(3.0)\ndef solve(problem, tol, time_limit):\n" + ZEROS, timeout=2.0)
    assert table["status"].tolist() == ["answered", "answered"]
    assert (table["seconds"] < 2.0).all()


def test_the_limit_that_solvers_are_given_lets_them_answer_in_time(table_of):
    """A solver that uses all of its limit has answered, and is not asked for smaller accuracies."""
    table = table_of(HEAD + SPENDS.format(more=0.0) + ZEROS, timeout=100.0)
    assert table["status"].tolist() == ["answered", "not_run"]
    assert 95.0 <= table["seconds"].iloc[0] <= 100.0
    assert table["note"].tolist() == ["", "out of time at 0.1"]


def test_a_late_answer_is_none(table_of):
    table = table_of(HEAD + SPENDS.format(more=30.0) + ZEROS, timeout=100.0)
    assert table["status"].tolist() == ["timeout", "not_run"]
    assert table["seconds"].iloc[0] == 100.0
    assert np.isnan(table["accuracy"].iloc[0])


@pytest.mark.slow
def test_earlier_answers_of_a_process_that_is_stopped_are_kept(table_of):
    wait = "def solve(problem, tol, time_limit):\n    if tol < 0.01:\n        time.sleep(3600)\n"
    table = table_of(HEAD + wait + ZEROS, timeout=3.0)
    assert table["status"].tolist() == ["answered", "timeout"]


def test_memory_is_what_solving_adds(table_of):
    """The row reports the 100 MB allocated in the call, not the 200 MB allocated at import."""
    hold = "held = np.ones(25_000_000)\ndef solve(problem, tol, time_limit):\n    np.ones(12_500_000).sum()\n"
    table = table_of(HEAD + hold + ZEROS, asked=(0.1,))
    assert table["memory_mb"].iloc[0] == pytest.approx(100.0 * 1e6 / 2**20, abs=8.0)


def test_the_clock_leaves_a_file_while_it_runs(tmp_path):
    running = tmp_path / "answer.running"
    clock = job.Clock(running)
    with clock:
        assert running.exists()
        time.sleep(0.02)
    assert not running.exists()
    assert clock.seconds >= 0.02
    with pytest.raises(RuntimeError), clock:
        raise RuntimeError
    assert not running.exists()


def test_compiling_is_not_the_solvers_time(tmp_path):
    """A process that compiles for two seconds is not stopped; one that solves for as long is."""
    body = "from reference.peers.job import Clock\nfrom pathlib import Path\nimport time, sys\nimport numpy as np\n"
    body += "clock = Clock(Path(sys.argv[1]).with_suffix('.running'))\n"
    answer = "part = Path(sys.argv[1]).with_suffix('.part.npz')\n"
    answer += "np.savez(part, metadata='{}', seconds=[0.01], U=np.zeros(1))\npart.rename(sys.argv[1])\n"
    compiles = body + "with clock:\n with clock.compiling():\n  time.sleep(2.0)\n" + answer
    solves = body + "with clock:\n time.sleep(3600)\n" + answer
    statuses = []
    for name, text in (("compiles", compiles), ("solves", solves)):
        file = tmp_path / f"{name}.npz"
        with subprocess.Popen([sys.executable, "-c", text, str(file)]) as process:
            outcome = ladder._wait(process, file, 1.0, 0.5, lambda: False)
            process.kill()
        statuses.append((outcome.status, outcome.note))
    assert statuses == [("answered", ""), ("timeout", "stopped, 1 s allowed")]


def test_a_function_that_hangs_is_stopped_at_its_time_out(table_of):
    """In the warm-up, it has neither the minutes that kernels may take, nor is it reported as failed."""
    table = table_of(HEAD + "def solve(problem, tol, time_limit):\n    time.sleep(600)\n", timeout=1.0)
    assert table["status"].tolist() == ["timeout", "not_run"]
    assert table["seconds"].iloc[0] == 1.0
    assert table["note"].iloc[0] == "stopped in the warm-up on ten rows, 1 s allowed"


def test_a_process_that_never_gets_ready_is_out_of_time(tmp_path, monkeypatch):
    monkeypatch.setattr(ladder, "_OTHER", 0.2)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        outcome = ladder._wait(process, tmp_path / "answer.npz", 5.0, 1.0, lambda: False)
        process.kill()
    assert (outcome.status, outcome.note) == ("timeout", "stopped, not ready after 0.2 s")


def test_exceptions_of_several_lines_are_noted_whole(table_of):
    body = HEAD + "def solve(problem, tol, time_limit):\n    raise ValueError('first line\\n  second line\\n\\nlast')\n"
    table = table_of(body, asked=(0.1,))
    assert table["status"].tolist() == ["failed"]
    assert table["note"].tolist() == ["ValueError: first line second line last"]


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ("", ""),
        ("a warning\nout of luck\n", "out of luck"),
        ("noise\nTraceback (most recent call last):\n  File x\n    f()\nOSError: a\n  b\n", "OSError: a b"),
        (
            "Traceback (most recent call last):\n  F\nKeyError: 1\n\nDuring handling of the above exception, another "
            "exception occurred:\n\nTraceback (most recent call last):\n  File y\nRuntimeError: two\nlines\n",
            "RuntimeError: two lines",
        ),
        ("Traceback (most recent call last):\n  F\nE: " + 90 * "ab " + "end", None),
    ],
)
def test_error_summary(errors, said):
    found = error_summary(errors)
    if said is None:
        assert found.startswith("E: ab ab")
        assert " ... " in found
        assert found.endswith("ab end")
        assert len(found) <= 200
    else:
        assert found == said


ADDS = """
import sys
from pathlib import Path
from reference.compare.results import append, read
who = sys.argv[2]
for k in range(40):
    row = {"instance": f"case{k}", "version": 1, "n": 1, "d": 1, "n_patterns": 1, "n_outputs": 1, "threads": 1}
    append(Path(sys.argv[1]), [row | {"solver": who, "asked": asked, "status": "answered"} for asked in (0.1, 1e-6)])
"""


def test_processes_that_add_to_one_file_lose_no_row(tmp_path):
    path = tmp_path / "results.csv"
    processes = [subprocess.Popen([sys.executable, "-c", ADDS, str(path), who]) for who in ("a", "b", "b")]
    assert [process.wait() for process in processes] == [0, 0, 0]
    table = read(path)
    runs = set(zip(table["instance"], table["solver"], table["asked"], strict=True))
    assert len(table) == len(runs) == 160
    assert not list(tmp_path.glob("*.tmp"))


def test_what_a_killed_process_has_left_is_replaced(tmp_path):
    path = tmp_path / "results.csv"
    path.with_name("results.csv.tmp").write_text("half a li")
    append(path, [])
    assert len(read(path)) == 0
    assert not list(tmp_path.glob("*.tmp"))


def test_a_solver_that_was_changed_is_run_anew_or_refused(table_of, tmp_path):
    body = HEAD + "def solve(problem, tol, time_limit):\n" + ZEROS
    first = table_of(body)
    assert first["solver"].unique().tolist() == ["own.py:solve"]  # no path of this machine
    with pytest.raises(ValueError, match="another version of own.py:solve"):
        table_of(body + "\n# changed\n")
    second = table_of(body + "\n# changed\n", again=True)
    assert len(read(tmp_path / "results.csv")) == len(second) == 2
    assert set(first["solver_version"]).isdisjoint(second["solver_version"])


def test_the_solver_in_the_readme_reaches_the_optimum(table_of):
    text = (Path(__file__).parents[2] / "reference" / "README.md").read_text()
    table = table_of(re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1), asked=(1e-6,), timeout=200.0)
    assert table["status"].tolist() == ["answered"]
    assert table["accuracy"].iloc[0] <= 1e-6
