"""Memory that can still be had, asked for before large arrays are made."""

import os
import sys
from pathlib import Path

from cvxrelu.exceptions import InsufficientMemoryError

_MEMINFO = Path("/proc/meminfo")
_CGROUPS = Path("/proc/self/cgroup")
_MOUNT = Path("/sys/fs/cgroup")
COMPILED_BYTES = 120  # for each non-zero of a CVXPY program, at least, while it is compiled
_SMALL = 2**24  # bytes that are not worth the question


def available_bytes() -> int:
    """Return the bytes that can still be allocated without swapping: the least that machine and control groups leave.

    From Linux's MemAvailable and the limits of the control groups, of both versions, that the process is in. Elsewhere
    the free pages, or all there are, as `os.sysconf` tells; where it does not, there is no limit.
    """
    return min([_of_machine(), *_of_control_groups()])


def require(needed: float, what: str, remedy: str) -> None:
    """Raise InsufficientMemoryError if more bytes are needed than are free.

    Parameters
    ----------
    needed : float
        Bytes.
    what : str
        What needs them, as the subject of a sentence.
    remedy : str
        What to do.
    """
    if not fits(needed):
        free = available_bytes()
        raise InsufficientMemoryError(
            f"{what} would need {_size(needed)} of memory, and {_size(free)} are free: {remedy}"
        )


def fits(needed: float) -> bool:
    """Return whether so many bytes are free."""
    return needed <= _SMALL or needed <= available_bytes()


def _of_machine() -> int:
    try:
        for line in _MEMINFO.read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return 1024 * int(value.split()[0])
    except (OSError, ValueError, IndexError):
        pass
    for pages in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"):
        try:
            count = os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, OSError, ValueError):
            continue
        if count > 0:
            return count
    return sys.maxsize


def _of_control_groups() -> list[int]:
    """Return what each control group with a limit leaves, its file cache counted as free."""
    try:
        lines = _CGROUPS.read_text().splitlines()
    except OSError:
        return []
    left = []
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = _MOUNT / "memory" if controllers else _MOUNT
        names = ("limit_in_bytes", "usage_in_bytes") if controllers else ("max", "current")
        group = root / name.lstrip("/")
        # A container often sees its own group as the root, under a name that it cannot see.
        for folder in {group, *(parent for parent in group.parents if parent.is_relative_to(root)), root}:
            limit, used = (_number(folder / f"memory.{kind}") for kind in names)
            if limit is not None and used is not None:
                left.append(max(0, limit - used + _file_cache(folder / "memory.stat")))
    return left


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no such group, or "max"
        return None


def _file_cache(path: Path) -> int:
    try:
        counts = dict(line.split()[:2] for line in path.read_text().splitlines())
        return int(counts.get("total_inactive_file", counts.get("inactive_file", "0")))
    except (OSError, ValueError):
        return 0


def _size(count: float) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
