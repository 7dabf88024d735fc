"""Forge certificates in every known way, check them, and judge each verdict by an exact oracle."""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from reference.forgeries.attacks import ATTACKS
from reference.forgeries.attacks_global import GLOBAL_ATTACKS
from reference.forgeries.bases import Base, all_bases
from reference.forgeries.honest import honest_table, write_and_check
from reference.forgeries.judge import CRASHED, FALSE, REFUSED, REJECTED, TRUE, outcome
from reference.forgeries.mutations import MUTATIONS, Attempt, Forger

FORGERS = (*MUTATIONS, *ATTACKS, *GLOBAL_ATTACKS)
_SHOWN = 60  # failures


@dataclass
class Campaign:
    """Counts of outcomes by forger and arithmetic, and the faults found."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--cases", type=int, default=2000, help="number of forged files (default: 2000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the campaign (default: 0)")
    parser.add_argument("--honest", type=int, default=0, help="number of honest files to write and check instead")
    parser.add_argument("--only", nargs="*", default=[], help="names of forgers, all by default")


def run(arguments: argparse.Namespace) -> str:
    """Forge certificates, check them exactly and with intervals, judge the verdicts; exit with 1 on a failure."""
    if arguments.honest:
        honest = write_and_check(arguments.honest, arguments.seed)
        text, failures = honest_table(honest), honest.failures
    else:
        found = campaign(arguments.cases, arguments.seed, arguments.only)
        text, failures = table(found), found.failures
    if failures:
        raise SystemExit(text)
    return text


def campaign(cases: int, seed: int, only: Sequence[str] = ()) -> Campaign:
    """Return the outcomes of forged files."""
    found = Campaign()
    forgers = [forger for forger in FORGERS if not only or forger.__name__ in only]
    for case in range(cases):
        forger = forgers[case % len(forgers)]
        counts = found.counts.setdefault(forger.__name__, Counter())
        attempt, base = forged(forger, seed, case)
        for interval in (False, True):
            kind, reason = outcome(attempt, base, interval)
            counts[kind] += 1
            if kind in (FALSE, CRASHED):
                way = "interval" if interval else "exact"
                found.failures.append(f"{kind}, {way}, {forger.__name__}, case {case}, {base.name}: {reason}")
    return found


def forged(forger: Forger, seed: int, case: int) -> tuple[Attempt, Base]:
    """Return a file of a forger and the base that it changes, the same for the same case of a seed."""
    rng, bases = np.random.default_rng([seed, case]), all_bases()
    for index in rng.permutation(len(bases)):
        attempt = forger(rng, bases[index])
        if attempt is not None:
            return attempt, bases[index]
    raise AssertionError(f"{forger.__name__} fits no base")


def table(found: Campaign) -> str:
    """Return counts and failures as text."""
    kinds = (REJECTED, REFUSED, TRUE, FALSE, CRASHED)
    heads = ("rejected", "too large", "accepted, true", "FALSE", "crashed")
    lines = [f"{'verdicts, exact and interval':<30}" + "".join(f"{head:>16}" for head in heads)]
    total: Counter[str] = Counter()
    for name, counts in found.counts.items():
        total += counts
        lines.append(f"{name.replace('_', ' '):<30}" + "".join(f"{counts[kind]:>16}" for kind in kinds))
    lines.append(f"{'all':<30}" + "".join(f"{total[kind]:>16}" for kind in kinds))
    return "\n".join([*lines, f"failures: {len(found.failures)}", *found.failures[:_SHOWN]])
