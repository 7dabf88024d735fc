"""The command ``cvxrelu verify``."""

import pathlib
from enum import StrEnum
from typing import Annotated

import typer

from cvxrelu.cli.settings import Kind, Scope
from cvxrelu.cli.terminal import epilog

EPILOG = epilog(
    "cvxrelu verify net.cert --data train.npz --lam 0.01 --scope global",
    "cvxrelu verify net.cert --data train.npz --interval",
    codes="Exit codes: 0 verified; 1 rejected; 2 invalid input, or more memory than allowed; 3 failure of the machine.",
)


class LossName(StrEnum):
    """Losses that the checker knows."""

    SQUARED = "squared"
    HUBER = "huber"
    LOGISTIC = "logistic"
    SOFTMAX = "softmax"


class PenaltyName(StrEnum):
    """Penalties that the checker knows."""

    GROUP_L1 = "group_l1"
    L1 = "l1"
    FEATURE_GROUP_L1 = "feature_group_l1"
    NUCLEAR = "nuclear"
    SQUARED_L2 = "squared_l2"
    NONE = "none"


def verify(
    certificate: Annotated[
        pathlib.Path,
        typer.Argument(metavar="CERTIFICATE", help="File written by --save-certificate or Certificate.save."),
    ],
    data: Annotated[pathlib.Path, typer.Option(metavar="FILE", help="npz file with the arrays X and y.")],
    lam: Annotated[float | None, typer.Option(help="Regularisation strength of the statement.")] = None,
    loss: Annotated[LossName | None, typer.Option(help="Loss of the statement.")] = None,
    delta: Annotated[float | None, typer.Option(help="Threshold of the Huber loss.")] = None,
    penalty: Annotated[PenaltyName | None, typer.Option(help="Penalty of the statement.")] = None,
    kind: Annotated[Kind | None, typer.Option(help="Kind of network.")] = None,
    scope: Annotated[Scope | None, typer.Option(help="Networks that the bound holds for.")] = None,
    patterns: Annotated[
        pathlib.Path | None, typer.Option(metavar="FILE", help="npz file with the activation patterns D (n, P).")
    ] = None,
    network: Annotated[
        pathlib.Path | None,
        typer.Option(metavar="FILE", help="npz file with W1 and w2: bound the objective of this ReLU network."),
    ] = None,
    interval: Annotated[
        bool, typer.Option("--interval", help="Enclose long sums in float64, for large data; exact by default.")
    ] = False,
    max_memory: Annotated[float, typer.Option(help="Bytes that the check may need.")] = 4e9,
    as_json: Annotated[bool, typer.Option("--json", help="Print a single JSON object.")] = False,
) -> None:
    """Check a saved certificate against the data and your statement, in exact arithmetic.

    Derives both bounds from weights, dual point, proof and data, like the stand-alone file
    cvxrelu/certificates/checker.py, which needs only NumPy. What you do not state is as the file says, and printed.
    """
    from cvxrelu.certificates import checker

    names = {"loss": loss, "penalty": penalty, "kind": kind, "scope": scope}
    statement = {
        "lam": lam,
        "delta": delta,
        **{key: None if name is None else str(name) for key, name in names.items()},
    }
    files = {"patterns": patterns, "network": network}
    raise typer.Exit(
        checker.run(certificate, data, as_json=as_json, interval=interval, max_memory=max_memory, **statement, **files)
    )
