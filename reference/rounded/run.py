"""Compare the bounds of rounded certificates with exact arithmetic on random small problems."""

import argparse
import time
import warnings
from collections import Counter, defaultdict

from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

import cvxrelu as cr
from reference.rounded.cases import random_case
from reference.rounded.judge import faults


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--cases", type=int, default=12_000, help="number of random cases (default: 12000)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first case (default: 0)")
    parser.add_argument("--n-jobs", type=int, default=1, help="concurrent cases (default: 1)")


def run(arguments: argparse.Namespace) -> str:
    """Compare rounded bounds of random small problems with exact arithmetic; exit with 1 if one is broken."""
    started = time.perf_counter()
    seeds = range(arguments.first, arguments.first + arguments.cases)
    results = Parallel(n_jobs=arguments.n_jobs, batch_size=50)(delayed(judged)(seed) for seed in seeds)
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    lines = []
    for seed, (kind, data, verdict, broken) in zip(seeds, results, strict=True):
        for name in (kind, f"data {data}", "total"):
            kinds[name][verdict] += 1
        lines += [f"case {seed}, {kind}, {data}: {fault}" for fault in broken]
    verdicts = ("positive", "zero", "none", "BROKEN")
    lines.append(f"{'':40} {'lower > 0':>10} {'lower = 0':>10} {'refused':>8} {'BROKEN':>8}")
    for name in sorted(kinds, key=lambda name: (name == "total", name.startswith("data"), name)):
        count = kinds[name]
        lines.append("{:40} {:10} {:10} {:8} {:8}".format(name, *(count[verdict] for verdict in verdicts)))
    lines.append(f"{time.perf_counter() - started:.0f} s")
    text = "\n".join(lines)
    if kinds["total"]["BROKEN"]:
        raise SystemExit(text)
    return text


def judged(seed: int) -> tuple[str, str, str, list[str]]:
    """Return kind, data, verdict and faults of a case.

    A case that is refused, as its weights or data leave the range of float64, makes no claim.
    """
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.ConvergenceWarning)
        try:
            case = random_case(seed)
        except (ValueError, cr.SolverError) as error:
            return f"refused: {str(error)[:60]}", "-", "none", []
    if case is None:
        return "no program", "-", "none", []
    found = faults(case.certificate)
    verdict = "BROKEN" if found else "positive" if case.certificate.lower > 0.0 else "zero"
    return case.kind, case.data, verdict, found
