"""Writing files: whole or not at all, where they belong, and with the mode that they had."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

__all__ = ["write", "write_with"]


def write(path, content: str | bytes) -> None:
    """Put ``content`` (text as UTF-8) into a file.

    A regular file, or one that does not exist, is replaced in one step by a complete one that keeps the mode; a link
    is followed and stays. What is no regular file, such as a pipe or a device, is written to as it is.

    Raises
    ------
    OSError : the file cannot be written; the old one is then still whole, and nothing is left beside it.
    """
    data = content.encode() if isinstance(content, str) else content
    write_with(path, lambda file: file.write(data))


def write_with(path, fill: Callable[[IO[bytes]], object]) -> None:
    """The same for content that ``fill`` writes to the binary file it is given."""
    target = Path(path).resolve() if Path(path).is_symlink() else Path(path)
    try:
        found = target.stat()
    except FileNotFoundError:
        found = None
    if found is not None and not stat.S_ISREG(found.st_mode):
        with target.open("wb", buffering=0) as file:
            fill(file)
        return
    handle, draft = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(draft, stat.S_IMODE(found.st_mode) if found else 0o666 & ~_umask())
        os.replace(draft, target)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
