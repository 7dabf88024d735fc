"""Table 3 of the paper: test accuracy of the convex programs and of local training of the same networks."""

import argparse
import warnings
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import cvxrelu as cr
from reference.datasets.paper import load_split
from reference.datasets.prepare import Array
from reference.paper.published import N_TABLE3, PATTERN_SEED, PROFILES, TABLE3_MEANS
from reference.paper.selection import PROGRAMS, accuracy, classes_of, folds, train_path
from reference.runs import (
    SMALL,
    Record,
    Scale,
    add_scale_options,
    chosen_scale,
    has_pytorch,
    pytorch_on_one_thread,
    run_all,
)

_LAMS: list[float] = np.logspace(-6, -2, 5)[::-1].tolist()
_LOCAL = {"NC-GReLU": "C-GReLU", "NC-ReLU": "C-ReLU"}
_STEPS = (0.1, 0.01)
_BATCHES = 10
_UNIT = "seconds for each convex program"
DEFAULT = Scale(data=SMALL, lams=_LAMS, gates=100, limit=5)
FULL = Scale(data=list(PROFILES), lams=_LAMS, gates=1000, limit=600)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_scale_options(parser, DEFAULT, FULL, _UNIT)
    parser.add_argument("--epochs", type=int, default=200, help="epochs of local training (default: 200)")


def run(arguments: argparse.Namespace) -> str:
    """Table 3: test accuracy of C-GReLU and C-ReLU, and of Adam on the same networks (PyTorch)."""
    scale = chosen_scale(arguments, DEFAULT, FULL)
    lams = sorted(scale.lams, reverse=True)
    local = has_pytorch()
    settings = {
        "gates": scale.gates,
        "lams": lams,
        "limit": scale.limit,
        "epochs": arguments.epochs,
        "local": local,
        "version": cr.__version__,
    }
    path = arguments.out / f"table3{'-full' if arguments.full else ''}.jsonl"
    work = partial(
        _rows, lams=lams, n_gates=scale.gates, limit=scale.limit, n_epochs=arguments.epochs if local else None
    )
    frame = pd.DataFrame(run_all(path, settings, [(name,) for name in scale.data], work, arguments.n_jobs))
    known = sum(name in PROFILES for name in scale.data)
    local_settings = (
        f"NC: Adam, {arguments.epochs} epochs of {_BATCHES} mini-batches, halved every 100, steps {_STEPS}"
        if local
        else "NC: left out, PyTorch is not installed (pip install 'cvxrelu[torch]')"
    )
    return "\n".join(
        [
            f"{len(scale.data)} sets, {known} of them copies of the paper's (of which its table has {N_TABLE3}); "
            f"{scale.gates} gates or neurons, {len(lams)} lam from {min(lams):.1e} to {max(lams):.1e} (for a loss "
            "divided by 2 n c)",
            local_settings,
            "lam, and for NC the step, are selected by accuracy on the first of five folds; the network is then "
            "trained on all training rows",
            "excess: relative distance of the objective above the certified lower bound of the convex program "
            "(NC-ReLU, with other patterns than the program, may be below it; so may NC with several classes, whose "
            "outputs share neurons)",
            "",
            *_table(frame),
            "",
            *_agreement(frame),
        ]
    )


def _rows(name: str, lams: Sequence[float], n_gates: int, limit: int, n_epochs: int | None) -> list[Record]:
    """Return each method's test accuracy at its selected lam, and its excess over the program's bound there."""
    if n_epochs is not None:
        pytorch_on_one_thread()
    X, Y, X_test, test_classes = load_split(name)
    train, valid = next(folds(X))
    truth = classes_of(Y[valid])
    rows: list[Record] = []

    def add(method: str, lam: float, score: float, objective: float, lower: float) -> None:
        excess = (objective - lower) / lower
        rows.append(
            {
                "data": name,
                "method": method,
                "lam": lam,
                "accuracy": score,
                "excess": excess,
                "n_outputs": _outputs(Y),
            }
        )

    bounds: dict[tuple[str, float], float] = {}

    def bound(program: str, lam: float) -> float:
        if (program, lam) not in bounds:
            bounds[program, lam] = train_path(program, X, Y, [lam], n_gates, limit)[0].lower
        return bounds[program, lam]

    for method in PROGRAMS:
        path = train_path(method, X[train], Y[train], lams, n_gates, limit)
        scores = [accuracy(solution.network().predict(X[valid]), truth) for solution in path]
        lam = lams[int(np.argmax(scores))]
        solution = train_path(method, X, Y, [lam], n_gates, limit)[0]
        bounds[method, lam] = solution.lower
        score = accuracy(solution.network().predict(X_test), test_classes)
        add(method, lam, score, solution.objective, solution.lower)
    if n_epochs is None:
        return rows
    for method, program in _LOCAL.items():
        gates = cr.sample_patterns(X, n_gates, seed=PATTERN_SEED).G if program == "C-GReLU" else None
        runs = [
            (lam, step, network)
            for lam in lams
            for step, network, _ in _train(X[train], Y[train], lam, gates, n_gates, n_epochs, _STEPS)
        ]
        scores = [accuracy(network.predict(X[valid]), truth) for _, _, network in runs]
        lam, step, _ = runs[int(np.argmax(scores))]
        _, network, objective = next(_train(X, Y, lam, gates, n_gates, n_epochs, (step,)))
        score = accuracy(network.predict(X_test), test_classes)
        add(method, lam, score, objective, bound(program, lam))
    return rows


