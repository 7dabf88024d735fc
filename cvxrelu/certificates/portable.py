"""Certificates read from files, verified by `cvxrelu.certificates.checker` alone; see certificate_format.md."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from cvxrelu._validation import Weights
from cvxrelu.certificates import checker
from cvxrelu.losses.base import Loss
from cvxrelu.losses.registry import LOSSES
from cvxrelu.patterns.activation_patterns import ActivationPatterns
from cvxrelu.patterns.packed_mask import PackedMask
from cvxrelu.penalties.base import Penalty
from cvxrelu.penalties.registry import get_penalty
from cvxrelu.problems.dual import DualPoint


@dataclass(frozen=True, eq=False)
class Verdict:
    """What the checker proved of a file: no network of the statement has an objective below ``lower``.

    Attributes
    ----------
    statement : dict
        The statement: kind, scope, loss, delta, penalty, lam, n, d, c, the hash of the data and the map of its rows,
        number and hash of the patterns, hash of the network; under "from_file" what the verifier left to the file.
    lower, upper : float
        The bounds, rounded outward to float64; ``upper`` is of the objective of the file's weights, or of the network.
    lower_exact, upper_exact : Fraction or None
        The bounds as derived, of losses without logarithms in exact arithmetic.
    arithmetic : str
        "exact", or "interval": long sums in float64, with bounds of their errors.
    seconds : float
        Time of the check.
    """

    statement: dict[str, Any]
    lower: float
    upper: float
    lower_exact: Fraction | None
    upper_exact: Fraction | None
    arithmetic: str
    seconds: float

    @property
    def gap(self) -> float:
        """Upper minus lower bound, rounded up."""
        return math.nextafter(self.upper - self.lower, math.inf)

    def __str__(self) -> str:
        return checker.sentence({**vars(self), "lower": repr(self.lower), "upper": repr(self.upper)})


def _verdict(found: dict[str, Any]) -> Verdict:
    """Return the verdict of the checker's object."""
    lower, upper = float(found["lower"]), float(found["upper"])
    return Verdict(
        statement=found["statement"],
        lower=math.nextafter(lower, -math.inf) if Decimal(lower) > Decimal(found["lower"]) else lower,
        upper=math.nextafter(upper, math.inf) if Decimal(upper) < Decimal(found["upper"]) else upper,
        lower_exact=_fraction(found["lower_exact"]),
        upper_exact=_fraction(found["upper_exact"]),
        arithmetic=found["arithmetic"],
        seconds=found["seconds"],
    )


def _fraction(text: str | None) -> Fraction | None:
    """Return the fraction p/q; through decimal numbers, as Python limits the digits of integers."""
    if text is None:
        return None
    p, q = text.split("/")
    return Fraction(Decimal(p)) / Fraction(Decimal(q))


