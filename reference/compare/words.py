"""What a comparison has found, in sentences computed from its table."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from reference.compare.profiles import ACCURACIES, OURS, behind, mean_ratios, shares, times


def findings(table: pd.DataFrame) -> Iterator[str]:
    """Yield where ours is ahead and where not: one sentence for each accuracy, one for each instance not solved."""
    solved = shares(table)
    if OURS not in solved.index:
        yield f"{OURS} was not run: nothing is said of it."
        return
    means = mean_ratios(table)
    for each in ACCURACIES:
        total = table["instance"].nunique()
        ours = round(float(solved[each].loc[OURS]) * total)
        others = solved.drop(index=OURS)[each]
        sentence = f"Accuracy {each:g}: {OURS} solved {ours} of {total} instances"
        if others.empty:
            yield f"{sentence}."
            continue
        most = str(others.idxmax())
        sentence += f", the next, {most}, {round(float(others[most]) * total)}"
        sentence += f"; it was the fastest on {ours - _beaten(table, each)}, another on {len(behind(table, each))}"
        factors = means.xs(each, axis=1)
        told = [f"{name} {row['ratio']:.3g}" for name, row in factors.iterrows() if row["both"]]
        yield f"{sentence}. Mean time over ours: {', '.join(told) or 'none'}."
    yield from _unsolved(table)


def _beaten(table: pd.DataFrame, accuracy: float) -> int:
    """Return on how many of the instances that ours solved another was faster."""
    return int(np.isfinite(behind(table, accuracy)["factor"].to_numpy(dtype=np.float64)).sum())


def _unsolved(table: pd.DataFrame) -> Iterator[str]:
    for each in ACCURACIES:
        seconds = times(table, each)[OURS]
        names = [str(name) for name in seconds.index[np.isinf(seconds)]]
        if names:
            yield f"{OURS} did not reach {each:g} on {', '.join(names)}."
