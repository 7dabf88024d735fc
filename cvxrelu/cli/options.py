"""The options that several commands share."""

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
        help="regression or classification; auto takes two distinct values for classes.",
    ),
]
TestSize = Annotated[float, typer.Option(rich_help_panel=_DATA, help="Share of the rows to test on; 0 for none.")]
Seed = Annotated[int, typer.Option(rich_help_panel=_DATA, min=0, metavar="<int>", help="Of the split and the gates.")]

Kind = Annotated[settings.Kind, typer.Option(rich_help_panel=_PROBLEM, metavar="<name>", help="gated or relu.")]
Gates = Annotated[int, typer.Option(rich_help_panel=_PROBLEM, min=1, metavar="<int>", help="Random gates to sample.")]
Loss = Annotated[
    str,
    typer.Option(rich_help_panel=_PROBLEM, metavar="<name>", help="squared, huber, ...; for classes also logistic."),
]
Lam = Annotated[
    float | None,
    typer.Option(rich_help_panel=_PROBLEM, help="Strength of the weight decay; 0.01 if not given."),
]
LamRatio = Annotated[
    float | None,
    typer.Option(rich_help_panel=_PROBLEM, help="lam as a share of lam_max, at which no neuron is left."),
]

Solver = Annotated[
    str,
    typer.Option(
        rich_help_panel=_SOLVER,
        metavar="NAME",
        help="auto; WorkingSet, RFISTA, ...: native; CLARABEL, ECOS, ...: of CVXPY. See cvxrelu info.",
    ),
]
Tol = Annotated[float, typer.Option(rich_help_panel=_SOLVER, help="Relative gap that counts as proved.")]
MaxIter = Annotated[int | None, typer.Option(rich_help_panel=_SOLVER, help="Iterations of the solver, at most.")]
TimeLimit = Annotated[float | None, typer.Option(rich_help_panel=_SOLVER, help="Seconds in the solver, at most.")]

AsJson = Annotated[
    bool, typer.Option("--json", rich_help_panel=_OUTPUT, help="Print one JSON object and nothing else.")
]
Force = Annotated[
    bool, typer.Option("--force", rich_help_panel=_OUTPUT, help="Replace output files that are there already.")
]


def output(words: str) -> typer.models.OptionInfo:
    """Return an option for a file that is written."""
    option: typer.models.OptionInfo = typer.Option(rich_help_panel=_OUTPUT, metavar="FILE", help=words)
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
    """Return the settings that the options of a command ask for; without lam and its ratio, lam is 0.01.

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
