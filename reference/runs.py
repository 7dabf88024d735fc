"""Common options of the experiments, and a results file from which an interrupted run resumes."""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

from cvxrelu._files import write
from cvxrelu.numerics.active_set import project_blocks
from cvxrelu.numerics.cone_newton import cone_step
from cvxrelu.numerics.gated_rounds import gated_rounds
from cvxrelu.numerics.group_lasso import descend
from cvxrelu.numerics.row_descent import descend_on_rows
from cvxrelu.numerics.smoothed_relu import activate, chain
from cvxrelu.problems.operators.packed_products import ADJOINT, FORWARD, GRAM

# The data sets with at most 1,500 rows.
SMALL = (
    "australian", "bands", "breast", "breast_cancer", "contraceptive", "crx", "german", "heart", "housevotes",
    "ionosphere", "led7digit", "mammographic", "monk-2", "pima", "sonar", "tae", "tic-tac-toe", "vehicle", "wine",
)  # fmt: skip
Key = Sequence[str | float]
Record = dict[str, Any]


class Command(Protocol):
    """Interface of a command's module."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's options to its parser."""

    def run(self, arguments: argparse.Namespace) -> str:
        """Run the command and return the text to print; the docstring is its help."""


@dataclass(frozen=True)
class Scale:
    """Scale of an experiment: data sets, lam (for a loss divided by 2 n c), gates, and the effort limit of each run."""

    data: Sequence[str]
    lams: Sequence[float]
    gates: int
    limit: int


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that all figures and tables share."""
    parser.add_argument("--data", nargs="+", help="names of data sets (default: those of the chosen scale)")
    parser.add_argument("--full", action="store_true", help="run at the paper's scale")
    parser.add_argument("--n-jobs", type=int, default=2, help="concurrent runs, one thread each (default: 2)")
    parser.add_argument("--out", type=Path, default=Path("build/paper"), help="folder for results and plots")


def add_scale_options(parser: argparse.ArgumentParser, default: Scale, full: Scale, unit: str) -> None:
    """Add the common options and those that override the scale."""
    add_options(parser)
    parser.add_argument(
        "--lams",
        nargs="+",
        type=float,
        help=f"lam values, for a loss divided by 2 n c (default: {_list(default.lams)})",
    )
    parser.add_argument("--gates", type=int, help=f"number of gates (default: {default.gates}; full: {full.gates})")
    parser.add_argument(
        "--limit", type=int, help=f"at most this many {unit} in each run (default: {default.limit}; full: {full.limit})"
    )


def chosen_scale(arguments: argparse.Namespace, default: Scale, full: Scale) -> Scale:
    """Return the scale selected by the options."""
    base = full if arguments.full else default
    return Scale(
        data=arguments.data or base.data,
        lams=arguments.lams or base.lams,
        gates=arguments.gates or base.gates,
        limit=arguments.limit or base.limit,
    )


def comma_separated(text: str) -> list[str]:
    """Split a comma-separated option value into names."""
    return [name.strip() for name in text.split(",") if name.strip()]


def _list(values: Sequence[float]) -> str:
    return " ".join(f"{value:.2g}" for value in values)


def run_all(
    path: Path, settings: Record, keys: Sequence[Key], work: Callable[..., list[Record]], n_jobs: int
) -> list[Record]:
    """Return the records of all keys, calling ``work(*key)`` for those missing from the file.

    The first line of the file holds the settings; each further line holds a key and its records, written as soon as the
    run is done. A run whose line is incomplete is repeated.

    Raises
    ------
    SystemExit
        If the file was written with other settings.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    entries = [json.loads(line) for line in lines if line.endswith("\n")] or [settings]
    if entries[0] != settings:
        raise SystemExit(
            f"{path} holds runs with other settings ({entries[0]}; this run: {settings}): "
            "choose another folder with --out, or remove the file"
        )
    done = {tuple(entry["key"]): entry["records"] for entry in entries[1:]}
    missing = [key for key in keys if tuple(key) not in done]
    write(path, "".join(json.dumps(entry) + "\n" for entry in entries).encode(), overwrite=True)
    results = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(delayed(_run_one)(work, key) for key in missing)
    with path.open("a") as file:
        for count, (key, records) in enumerate(results, start=1):
            done[tuple(key)] = records
            file.write(json.dumps({"key": key, "records": records}) + "\n")
            file.flush()
            label = " ".join(f"{part:.3g}" if isinstance(part, float) else str(part) for part in key)
            print(f"{label}: done, {count} of {len(missing)}", flush=True)
    return [record for key in keys for record in done[tuple(key)]]


def has_pytorch() -> bool:
    """Return whether PyTorch can be imported."""
    try:
        import torch  # noqa: F401
    except ImportError:
        return False
    return True


def pytorch_on_one_thread() -> None:
    """Limit PyTorch to one thread: thread limits set before PyTorch is loaded do not apply to it."""
    import torch

    torch.set_num_threads(1)


def _run_one(work: Callable[..., list[Record]], key: Key) -> tuple[Key, list[Record]]:
    with threadpool_limits(1):
        return key, work(*key)


def compile_kernels() -> None:
    """Compile our kernels, as peers compile their code before they are timed."""
    products = (product.kernel for each in (ADJOINT, FORWARD, GRAM) for product in each.values())
    for kernel in (activate, chain, cone_step, descend, descend_on_rows, gated_rounds, project_blocks, *products):
        kernel.compile()
