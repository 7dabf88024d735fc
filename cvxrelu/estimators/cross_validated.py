"""scikit-learn estimators that choose alpha by cross-validation along regularisation paths."""

from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.metrics import get_scorer
from sklearn.model_selection import check_cv

from cvxrelu._validation import FloatArray, check_flag, check_integer, check_number, check_numeric
from cvxrelu.estimators.base import ConvexNetworkEstimator, GateKind, Patterns
from cvxrelu.estimators.checks import EstimatorConvergenceWarning, check_outputs, shortfall
from cvxrelu.estimators.classifier import NetworkClassifier
from cvxrelu.estimators.regressor import NetworkRegressor
from cvxrelu.estimators.single import ConvexReLUClassifier, GatedReLUClassifier
from cvxrelu.estimators.training import Fit, FitSettings
from cvxrelu.networks.network import Network
from cvxrelu.optimize.solution import Solution
from cvxrelu.runtime.threads import warn
from cvxrelu.solvers.interface import NativeSolver

_TIE_TOL = 1e-12  # relative: mean scores this close are equal to rounding


class PathFit(ConvexNetworkEstimator):
    """Base class of the estimators that choose alpha."""

    def _score(self, network: Network, X: FloatArray, y: NDArray[Any], weights: FloatArray | None) -> float:
        """Return the score of a network on held-out rows; larger is better."""
        raise NotImplementedError

    def _keep_scores(self, scores: FloatArray) -> None:
        """Set the attribute for the scores (alphas, folds)."""
        raise NotImplementedError

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, groups: Any = None) -> Self:
        """Choose alpha by the scores of the folds, and train the network on all rows.

        Parameters
        ----------
        X : array_like of shape (n, d)
            Features; dense.
        y : array_like of shape (n,), or (n, c) for regressors
            Targets: numbers for regressors, labels of any kind for classifiers.
        sample_weight : array_like of shape (n,), optional
            Weights >= 0, used in training and in the scores.
        groups : array_like of shape (n,), optional
            Groups of the rows, for splitters that use them.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If data or a parameter are invalid.
        SolverError
            If the solver is not installed or cannot solve the problem.
        KeyboardInterrupt
            On Ctrl-C before all folds are scored.

        Warns
        -----
        ConvergenceWarning
            Once, if the certified relative gap of the network, or of points on the folds' paths, is above tol.
        """
        settings = self._settings()
        data, targets, weights = self._read(X, y, sample_weight)
        check_outputs(targets, settings.patterns)
        fit = Fit(settings, data, targets, weights)
        alphas = self._grid(fit)
        one_standard_error = check_flag("one_standard_error", self.one_standard_error)
        splits = list(check_cv(self.cv, y, classifier=is_classifier(self)).split(data, y, groups))
        if one_standard_error and len(splits) < 2:
            raise ValueError(f"one_standard_error needs two folds or more; got {len(splits)}")
        if weights is not None and not all(weights[rows].any() for _, rows in splits):
            raise ValueError("sample_weight must not be zero on all rows of a fold")
        paths = Parallel(n_jobs=self.n_jobs)(
            delayed(_train_path)(
                _with_time_limit(settings, fit.time_left(), 1 + -(-len(splits) // effective_n_jobs(self.n_jobs))),
                data[rows],
                targets[rows],
                _take(weights, rows),
                alphas,
            )
            for rows, _ in splits
        )
        scores = np.full((len(alphas), len(splits)), np.nan)
        for fold, ((networks, _), (_, rows)) in enumerate(zip(paths, splits, strict=True)):
            held_out = data[rows], _take(np.asarray(y), rows), _take(weights, rows)
            scores[: len(networks), fold] = [self._score(network, *held_out) for network in networks]
        reached = min(len(networks) for networks, _ in paths)
        best = choose(scores[:reached], one_standard_error)
        self.alphas_, self.alpha_ = alphas, float(alphas[best])
        self._keep_scores(scores)
        solution = fit.solve(self.alpha_)
        self._keep(fit, solution)
        self._warn_of_gaps(settings.tol, solution, np.concatenate([gaps for _, gaps in paths]), len(alphas) - reached)
        return self

    def _grid(self, fit: Fit) -> FloatArray:
        """Return the alphas, descending."""
        if not isinstance(self.alphas, Integral):
            given = check_numeric("alphas", self.alphas).astype(np.float64)
            if given.ndim != 1:
                raise ValueError(f"alphas must be a 1-D array of numbers, or their number; got shape {given.shape}")
            alphas: FloatArray = np.unique(given)[::-1]
            if alphas[-1] <= 0.0:
                raise ValueError(f"alphas must be positive numbers, or their number; got {alphas[-1]:g}")
            return alphas
        count = check_integer("alphas", self.alphas, minimum=1)
        eps = check_number("eps", self.eps, minimum=0.0, strict=True)
        if eps >= 1.0:
            raise ValueError(f"eps must be a number in (0, 1); got {eps!r}")
        largest = fit.problem(1.0).lam_max() or 1.0  # 0 if all targets are: any grid will do
        grid: FloatArray = largest * np.geomspace(1.0, eps, count)
        return grid

    def _warn_of_gaps(self, tol: float, solution: Solution, gaps: FloatArray, left_out: int) -> None:
        """Warn once if the network or points of the folds' paths missed tol, or if points were not reached."""
        missed = gaps[gaps > tol]
        ended = []
        if not self.certificate_.within(tol):
            ended.append(shortfall(self.certificate_, solution, tol))
        if len(missed):
            ended.append(
                f"{len(missed)} of {len(gaps)} points of the folds' paths at certified relative gaps above tol = "
                f"{tol:.2e}, the largest {missed.max():.2e}: raise tol or the limits."
            )
        if left_out:
            ended.append(f"the {left_out} smallest alphas not considered, as time_limit ended the path of a fold.")
        if ended:
            warn(f"{type(self).__name__} ended with {' And '.join(ended)}", EstimatorConvergenceWarning, stacklevel=3)


def _train_path(
    settings: FitSettings, X: FloatArray, Y: FloatArray, weights: FloatArray | None, alphas: FloatArray
) -> tuple[list[Network], FloatArray]:
    """Return the networks of a fold's path and their certified relative gaps."""
    fit = Fit(settings, X, Y, weights)
    solutions = fit.path(alphas)
    gaps = np.array([solution.certificate.rel_gap for solution in solutions])
    return [fit.network(solution) for solution in solutions], gaps


def _with_time_limit(settings: FitSettings, time_left: float | None, rounds: int) -> FitSettings:
    """Return the settings of a fold, limited to its fraction of the remaining time; the final fit gets one too."""
    return settings if time_left is None else replace(settings, time_limit=time_left / rounds)


def _take(values: NDArray[Any] | None, rows: NDArray[np.intp]) -> Any:
    return None if values is None else values[rows]


def choose(scores: FloatArray, one_standard_error: bool) -> int:
    """Return the first row of scores (alphas, folds) whose mean is the best, or within a standard error of it."""
    means = scores.mean(axis=1)
    if not np.isfinite(means).all():
        raise ValueError(f"scores must be finite; got {means[~np.isfinite(means)][0]} as the mean over the folds")
    best = int(np.argmax(means >= means.max() - _TIE_TOL * abs(means.max())))
    if not one_standard_error:
        return best
    error = scores[best].std(ddof=1) / np.sqrt(scores.shape[1])
    return int(np.argmax(means >= means[best] - error))


class _PathRegressor(PathFit, NetworkRegressor):
    mse_path_: FloatArray

    def __init__(
        self,
        *,
        alphas: int | Any = 30,
        eps: float = 1e-3,
        cv: Any = None,
        one_standard_error: bool = False,
        n_jobs: int | None = None,
        n_gates: int = 100,
        gate_kind: GateKind = "dense",
        gate_options: Mapping[str, Any] | None = None,
        patterns: Patterns = "sampled",
        loss: str = "squared",
        delta: float = 1.0,
        fit_intercept: bool = True,
        standardize: bool = True,
        solver: str | NativeSolver = "auto",
        tol: float = 1e-6,
        max_iter: int | None = None,
        time_limit: float | None = None,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.alphas = alphas
        self.eps = eps
        self.cv = cv
        self.one_standard_error = one_standard_error
        self.n_jobs = n_jobs
        self.n_gates = n_gates
        self.gate_kind = gate_kind
        self.gate_options = gate_options
        self.patterns = patterns
        self.loss = loss
        self.delta = delta
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.time_limit = time_limit
        self.random_state = random_state
        self.verbose = verbose

    def _score(self, network: Network, X: FloatArray, y: FloatArray, weights: FloatArray | None) -> float:
        """Return minus the mean squared error of a network on held-out rows."""
        errors = (self._network_output(network, X) - y) ** 2
        return -float(np.average(errors.reshape(len(y), -1).mean(axis=1), weights=weights))

    def _keep_scores(self, scores: FloatArray) -> None:
        self.mse_path_ = -scores


class _PathClassifier(PathFit, NetworkClassifier):
    _single: ClassVar[type[ConvexReLUClassifier] | type[GatedReLUClassifier]]
    scores_: FloatArray

    def __init__(
        self,
        *,
        alphas: int | Any = 30,
        eps: float = 1e-3,
        cv: Any = None,
        scoring: Any = None,
        one_standard_error: bool = False,
        n_jobs: int | None = None,
        n_gates: int = 100,
        gate_kind: GateKind = "dense",
        gate_options: Mapping[str, Any] | None = None,
        patterns: Patterns = "sampled",
        loss: str = "logistic",
        fit_intercept: bool = True,
        standardize: bool = True,
        solver: str | NativeSolver = "auto",
        tol: float = 1e-6,
        max_iter: int | None = None,
        time_limit: float | None = None,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.alphas = alphas
        self.eps = eps
        self.cv = cv
        self.scoring = scoring
        self.one_standard_error = one_standard_error
        self.n_jobs = n_jobs
        self.n_gates = n_gates
        self.gate_kind = gate_kind
        self.gate_options = gate_options
        self.patterns = patterns
        self.loss = loss
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.time_limit = time_limit
        self.random_state = random_state
        self.verbose = verbose

    def _score(self, network: Network, X: FloatArray, y: NDArray[Any], weights: FloatArray | None) -> float:
        """Return the score of a network on held-out rows."""
        model = self._single(loss=self.loss)
        model.network_, model.classes_, model.n_features_in_ = network, self.classes_, X.shape[1]
        scorer = get_scorer("accuracy" if self.scoring is None else self.scoring)
        return float(scorer(model, X, y) if weights is None else scorer(model, X, y, sample_weight=weights))

    def _keep_scores(self, scores: FloatArray) -> None:
        self.scores_ = scores


class ConvexReLURegressorCV(_PathRegressor):
    """Regression by a two-layer ReLU network, trained to certified optimality, alpha chosen by cross-validation.

    minimise over V, W (c, P, d):  sum_j w_j loss(f_j, y_j) / sum_j w_j + alpha * sum_{k,i} (||V_{k,i}|| + ||W_{k,i}||),
                                   f = sum_i D_i X (V_i - W_i)
    subject to                     (2 D_i - I) X V_{k,i} >= 0,  (2 D_i - I) X W_{k,i} >= 0,

    as in `ConvexReLURegressor`. Other parameters, attributes and notes are those of `ConvexReLURegressor`. In each fold
    the training rows are standardised anew, with the same gates, and the alphas are solved in descending order, each
    started from the previous solution and certified to ``tol``.

    Parameters
    ----------
    alphas : int or array_like
        Positive numbers, or the number of alphas: then a geometric grid from the smallest alpha at which the network
        (of the sampled or enumerated patterns) is zero down to ``eps`` times that.
    eps : float in (0, 1)
        Ratio of the smallest to the largest alpha of the grid.
    cv : int, splitter or iterable, optional
        As in scikit-learn; five folds by default.
    one_standard_error : bool
        Whether to choose the largest alpha whose mean score is within one standard error of the best.
    n_jobs : int, optional
        Number of folds trained in parallel by joblib.

    Attributes
    ----------
    alpha_ : float
        The chosen alpha, the largest among equal scores.
    alphas_ : ndarray of shape (m,)
        All alphas, descending.
    mse_path_ : ndarray of shape (m, folds)
        Mean squared errors on the held-out rows, weighted by ``sample_weight``. NaN for alphas not reached within
        ``time_limit``, which limits the whole `fit`: ``alpha_`` is one that all folds reached.

    See Also
    --------
    ConvexReLURegressor : alpha given.
    regularization_path : the path itself.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.linspace(-1, 1, 50)[:, None]
    >>> y = np.abs(X[:, 0]) + 0.1 * np.random.default_rng(0).standard_normal(50)
    >>> model = cr.ConvexReLURegressorCV(alphas=10, n_gates=20, cv=3, random_state=0).fit(X, y)
    >>> model.mse_path_.shape
    (10, 3)
    """

    _relu = True


class GatedReLURegressorCV(_PathRegressor):
    """Regression by a two-layer gated-ReLU network, trained to certified optimality, alpha by cross-validation.

    minimise over U (c, P, d):  sum_j w_j loss(f_j, y_j) / sum_j w_j + alpha * sum_{k,i} ||U_{k,i}||,
                                f = sum_i D_i X U_i

    as in `GatedReLURegressor`. The parameters and attributes of cross-validation are those of `ConvexReLURegressorCV`.

    See Also
    --------
    GatedReLURegressor : alpha given.
    ConvexReLURegressorCV : the ReLU network.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.random.default_rng(0).uniform(-1, 1, (60, 1))
    >>> model = cr.GatedReLURegressorCV(alphas=5, cv=3, random_state=0).fit(X, np.abs(X[:, 0]))
    >>> model.alpha_ in model.alphas_, model.mse_path_.shape
    (True, (5, 3))
    """

    _relu = False


class ConvexReLUClassifierCV(_PathClassifier):
    """Classification by a two-layer ReLU network, trained to certified optimality, alpha chosen by cross-validation.

    minimise over V, W (c, P, d):  sum_j w_j loss(f_j, y_j) / sum_j w_j + alpha * sum_{k,i} (||V_{k,i}|| + ||W_{k,i}||),
                                   f = sum_i D_i X (V_i - W_i)
    subject to                     (2 D_i - I) X V_{k,i} >= 0,  (2 D_i - I) X W_{k,i} >= 0,

    as in `ConvexReLUClassifier`. The parameters and attributes of cross-validation are those of
    `ConvexReLURegressorCV` except those below; folds are stratified by default.

    Parameters
    ----------
    scoring : str or callable, optional
        Score to maximise on the held-out rows, as in scikit-learn; accuracy by default.

    Attributes
    ----------
    scores_ : ndarray of shape (m, folds)
        Scores on the held-out rows, weighted by ``sample_weight``; NaN for alphas not reached within ``time_limit``.

    See Also
    --------
    ConvexReLUClassifier : alpha given.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.random.default_rng(0).uniform(-1, 1, (60, 1))
    >>> y = np.where(np.abs(X[:, 0]) < 0.5, "in", "out")
    >>> model = cr.ConvexReLUClassifierCV(alphas=5, cv=3, random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.9, model.scores_.shape
    (True, (5, 3))
    """

    _relu = True
    _single = ConvexReLUClassifier


class GatedReLUClassifierCV(_PathClassifier):
    """Classification by a two-layer gated-ReLU network, trained to certified optimality, alpha by cross-validation.

    minimise over U (c, P, d):  sum_j w_j loss(f_j, y_j) / sum_j w_j + alpha * sum_{k,i} ||U_{k,i}||,
                                f = sum_i D_i X U_i

    as in `GatedReLUClassifier`. The parameters and attributes of cross-validation are those of
    `ConvexReLUClassifierCV`.

    See Also
    --------
    GatedReLUClassifier : alpha given.
    ConvexReLUClassifierCV : the ReLU network.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.random.default_rng(0).uniform(-1, 1, (60, 1))
    >>> y = np.where(np.abs(X[:, 0]) < 0.5, "in", "out")
    >>> model = cr.GatedReLUClassifierCV(alphas=5, cv=3, random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.9, model.scores_.shape
    (True, (5, 3))
    """

    _relu = False
    _single = GatedReLUClassifier
