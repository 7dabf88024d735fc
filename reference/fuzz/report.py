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
_LIMITED = ("stopped", "time_limit")
_PARTS = 6  # of the name of a random case


def wrong(runs: Sequence[Run], tol: float) -> list[str]:
    """Return what must not be: faults of any solver's answer, and cases where a single solver's gap is smaller."""
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
        "| solver | can take | optimal | not attained | geometric mean of seconds, of both | faults |",
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
    problems = wrong(runs, tol)
    lines += ["", f"Wrong: {len(problems)}", *[f"- {each}" for each in problems]]
    return "\n".join(lines)


def _by_kind(pairs: Sequence[tuple[Run, Run]], tol: float) -> list[str]:
    """Return a table over forms, losses and penalties."""
    lines = [
        "| problems | cases | auto is done | the best single solver is | smaller gap: auto's | the single's "
        "| of these, at a limit of time | median ratio | largest |",
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
    """Return the form, the loss and the penalty in the name of a random case; that it is known, of the others."""
    parts = case.split("/")
    if len(parts) != _PARTS:
        return ["known"]
    form, loss, penalty = parts[2], parts[3].removesuffix("_weighted"), parts[4]
    return [form, f"{form}, {loss}", f"{form}, {penalty}"]


def _unsolved(runs: Sequence[Run], pairs: Sequence[tuple[Run, Run]]) -> list[str]:
    """Return a table of the cases that auto does not solve, with what it tried."""
    singles = {auto.case: best for auto, best in pairs}
    left = [run for run in runs if run.solver == "auto" and not _is_done(run)]
    lines = [f'Not solved by "auto": {len(left)}.', ""]
    if left:
        lines += [
            "| case | ends | objective | gap | tried | best single | its gap |",
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
        f'Seconds of "auto" over those of the fastest single solver that is done, {_NOISE:g} s added to both, where '
        f"one is: median {np.median(ratios):.2f}, largest {max(ratios):.2f}; above {_ALLOWED_RATIO:g}: {len(slow)} of "
        f"{len(rated)}. The largest:",
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
    """Return the gap beyond what was asked: all optimal answers are as good, and all where no optimum is attained."""
    return tol if _is_done(run) else run.rel_gap


def _is_done(run: Run) -> bool:
    return run.status in ("optimal", "unattained")


def _is_worse(run: Run, other: Run, tol: float) -> bool:
    return _gap(run, tol) > _gap(other, tol)
