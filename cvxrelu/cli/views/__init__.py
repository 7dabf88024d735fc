"""Results of commands as text and JSON."""
