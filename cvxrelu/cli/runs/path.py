"""A regularisation path on training rows, with the scores of each of its networks."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cvxrelu.cli.data.tables import TrainTestSplit
from cvxrelu.cli.runs.solve import build_problem, scores
from cvxrelu.cli.settings import Settings, Task
from cvxrelu.optimize import path as paths
from cvxrelu.optimize.solution import Solution


@dataclass(frozen=True, eq=False)
class PathRun:
    """The outcome.

    Attributes
    ----------
    split : Split
        The data; the test rows validate.
    settings : Settings
        What was asked; its lam plays no part.
    path : cvxrelu.Path
        The certified points.
    neurons : tuple of int
        Neurons of each point's network.
    train, validation : tuple of dict
        Scores of each point, as in `Run`; validation is empty where there are no test rows.
    """

    split: TrainTestSplit
    settings: Settings
    path: paths.Path
    neurons: tuple[int, ...]
    train: tuple[dict[str, float], ...]
    validation: tuple[dict[str, float], ...]

    @property
    def score(self) -> str:
        """The score that points are compared by, the higher the better."""
        return "accuracy" if self.split.table.task is Task.CLASSIFICATION else "r2"

    @property
    def best(self) -> int | None:
        """Index of the point of the best validation score, of several the one of the largest lam; None without any."""
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
    """Solve a path and measure its points; raises, warns and calls back as `cvxrelu.regularization_path` does."""
    path = paths.regularization_path(
        build_problem(split, settings),
        n_lams=n_lams,
        eps=eps,
        solver=settings.solver_name,
        tol=settings.tol,
        max_iter=settings.max_iter,
        time_limit=settings.time_limit,
        callback=callback,
        save_to=save_to,
    )
    networks = [path.network(i) for i in range(len(path))]
    train = [scores(split, split.y_train, network.predict(split.X_train)) for network in networks]
    validation = []
    if len(split.y_test):
        validation = [scores(split, split.y_test, network.predict(split.X_test)) for network in networks]
    return PathRun(
        split=split,
        settings=settings,
        path=path,
        neurons=tuple(network.n_neurons for network in networks),
        train=tuple(train),
        validation=tuple(validation),
    )
