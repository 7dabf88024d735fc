"""The README's Python runs as it stands."""

import re
from pathlib import Path

import pytest


def test_readme_snippets_run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[1] / "README.md").read_text()
    snippets = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(snippets) == 6
    namespace: dict = {}
    for snippet in snippets:
        exec(snippet, namespace)
    certificate = namespace["solution"].certificate
    assert certificate.rel_gap <= 1e-6
    assert namespace["network"].objective(namespace["X"], namespace["y"], lam=0.01) == pytest.approx(certificate.upper)
    assert namespace["model"].certificate_.rel_gap <= namespace["model"].tol
    assert namespace["weights"][0][0, :, 0].min() >= -1e-7
    assert namespace["best"].status == "optimal"
    assert namespace["best"].objective < certificate.lower
    lines = capsys.readouterr().out.splitlines()
    gaps = [float(line.split()[1]) for line in lines if re.fullmatch(r"0\.(1|03|01) \S+", line)]
    assert len(gaps) == 3
    assert max(gaps) <= 1e-4
