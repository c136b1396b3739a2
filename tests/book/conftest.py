"""One rendering of the book for every module that reads its pages, and one browser program."""

import fcntl
import os
from pathlib import Path

import pytest
from browser import find_chromium

from scbtheory.publishing import rendering

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def html(tmp_path_factory) -> Path:
    """The rendered book: the worker that asks first renders it, the others wait for that."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent  # of all workers of this run
    folder = shared / "book" / "html"
    with (shared / "book.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # let go when the file closes, also if rendering fails
        if not folder.exists():
            rendering.render(ROOT, folder)
    return folder


@pytest.fixture(scope="session")
def chromium() -> str:
    program = find_chromium()
    if program is None:
        message = "no Chromium to read the pages with: apt-get install chromium"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)
    return program
