"""Available memory, checked before large arrays are allocated."""

import functools
import os
import sys
from pathlib import Path

from cvxrelu.exceptions import InsufficientMemoryError

_MEMINFO = Path("/proc/meminfo")
_CGROUPS = Path("/proc/self/cgroup")
_MOUNT = Path("/sys/fs/cgroup")
COMPILED_BYTES = 120  # lower bound for each non-zero of a CVXPY program, during compilation
_SMALL = 2**24  # bytes that are always assumed available


def available_bytes() -> int:
    """Return the bytes that can be allocated without swapping, on the machine and within control groups.

    On Linux, from MemAvailable and the limits of the process's control groups, versions 1 and 2. Elsewhere, the free or
    physical pages from `os.sysconf`; without it, no limit.
    """
    return min([_available_on_machine(), *_available_in_control_groups()])


def require(needed: float, what: str, remedy: str) -> None:
    """Raise InsufficientMemoryError if more bytes are needed than are free.

    Parameters
    ----------
    needed : float
        Bytes needed.
    what : str
        Subject of the message: the object that needs them.
    remedy : str
        Advice at the end of the message.
    """
    if not fits(needed):
        free = available_bytes()
        raise InsufficientMemoryError(
            f"{what} would need {_size(needed)} of memory, and {_size(free)} are free: {remedy}"
        )


def fits(needed: float) -> bool:
    """Return whether ``needed`` bytes are free."""
    return needed <= _SMALL or needed <= available_bytes()


def _available_on_machine() -> int:
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


def _available_in_control_groups() -> list[int]:
    """Return the free bytes of each control group with a limit, counting its file cache as free."""
    try:
        groups = _CGROUPS.read_text()
    except OSError:
        return []
    remaining = []
    for limits, usage, counts in _control_groups(groups, _MOUNT):
        limit, used = _number(limits), _number(usage)
        if limit is not None and used is not None:
            remaining.append(max(0, limit - used + _file_cache(counts)))
    return remaining


@functools.cache
def _control_groups(groups: str, mount: Path) -> tuple[tuple[str, str, str], ...]:
    """Return the files of limit, usage and statistics of the existing groups; finding them takes milliseconds.

    Parameters
    ----------
    groups : str
        The groups of the process, as the kernel lists them.
    mount : Path
        Where they are mounted.
    """
    found = []
    for line in groups.splitlines():
        _, controllers, name = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = mount / "memory" if controllers else mount
        names = ("limit_in_bytes", "usage_in_bytes") if controllers else ("max", "current")
        group = root / name.lstrip("/")
        # In a container the group is often mounted as the root, and its listed name does not exist.
        for folder in {group, *(parent for parent in group.parents if parent.is_relative_to(root)), root}:
            limits, usage, counts = (str(folder / f"memory.{each}") for each in (*names, "stat"))
            if os.path.exists(limits) and os.path.exists(usage):
                found.append((limits, usage, counts))
    return tuple(found)


def _number(path: str) -> int | None:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):  # no such group, or "max"
        return None


def _file_cache(path: str) -> int:
    try:
        with open(path, encoding="ascii") as file:
            counts = dict(line.split()[:2] for line in file)
        return int(counts.get("total_inactive_file", counts.get("inactive_file", "0")))
    except (OSError, ValueError):
        return 0


def _size(count: float) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
