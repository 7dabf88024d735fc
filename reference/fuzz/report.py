"""Tables of a fuzzing run: faults, problems solved by each solver, and "auto" against the best single solver."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from reference.fuzz.run import Run

_ALLOWED_RATIO = 3.0
_NOISE = 0.1  # seconds: below, clock and Python overhead dominate
_N_LISTED = 20
_LIMITED = ("stopped", "time_limit")
_PARTS = 6  # parts of the name of a random case


def failures(runs: Sequence[Run], tol: float) -> list[str]:
    """Return the failures: faults of any answer, and cases where a single solver has a smaller gap than "auto"."""
    found = [f"{run.case}: {run.solver}: {fault}" for run in runs for fault in run.faults]
    for auto, best in _pairs(runs, tol):
        if _is_worse(auto, best, tol) and auto.status not in _LIMITED:
            found.append(f"{auto.case}: auto ends at a gap of {auto.rel_gap:.1e}, {best.solver} at {best.rel_gap:.1e}")
    return found


def table(runs: Sequence[Run], tol: float) -> str:
    """Return the report as Markdown."""
    solvers = list(dict.fromkeys(run.solver for run in runs))
    cases = len({run.case for run in runs})
    lines = [
        f"{cases} cases, tol {tol:g}.",
        "",
        "| solver | applicable | optimal | not attained | geometric mean of seconds, of both | faults |",
        "|---|---|---|---|---|---|",
    ]
    for solver in solvers:
        own = [run for run in runs if run.solver == solver]
        taken = [run for run in own if not run.note]
        ended = [run for run in taken if _is_done(run)]
        mean = float(np.exp(np.mean(np.log([max(run.seconds, 1e-3) for run in ended])))) if ended else float("nan")
        optimal = sum(run.status == "optimal" for run in ended)
        lines.append(
            f"| {solver} | {len(taken)} | {optimal} | {len(ended) - optimal} | {mean:.3f} "
            f"| {sum(len(run.faults) for run in own)} |"
        )
    pairs = _pairs(runs, tol)
    if pairs:
        lines += ["", *_by_kind(pairs, tol), "", *_against_the_best(pairs)]
    lines += ["", *_unsolved(runs, pairs)]
    problems = failures(runs, tol)
    lines += ["", f"Failures: {len(problems)}", *[f"- {each}" for each in problems]]
    return "\n".join(lines)


def _by_kind(pairs: Sequence[tuple[Run, Run]], tol: float) -> list[str]:
    """Return a table by program, loss and penalty."""
    lines = [
        "| problems | cases | done: auto | done: best single | smaller gap: auto | smaller gap: single "
        "| of these, at the time limit | median ratio | largest |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    kinds: dict[str, list[tuple[Run, Run]]] = defaultdict(list)
    for auto, best in pairs:
        for kind in ("all", *_kinds(auto.case)):
            kinds[kind].append((auto, best))
    for kind, own in sorted(kinds.items()):  # "all" is the first
        worse = [auto for auto, best in own if _is_worse(auto, best, tol)]
        better = sum(_is_worse(best, auto, tol) for auto, best in own)
        ratios = [_ratio(auto, best) for auto, best in own if _is_done(best)] or [float("nan")]
        lines.append(
            f"| {kind} | {len(own)} | {sum(_is_done(auto) for auto, _ in own)} "
            f"| {sum(_is_done(best) for _, best in own)} | {better} | {len(worse)} "
            f"| {sum(auto.status in _LIMITED for auto in worse)} | {np.median(ratios):.2f} | {max(ratios):.1f} |"
        )
    return lines


def _kinds(case: str) -> list[str]:
    """Return program, loss and penalty from the name of a random case; ["known"] for the others."""
    parts = case.split("/")
    if len(parts) != _PARTS:
        return ["known"]
    form, loss, penalty = parts[2], parts[3].removesuffix("_weighted"), parts[4]
    return [form, f"{form}, {loss}", f"{form}, {penalty}"]


def _unsolved(runs: Sequence[Run], pairs: Sequence[tuple[Run, Run]]) -> list[str]:
    """Return a table of the cases that "auto" does not solve, with its attempts."""
    singles = {auto.case: best for auto, best in pairs}
    left = [run for run in runs if run.solver == "auto" and not _is_done(run)]
    lines = [f'Not solved by "auto": {len(left)}.', ""]
    if left:
        lines += [
            "| case | status | objective | gap | attempts | best single | its gap |",
            "|---|---|---|---|---|---|---|",
        ]
    for run in left:
        best = singles.get(run.case)
        other = "| | |" if best is None else f"| {best.solver} ({best.status}) | {best.rel_gap:.0e} |"
        lines.append(
            f"| {run.case} | {run.status or run.note} | {run.objective:.1e} | {run.rel_gap:.0e} "
            f"| {', '.join(run.attempts)} {other}"
        )
    return lines


def _against_the_best(pairs: Sequence[tuple[Run, Run]]) -> list[str]:
    solved = [(auto, best) for auto, best in pairs if _is_done(best)]
    rated = sorted(((_ratio(auto, best), auto, best) for auto, best in solved), key=lambda each: -each[0])
    if not rated:
        return ["No single solver is done with any case."]
    slow = [each for each in rated if each[0] > _ALLOWED_RATIO]
    ratios = [ratio for ratio, _, _ in rated]
    lines = [
        f'Time of "auto" over that of the fastest single solver that is done, {_NOISE:g} s added to both, where '
        f"there is one: median {np.median(ratios):.2f}, largest {max(ratios):.2f}; above {_ALLOWED_RATIO:g}: "
        f"{len(slow)} of {len(rated)}. The largest:",
        "",
        "| case | gap of auto | seconds | by | best single | its gap | seconds | ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for ratio, auto, best in rated[:_N_LISTED]:
        lines.append(
            f"| {auto.case} | {auto.rel_gap:.0e} | {auto.seconds:.2f} | {auto.used} "
            f"| {best.solver} | {best.rel_gap:.0e} | {best.seconds:.2f} | {ratio:.1f} |"
        )
    return lines


def _pairs(runs: Sequence[Run], tol: float) -> list[tuple[Run, Run]]:
    """Return the runs of "auto" and of the best single solver for each case that has both."""
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
    """Return the relative gap, or tol if the run is done: all optimal answers rank equally, as do unattained optima."""
    return tol if _is_done(run) else run.rel_gap


def _is_done(run: Run) -> bool:
    return run.status in ("optimal", "unattained")


def _is_worse(run: Run, other: Run, tol: float) -> bool:
    return _gap(run, tol) > _gap(other, tol)
