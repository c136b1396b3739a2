"""Processes that share work, started so that none inherits a lock that another thread holds."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

__all__ = ["pool"]


def pool(jobs: int, load: Sequence[str] = ()) -> ProcessPoolExecutor:
    """Return a pool of processes that are no forks of this one, which may have threads by now.

    Where the system has one they come from a server without threads, which has loaded the modules named by the first
    pool; else they start afresh. Either way a script that asks for them must do so below ``if __name__ ==
    "__main__":``, and what it hands over must be importable.

    Parameters
    ----------
    jobs : how many processes, at most.
    load : names of modules that the work will need.

    Returns
    -------
    ProcessPoolExecutor
        Its processes have the environment variables that are set here now.
    """
    server = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if server else "spawn")
    if server:
        context.set_forkserver_preload(list(load))
    # The server keeps the environment in which it began.
    return ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin, initargs=(dict(os.environ),))


def _begin(environment):
    os.environ.clear()
    os.environ.update(environment)
