"""A clock for tests of time limits that counts calls, not seconds, so that they do not depend on the machine."""


class Clock:
    """Replacement of `time.perf_counter` that advances by ``tick`` seconds at each call."""

    def __init__(self, tick=0.0):
        self.tick = tick
        self.now = 1000.0

    def __call__(self):
        self.now += self.tick
        return self.now
