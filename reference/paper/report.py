"""Common part of the figures: run methods on problems, tabulate and plot how many they solve."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import cvxrelu as cr
from reference.paper.profiles import criterion_accuracy, draw, solved_at, solved_table, spread, verdict
from reference.paper.published import N_PROFILES, PROFILES
from reference.paper.traces import Trace
from reference.runs import Record, Scale, chosen_scale, run_all


@dataclass(frozen=True)
class Figure:
    """A figure of the paper: name, scales, the work on one problem, and the comparisons to report.

    ``work`` takes data set, lam, gates and limit, and returns the traces. ``names`` maps methods to rows of the table;
    of several methods in one row, the best counts. Each of ``claims`` is judged by pairs of methods, of which the first
    should be ahead, in the ``senses`` of "solved" that are plotted. ``unit`` is that of effort and limits. ``groups``
    are methods that differ in their initial setting, whose influence is reported.
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


def report(figure: Figure, arguments: argparse.Namespace) -> str:
    """Run what the results file lacks, plot the profiles, and return tables and verdicts."""
    scale = chosen_scale(arguments, figure.default, figure.full)
    path = arguments.out / f"{figure.name}{'-full' if arguments.full else ''}.jsonl"
    settings = {"gates": scale.gates, "limit": scale.limit, "version": cr.__version__}
    keys = [(data, lam) for data in scale.data for lam in scale.lams]
    work = partial(figure.work, n_gates=scale.gates, limit=scale.limit)
    traces = [Trace(**record) for record in run_all(path, settings, keys, work, arguments.n_jobs)]
    if not traces:
        raise SystemExit("zero is optimal for every problem: choose smaller values with --lams")
    solved = solved_at(traces, figure.names, scale.limit)
    methods = list(dict.fromkeys(figure.names.values()))
    plot = path.with_suffix(".png")
    draw(plot, solved, traces, figure.senses, scale.limit, figure.unit)
    return "\n".join(
        [
            *_scale_lines(scale, figure, traces),
            *figure.notes,
            "",
            *solved_table(solved, methods, figure.unit),
            *criterion_accuracy(traces),
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
    full = figure.full
    return [
        f"{len(problems)} problems: {len(scale.data)} data sets, {copies} of them copies of the paper's {N_PROFILES}, "
        f"with {len(scale.lams)} lam from {min(scale.lams):.1e} to {max(scale.lams):.1e} (paper: {len(full.lams)} "
        f"from {min(full.lams):.1e} to {max(full.lams):.1e}), without those with optimum zero",
        f"{scale.gates} gates (paper: {full.gates}), at most {scale.limit:,} {figure.unit} (paper: {full.limit:,}),"
        " float64, one thread",
        "solved to tau: (objective - bound) / bound <= tau, with a proven lower bound of the optimum, which is known "
        f"to a relative gap of at most {max(problems.values()):.1e}",
    ]