@dataclass(frozen=True, eq=False)
class PortableCertificate:
    """A certificate read from a file: weights, dual point and proof, without bounds and data.

    The file is well-formed; `verify` derives both bounds from the data. To reuse it, rebuild the problem:
    ``ConvexReLU(X, y, loaded.patterns, loaded.lam, loaded.loss, loaded.penalty)``, or ConvexGatedReLU for kind "gated".

    Attributes
    ----------
    contents : Contents
        Header and arrays of the file.
    """

    contents: checker.Contents

    def verify(
        self,
        X: Any,
        y: Any,
        *,
        lam: float | None = None,
        loss: str | None = None,
        delta: float | None = None,
        penalty: str | None = None,
        kind: str | None = None,
        scope: str | None = None,
        patterns: Any = None,
        network: tuple[Any, Any] | None = None,
        interval: bool = False,
        max_memory: float = 4e9,
    ) -> Verdict:
        """Return the bounds that the stand-alone checker derives from the data and this certificate.

        The statement is the verifier's: what is given must be what the file is about. What is not given is as in the
        file, and listed in the verdict's statement under "from_file".

        Parameters
        ----------
        X : array of shape (n, d)
            The data of the problem; of an estimator's certificate, the raw data.
        y : array of shape (n,) or (n, c)
            The targets; of a classifier's certificate, the classes.
        lam, loss, delta, penalty, kind, scope : optional
            Parts of the statement, as in the header of the file.
        patterns : array of shape (n, P), optional
            The activation patterns, for scope "patterns".
        network : pair of arrays W1 (m, d) and w2 (m,) or (m, c), optional
            A ReLU network: ``upper`` is then above its objective, with balanced layers.
        interval : bool
            Whether to enclose long sums in float64, for large data, in place of exact arithmetic.
        max_memory : float
            Bytes that the check may need.

        Returns
        -------
        Verdict
            The statement and its bounds.

        Raises
        ------
        RejectedCertificate
            If the file does not prove the statement.
        ValueError
            If data, network or patterns are invalid, or the check needs more memory than allowed.
        """
        given = {"lam": lam, "loss": loss, "delta": delta, "penalty": penalty, "kind": kind, "scope": scope}
        parts = {"patterns": patterns, "network": network}
        found = checker.check(self.contents, X, y, interval=interval, max_memory=max_memory, **given, **parts)
        return _verdict(found)

    @property
    def kind(self) -> str:
        """The program: "gated" or "relu"."""
        return str(self.contents.header["kind"])

    @property
    def scope(self) -> str:
        """Set of networks that the file is about: "patterns" or "global"."""
        return str(self.contents.header["scope"])

    @property
    def proof(self) -> str | None:
        """For scope "global": the proof that no neuron violates the dual constraint."""
        proof: str | None = self.contents.header["proof"]
        return proof

    @property
    def lam(self) -> float:
        """Regularisation strength."""
        return float(self.contents.header["lam"])

    @property
    def loss(self) -> Loss:
        """The loss with its parameters."""
        name, delta = self.contents.header["loss"], self.contents.header["delta"]
        return LOSSES[name]() if delta is None else LOSSES[name](delta=delta)  # type: ignore[call-arg]

    @property
    def penalty(self) -> Penalty:
        """The penalty."""
        return get_penalty(self.contents.header["penalty"])

    @cached_property
    def patterns(self) -> ActivationPatterns:
        """The activation patterns; AttributeError for scope "global", which has none."""
        if self.scope == "global":
            raise AttributeError("a certificate of scope global has no patterns, only neurons: see weights")
        return ActivationPatterns(PackedMask(self.contents.arrays["patterns"], self.contents.header["sizes"]["n"]))

    @cached_property
    def weights(self) -> Weights:
        """The weights: U (c, P, d), or the pair (V, W); for scope "global" each neuron has a place of its own (P)."""
        sizes, arrays = self.contents.header["sizes"], self.contents.arrays
        sides, c, d = 1 + (self.kind == "relu"), sizes["c"], sizes["d"]
        given, numbers = arrays["weights"].sum(axis=0), arrays["blocks"]
        if self.scope == "global":
            blocks = np.zeros((sides, c, len(numbers), d))
            blocks[numbers, 0, np.arange(len(numbers))] = given
        elif "outputs" in arrays:
            blocks = np.zeros((sides, c, sizes["patterns"], d))
            np.add.at(blocks[0].transpose(1, 0, 2), numbers, arrays["outputs"][:, :, None] * given[:, None])
        else:
            blocks = np.zeros((sides, c, sizes["patterns"], d))
            blocks.reshape(-1, d)[numbers] = given
        blocks.flags.writeable = False
        return (blocks[0], blocks[1]) if sides == 2 else blocks[0]

    @cached_property
    def dual(self) -> DualPoint:
        """The dual point; its value is not in the file."""
        sizes, arrays = self.contents.header["sizes"], self.contents.arrays
        multipliers = None
        if self.kind == "relu" and self.scope == "patterns":
            rows, columns = arrays["places"].T
            shape = (2 * sizes["c"] * sizes["patterns"], sizes["n"])
            multipliers = sp.csr_array((arrays["multipliers"], (rows, columns)), shape=shape)
        return DualPoint(arrays["t"], multipliers, math.nan)

    def __str__(self) -> str:
        lines = {
            "problem": f"{self.kind}, lam={self.lam:g}, loss={self.loss!r}, penalty={self.penalty!r}",
            "scope": self.scope,
            **({} if self.proof is None else {"proof": self.proof}),
            "bounds": "derived from the data by verify",
        }
        return "\n".join(f"{name:<15} {value}" for name, value in lines.items())


def load_certificate(path: str | os.PathLike[str]) -> PortableCertificate:
    """Return the certificate of a file written by `Certificate.save`.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    PortableCertificate
        The contents of the file; `PortableCertificate.verify` derives its bounds from the data.

    Raises
    ------
    OSError
        If the file cannot be read.
    RejectedCertificate
        If the file is damaged, of another version, or not a certificate.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.column_stack([np.linspace(-1, 1, 8), np.ones(8)])  # one feature, and the bias
    >>> y = np.abs(X[:, 0])
    >>> certificate = cr.solve(cr.ConvexReLU(X, y, cr.enumerate_patterns(X), lam=0.01)).certificate
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     certificate.save(Path(folder) / "network.cert")
    ...     loaded = cr.load_certificate(Path(folder) / "network.cert")
    >>> loaded.kind, loaded.scope, loaded.lam
    ('relu', 'patterns', 0.01)
    >>> verdict = loaded.verify(X, y, lam=0.01, loss="squared", penalty="group_l1")  # both bounds, derived exactly
    >>> abs(verdict.lower - certificate.lower) <= 1e-12
    True

    Other data are refused, and another statement:

    >>> for data, lam in (((X, y + 0.1), 0.01), ((X, y), 0.1)):
    ...     try:
    ...         loaded.verify(*data, lam=lam)
    ...     except cr.RejectedCertificate as error:
    ...         print(str(error).partition(":")[0])
    the file is about other data
    the file is about lam 0.01, not 0.1
    """
    with open(path, "rb") as file:
        return PortableCertificate(checker.parse(file.read()))
