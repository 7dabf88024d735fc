"""Certificates read from files, verified by `cvxrelu.certificates.checker` alone; see certificate_format.md."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from cvxrelu._validation import Weights, check_matrix, check_targets
from cvxrelu.certificates.checker import Contents, Verdict, check, read_certificate
from cvxrelu.losses.base import Loss
from cvxrelu.losses.registry import LOSSES
from cvxrelu.patterns.activation_patterns import ActivationPatterns
from cvxrelu.patterns.packed_mask import PackedMask
from cvxrelu.penalties.base import Penalty
from cvxrelu.penalties.registry import get_penalty
from cvxrelu.problems.dual import DualPoint


@dataclass(frozen=True, eq=False)
class PortableCertificate:
    """A certificate read from a file: claims and their proof, without the data.

    The file is well-formed, but its bounds are only claims until `verify` has derived both from the data. To reuse it,
    rebuild the problem: ``ConvexReLU(X, y, loaded.patterns, loaded.lam, loaded.loss, loaded.penalty)``, or
    ConvexGatedReLU for kind "gated".

    Attributes
    ----------
    contents : Contents
        Header and arrays of the file.
    """

    contents: Contents

    def verify(self, X: Any, y: Any, *, exact: bool = False) -> Verdict:
        """Return the bounds that the stand-alone checker derives from the data and this certificate.

        Parameters
        ----------
        X : array of shape (n, d)
            The data of the problem.
        y : array of shape (n,) or (n, c)
            The targets.
        exact : bool
            Whether to derive the bounds in rational arithmetic too: for scope "patterns", squared and Huber loss,
            lam > 0, penalties "group_l1", "l1", "feature_group_l1" and "squared_l2", and n d c P at most 10^6.

        Returns
        -------
        Verdict
            The bounds derived by the checker, and the claimed ones.

        Raises
        ------
        RejectedCertificate
            If X or y are not those of the certificate, or it does not prove its claims.
        TypeError, ValueError
            If X or y are invalid arrays, or an exact check is not available.
        """
        data = check_matrix("X", X)
        return check(self.contents, data, check_targets(y, len(data)), exact)

    @property
    def kind(self) -> str:
        """The program: "gated" or "relu"."""
        return str(self.contents.header["kind"])

    @property
    def scope(self) -> str:
        """Set of networks for which the lower bound holds: "patterns" or "global"."""
        return str(self.contents.header["scope"])

    @property
    def proof(self) -> str | None:
        """For scope "global": the proof that no neuron violates the dual constraint, "cones" or "relaxation"."""
        return self.contents.header.get("proof")

    @property
    def rigor(self) -> str:
        """Treatment of rounding errors: "floating_point" or "rounded"."""
        return str(self.contents.header["rigor"])

    @property
    def lam(self) -> float:
        """Regularisation strength."""
        return float(self.contents.header["lam"])

    @property
    def loss(self) -> Loss:
        """The loss with its parameters."""
        parameters = dict(self.contents.header["loss"])
        return LOSSES[parameters.pop("name")](**parameters)

    @property
    def penalty(self) -> Penalty:
        """The penalty."""
        return get_penalty(self.contents.header["penalty"])

    @property
    def lower(self) -> float:
        """The claimed lower bound."""
        return float(self.contents.header["lower"])

    @property
    def upper(self) -> float:
        """The claimed upper bound, the objective of ``weights``."""
        return float(self.contents.header["upper"])

    @property
    def gap(self) -> float:
        """Claimed upper minus claimed lower bound."""
        return self.upper - self.lower

    @property
    def info(self) -> dict[str, Any]:
        """Informative entries that `verify` does not check: versions, time, max_violation, kkt_residual."""
        return dict(self.contents.header["info"])

    @cached_property
    def patterns(self) -> ActivationPatterns:
        """The activation patterns, with their gates if known."""
        header, arrays = self.contents.header, self.contents.arrays
        return ActivationPatterns(PackedMask(arrays["patterns"], header["n"]), arrays.get("gates"))

    @cached_property
    def weights(self) -> Weights:
        """The weights: U (c, P, d), or the pair (V, W)."""
        header, arrays = self.contents.header, self.contents.arrays
        sides = 2 if self.kind == "relu" else 1
        blocks = np.zeros((sides, header["c"], header["n_patterns"], header["d"]))
        blocks.reshape(-1, header["d"])[arrays["blocks"]] = arrays["weights"]
        blocks.flags.writeable = False
        return (blocks[0], blocks[1]) if sides == 2 else blocks[0]

    @cached_property
    def dual(self) -> DualPoint:
        """The dual point that proves ``lower``."""
        header, arrays = self.contents.header, self.contents.arrays
        multipliers = None
        if "multiplier_values" in arrays:
            parts = (arrays[f"multiplier_{name}"] for name in ("values", "rows", "starts"))
            shape = (2 * header["c"] * header["n_patterns"], header["n"])
            multipliers = sp.csr_array(tuple(parts), shape=shape)
        return DualPoint(arrays["t"], multipliers, self.lower)

    def __str__(self) -> str:
        lines = {
            "claims": f"{self.lower:.10g} <= optimal value <= {self.upper:.10g}, not verified here",
            "problem": f"{self.kind}, lam={self.lam:g}, loss={self.loss!r}, penalty={self.penalty!r}",
            "scope": self.scope,
            **({} if self.proof is None else {"proof": self.proof}),
            "rigor": self.rigor,
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
        The claims of the file; `PortableCertificate.verify` verifies them on the data.

    Raises
    ------
    OSError
        If the file cannot be read.
    RejectedCertificate
        If the file is damaged, of an unknown version, or not a certificate.

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
    >>> verdict = loaded.verify(X, y)  # both bounds, derived anew
    >>> abs(verdict.lower - certificate.lower) <= 1e-12
    True

    Other data are refused:

    >>> try:
    ...     loaded.verify(X, y + 0.1)
    ... except cr.RejectedCertificate as error:
    ...     print(error)
    X, y, lam, loss or penalty are not those of the certificate: hash differs
    """
    return PortableCertificate(read_certificate(path))
