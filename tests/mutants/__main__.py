"""Run a random sample of mutants: ``python tests/mutants SESSION SIZE SEED [MODULE ...]``. See README.md.

cosmic-ray makes the mutants and keeps the session. Its `exec` would start Python for each of them, which costs more
than the tests do: here each mutant's tests run in a fork of a process that has imported what cvxrelu imports.
"""

import ast
import os
import random
import resource
import subprocess
import sys
import tempfile
import tomllib
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
# An operator, comparison, sign or connective becomes another one that still means something there.
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
    return Path("cvxrelu", f"{module}.py")


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


def sample(database: WorkDB, size: int, seed: int, modules: list[str]) -> list[WorkItem]:
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


def run(module: str, seconds: float) -> tuple[int, float, str]:
    """Run the tests of a module; return the wait status, the processor time and what was printed."""
    with tempfile.TemporaryFile("w+") as output:
        child = os.fork()
        if child == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            if module == "active_set":  # Numba would compile each mutant anew
                numba.config.DISABLE_JIT = True
            files = [f"tests/test_{name}.py" for name in TESTS[module]]
            options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=mutants"]
            # Hypothesis is imported already and need not be rewritten.
            os._exit(pytest.main([*options, "-W", "ignore::pytest.PytestAssertRewriteWarning", *files]))
        _, status, usage = os.wait4(child, 0)
        output.seek(0)
        return status, usage.ru_utime + usage.ru_stime, output.read()


def main(session: str, size: str, seed: str, *modules: str) -> None:
    # Also for the processes that tests start. No bytecode: its date is in seconds, and mutants come faster than that.
    os.environ.update(PYTHONDONTWRITEBYTECODE="1", PYTHONPATH=os.getcwd())
    sys.dont_write_bytecode = True
    subprocess.run(["git", "checkout", "--quiet", "cvxrelu"], check=True)  # a mutant left by an interrupt
    with use_db(session) as database:
        if not database.num_work_items:
            chosen = sample(database, int(size), int(seed), list(modules or TESTS))
            database.clear()
            database.add_work_items(chosen)
        pending = sorted(database.pending_work_items, key=lambda item: (item.mutations[0].module_path, item.job_id))
        times: dict[str, float] = {}
        for done, item in enumerate(pending):
            (mutant,) = item.mutations
            module = mutant.module_path.stem
            if module not in times:
                status, times[module], output = run(module, 3600.0)
                if status != 0:
                    sys.exit(f"The tests of {module} fail without a mutant:\n{output}")
                print(f"{module}: {times[module]:.1f} s of processor time for the tests", flush=True)
            with use_mutation(mutant.module_path, get_operator(mutant.operator_name)(), mutant.occurrence) as (
                old,
                new,
            ):
                status, seconds, output = run(module, 2.0 * times[module] + 10.0)
            outcome = TestOutcome.KILLED if status else TestOutcome.SURVIVED
            changes = [f"-{a}\n+{b}" for a, b in zip(old.splitlines(), new.splitlines(), strict=True) if a != b]
            result = WorkResult(WorkerOutcome.NORMAL, output[-3000:], outcome, "\n".join(changes))
            database.set_result(item.job_id, result)
            print(
                f"{done + 1}/{len(pending)} {module}:{mutant.start_pos[0]} {outcome.value} ({seconds:.1f} s)",
                flush=True,
            )
            if not status:
                print(result.diff)


if __name__ == "__main__":
    main(*sys.argv[1:])
