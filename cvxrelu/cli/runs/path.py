"""A regularisation path on training rows, with the scores of its networks."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cvxrelu.cli.data.tables import TrainTestSplit
from cvxrelu.cli.runs.solve import fit_of, scores
from cvxrelu.cli.settings import Settings, Task
from cvxrelu.estimators.training import Fit
from cvxrelu.optimize import path as paths
from cvxrelu.optimize.solution import Solution
from cvxrelu.preprocessing.rows import with_bias


@dataclass(frozen=True, eq=False)
class PathRun:
    """Result of a regularisation path.

    Attributes
    ----------
    split : TrainTestSplit
        The data; test rows are used for validation.
    settings : Settings
        The settings; their lam is not used.
    fit : Fit
        Standardisation and patterns.
    path : cvxrelu.Path
        The certified points.
    neurons : tuple of int
        Numbers of neurons of each point's network, without the one that carries the mean of the target.
    train, validation : tuple of dict
        Scores of each point, as in `Run`; validation is empty without test rows.
    """

    split: TrainTestSplit
    settings: Settings
    fit: Fit
    path: paths.Path
    neurons: tuple[int, ...]
    train: tuple[dict[str, float], ...]
    validation: tuple[dict[str, float], ...]

    @property
    def score(self) -> str:
        """Name of the score that ranks the points; higher is better."""
        return "accuracy" if self.split.table.task is Task.CLASSIFICATION else "r2"

    @property
    def best(self) -> int | None:
        """Index of the point of the best validation score, with the largest lam among ties; None without scores."""
        found = [point.get(self.score) for point in self.validation]
        known = [value for value in found if value is not None]
        return found.index(max(known)) if known else None


def run_path(
    split: TrainTestSplit,
    settings: Settings,
    *,
    n_lams: int,
    eps: float,
    save_to: Path | None = None,
    callback: Callable[[Solution], object] | None = None,
) -> PathRun:
    """Solve a path and score its points; errors, warnings and callback as in `cvxrelu.regularization_path`."""
    fit = fit_of(split, settings)
    path = paths.regularization_path(
        fit.problem(0.0),
        n_lams=n_lams,
        eps=eps,
        solver=settings.solver,
        tol=settings.tol,
        max_iter=settings.max_iter,
        time_limit=fit.time_left(),
        callback=callback,
        save_to=save_to,
    )
    networks = [fit.network(solution) for solution in path.solutions]
    rows, held_out = with_bias(split.X_train), with_bias(split.X_test)
    train = [scores(split, split.y_train, network.predict(rows)) for network in networks]
    validation = []
    if len(split.y_test):
        validation = [scores(split, split.y_test, network.predict(held_out)) for network in networks]
    return PathRun(
        split=split,
        settings=settings,
        fit=fit,
        path=path,
        neurons=tuple(path.network(i).n_neurons for i in range(len(path))),
        train=tuple(train),
        validation=tuple(validation),
    )
