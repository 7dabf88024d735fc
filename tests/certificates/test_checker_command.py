"""The stand-alone checker as a command and as a file: exit codes, imports, length."""

import ast
import io
import json
import os
import shutil
import subprocess
import sys
import tokenize
from pathlib import Path

import numpy as np
import pytest

from cvxrelu.certificates import checker
from tests.helpers.certificate_files import global_case, patterns_case

LONGEST = 473


def code_lines(source):
    """Return the number of physical lines with code: no blank lines, comments and docstrings."""
    documented = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            documented |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    blank = {
        tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER,
    }  # fmt: skip
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in blank:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - documented)


def test_lines_of_code_are_counted_as_told():
    source = (
        '"""A\nmodule."""\n\n# comment\nx = (1,\n     2)  # both\n\n\ndef f():\n    """Doc."""\n    return """a\nb"""\n'
    )
    assert code_lines(source) == 5


def test_the_checker_is_short():
    source = Path(checker.__file__).read_text(encoding="utf-8")
    assert "fmt:" not in source
    assert code_lines(source) <= LONGEST


def test_it_imports_the_standard_library_and_numpy_alone():
    tree = ast.parse(Path(checker.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).split(".")[0] for node in imports
    }
    assert names - {"numpy"} <= sys.stdlib_module_names
    assert all(node.level == 0 for node in imports if isinstance(node, ast.ImportFrom))


@pytest.fixture
def files(tmp_path):
    """Return a file, its data, its patterns and a network."""
    case = patterns_case(1, "relu", c=1)
    certificate, data = case.save(tmp_path)
    masks = np.unpackbits(case.arrays["patterns"], axis=1, count=len(case.x)).T
    np.savez(tmp_path / "patterns.npz", D=masks)
    np.savez(tmp_path / "network.npz", W1=np.ones((2, 3)), w2=np.ones(2))
    return certificate, data, tmp_path / "patterns.npz", tmp_path / "network.npz"


def test_a_copy_runs_alone(files, tmp_path):
    certificate, data, patterns, network = files
    script = shutil.copy(checker.__file__, tmp_path / "alone.py")
    options = ["--data", data, "--patterns", patterns, "--network", network, "--kind", "relu", "--lam", "0.5", "--json"]
    done = subprocess.run(
        [sys.executable, "-I", script, certificate, *options], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["verified"] is True
    assert found["statement"]["from_file"] == ["scope", "loss", "penalty"]


def called(capsys, *arguments, **options):
    code = checker.run(*arguments, **options)
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err
    return code, printed.out, printed.err


def test_accepted_and_rejected_files(files, capsys):
    certificate, data, *_ = files
    code, out, _ = called(capsys, certificate, data)
    assert (code, "verified in exact arithmetic" in out, "your" in out) == (0, True, False)
    assert called(capsys, certificate, data, interval=True)[0] == 0
    code, out, _ = called(capsys, certificate, data, lam=0.25)
    assert (code, out) == (1, "rejected: the file is about lam 0.5, not 0.25\n")
    code, out, _ = called(capsys, certificate, data, scope="global", as_json=True)
    assert (code, json.loads(out)["verified"], "scope" in json.loads(out)["reason"]) == (1, False, True)
    for content in (b"", b"PK\3\4", checker.MAGIC, certificate.read_bytes()[:-1], certificate.read_bytes() + b"\0"):
        certificate.write_bytes(content)
        code, out, _ = called(capsys, certificate, data)
        assert (code, out[:10]) == (1, "rejected: ")


def test_wrong_use_and_invalid_data(files, tmp_path, capsys):
    certificate, data, patterns, network = files
    bad, missing = tmp_path / "bad.npz", tmp_path / "missing"
    for content in (b"", b"PK\3\4", b"\x93NUMPY", data.read_bytes()[:100], b"text"):
        bad.write_bytes(content)
        assert called(capsys, certificate, bad)[0] == 2
        assert called(capsys, certificate, data, patterns=bad)[0] == 2
        assert called(capsys, certificate, data, network=bad)[0] == 2
    np.savez(bad, X=np.ones((9, 3)), y=np.full(9, np.nan))
    for arguments in (
        [certificate, bad],
        [certificate, missing],
        [missing, data],
        [tmp_path, data],
        [certificate, network],
    ):
        assert called(capsys, *arguments)[0] == 2
    assert called(capsys, certificate, data, max_memory=1e6)[0] == 2
    assert called(capsys, certificate, data, patterns=patterns, network=network)[0] == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")
def test_a_verdict_that_cannot_be_written_is_no_rejection(files):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, checker.__file__, files[0], "--data", files[1]], stdout=full, check=False
        )
    assert done.returncode not in (0, 1, 2)


@pytest.mark.parametrize(
    "error", [MemoryError(), OSError("disk"), RuntimeError("unforeseen"), ValueError("unforeseen")]
)
def test_failures_of_the_machine(files, capsys, monkeypatch, error):
    def failing(*_):
        raise error

    monkeypatch.setattr(checker, "patterns_bound", failing)
    code, out, err = called(capsys, files[0], files[1])
    assert (code, out, err[:6]) == (3, "", "error:")


def test_the_estimate_is_printed_first(tmp_path, capsys, monkeypatch):
    certificate, data = global_case(1).save(tmp_path)
    monkeypatch.setattr(checker, "estimate", lambda *_: (12.0, 1e9))
    code, _, err = called(capsys, certificate, data)
    assert (code, err) == (0, "the check takes about 12 s and 1000 MB\n")


def test_main_reads_the_arguments(files, monkeypatch, capsys):
    certificate, data, *_ = files
    monkeypatch.setattr(
        sys, "argv", ["checker.py", str(certificate), "--data", str(data), "--delta", "1", "--max-memory", "1e9"]
    )
    assert checker.main() == 1
    assert "delta" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["checker.py", str(certificate), "--data", str(data), "--loss", "hinge"])
    with pytest.raises(SystemExit, match="2"):
        checker.main()
