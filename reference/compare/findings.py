"""Findings of a comparison, as sentences computed from its table."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from reference.compare.profiles import ACCURACIES, OURS, behind, mean_ratios, solved_fractions, unsolved


def findings(table: pd.DataFrame) -> Iterator[str]:
    """Yield which runs the file lacks, then for each accuracy where ours is ahead and where it is not."""
    total = table["instance"].nunique()
    solved = solved_fractions(table)
    lacking = total - table.groupby("solver")["instance"].nunique()[solved.index]
    if listed := ", ".join(f"{name} {count}" for name, count in lacking[lacking > 0].items()):
        yield f"The file lacks runs on some instances, which count as not solved: {listed}."
    if OURS not in solved.index:
        yield f"{OURS} was not run, so there are no findings."
        return
    means = mean_ratios(table)
    for accuracy in ACCURACIES:
        ours = round(float(solved[accuracy].loc[OURS]) * total)
        others = solved.drop(index=OURS)[accuracy]
        sentence = f"Accuracy {accuracy:g}: {OURS} solved {ours} of {total} instances"
        if len(others):
            best = str(others.idxmax())
            lost = behind(table, accuracy)
            beaten = lost.loc[np.isfinite(lost["factor"].to_numpy(dtype=np.float64)), "instance"].nunique()
            sentence += f", the best of the others, {best}, {round(float(others[best]) * total)}"
            sentence += f"; it was the fastest on {ours - beaten}, another on {lost['instance'].nunique()}"
            factors = means.xs(accuracy, axis=1)
            faster = [
                f"{name} ({row['ratio']:.2g} of its time, {row['both']:.0f} instances)"
                for name, row in factors[factors["ratio"] < 1.0].iterrows()
            ]
            sentence += f"; faster on average, where both solved: {', '.join(faster)}" if faster else ""
        yield f"{sentence}."
    for accuracy in ACCURACIES:
        if names := unsolved(table, accuracy):
            yield f"{OURS} did not reach {accuracy:g} on {', '.join(names)}."
