"""Run the command line in tests."""

import json

from typer.testing import CliRunner

from cvxrelu.cli import app


def invoke(*arguments, columns=120):
    """Run a command in this process; fail if it raises or shows a traceback."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": str(columns)})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


def invoke_json(*arguments, code=0):
    """Run a command with --json and return the object, the only output on stdout."""
    result = invoke(*arguments, "--json")
    assert result.exit_code == code, result.output

    def refuse(token):
        raise AssertionError(f"{token} is not JSON")

    return json.loads(result.stdout, parse_constant=refuse)


def refused(*arguments, words=()):
    """Run a command that must reject its input with one line on stderr that contains the words."""
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    for word in words:
        assert word in result.stderr
    return result
