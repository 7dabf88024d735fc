"""Performance profiles of a comparison (Dolan & Moré 2002): times to an accuracy, ratios, fractions solved."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

ACCURACIES = (1.0, 0.5, 0.1, 1e-2, 1e-4, 1e-6)
OURS = "cvxrelu"
_LEAST = 1e-3  # seconds; SGD and Adam may need none if their initial weights are accurate enough


def times(table: pd.DataFrame, accuracy: float, total: bool = False) -> pd.DataFrame:
    """Return each solver's time on each instance in seconds, at least a millisecond; infinite if unsolved.

    A run solves an instance if its answer is within the accuracy of the proven lower bound, whatever accuracy was
    requested and whatever status the solver reports. The fastest such run counts.

    Parameters
    ----------
    table : DataFrame
        As returned by `reference.compare.results.read`.
    accuracy : float
        Relative distance to the lower bound.
    total : bool
        Whether to include compilation.

    Returns
    -------
    DataFrame
        A row for each instance, a column for each solver that was run, ours first, the others by name.
    """
    ran = table[table["status"] != "not_run"]
    solved = ran[(ran["status"] == "answered") & (ran["accuracy"] <= accuracy)]
    seconds = solved["seconds"] + (solved["compile_seconds"].fillna(0.0) if total else 0.0)
    fastest = seconds.groupby([solved["instance"], solved["solver"]]).min().unstack()
    solvers = sorted(ran["solver"].unique(), key=lambda name: (name != OURS, name.casefold()))
    return fastest.clip(lower=_LEAST).reindex(index=table["instance"].unique(), columns=solvers).fillna(np.inf)


def same_program(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table without answers that are networks, whose neurons may have patterns that are not in the program.

    By the criterion of the paper's Figure 4, the distance to the optimum, they are solved, but they solve another
    problem: the program's certificate does not cover them, and their times are not comparable with ours.
    """
    return table[(table["status"] != "answered") | table["certified_gap"].notna()]


def ratios(seconds: pd.DataFrame) -> pd.DataFrame:
    """Return times relative to the fastest solver, infinite where unsolved: Dolan & Moré's r_{p,s}."""
    least = seconds.min(axis=1)
    return seconds.div(least.where(np.isfinite(least), 1.0), axis=0)


def profile(values: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps (x, fraction of all values that are <= x) of the empirical distribution of ratios or times.

    Infinite values count in the denominator only.
    """
    every = np.asarray(values, dtype=np.float64)
    x, counts = np.unique(every[np.isfinite(every)], return_counts=True)
    return x, np.cumsum(counts) / max(len(every), 1)


def solved_fractions(table: pd.DataFrame) -> pd.DataFrame:
    """Return the fraction of all instances that each solver (row) solved at each of `ACCURACIES` (column)."""
    return pd.DataFrame({each: np.isfinite(times(table, each)).mean(axis=0) for each in ACCURACIES})


def supported(table: pd.DataFrame) -> pd.Series:
    """Return the fraction of all instances on which each solver was run."""
    ran = table[table["status"] != "not_run"]
    count = ran.groupby("solver")["instance"].nunique()
    return count.reindex(times(table, 1.0).columns) / table["instance"].nunique()


def mean_ratios(table: pd.DataFrame, total: bool = False) -> pd.DataFrame:
    """Return the geometric mean of times relative to ours over the instances that both solved, and their number.

    A row for each other solver; columns are pairs (accuracy, "ratio" or "both"). Answers to other problems
    (`same_program`) are left out.
    """
    columns = {}
    same = same_program(table)
    for each in ACCURACIES:
        seconds = times(same, each, total)
        if OURS not in seconds:
            continue
        quotient = seconds.drop(columns=OURS).div(seconds[OURS], axis=0)
        both = quotient.where(np.isfinite(quotient) & (quotient > 0.0))
        columns[each, "ratio"] = np.exp(np.log(both).mean(axis=0))
        columns[each, "both"] = both.notna().sum(axis=0)
    return pd.DataFrame(columns)


def behind(table: pd.DataFrame, accuracy: float) -> pd.DataFrame:
    """Return the solvers faster than ours on each instance, without answers to other problems (`same_program`).

    Returns
    -------
    DataFrame
        A row for each instance and each solver faster than ours on it: "instance", "solver", "factor", our time
        over its time, infinite where ours did not solve; largest first.
    """
    seconds = times(same_program(table), accuracy)
    if OURS not in seconds:
        return pd.DataFrame(columns=["instance", "solver", "factor"])
    factors = seconds.drop(columns=OURS).rdiv(seconds[OURS], axis=0).rename_axis(index="instance", columns=None)
    found = factors.reset_index().melt("instance", var_name="solver", value_name="factor")
    found = found[found["factor"] > 1.0]  # NaN where neither solved
    return found.sort_values("factor", ascending=False, kind="stable", ignore_index=True)


def unsolved(table: pd.DataFrame, accuracy: float) -> list[str]:
    """Return the instances that ours did not solve."""
    seconds = times(table, accuracy)
    return [str(name) for name in seconds.index[np.isinf(seconds[OURS])]] if OURS in seconds else []
