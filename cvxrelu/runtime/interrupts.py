"""Ctrl-C turned into a result: the best point so far, unless a second one follows within a second.

A search over parameters averages in the score of a fit that ended early, and goes on: who presses twice wants it
to end.
"""

import threading
import time

_APART = 1.0  # seconds from one interrupt to the next, if both are to be results
_now = time.monotonic


class _Seen(threading.local):
    """The interrupts that one thread has turned into results."""

    count = 0
    moment = float("-inf")


_seen = _Seen()


def note_interrupt() -> None:
    """Take note of a KeyboardInterrupt that was caught to return a result.

    Raises
    ------
    KeyboardInterrupt
        If another one was caught less than a second ago.
    """
    before, _seen.moment = _seen.moment, _now()
    _seen.count += 1
    if _seen.moment - before < _APART:
        raise KeyboardInterrupt


def interrupts_noted() -> int:
    """Return how many interrupts this thread has turned into results: a loop ends where a call within it adds one."""
    return _seen.count
