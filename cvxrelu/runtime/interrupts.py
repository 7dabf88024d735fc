"""Ctrl-C as a request for the best point so far, unless a second one follows within a second.

A parameter search continues after one interrupted fit; a second Ctrl-C within a second ends the search.
"""

import threading
import time

_MIN_INTERVAL = 1.0  # seconds between interrupts that both return results
_now = time.monotonic


class _Interrupts(threading.local):
    """Interrupts of one thread that returned results."""

    count = 0
    moment = float("-inf")


_seen = _Interrupts()


def note_interrupt() -> None:
    """Record a KeyboardInterrupt that was caught to return a result.

    Raises
    ------
    KeyboardInterrupt
        If another one was recorded less than a second ago.
    """
    before, _seen.moment = _seen.moment, _now()
    _seen.count += 1
    if _seen.moment - before < _MIN_INTERVAL:
        raise KeyboardInterrupt


def interrupts_noted() -> int:
    """Return the number of recorded interrupts of this thread; a loop ends if a call inside it adds one."""
    return _seen.count
