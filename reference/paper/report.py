"""The common part of the figures: run the methods on the problems, and tell and draw how many they have solved."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import cvxrelu as cr
from reference.paper.profiles import draw, meaning, share_table, solved_at, spread, verdict
from reference.paper.published import N_PROFILES, PROFILES
from reference.paper.traces import Trace
from reference.runs import Record, Scale, chosen_scale, run_all


@dataclass(frozen=True)
class Figure:
    """A figure of the paper: its name, scales, the work on one problem, and what is said of the methods.

    ``work`` takes data set, lam, gates and limit, and returns the traces. ``names`` maps the methods that are run to
    those that are told of: of several with one name, the best counts. ``claims`` are judged, each by pairs of methods
    of which the first should be ahead, in the ``senses`` of "solved", which are drawn too. ``unit`` is that of effort
    and limits. ``groups`` are methods that differ in a first choice: how much it matters is told.
    """

    name: str
    default: Scale
    full: Scale
    work: Callable[..., list[Record]]
    names: Mapping[str, str]
    claims: Mapping[str, Sequence[tuple[str, str]]]
    senses: Sequence[str]
    unit: str
    notes: Sequence[str]
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)


def tell(figure: Figure, arguments: argparse.Namespace) -> str:
    """Run what the file of results lacks; return the tables and verdicts, and draw the profiles."""
    scale = chosen_scale(arguments, figure.default, figure.full)
    path = arguments.out / f"{figure.name}{'-full' if arguments.full else ''}.jsonl"
    settings = {"gates": scale.gates, "limit": scale.limit, "version": cr.__version__}
    keys = [(data, lam) for data in scale.data for lam in scale.lams]
    work = partial(figure.work, n_gates=scale.gates, limit=scale.limit)
    traces = [Trace(**record) for record in run_all(path, settings, keys, work, arguments.n_jobs)]
    if not traces:
        raise SystemExit("zero is the optimum of every problem: choose smaller lams by --lams")
    solved = solved_at(traces, figure.names, scale.limit)
    methods = list(dict.fromkeys(figure.names.values()))
    plot = path.with_suffix(".png")
    draw(plot, solved, traces, figure.senses, scale.limit, figure.unit)
    return "\n".join(
        [
            *_scale_lines(scale, figure, traces),
            *figure.notes,
            "",
            *share_table(solved, methods, figure.unit),
            *meaning(traces),
            *spread(solved, figure.groups, figure.senses),
            *(
                line
                for claim, pairs in figure.claims.items()
                for line in ["", *verdict(solved, claim, pairs, figure.senses)]
            ),
            "",
            f"drawn in {plot}",
        ]
    )


def _scale_lines(scale: Scale, figure: Figure, traces: Sequence[Trace]) -> list[str]:
    problems = {(trace.data, trace.lam): trace.width for trace in traces}
    copies = sum(data in PROFILES for data in scale.data)
    theirs = figure.full
    return [
        f"{len(problems)} problems: {len(scale.data)} data sets, {copies} of them copies of the paper's {N_PROFILES}, "
        f"with {len(scale.lams)} lam from {min(scale.lams):.1e} to {max(scale.lams):.1e} (paper: {len(theirs.lams)} "
        f"from {min(theirs.lams):.1e} to {max(theirs.lams):.1e}), but for those with the optimum zero",
        f"{scale.gates} gates (paper: {theirs.gates}), at most {scale.limit:,} {figure.unit} (paper: {theirs.limit:,}),"
        " float64, one thread",
        "solved to tau: (objective - bound) / bound <= tau, with a proven lower bound of the optimum, which is known "
        f"to a relative gap of at most {max(problems.values()):.1e}",
    ]
