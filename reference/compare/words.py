"""What a comparison has found, in sentences computed from its table."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from reference.compare.profiles import ACCURACIES, OURS, behind, mean_ratios, shares, unsolved


def findings(table: pd.DataFrame) -> Iterator[str]:
    """Yield where ours is ahead and where not, at each accuracy; and first which runs the file does not have."""
    total = table["instance"].nunique()
    solved = shares(table)
    lacking = total - table.groupby("solver")["instance"].nunique()[solved.index]
    if listed := ", ".join(f"{name} {count}" for name, count in lacking[lacking > 0].items()):
        yield f"The file lacks runs on some of its instances, which count as not solved: {listed}."
    if OURS not in solved.index:
        yield f"{OURS} was not run: nothing is said of it."
        return
    means = mean_ratios(table)
    for each in ACCURACIES:
        ours = round(float(solved[each].loc[OURS]) * total)
        others = solved.drop(index=OURS)[each]
        sentence = f"Accuracy {each:g}: {OURS} solved {ours} of {total} instances"
        if len(others):
            most = str(others.idxmax())
            lost = behind(table, each)
            beaten = lost.loc[np.isfinite(lost["factor"].to_numpy(dtype=np.float64)), "instance"].nunique()
            sentence += f", the best of the others, {most}, {round(float(others[most]) * total)}"
            sentence += f"; it was the fastest on {ours - beaten}, another on {lost['instance'].nunique()}"
            factors = means.xs(each, axis=1)
            faster = [
                f"{name} ({row['ratio']:.2g} of its time, {row['both']:.0f} instances)"
                for name, row in factors[factors["ratio"] < 1.0].iterrows()
            ]
            sentence += f"; faster on average, where both solved: {', '.join(faster)}" if faster else ""
        yield f"{sentence}."
    for each in ACCURACIES:
        if names := unsolved(table, each):
            yield f"{OURS} did not reach {each:g} on {', '.join(names)}."
