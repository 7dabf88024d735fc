"""Simulate Ctrl-C at any point of a call: KeyboardInterrupt at the k-th line or bytecode run in the package."""

import sys
from pathlib import Path

import cvxrelu

_PACKAGE = str(Path(cvxrelu.__file__).parent)


class _Tracer:
    """Counts the events in frames of the package and raises at a given one."""

    def __init__(self, at, opcodes):
        self.at, self.opcodes, self.count = at, opcodes, 0

    def __call__(self, frame, event, _):
        if not frame.f_code.co_filename.startswith(_PACKAGE):
            return None
        frame.f_trace_opcodes = self.opcodes
        return self.step

    def step(self, frame, event, _):
        if event == ("opcode" if self.opcodes else "line"):
            self.count += 1
            if self.count == self.at:
                raise KeyboardInterrupt
        return self.step


def run_traced(call, at=None, opcodes=False):
    """Return the call's result, or None after KeyboardInterrupt, and the number of events seen."""
    tracer, before = _Tracer(at, opcodes), sys.gettrace()
    sys.settrace(tracer)
    try:
        result = call()
    except KeyboardInterrupt:
        result = None
    finally:
        sys.settrace(before)
    return result, tracer.count
