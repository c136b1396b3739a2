"""How much memory a new array may take."""

from __future__ import annotations

from pathlib import Path

__all__ = ["available"]

MEMINFO = Path("/proc/meminfo")
CONTAINER = Path("/sys/fs/cgroup")  # a container's own limit, where there is one


def available() -> int | None:
    """Return the bytes free on this machine, or left of its container's limit; ``None`` where nothing tells.

    Returns
    -------
    int or None
        Bytes, at least 0: the smaller of the two where both are known.
    """
    known = [free for free in (_machine(), _container()) if free is not None]
    return min(known) if known else None


def _machine():
    try:
        lines = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return None


def _container():
    try:
        limit = int((CONTAINER / "memory.max").read_text())
        return max(0, limit - int((CONTAINER / "memory.current").read_text()))
    except (OSError, ValueError):  # no such file, or the limit is "max"
        return None
