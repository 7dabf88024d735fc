"""Figure 4 of the paper: percentage of problems that each solver solves in time, over real data and a grid of lam."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

import cvxrelu as cr
from reference.compare import report_command as report
from reference.compare.ladder import Effort
from reference.compare.profiles import solved_fractions
from reference.compare.run import ASKED, Plan, compare
from reference.compare.solvers import find
from reference.datasets.paper import load_split
from reference.instances.instance import Kind, Problem, Size, gates_on_grid, on_grid
from reference.paper.published import LAMS, N_PROFILES, PATTERN_SEED, PROFILES
from reference.runs import add_options

SOLVERS = ("cvxrelu", "cvxrelu-RFISTA", "cvxrelu-AL", "CLARABEL", "adelie", "pyscnn", "SGD", "Adam")
# The paper's data sets with at most 1,000 rows and three classes: an hour on two cores with the settings below.
_DATA = (
    "australian", "bands", "breast", "breast_cancer", "crx", "heart", "housevotes", "ionosphere", "mammographic",
    "monk-2", "pima", "sonar", "tae", "tic-tac-toe", "wine",
)  # fmt: skip
_SECONDS = 2.0
_GATES: dict[Kind, int] = {"gated": 50, "relu": 25}
_FULL_GATES: dict[Kind, int] = {"gated": 5000, "relu": 2500}
_PAPERS_TAUS = (1.0, 0.5, 0.1)
_PAPERS_SOLVERS = {"gated": "cvxrelu-RFISTA", "relu": "cvxrelu-AL"}


@dataclass(frozen=True)
class PaperInstance:
    """The paper's program for a data set and lam, with data and gates rounded as in the catalogue.

    The paper also divides the loss by the number of outputs, so our lam is its lam times that number.
    """

    data: str
    kind: Kind
    lam: float
    n_gates: int
    version: int = 1
    size: Size = "medium"

    @property
    def name(self) -> str:
        """Name from data, kind, gates and the paper's lam."""
        return f"{self.data}/{self.kind}/P{self.n_gates}/{self.lam:.1e}"

    def problem(self) -> Problem:
        """Build the problem."""
        X, Y, _, _ = load_split(self.data)
        X = on_grid(X)
        patterns = gates_on_grid(X, cr.sample_patterns(X, self.n_gates, seed=PATTERN_SEED))
        cls = cr.ConvexReLU if self.kind == "relu" else cr.ConvexGatedReLU
        return cls(X, Y, patterns, lam=float(f"{self.lam * (Y.shape[1] if Y.ndim == 2 else 1):.5e}"))


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_options(parser)
    parser.add_argument("--lams", nargs="+", type=float, default=LAMS, help="lam values, for a loss divided by 2 n c")
    parser.add_argument(
        "--kinds", nargs="+", choices=tuple(_GATES), default=list(_GATES), help="kinds of problems (default: both)"
    )
    parser.add_argument("--solvers", nargs="+", default=list(SOLVERS), help="solvers of 'python -m reference compare'")
    parser.add_argument(
        "--timeout", type=float, default=_SECONDS, help=f"time-out of one solve in seconds (default: {_SECONDS:g})"
    )


def run(arguments: argparse.Namespace) -> str:
    """Figure 4: performance profiles of solvers for C-GReLU and C-ReLU, and of SGD and Adam, on real data."""
    data = arguments.data or (tuple(PROFILES) if arguments.full else _DATA)
    gates = _FULL_GATES if arguments.full else _GATES
    instances = [
        PaperInstance(name, kind, lam, gates[kind])
        for name in data
        for kind in arguments.kinds
        for lam in arguments.lams
    ]
    out = arguments.out / f"figure4{'-full' if arguments.full else ''}.csv"
    plan = Plan(ASKED, Effort(1, arguments.timeout), arguments.n_jobs, out)
    try:
        table = compare(instances, [find(name) for name in arguments.solvers], plan)
    except ValueError as error:
        raise SystemExit(str(error)) from error
    report_text = report.run(argparse.Namespace(results=out, out=None))
    copies = sum(name in PROFILES for name in data)
    scale = (
        f"{len(instances)} problems: {len(data)} data sets ({copies} of them copies of the paper's {N_PROFILES}), "
        f"{len(arguments.lams)} lam from {min(arguments.lams):.0e} to {max(arguments.lams):.0e}; "
        + ", ".join(f"{gates[kind]} gates for {kind} (paper: {_FULL_GATES[kind]:,})" for kind in arguments.kinds)
        + f"; {arguments.timeout:g} s per solve"
    )
    parts = [f"{kind}\n{_percent(table[table['kind'] == kind])}" for kind in arguments.kinds]
    return "\n".join([scale, "", *parts, "", *_agreement(table), "", report_text.splitlines()[-1]])


def _percent(table: pd.DataFrame) -> str:
    solved = 100.0 * solved_fractions(table)
    solved.columns = [f"{tau:g}" for tau in solved.columns]
    return str(solved.to_string(float_format="%.0f"))


def _agreement(table: pd.DataFrame) -> Iterator[str]:
    """Compare with the paper's claim that its solvers solve more problems than interior-point solvers, SGD and Adam."""
    for kind, name in _PAPERS_SOLVERS.items():
        solved = solved_fractions(table[table["kind"] == kind])
        others = [other for other in ("CLARABEL", "SGD", "Adam") if other in solved.index]
        if name not in solved.index or not others:
            continue
        for tau in _PAPERS_TAUS:
            solved_by_paper, best = float(solved[tau][name]), solved[tau][others]
            ahead = solved_by_paper > best.max()
            level = solved_by_paper == best.max()
            comparison = (
                "as in the paper" if ahead else "level, where the paper is ahead" if level else "NOT as in the paper"
            )
            yield (
                f"{kind}, within {tau:g}: {name}, the paper's method, solves {solved_by_paper:.0%}; {_listed(best)}: "
                f"{comparison}"
            )


def _listed(best: "pd.Series[float]") -> str:
    return ", ".join(f"{name} {fraction:.0%}" for name, fraction in best.items())
