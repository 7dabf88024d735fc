"""Results of a race: the settings tried and chosen, ratios, the table and the results file."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cvxrelu._files import write

INTERIOR_POINTS = ("CLARABEL", "ECOS", "QOCO")


@dataclass(frozen=True)
class Trial:
    """One run of a peer at one setting.

    ``accuracy`` is the relative suboptimality after repair into the cones, ``violation`` the cone violation before it.
    Both are None without an answer; then ``seconds`` is the time that was allowed and ``note`` says why.
    """

    setting: str
    seconds: float
    accuracy: float | None = None
    violation: float | None = None
    compile_seconds: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Entry:
    """Result of a peer on one case: all trials, the chosen one, and the times of its setting's runs in seconds.

    If ``reached`` is false, the chosen trial is the most accurate one, and its time is a lower bound.
    """

    peer: str
    asked: float
    reached: bool
    chosen: Trial
    seconds: list[float]
    trials: list[Trial]
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """Median seconds."""
        return float(np.median(self.seconds))


@dataclass(frozen=True)
class Ours:
    """Our result on one case; for a path, the largest gap and violation, and the active blocks of its last point.

    ``lower`` and ``upper`` are the tightest certified interval of the optimum, by which peers are judged. For a path
    they are None, since peers are judged by our objectives.
    """

    solver: str
    seconds: list[float]
    reached: bool
    gap: float
    violation: float
    active: int
    lower: float | None = None
    upper: float | None = None

    @property
    def median(self) -> float:
        """Median seconds."""
        return float(np.median(self.seconds))

    @property
    def width(self) -> float:
        """Relative width of the interval of the optimum; 0 if there is none."""
        if self.lower is None or self.upper is None:
            return 0.0
        return max(self.upper - self.lower, 0.0) / abs(self.upper)


@dataclass(frozen=True)
class Result:
    """One case: sizes, our result, the peers' results, the machine's load at the start, and why peers were left out.

    ``group`` is its kind and loss.
    """

    case: str
    group: str
    n: int
    d: int
    n_patterns: int
    lam: float
    load: float
    ours: Ours
    entries: list[Entry]
    left_out: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Ratio:
    """Ratio of a peer's time to ours, exact or a bound: ">=" if the peer, "<=" if we missed the accuracy."""

    value: float
    mark: str = ""

    def __str__(self) -> str:
        return f"{self.mark}{self.value:.3g}"


def choose(trials: Sequence[Trial], accuracy: float) -> tuple[Trial, bool]:
    """Return the fastest accurate trial, or else the most accurate one, and whether the accuracy was reached.

    If no trial gave an answer, return the one that was allowed the most time.
    """
    answers = [(trial.accuracy, trial) for trial in trials if trial.accuracy is not None]
    reached = [trial for achieved, trial in answers if achieved <= accuracy]
    if reached:
        return min(reached, key=lambda trial: trial.seconds), True
    if answers:
        return min(answers, key=lambda answer: answer[0])[1], False
    return max(trials, key=lambda trial: trial.seconds), False


def best_entry(entries: Sequence[Entry]) -> Entry | None:
    """Return the fastest peer that reached its accuracy, or else the one with the smallest bound on its time.

    Only peers with the strictest required accuracy are considered.
    """
    asked = min((entry.asked for entry in entries), default=0.0)
    equal = [entry for entry in entries if entry.asked == asked]
    return min(equal, key=lambda entry: (not entry.reached, entry.median), default=None)


def ratio(ours: Ours, entry: Entry) -> Ratio:
    """Return the ratio of the peer's time to ours."""
    mark = {(True, True): "", (True, False): ">=", (False, True): "<=", (False, False): "?"}
    return Ratio(entry.median / ours.median, mark[ours.reached, entry.reached])


def geometric_mean(ratios: Sequence[Ratio]) -> Ratio:
    """Return the geometric mean, marked as a bound if there are bounds of one kind, and by "?" if of both kinds."""
    marks = {each.mark for each in ratios} - {""}
    mark = marks.pop() if len(marks) == 1 else "?" if marks else ""
    return Ratio(float(np.exp(np.mean([np.log(each.value) for each in ratios]))), mark)


def table(results: Sequence[Result]) -> list[str]:
    """Return the table: a line for each case and peer; the first line of a case has our results."""
    widths = (40, 5, 3, 4, 9, 6, 22, 8, 9, 8)
    names = ("case", "n", "d", "P", "lam", "active", "ours, s", "our gap", "violation", "interval")
    peer_names = f"{'peer':<15} {'peer, s':>22} {'accuracy':>9} {'violation':>9} {'ratio':>9}  setting"
    lines = [f"{_row(names, widths)}  {peer_names}"]
    for result in results:
        ours = result.ours
        figures = _row(
            (
                result.case,
                result.n,
                result.d,
                result.n_patterns,
                f"{result.lam:.3e}",
                ours.active,
                spread(ours.seconds),
                f"{ours.gap:.1e}{'' if ours.reached else '!'}",
                f"{ours.violation:.3g}",
                "-" if ours.lower is None else f"{ours.width:.1e}",
            ),
            widths,
        )
        for i, entry in enumerate(result.entries):
            lines.append((figures if i == 0 else " " * len(figures)) + "  " + _entry_line(ours, entry))
        if not result.entries:
            lines.append(figures)
        lines += [f"    left out: {each}" for each in result.left_out]
    return lines


