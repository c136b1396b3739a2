"""How much memory a new array may take."""

from __future__ import annotations

from pathlib import Path

from scbtheory.errors import InvalidArgument

__all__ = ["available", "check_batch", "check_order"]

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


def check_batch(task, batch_size: int) -> None:
    """Refuse a batch whose tokens alone exceed the available memory.

    Parameters
    ----------
    task : says how many bytes a sample takes, and what is free where it computes.
    batch_size : samples.

    Raises
    ------
    InvalidArgument : they do not fit; says what they need and what there is.
    """
    _check(
        batch_size * task.sample_bytes, task.backend.free_memory,
        f"batch_size {batch_size} at context_length {task.context_length}", "its tokens",
        "use scbtheory.streaming.gradient, which draws the same batch in parts",
    )  # fmt: skip


def check_order(batch_size: int) -> None:
    """Refuse a batch whose samples' triggers and places, 16 bytes a sample, exceed this machine's available memory.

    Parameters
    ----------
    batch_size : samples.

    Raises
    ------
    InvalidArgument : they do not fit; says what they need and what there is.
    """
    what = "its triggers, which are drawn at once"
    _check(16 * batch_size, available, f"batch_size {batch_size}", what, "add up the gradients of smaller ones")


def _check(need, free, whose, what, instead):
    if need < 2**28:  # asking the system takes longer than drawing a small batch
        return
    have = free()
    if have is not None and need > have:
        raise InvalidArgument(
            f"{whose} needs {need / 2**30:.3g} GiB for {what}, but {have / 2**30:.3g} GiB are available; {instead}"
        )


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
