"""Options of several commands."""

import pathlib
from typing import Annotated

import typer

from cvxrelu.cli import settings

_DATA, _PROBLEM, _SOLVER, _OUTPUT = "Data", "Problem", "Solver", "Output"

Data = Annotated[
    pathlib.Path,
    typer.Argument(metavar="DATA", help="CSV file with a header, Parquet file, or npz file with arrays X and y."),
]
Target = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=_DATA, metavar="NAME", help="Column to predict: numbers, or two labels. In an npz file it is y."
    ),
]
Task = Annotated[
    settings.Task,
    typer.Option(
        rich_help_panel=_DATA,
        metavar="<name>",
        help="regression or classification; auto: classification if the target has two distinct values.",
    ),
]
TestSize = Annotated[float, typer.Option(rich_help_panel=_DATA, help="Fraction of the rows to test on; 0 for none.")]
Seed = Annotated[
    int, typer.Option(rich_help_panel=_DATA, min=0, metavar="<int>", help="Seed of the split and the gates.")
]

Kind = Annotated[settings.Kind, typer.Option(rich_help_panel=_PROBLEM, metavar="<name>", help="gated or relu.")]
Gates = Annotated[int, typer.Option(rich_help_panel=_PROBLEM, min=1, metavar="<int>", help="Number of random gates.")]
Loss = Annotated[
    str,
    typer.Option(rich_help_panel=_PROBLEM, metavar="<name>", help="squared, huber, ...; for classes also logistic."),
]
Lam = Annotated[
    float | None,
    typer.Option(rich_help_panel=_PROBLEM, help="Strength of the weight decay; 0.01 by default."),
]
LamRatio = Annotated[
    float | None,
    typer.Option(rich_help_panel=_PROBLEM, help="lam as a fraction of lam_max, at which the network is zero."),
]

Solver = Annotated[
    str,
    typer.Option(
        rich_help_panel=_SOLVER,
        metavar="NAME",
        help="auto, a native solver (WorkingSet, RFISTA, ...) or a CVXPY solver (CLARABEL, ...): see cvxrelu info.",
    ),
]
Tol = Annotated[float, typer.Option(rich_help_panel=_SOLVER, help="Certified relative gap to reach.")]
MaxIter = Annotated[int | None, typer.Option(rich_help_panel=_SOLVER, help="Limit of the solver's iterations.")]
TimeLimit = Annotated[
    float | None, typer.Option(rich_help_panel=_SOLVER, help="Limit of the solver's time in seconds.")
]

AsJson = Annotated[bool, typer.Option("--json", rich_help_panel=_OUTPUT, help="Print a single JSON object.")]
Force = Annotated[bool, typer.Option("--force", rich_help_panel=_OUTPUT, help="Replace existing output files.")]


def output(description: str) -> typer.models.OptionInfo:
    """Return an option for an output file."""
    option: typer.models.OptionInfo = typer.Option(rich_help_panel=_OUTPUT, metavar="FILE", help=description)
    return option


def settings_of(
    kind: settings.Kind,
    gates: int,
    loss: str,
    seed: int,
    tol: float,
    max_iter: int | None,
    time_limit: float | None,
    *,
    lam: float | None = None,
    lam_ratio: float | None = None,
    solver: str = "auto",
) -> settings.Settings:
    """Return the settings given by the options of a command; lam is 0.01 if neither it nor its ratio is given.

    Raises
    ------
    ValueError
        If both are given.
    """
    if lam is not None and lam_ratio is not None:
        raise ValueError("give --lam or --lam-ratio, not both")
    return settings.Settings(
        kind=kind,
        gates=gates,
        lam=0.01 if lam is None else lam,
        lam_ratio=lam_ratio,
        loss=loss,
        seed=seed,
        solver=solver,
        tol=tol,
        max_iter=max_iter,
        time_limit=time_limit,
    )
