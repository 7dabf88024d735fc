"""Mutants: a random sample of those of cosmic-ray, and the tests that each of them runs. See README.md.

``sample SESSION SIZE SEED [MODULE ...]`` fills a session, ``time [MODULE ...]`` runs the tests of the modules without
a mutant (they must pass) and notes their processor time, and ``test`` is what cosmic-ray runs for each mutant.
"""

import ast
import json
import os
import random
import resource
import subprocess
import sys
import tomllib
from pathlib import Path

TESTS = tomllib.loads(Path(__file__).with_name("config.toml").read_text())["tests"]
TIMES = Path("mutant_times.json")
# An operator, comparison, sign or connective becomes another one that still means something there.
BINARY = (
    "Add_Sub",
    "Sub_Add",
    "Mul_Div",
    "Div_Mul",
    "FloorDiv_Mul",
    "Mod_FloorDiv",
    "Pow_Mul",
    "BitAnd_BitOr",
    "BitOr_BitAnd",
)
COMPARISON = ("Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Lt_GtE", "LtE_Gt", "Gt_LtE", "GtE_Lt", "Eq_NotEq", "NotEq_Eq")
OPERATORS = {
    *(f"core/ReplaceBinaryOperator_{name}" for name in BINARY),
    *(f"core/ReplaceComparisonOperator_{name}" for name in (*COMPARISON, "Is_IsNot", "IsNot_Is")),
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


def sample(session: str, size: int, seed: int, *modules: str) -> None:
    """Keep a random sample of the mutants: of each module in proportion to its lines, and four at least."""
    from cosmic_ray.commands import init
    from cosmic_ray.work_db import use_db

    lines = {module: len(path(module).read_text().splitlines()) for module in TESTS}
    with use_db(session) as database:
        chosen = []
        for module in modules or TESTS:
            init([path(module)], database, {})
            computing = gaps(module)
            found = []
            for item in database.work_items:
                (mutant,) = item.mutations
                known = mutant.operator_name in OPERATORS
                if known and "Binary" in mutant.operator_name:
                    known = any(start <= mutant.start_pos < end for start, end in computing)
                if known:
                    found.append(item)
            found.sort(key=lambda item: (item.mutations[0].start_pos, item.mutations[0].operator_name))
            quota = max(4, round(size * lines[module] / sum(lines.values())))
            chosen += random.Random(f"{seed} {module}").sample(found, min(quota, len(found)))
        database.clear()
        database.add_work_items(chosen)
    print(f"{len(chosen)} mutants of {len(modules or TESTS)} modules")


def run(module: str, seconds: float = resource.RLIM_INFINITY) -> int:
    """Run the tests of a module within a limit of processor time, and return their exit status."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

    files = [f"tests/test_{name}.py" for name in TESTS[module]]
    options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=mutants"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.getcwd()}
    if module == "active_set":  # Numba would compile each mutant anew
        environment["NUMBA_DISABLE_JIT"] = "1"
    return subprocess.run(["python", "-m", "pytest", *options, *files], env=environment, preexec_fn=limit).returncode


def time(*modules: str) -> None:
    times = json.loads(TIMES.read_text()) if TIMES.exists() else {}
    for module in modules or TESTS:
        if module not in times:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            if run(module) != 0:
                sys.exit(f"The tests of {module} fail without a mutant")
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times[module] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            TIMES.write_text(json.dumps(times))


def test() -> None:
    changed = subprocess.run(["git", "diff", "--name-only"], check=True, capture_output=True, text=True).stdout
    module = Path(changed.strip()).stem
    sys.exit(run(module, 3.0 * json.loads(TIMES.read_text())[module] + 30.0) != 0)


if __name__ == "__main__":
    task, *arguments = sys.argv[1:]
    if task == "sample":
        session, size, seed, *modules = arguments
        sample(session, int(size), int(seed), *modules)
    else:
        {"time": time, "test": test}[task](*arguments)
