"""Verdicts of the checker on forged files, judged by the exact oracle."""

import signal
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from types import FrameType
from typing import Any

import numpy as np

from cvxrelu.certificates import checker
from reference.forgeries.attacks import mapped_rows
from reference.forgeries.bases import Base, as_given
from reference.forgeries.exact import zeros
from reference.forgeries.files import File, data_hash, decode
from reference.forgeries.mutations import Attempt
from reference.forgeries.oracle import (
    Statement,
    bounds,
    in_cones,
    objective_of_blocks,
    objective_of_network,
)
from reference.rationals import rational

REJECTED, REFUSED, TRUE, FALSE, CRASHED = "rejected", "refused", "true", "FALSE", "crashed"
_LIMIT = 30.0  # seconds of processor time of one check
_known: dict[tuple[Any, ...], tuple[Fraction, Fraction]] = {}


class DidNotStopError(Exception):
    """A check took longer than any file of this size may."""


def outcome(attempt: Attempt, base: Base, interval: bool) -> tuple[str, str]:
    """Return what the checker makes of an attempt, REJECTED, REFUSED, TRUE, FALSE or CRASHED, and why."""
    try:
        with _limited(), warnings.catch_warnings():
            warnings.simplefilter("error")
            contents = checker.parse(attempt.raw)
            verdict = checker.check(contents, attempt.X, attempt.y, interval=interval, **attempt.given)
    except checker.RejectedCertificate as error:
        return REJECTED, str(error)
    except ValueError as error:
        if "bytes" in str(error) and "allowed" in str(error):  # more memory than --max-memory
            return REFUSED, str(error)
        return CRASHED, _last_line(error)
    except Exception as error:  # whatever the file provokes
        return CRASHED, _last_line(error)
    wrong = faults(verdict, attempt, base)
    return (FALSE, "; ".join(wrong)) if wrong else (TRUE, "")


def _last_line(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {str(error)[:100]} ({frame.filename.rsplit('/', 1)[-1]}: {frame.line})"


def faults(verdict: dict[str, Any], attempt: Attempt, base: Base) -> list[str]:
    """Return what is false in the verdict on an attempt, by its own statement and by the verifier's."""
    said, wrong = verdict["statement"], []
    for key, value in attempt.given.items():
        if value is not None and key not in ("patterns", "network") and said[key] != value:
            wrong.append(f"{key} {said[key]!r} instead of {value!r}")
    patterns, network = attempt.given.get("patterns"), attempt.given.get("network")
    if patterns is not None and said["scope"] == "global":
        wrong.append("patterns were given, and are not in the statement")
    data = mapped_rows(said["rows"], attempt.X, attempt.y)
    file = decode(attempt.raw)
    if data is None or said["data_sha256"] != data_hash(*data):
        return [*wrong, "other data"]
    masks = None
    if said["scope"] == "patterns":
        masks = np.unpackbits(file.arrays["patterns"], axis=1, count=len(data[0])).astype(bool)
        if patterns is not None and _sorted(masks) != _sorted(np.asarray(patterns).T):
            wrong.append("other patterns")
    s = Statement(*data, said["lam"], said["loss"], said["delta"], said["penalty"], said["kind"], said["scope"], masks)
    below, above = optimum(s, base)
    lower, upper = Fraction(verdict["lower"]), Fraction(verdict["upper"])
    if lower > above:
        wrong.append(f"lower bound {float(lower)!r} of an optimal value of at most {float(above)!r}")
    if network is not None:
        W, outputs = rational(network[0]), rational(np.reshape(network[1], (len(network[0]), -1)))
        attained: Fraction | None = objective_of_network(s, W, outputs, above=False)
    else:
        attained = objective_of_file(s, file)
        if upper < below:
            wrong.append(f"upper bound {float(upper)!r} of an optimal value of at least {float(below)!r}")
    if attained is None:
        wrong.append("weights that are not feasible")
    elif upper < attained:
        wrong.append(f"upper bound {float(upper)!r} of weights with objective {float(attained)!r}")
    return wrong


def _sorted(masks: Any) -> list[tuple[bool, ...]]:
    return sorted(map(tuple, np.asarray(masks, dtype=bool).tolist()))


def optimum(s: Statement, base: Base) -> tuple[Fraction, Fraction]:
    """Return bounds of the optimal value: those of the base if it is the same problem."""
    if _key(s) == _key(base.statement):
        return base.bounds
    if _key(s) not in _known:
        _known[_key(s)] = bounds(s)
    return _known[_key(s)]


def _key(s: Statement) -> tuple[Any, ...]:
    masks = None if s.masks is None else tuple(_sorted(s.masks))
    program = tuple(value for key, value in as_given(s).items() if key != "patterns")
    return (*program, masks, data_hash(s.X, s.Y))


def objective_of_file(s: Statement, file: File) -> Fraction | None:
    """Return a lower bound of the objective of the weights in a file; None if they are not feasible."""
    arrays, W = file.arrays, rational(file.arrays["weights"]).sum(axis=0)
    numbers = arrays["blocks"].tolist()
    if s.scope == "global":
        signs = rational([[1.0 - 2.0 * number] for number in numbers]).reshape(-1, 1)
        return objective_of_network(s, W, signs, above=False) if set(numbers) <= {0, 1} else None
    c, d = s.Y.shape[1], s.X.shape[1]
    masks = np.unpackbits(arrays["patterns"], axis=1, count=len(s.X)).astype(bool)
    blocks = zeros(s.sides, c, len(masks), d)
    for j, number in enumerate(numbers):
        if "outputs" in arrays:
            blocks[0, :, number] += np.outer(rational(arrays["outputs"][j]), W[j])
        elif not 0 <= number < s.sides * c * len(masks):
            return None
        else:
            blocks.reshape(-1, d)[number] += W[j]
    there = Statement(s.X, s.Y, s.lam, s.loss, s.delta, s.penalty, s.kind, s.scope, masks)
    if (in_cones(there, blocks) != blocks).any():
        return None
    return objective_of_blocks(there, blocks, above=False)


@contextmanager
def _limited() -> Iterator[None]:
    """Stop a check that takes too long."""
    previous = signal.signal(signal.SIGPROF, _stop)
    signal.setitimer(signal.ITIMER_PROF, _LIMIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, previous)


def _stop(signum: int, frame: FrameType | None) -> None:
    raise DidNotStopError(f"a check took more than {_LIMIT:g} s")
