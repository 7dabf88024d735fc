"""The command ``cvxrelu verify``."""

import pathlib
from typing import Annotated

import typer

from cvxrelu.cli.terminal import epilog

EPILOG = epilog(
    "cvxrelu verify net.cert --data train.npz",
    "cvxrelu verify net.cert --data train.npz --exact",
    codes="Exit codes: 0 verified; 1 rejected; 2 bad input, or out of reach of --exact.",
)


def verify(
    certificate: Annotated[
        pathlib.Path,
        typer.Argument(metavar="CERTIFICATE", help="File written by --save-certificate or Certificate.save."),
    ],
    data: Annotated[pathlib.Path, typer.Option(metavar="FILE", help="npz file with the arrays X and y.")],
    exact: Annotated[
        bool, typer.Option("--exact", help="In rational arithmetic too: squared and Huber loss, small problems.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Check a saved certificate against the data.

    Derives both bounds anew from weights, dual point and data, and rejects claims that are better. The same as the
    stand-alone file cvxrelu/certificates/checker.py, which needs NumPy alone.
    """
    from cvxrelu.certificates import checker

    raise typer.Exit(checker.run(certificate, data, exact, as_json))
