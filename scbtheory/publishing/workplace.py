"""A folder to work in, for one process at a time; what a killed one left behind is removed by the next."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scbtheory.publishing.source import BookError

__all__ = ["workplace"]

DENIED = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def workplace(root: Path, job: str, fallback: bool = False) -> Iterator[Path]:
    """Yield an empty folder below ``_build`` that is gone afterwards, whatever happens.

    Parameters
    ----------
    root : the book's folder.
    job : what may not be done twice at the same time, as a word; other jobs may.
    fallback : work in the system's folder for such things where nothing can be written below ``root``.

    Raises
    ------
    BookError : the job is under way in another process.
    OSError : there is no space, or nothing can be written.
    """
    build = root / "_build"
    try:
        build.mkdir(exist_ok=True)
        lock = _taken(build / f".{job}.lock")
    except OSError as error:
        if not (fallback and error.errno in DENIED):
            raise
        with tempfile.TemporaryDirectory(prefix="scbtheory-") as folder:
            yield Path(folder)
        return
    if lock is None:
        raise BookError(f"{job} is under way in {_holder(build / f'.{job}.lock')}; try again when it has ended")
    try:
        for other in build.glob(".*.lock"):
            _clear(other, job)
        with tempfile.TemporaryDirectory(prefix=f"{job}-", dir=build) as folder:
            yield Path(folder)
    finally:
        (build / f".{job}.lock").unlink(missing_ok=True)
        os.close(lock)


def _taken(path: Path) -> int | None:
    """Lock a file that says who has it, and return its descriptor; ``None`` where another process has the lock."""
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(lock), path.stat()):
                os.ftruncate(lock, 0)
                os.write(lock, str(os.getpid()).encode())
                return lock
        except BlockingIOError:
            os.close(lock)
            return None
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)  # its owner removed it in the meantime: the next one is ours


def _holder(path: Path) -> str:
    try:
        return f"process {path.read_text()}".strip()
    except OSError:
        return "another process"


def _clear(lock: Path, own: str) -> None:
    """Remove what a job that was killed left, its lock included."""
    job = lock.name.removeprefix(".").removesuffix(".lock")
    held = None if job == own else _taken(lock)
    if job != own and held is None:
        return
    for folder in lock.parent.glob(f"{job}-*"):
        shutil.rmtree(folder, ignore_errors=True)
    if held is not None:
        lock.unlink(missing_ok=True)
        os.close(held)
