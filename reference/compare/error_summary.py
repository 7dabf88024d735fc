"""One-line summary of what a failed process wrote to stderr: the type and full message of its last exception."""

LENGTH = 200  # characters
_TRACEBACK = "Traceback (most recent call last):"


def error_summary(errors: str, length: int = LENGTH) -> str:
    """Return the last exception in the text of stderr, or else its last line; long messages are elided in the middle.

    The message of an exception follows the indented frames of its traceback. It may span several lines, some of them
    indented.
    """
    text = errors.strip()
    _, found, tail = text.rpartition(_TRACEBACK)
    lines = tail.splitlines()
    if found:
        start = next((i for i, line in enumerate(lines) if line and not line[0].isspace()), len(lines))
        lines = lines[start:]
    else:
        lines = lines[-1:]
    message = " ".join(line.strip() for line in lines if line.strip())
    if len(message) <= length:
        return message
    half = (length - 5) // 2
    return f"{message[:half]} ... {message[-half:]}"
