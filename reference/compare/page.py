"""Page of a comparison: one self-contained HTML file that opens offline."""

import base64
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any, get_args

import numpy as np
import pandas as pd

from reference.compare.findings import findings
from reference.compare.profiles import ACCURACIES, behind, mean_ratios, solved_fractions, supported, times, unsolved
from reference.compare.results import settings_file
from reference.instances import CATALOGUE, Size
from reference.instances.catalogue import ONLINE

TABLE_ACCURACY = 1e-4
_TEMPLATE = Path(__file__).with_name("page.html")


def write_page(table: pd.DataFrame, figures: Mapping[str, bytes], path: Path, results: Path) -> None:
    """Write the page.

    Parameters
    ----------
    table : DataFrame
        As returned by `reference.compare.results.read`.
    figures : mapping of str to bytes
        PNG files of the figures "profiles", "seconds", "curves" and "ratios"; any may be missing.
    path : Path
        The HTML file, which is overwritten.
    results : Path
        The results file, which the page names, with its settings file next to it.
    """
    path_of_settings = settings_file(results)
    settings = json.loads(path_of_settings.read_text()) if path_of_settings.exists() else {}
    parts = {
        "summary": _summary(table, settings),
        "findings": _list(findings(table)),
        "solved": _solved_table(table),
        "ratios": _ratios(mean_ratios(table)),
        "totals": _ratios(mean_ratios(table, total=True)),
        "losses": _losses(table),
        "profiles": _image(
            figures, "profiles", "Performance profiles: fraction of instances solved against ratio of times"
        ),
        "within": _image(figures, "seconds", "Fraction of instances solved against time"),
        "curves": _image(figures, "curves", "Relative distance to the optimum against time"),
        "heat": _image(figures, "ratios", "Times relative to ours"),
        "instances": _instances(table),
        "missing": _list(_missing(table)),
        "versions": _versions(table, settings),
        "commands": escape("\n".join(_commands(table, settings, results.name))),
        "accuracy": f"{TABLE_ACCURACY:g}",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(Template(_TEMPLATE.read_text()).substitute(parts))


def _summary(table: pd.DataFrame, settings: dict[str, object]) -> str:
    counts = table.drop_duplicates("instance")["size"].value_counts()
    sizes = ", ".join(f"{count} {size}" for size, count in counts.items())
    machine = f" on {settings['machine']}, {settings['n_jobs']} concurrent runs" if settings else ""
    ran = table.loc[table["status"] != "not_run", "solver"].nunique()
    return escape(
        f"{table['instance'].nunique()} instances ({sizes}), {ran} of {table['solver'].nunique()} solvers run, "
        f"{table['threads'].iloc[0]} thread(s) each, {table['timeout'].iloc[0]:g} s per solve{machine}."
    )


def _solved_table(table: pd.DataFrame) -> str:
    solved, runs = solved_fractions(table), supported(table)
    head = ["solver", *(f"{each:g}" for each in ACCURACIES), "run on"]
    best = solved.max(axis=0)
    body = [
        [
            _cell(name),
            *(
                _solved_cell(fraction, runs[name], bool(fraction == best[each]))
                for each, fraction in solved.loc[name].items()
            ),
            _cell(f"{runs[name]:.0%}"),
        ]
        for name in solved.index
    ]
    return _table(head, body)


def _solved_cell(fraction: float, runs: float, bold: bool) -> str:
    text = f"<b>{fraction:.0%}</b>" if bold else f"{fraction:.0%}"
    return f"<td>{text}{f' <small>({fraction / runs:.0%})</small>' if runs < 1.0 else ''}</td>"


def _ratios(means: pd.DataFrame) -> str:
    head = ["solver", *(f"{each:g}" for each in ACCURACIES)]
    body = [
        [
            _cell(name),
            *(_ratio(means.loc[name, (each, "ratio")], means.loc[name, (each, "both")]) for each in ACCURACIES),
        ]
        for name in means.index
    ]
    return _table(head, body) if body else "<p>None.</p>"


def _ratio(ratio: float, both: float) -> str:
    text = "&ndash;" if not both else f"{ratio:.3g} <small>({both:.0f})</small>"
    return f"<td{' class=lost' if both and ratio < 1.0 else ''}>{text}</td>"


def _losses(table: pd.DataFrame) -> str:
    """Return a table of the instances that another solver solved faster or ours did not solve, at any accuracy."""
    lost = {each: behind(table, each) for each in ACCURACIES}
    missed = {each: unsolved(table, each) for each in ACCURACIES}
    largest = pd.concat([found.groupby("instance")["factor"].max() for found in lost.values()]).groupby(level=0).max()
    never = dict.fromkeys(name for names in missed.values() for name in names if name not in largest.index)
    names = [*never, *map(str, largest.sort_values(ascending=False, kind="stable").index)]
    head = ["instance", *(f"{each:g}" for each in ACCURACIES)]
    body = []
    for name in names:
        cells = [_cell(name)]
        for each, found in lost.items():
            here = found[found["instance"] == name]
            lines = ["<b>not reached</b>"] if name in missed[each] else []
            lines += [_faster(*who) for who in zip(here["solver"], here["factor"].to_numpy(), strict=True)]
            cells.append(f"<td>{'<br>'.join(lines)}</td>")
        body.append(cells)
    return _table(head, body, "tops") if body else "<p>None.</p>"


def _faster(solver: str, factor: float) -> str:
    return escape(f"{solver} {factor:.3g}" if np.isfinite(factor) else f"{solver} did")


def _instances(table: pd.DataFrame) -> str:
    seconds = times(table, TABLE_ACCURACY)
    rows = table.drop_duplicates("instance").set_index("instance")
    head = ["instance", "size", "n", "d", "P", "c", *map(str, seconds.columns)]
    body = []
    for name in seconds.index:
        row = rows.loc[name]
        cells = [_cell(name), *(_cell(row[key]) for key in ("size", "n", "d", "n_patterns", "n_outputs"))]
        least = seconds.loc[name].min()
        cells += [_time(table, str(name), str(solver), seconds.loc[name, solver], least) for solver in seconds.columns]
        body.append(cells)
    return _table(head, body, "sortable")


def _time(table: pd.DataFrame, instance: str, solver: str, seconds: float, least: float) -> str:
    """Return the cell of a solver's time, or the reason why it did not solve; its runs are shown on hover."""
    runs = table[(table["instance"] == instance) & (table["solver"] == solver)]
    hover = escape("; ".join(_run(run) for run in runs.to_dict("records")), quote=True)
    if np.isfinite(seconds):
        text = f"{seconds:.3g}"
        text = f"<b>{text}</b>" if seconds == least else text
        return f'<td data-value="{float(seconds)!r}" title="{hover}">{text}</td>'
    ran = runs[runs["status"] != "not_run"]
    if not len(ran):
        reason = "not run: " + str(runs["note"].iloc[0]) if len(runs) else "not run"
        short = "n/a" if reason.startswith("not run: not supported") else reason
    else:
        short = {"timeout": "time-out", "failed": "failed"}.get(str(ran["status"].iloc[-1]), "not reached")
    return f'<td class="none" data-value="1e99" title="{hover}">{escape(short)}</td>'


def _run(run: Mapping[Any, Any]) -> str:
    if run["status"] == "answered":
        status = run["claimed"] or "none"
        return f"asked {run['asked']:g}: {run['accuracy']:.1e} in {run['seconds']:.3g} s, status {status}"
    return f"asked {run['asked']:g}: {run['status']} ({run['note']})"


def _missing(table: pd.DataFrame) -> Iterator[str]:
    """Yield the solvers that were not run, and what the others do not support or failed on."""
    for solver, rows in table.groupby("solver", sort=False):
        if (rows["status"] == "not_run").all():
            yield f"{solver}: not run: {rows['note'].iloc[0]}"
            continue
        follows = rows["note"].str.contains(r"^(?:out of time|(?:it )?failed at)")  # from a looser accuracy
        notes = rows[rows["status"].isin(("failed", "not_run")) & ~follows]
        for note, group in notes.groupby("note", sort=False):
            names = list(group["instance"].unique())
            listed = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            yield f"{solver}: {note} ({listed})"


def _versions(table: pd.DataFrame, settings: dict[str, object]) -> str:
    found = table[table["solver_version"] != ""].groupby("solver", sort=False)["solver_version"].last()
    text = ", ".join(f"{solver} {version}" for solver, version in found.items())
    versions = settings.get("versions")
    others = ", ".join(f"{name} {version}" for name, version in versions.items()) if isinstance(versions, dict) else ""
    return escape(text + (f"; {others}" if others else ""))


def _commands(table: pd.DataFrame, settings: dict[str, Any], file: str) -> Iterator[str]:
    """Yield the commands that reproduce results and page; instances outside the catalogue have their own commands."""
    names = set(table["instance"])
    if names <= {each.name for each in (*CATALOGUE, *ONLINE)}:
        sizes = {size: {each.name for each in CATALOGUE if each.size == size} for size in get_args(Size)}
        whole = [size for size, its in sizes.items() if its <= names]
        rest = names.difference(*(sizes[size] for size in whole))
        asked = [f"{each:g}" for each in settings.get("asked", sorted(table["asked"].unique(), reverse=True))]
        options = ["--instances", *whole, *sorted(rest), "--solvers", *table["solver"].unique(), "--asked", *asked]
        options += ["--threads", f"{table['threads'].iloc[0]}", "--timeout", f"{table['timeout'].iloc[0]:g}"]
        options += ["--n-jobs", str(settings["n_jobs"])] if settings else []
        yield shlex.join(["python", "-m", "reference", "compare", *options, "--out", file])
    yield shlex.join(["python", "-m", "reference", "report", file])


def _image(figures: Mapping[str, bytes], name: str, alt: str) -> str:
    if name not in figures:
        return "<p>No runs to plot.</p>"
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{base64.b64encode(figures[name]).decode()}">'


def _cell(value: object, bold: bool = False) -> str:
    text = escape(str(value))
    return f"<td><b>{text}</b></td>" if bold else f"<td>{text}</td>"


def _table(head: Sequence[str], body: Sequence[Sequence[str]], kind: str = "") -> str:
    first = "".join(f"<th>{escape(name)}</th>" for name in head)
    rows = "\n".join(f"<tr>{''.join(cells)}</tr>" for cells in body)
    table = f'<table class="{kind}"><thead><tr>{first}</tr></thead><tbody>\n{rows}\n</tbody></table>'
    return f'<div class="wide">{table}</div>'


def _list(lines: Iterator[str] | Sequence[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else "<p>None.</p>"