def spread(seconds: Sequence[float]) -> str:
    """Return the median of times, with the least and the greatest if there are several."""
    median = f"{np.median(seconds):.3g}"
    return median if len(seconds) == 1 else f"{median} ({min(seconds):.3g}-{max(seconds):.3g})"


def summary(results: Sequence[Result]) -> list[str]:
    """Return the ratios of each group of cases, by peer and for the best peer in each case, and list all losses."""
    lines = []
    for group in dict.fromkeys(result.group for result in results):
        cases = [result for result in results if result.group == group]
        lines.append(f"{group}:")
        for peer in dict.fromkeys(entry.peer for result in cases for entry in result.entries):
            lines += _mean_line(peer, ((result, [e for e in result.entries if e.peer == peer]) for result in cases))
        lines += _mean_line(
            "best interior point", ((r, [e for e in r.entries if e.peer in INTERIOR_POINTS]) for r in cases)
        )
        lines += _mean_line("best peer", ((result, result.entries) for result in cases))
    pairs = [(result, best) for result in results if (best := best_entry(result.entries)) is not None]
    lost = [(result, best) for result, best in pairs if is_lost(ratio(result.ours, best))]
    lines.append(f"lost: {len(lost)} of {len(pairs)}")
    lines += [
        f"    {result.group}  {result.case:<40} {ratio(result.ours, best)!s:>8}  {best.peer}: {best.chosen.setting}"
        for result, best in sorted(lost, key=lambda pair: ratio(pair[0].ours, pair[1]).value)
    ]
    return lines


def is_lost(ratio: Ratio) -> bool:
    """Return whether the peer was ahead: faster, or accurate where ours was not."""
    return ratio.mark == "<=" or (ratio.value < 1.0 and ratio.mark != ">=")


def save(path: Path, header: dict[str, Any], results: Sequence[Result]) -> None:
    """Write the results file, in full or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"header": header, "results": [asdict(result) for result in results]}, indent=1)
    write(path, text.encode(), overwrite=True)


def resume(path: Path, header: dict[str, Any] | None) -> tuple[dict[str, Any], list[Result]]:
    """Return the header and the results in the file, whatever its header if None is given.

    If there is no file, return the given header and no results.

    Raises
    ------
    ValueError
        If settings, versions or machine differ from those of the file.
    FileNotFoundError
        If there is neither file nor header.
    """
    if header is not None and not path.exists():
        return header, []
    content = json.loads(path.read_text())
    found = content["header"]
    header = found if header is None else header
    different = [key for key in header | found if header.get(key) != found.get(key)]
    if different:
        listed = "; ".join(f"{key}: {found.get(key)} in the file, {header.get(key)} now" for key in different)
        raise ValueError(f"{path} holds another race and cannot be resumed ({listed})")
    return found, [_result(entry) for entry in content["results"]]


def _result(found: dict[str, Any]) -> Result:
    entries = [
        Entry(**entry | {"chosen": Trial(**entry["chosen"]), "trials": [Trial(**trial) for trial in entry["trials"]]})
        for entry in found["entries"]
    ]
    return Result(**found | {"ours": Ours(**found["ours"]), "entries": entries})


def _row(cells: Sequence[object], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return f"{first[0]!s:<{first[1]}}" + "".join(f" {cell!s:>{width}}" for cell, width in others)


def _entry_line(ours: Ours, entry: Entry) -> str:
    chosen = entry.chosen
    seconds = f"{'' if entry.reached else '>='}{spread(entry.seconds)}"
    accuracy = "none" if chosen.accuracy is None else f"{chosen.accuracy:.1e}"
    violation = "-" if chosen.violation is None else f"{chosen.violation:.1e}"
    remarks = [
        chosen.setting,
        "" if entry.reached else f"{entry.asked:g} not reached",
        "" if chosen.compile_seconds is None else f"compiled in {chosen.compile_seconds:.3g} s",
        chosen.note,
    ]
    figures = f"{entry.peer:<15} {seconds:>22} {accuracy:>9} {violation:>9} {ratio(ours, entry)!s:>9}"
    return f"{figures}  {'; '.join(remark for remark in remarks if remark)}"


def _mean_line(name: str, chosen: Iterable[tuple[Result, Sequence[Entry]]]) -> list[str]:
    """Return a line on the best of the chosen entries of each case, or an empty list if there are none."""
    pairs = [
        (ratio(result.ours, best), result.case)
        for result, entries in chosen
        if (best := best_entry(entries)) is not None
    ]
    if not pairs:
        return []
    smallest, case = min(pairs, key=lambda pair: pair[0].value)
    mean = geometric_mean([pair[0] for pair in pairs])
    lost = sum(is_lost(each) for each, _ in pairs)
    return [
        f"    {name + ' / ours':<28} geometric mean {mean!s:>8} of {len(pairs)}; smallest {smallest!s:>8} ({case}); "
        f"lost {lost}"
    ]