def _train(
    X: Array,
    Y: Array,
    lam: float,
    gates: NDArray[np.floating] | None,
    width: int,
    n_epochs: int,
    steps: Sequence[float],
) -> Iterator[tuple[float, cr.GatedReLUNetwork | cr.ReLUNetwork, float]]:
    """Yield for each step size the network trained by Adam and its objective."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.ConvergenceWarning)  # Adam's final network counts
        for step in steps:
            trained = cr.train_network(
                X,
                Y,
                None if gates is not None else width,
                lam * _outputs(Y),
                gates=gates,
                learning_rate=step,
                batch_size=-(-len(X) // _BATCHES),
                n_epochs=n_epochs,
            )
            yield step, trained.network, trained.objective


def _outputs(Y: Array) -> int:
    return Y.shape[1] if Y.ndim == 2 else 1


def _table(frame: pd.DataFrame) -> list[str]:
    methods = list(dict.fromkeys(frame.method))
    scores, excess = (
        frame.pivot(index="data", columns="method", values=column).loc[list(dict.fromkeys(frame.data)), methods]
        for column in ("accuracy", "excess")
    )
    lines = ["".join([f"{'test accuracy':<16}", *(f"{method:>10}" for method in methods)])]
    lines[0] += "".join(["   excess:", *(f"{method:>10}" for method in methods)])
    for name in scores.index:
        cells = "".join(f"{value:>10.3f}" for value in scores.loc[name])
        lines.append(f"{name:<16}{cells}{'':>10}" + "".join(f"{value:>10.1e}" for value in excess.loc[name]))
    lines.append(f"{'mean':<16}" + "".join(f"{value:>10.3f}" for value in scores.mean()))
    lines.append(f"{'paper':<16}" + "".join(f"{TABLE3_MEANS[method]:>10}" for method in methods))
    return lines


def _agreement(frame: pd.DataFrame) -> list[str]:
    """Compare the convex networks with local training by accuracy and objective."""
    scores = 100.0 * frame.pivot(index="data", columns="method", values="accuracy")
    lines = []
    for local, program in _LOCAL.items():
        if local not in scores:
            continue
        diff = scores[program] - scores[local]
        excess = frame[frame.method == local].excess
        lines.append(
            f"{program} against {local}: {diff.mean():+.1f} points of test accuracy in the mean of {len(diff)} sets, "
            f"ahead on {(diff > 0).sum()}, behind on {(diff < 0).sum()}; {local}'s objective is above the bound by a "
            f"factor of {1 + excess.median():.3g} in the median, {1 + excess.max():.3g} at most"
        )
    gated = frame[(frame.method == "NC-GReLU") & (frame.n_outputs == 1)]
    if len(gated):
        lines.append(
            "NC-GReLU with two classes and C-GReLU are the same problem (the paper's equivalence), so that no excess "
            f"is below zero: {'holds' if (gated.excess >= 0.0).all() else 'BROKEN'} on {len(gated)} sets"
        )
    diff = scores["C-ReLU"] - scores["C-GReLU"]
    lines.append(
        f"C-ReLU against C-GReLU: {diff.mean():+.1f} points in the mean, ahead on {(diff > 0).sum()}, behind on "
        f"{(diff < 0).sum()} (paper: +0.1 in the mean)"
    )
    return lines
