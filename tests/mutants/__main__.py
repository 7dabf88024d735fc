"""Run a random sample of mutants: ``python tests/mutants SESSION SIZE SEED [MODULE ...]``. See README.md.

cosmic-ray generates the mutants and keeps the session. Its `exec` starts Python for each mutant, which takes longer
than the tests; here each mutant's tests run in a fork of a process that has imported the dependencies of cvxrelu.
"""

import ast
import json
import math
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Generator, Sequence
from pathlib import Path

import cvxpy
import hypothesis
import numba
import pytest
import sklearn.datasets
from cosmic_ray.commands import init
from cosmic_ray.mutating import use_mutation
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkItem, WorkResult

IMPORTED = cvxpy, hypothesis, numba, sklearn.datasets
TESTS = tomllib.loads(Path(__file__).with_name("tests.toml").read_text())
# An operator, comparison, sign or connective is replaced by another one that is valid in its place.
BINARY = "Add_Sub Sub_Add Mul_Div Div_Mul FloorDiv_Mul Mod_FloorDiv Pow_Mul BitAnd_BitOr BitOr_BitAnd"
COMPARISON = "Lt_LtE LtE_Lt Gt_GtE GtE_Gt Lt_GtE LtE_Gt Gt_LtE GtE_Lt Eq_NotEq NotEq_Eq Is_IsNot IsNot_Is"
OPERATORS = {
    *(f"core/ReplaceBinaryOperator_{name}" for name in BINARY.split()),
    *(f"core/ReplaceComparisonOperator_{name}" for name in COMPARISON.split()),
    *(f"core/ReplaceUnaryOperator_Delete_{name}" for name in ("USub", "Not", "Invert")),
    "core/ReplaceAndWithOr",
    "core/ReplaceOrWithAnd",
}
MEMORY = 8 << 30


def path(module: str) -> Path:
    """Return the file of a module, named as in tests.toml: "losses.huber" is cvxrelu/losses/huber.py."""
    return Path("cvxrelu", *module.split(".")).with_suffix(".py")


def name(path: Path) -> str:
    """Return the name of a module in tests.toml."""
    return ".".join(path.with_suffix("").parts[1:])


def gaps(module: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return where binary operators stand that compute, unlike those of types, `*args` and a bare `*`."""
    tree = ast.parse(path(module).read_text())
    annotations = [getattr(node, kind, None) for node in ast.walk(tree) for kind in ("annotation", "returns")]
    types = {inner for outer in annotations if outer is not None for inner in ast.walk(outer)}
    return [
        ((node.left.end_lineno, node.left.end_col_offset), (node.right.lineno, node.right.col_offset))
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp) and node not in types
    ]


def sample(database: WorkDB, size: int, seed: int, modules: Sequence[str]) -> list[WorkItem]:
    """Return a random sample of the mutants: of each module in proportion to its lines, and four at least."""
    lines = {module: len(path(module).read_text().splitlines()) for module in TESTS}
    chosen = []
    for module in modules:
        init([path(module)], database, {})
        computing = gaps(module)
        found = []
        for item in database.work_items:
            (mutant,) = item.mutations
            binary = "Binary" in mutant.operator_name
            if mutant.operator_name in OPERATORS and (
                not binary or any(start <= mutant.start_pos < end for start, end in computing)
            ):
                found.append(item)
        found.sort(key=lambda item: (item.mutations[0].start_pos, item.mutations[0].operator_name))
        quota = max(4, round(size * lines[module] / sum(lines.values())))
        chosen += random.Random(f"{seed} {module}").sample(found, min(quota, len(found)))
    return chosen


class Stopwatch:
    """Times the tests, in processor time, which does not depend on other loads; of ``known`` times the short go first.

    A test that takes more than three times as long as the longest known one, and 5 s, ends the process.
    """

    def __init__(self, known: dict[str, float]) -> None:
        self.known = known
        self.limit = 3.0 * max(known.values()) + 5.0 if known else 3600.0
        self.times: dict[str, float] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: self.known.get(item.nodeid, 0.0))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        started = time.process_time()
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(started + self.limit), resource.RLIM_INFINITY))
        result = yield
        self.times[item.nodeid] = time.process_time() - started
        return result


def run(module: str, known: dict[str, float]) -> tuple[int, str]:
    """Run the tests of a module in a fork; return its wait status and what it printed, at last the times as JSON."""
    with tempfile.TemporaryFile("w+") as output:
        child = os.fork()
        if child == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            # Bytecode only without a mutant: its date is in seconds, and mutants come faster than that.
            sys.dont_write_bytecode = bool(known)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            resource.setrlimit(resource.RLIMIT_CPU, (60, resource.RLIM_INFINITY))  # of imports
            if module in ("numerics.active_set", "numerics.pivots"):  # Numba would compile each mutant anew
                numba.config.DISABLE_JIT = True
            files = [f"tests/{file}.py" for file in TESTS[module]]
            options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=mutants"]
            # Hypothesis is imported already and need not be rewritten.
            options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
            stopwatch = Stopwatch(known)
            status = pytest.main([*options, *files], plugins=[stopwatch])
            print(json.dumps(stopwatch.times), flush=True)
            os._exit(status)
        _, status = os.waitpid(child, 0)
        output.seek(0)
        return status, output.read()


def main(session: str, size: str, seed: str, *chosen: str) -> None:
    os.environ.update(PYTHONDONTWRITEBYTECODE="1", PYTHONPATH=os.getcwd())  # for the processes that tests start
    subprocess.run(["git", "checkout", "--quiet", "cvxrelu"], check=True)  # a mutant left by an interrupt
    modules = chosen or tuple(TESTS)
    with use_db(session) as database:
        if not database.num_work_items:
            items = sample(database, int(size), int(seed), modules)
            database.clear()
            database.add_work_items(items)
        pending = sorted(
            database.pending_work_items, key=lambda item: modules.index(name(item.mutations[0].module_path))
        )
        times: dict[str, dict[str, float]] = {}
        for done, item in enumerate(pending, start=1):
            (mutant,) = item.mutations
            module = name(mutant.module_path)
            if module not in times:
                status, output = run(module, {})
                if status != 0:
                    sys.exit(f"The tests of {module} fail without a mutant:\n{output}")
                times[module] = json.loads(output.splitlines()[-1])
            with use_mutation(mutant.module_path, get_operator(mutant.operator_name)(), mutant.occurrence) as code:
                status, output = run(module, times[module])
            outcome = TestOutcome.KILLED if status else TestOutcome.SURVIVED
            pairs = zip(*(text.splitlines() for text in code), strict=True)
            changes = "\n".join(f"-{old}\n+{new}" for old, new in pairs if old != new)
            database.set_result(item.job_id, WorkResult(WorkerOutcome.NORMAL, output[-3000:], outcome, changes))
            print(f"{done}/{len(pending)} {module}:{mutant.start_pos[0]} {outcome.value}", flush=True)
            if not status:
                print(changes, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
