"""Runs of the paper's experiments: their common options, and a file of results that they go on from."""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

from cvxrelu._files import write

# The sets with at most 1,500 rows.
SMALL = (
    "australian", "bands", "breast", "breast_cancer", "contraceptive", "crx", "german", "heart", "housevotes",
    "ionosphere", "led7digit", "mammographic", "monk-2", "pima", "sonar", "tae", "tic-tac-toe", "vehicle", "wine",
)  # fmt: skip
Key = Sequence[str | float]
Record = dict[str, Any]


class Command(Protocol):
    """What the module of a command has."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""

    def run(self, arguments: argparse.Namespace) -> str:
        """Return what is printed; the docstring is the help."""


@dataclass(frozen=True)
class Scale:
    """How much is run: data sets, lam (of a loss divided by 2 n c), gates, and the limit of each run's effort."""

    data: Sequence[str]
    lams: Sequence[float]
    gates: int
    limit: int


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options that all figures and tables have."""
    parser.add_argument("--data", nargs="+", help="data sets, by name (default: those of the scale)")
    parser.add_argument("--full", action="store_true", help="the paper's own scale")
    parser.add_argument("--n-jobs", type=int, default=2, help="runs at a time, of one thread each (default: 2)")
    parser.add_argument("--out", type=Path, default=Path("build/paper"), help="folder of results and plots")


def add_scale_options(parser: argparse.ArgumentParser, default: Scale, full: Scale, unit: str) -> None:
    """Declare the common options and those that change the scale."""
    add_options(parser)
    parser.add_argument(
        "--lams", nargs="+", type=float, help=f"of a loss divided by 2 n c (default: {_list(default.lams)})"
    )
    parser.add_argument("--gates", type=int, help=f"number of gates (default: {default.gates}; full: {full.gates})")
    parser.add_argument(
        "--limit", type=int, help=f"{unit}, at most, of each run (default: {default.limit}; full: {full.limit})"
    )


def chosen_scale(arguments: argparse.Namespace, default: Scale, full: Scale) -> Scale:
    """Return the scale that the options ask for."""
    base = full if arguments.full else default
    return Scale(
        data=arguments.data or base.data,
        lams=arguments.lams or base.lams,
        gates=arguments.gates or base.gates,
        limit=arguments.limit or base.limit,
    )


def comma_separated(text: str) -> list[str]:
    """Return the names in the value of an option."""
    return [name.strip() for name in text.split(",") if name.strip()]


def _list(values: Sequence[float]) -> str:
    return " ".join(f"{value:.2g}" for value in values)


def run_all(
    path: Path, settings: Record, keys: Sequence[Key], work: Callable[..., list[Record]], n_jobs: int
) -> list[Record]:
    """Return the records of all keys, running ``work(*key)`` for those that the file lacks.

    The file has the settings on its first line and a key with its records on each other one, written when it is done;
    a line that was not finished is run again.

    Raises
    ------
    SystemExit
        If the file was made with other settings; says which and what to do.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    whole = [json.loads(line) for line in lines if line.endswith("\n")] or [settings]
    if whole[0] != settings:
        raise SystemExit(
            f"{path} holds runs with other settings ({whole[0]}, here {settings}): "
            "name another folder by --out, or remove the file"
        )
    done = {tuple(entry["key"]): entry["records"] for entry in whole[1:]}
    missing = [key for key in keys if tuple(key) not in done]
    write(path, "".join(json.dumps(entry) + "\n" for entry in whole).encode(), overwrite=True)
    results = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(delayed(_one)(work, key) for key in missing)
    with path.open("a") as file:
        for count, (key, records) in enumerate(results, start=1):
            done[tuple(key)] = records
            file.write(json.dumps({"key": key, "records": records}) + "\n")
            file.flush()
            told = " ".join(f"{part:.3g}" if isinstance(part, float) else str(part) for part in key)
            print(f"{told}: done, {count} of {len(missing)}", flush=True)
    return [record for key in keys for record in done[tuple(key)]]


def has_pytorch() -> bool:
    """Return whether PyTorch can be imported."""
    try:
        import torch  # noqa: F401
    except ImportError:
        return False
    return True


def pytorch_on_one_thread() -> None:
    """Load PyTorch with one thread: where a run loads it, the limit that runs have came too early for it."""
    import torch

    torch.set_num_threads(1)


def _one(work: Callable[..., list[Record]], key: Key) -> tuple[Key, list[Record]]:
    with threadpool_limits(1):
        return key, work(*key)
