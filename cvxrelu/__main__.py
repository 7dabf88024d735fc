"""``python -m cvxrelu``: the command line."""

from cvxrelu.cli import app

app(prog_name="cvxrelu")
