"""Storage of a regularization path in a folder, one file for each point."""

import hashlib
import os
import pathlib
import time as clock
import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvxrelu._files import load_arrays, replacing
from cvxrelu.certificates.certificate import certify
from cvxrelu.optimize.solution import Solution
from cvxrelu.patterns.packed_mask import packed_bits
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.status import Status

_UNREADABLE = (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile, zlib.error)


class _Store:
    """A folder of npz files, one for each point: lam, weights, t, objective, lower, fingerprint of the problem."""

    def __init__(self, folder: str | os.PathLike[str], problem: ConvexProblem) -> None:
        self.folder = pathlib.Path(folder)
        self.fingerprint = fingerprint_of(problem)
        self.damaged: list[str] = []
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"save_to must be a folder; {self.folder} is a file")
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(self.folder.glob("lam_*.npz")):
            try:
                found = str(*_read(path, "fingerprint"))
            except _UNREADABLE:
                continue  # damaged: reported by `load` if the point is requested
            if found != self.fingerprint:
                raise ValueError(
                    f"save_to must hold points of this problem; {path} belongs to another problem (X, y, patterns, "
                    "loss, penalty or kind differ): choose another folder"
                )

    def load(self, problem: ConvexProblem) -> Solution | None:
        """Return the stored point for the problem's lam, certified anew; None if the file is missing or damaged."""
        started = clock.perf_counter()
        path = self._path(problem.lam)
        if not path.exists():
            return None
        try:
            blocks, t = _read(path, "weights", "t")
            if blocks.shape != problem.blocks(problem.zero_weights()).shape:
                raise ValueError(f"weights of shape {blocks.shape}")
            certificate = certify(problem, problem.weights(blocks), t)
        except _UNREADABLE:
            self.damaged.append(path.name)
            return None
        return Solution(
            weights=certificate.weights,
            status=Status.OPTIMAL,  # the caller keeps the point only if it is
            solver="none",
            solver_status="loaded",
            certificate=certificate,
            n_iter=None,
            time=clock.perf_counter() - started,
            compile_time=0.0,
            solve_time=None,
            history=(),
            problem=problem,
        )

    def save(self, solution: Solution) -> None:
        """Write a point atomically. Its bounds are for information and never read back."""
        path = self._path(solution.problem.lam)
        with replacing(path) as file:
            np.savez(
                file,
                lam=solution.problem.lam,
                weights=solution.problem.blocks(solution.weights),
                t=solution.dual.t,
                objective=solution.objective,
                lower=solution.lower,
                fingerprint=self.fingerprint,
            )

    def _path(self, lam: float) -> pathlib.Path:
        # Twelve digits: default lams match even if lam_max differs in its last bits.
        return self.folder / f"lam_{lam:.12e}.npz"


def _read(path: pathlib.Path, *names: str) -> list[NDArray[Any]]:
    with path.open("rb") as file:
        return list(load_arrays(file, names).values())


def fingerprint_of(problem: ConvexProblem) -> str:
    """Return a hash of the problem without its lam."""
    digest = hashlib.sha256(f"{type(problem).__name__} {problem.loss!r} {problem.penalty!r}".encode())
    for array in (problem.X, problem.y, packed_bits(problem.patterns.D)):
        digest.update(f" {array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
