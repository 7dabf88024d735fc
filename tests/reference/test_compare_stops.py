"""A comparison that ends leaves no process behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SLEEPY = """
import os
import time

import numpy as np

def solve(problem, tol, time_limit):
    if problem.n > 10:
        open(f"{os.environ['SOLVING']}/{os.getpid()}", "w").close()
        time.sleep(3600)
    return np.zeros((1, len(problem.patterns), problem.d))
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with the one that started it"),
]


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def children(pid):
    return [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)
    return condition()


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_is_left(tmp_path, how, n_jobs):
    own, solving = tmp_path / "own.py", tmp_path / "solving"
    own.write_text(SLEEPY)
    solving.mkdir()
    command = [sys.executable, "-m", "reference", "compare", "--instances", "wide/gated*", "collinear/gated*"]
    command += [
        "--solvers",
        f"{own}:solve",
        "--timeout",
        "1800",
        "--n-jobs",
        str(n_jobs),
        "--out",
        str(tmp_path / "r.csv"),
    ]
    environment = os.environ | {"SOLVING": str(solving)}
    runner = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    assert wait_for(lambda: len(list(solving.iterdir())) == n_jobs, 600)
    started = [int(path.name) for path in solving.iterdir()]
    started += children(runner.pid)
    assert all(alive(pid) for pid in started)
    if how is signal.SIGINT:
        os.killpg(runner.pid, how)  # as the terminal does it, to the workers as well
    else:
        runner.send_signal(how)
    runner.wait(timeout=300)
    assert wait_for(lambda: not any(alive(pid) for pid in started), 300), started
