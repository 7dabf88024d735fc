"""A clock for tests of time limits: it counts readings, not seconds, so that no machine is too slow for them."""


class Clock:
    """In place of `time.perf_counter`: a reading takes ``tick`` seconds, and nothing else does."""

    def __init__(self, tick=0.0):
        self.tick = tick
        self.now = 1000.0

    def __call__(self):
        self.now += self.tick
        return self.now
