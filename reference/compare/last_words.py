"""What a process that broke down has said last: of an exception its type and its whole message, in one line."""

LENGTH = 200  # characters
_TRACEBACK = "Traceback (most recent call last):"


def last_words(errors: str, length: int = LENGTH) -> str:
    """Return the last exception in what was written to stderr, or else the last line; its middle is left out if long.

    The message of an exception begins after the frames of its traceback, which are indented, and may have many lines,
    indented ones, too.
    """
    words = errors.strip()
    _, found, last = words.rpartition(_TRACEBACK)
    lines = last.splitlines()
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
