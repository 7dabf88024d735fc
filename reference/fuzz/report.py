"""Tables of a fuzzer's runs: what is wrong, who solves what, and "auto" against the best single solver."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from reference.fuzz.run import Run

_ALLOWED_RATIO = 3.0
_NOISE = 0.1  # seconds: below it the clock and Python decide
_WORST = 20


def wrong(runs: Sequence[Run], tol: float) -> list[str]:
    """Return what must not be: faults of any solver's answer, and cases where a single solver's gap is smaller."""
    found = [f"{run.case}: {run.solver}: {fault}" for run in runs for fault in run.faults]
    for auto, best in _pairs(runs, tol):
        if _gap(best, tol) < _gap(auto, tol) and auto.status != "time_limit":
            found.append(f"{auto.case}: auto ends at a gap of {auto.rel_gap:.1e}, {best.solver} at {best.rel_gap:.1e}")
    return found


def table(runs: Sequence[Run], tol: float) -> str:
    """Return the report as Markdown."""
    solvers = list(dict.fromkeys(run.solver for run in runs))
    cases = len({run.case for run in runs})
    lines = [
        f"{cases} cases, tol {tol:g}.",
        "",
        "| solver | can take | solved | geometric mean of seconds, where solved | faults |",
        "|---|---|---|---|---|",
    ]
    for solver in solvers:
        own = [run for run in runs if run.solver == solver]
        taken = [run for run in own if not run.note]
        solved = [run for run in taken if run.status == "optimal"]
        mean = float(np.exp(np.mean(np.log([max(run.seconds, 1e-3) for run in solved])))) if solved else float("nan")
        lines.append(
            f"| {solver} | {len(taken)} | {len(solved)} | {mean:.3f} | {sum(len(run.faults) for run in own)} |"
        )
    pairs = _pairs(runs, tol)
    if pairs:
        lines += ["", *_against_the_best(pairs, tol)]
    problems = wrong(runs, tol)
    lines += ["", f"Wrong: {len(problems)}", *[f"- {each}" for each in problems]]
    return "\n".join(lines)


def _against_the_best(pairs: Sequence[tuple[Run, Run]], tol: float) -> list[str]:
    rated = sorted(((_ratio(auto, best), auto, best) for auto, best in pairs), key=lambda each: -each[0])
    slow = [each for each in rated if each[0] > _ALLOWED_RATIO]
    ratios = [ratio for ratio, _, _ in rated]
    lines = [
        f'Seconds of "auto" over those of the best single solver (the fastest that reaches tol, else that of the least '
        f"gap; {_NOISE:g} s added to both): median {np.median(ratios):.2f}, largest {max(ratios):.2f}; "
        f"above {_ALLOWED_RATIO:g}: {len(slow)} of {len(rated)}.",
        "",
        "| case | auto's gap | seconds | by | best single | its gap | seconds | ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for ratio, auto, best in rated[:_WORST]:
        lines.append(
            f"| {auto.case} | {auto.rel_gap:.0e} | {auto.seconds:.2f} | {auto.used} "
            f"| {best.solver} | {best.rel_gap:.0e} | {best.seconds:.2f} | {ratio:.1f} |"
        )
    return lines


def _pairs(runs: Sequence[Run], tol: float) -> list[tuple[Run, Run]]:
    """Return auto's run and the best single solver's of each case that has both."""
    by_case: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_case[run.case].append(run)
    pairs = []
    for own in by_case.values():
        auto = next((run for run in own if run.solver == "auto"), None)
        singles = [run for run in own if run.solver != "auto" and not run.note]
        if auto is not None and singles:
            pairs.append((auto, min(singles, key=lambda run: (_gap(run, tol), run.seconds))))
    return pairs


def _ratio(auto: Run, best: Run) -> float:
    return (auto.seconds + _NOISE) / (best.seconds + _NOISE)


def _gap(run: Run, tol: float) -> float:
    """Return the gap beyond what was asked: all optimal answers are as good."""
    return tol if run.status == "optimal" else run.rel_gap
