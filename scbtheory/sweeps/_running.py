"""Points of a sweep: where they are computed, and the folder that keeps them."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import pickle
import sys
import threading
import warnings
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from scbtheory import __version__, files
from scbtheory.checks import count, several
from scbtheory.errors import BackendUnavailable, InvalidArgument, SCBError
from scbtheory.task import SCB
from scbtheory.training import Draws, History, NoSupport, train

__all__ = ["Point", "Run", "run_all"]

PATIENCE = 10  # seconds until a scheduler has to answer
LOADED = ["scbtheory.training", "scbtheory.kernels.host"]  # by what starts processes, once for all of them


class Point:
    """A frozen dataclass of plain numbers that is called without arguments, here or on another machine.

    Equal points of one version of the package are one point, and have one result: a class is known by its module and
    name, and a cache does not notice that its ``__call__`` was edited. A subclass writes ``__call__`` and, unless its
    results are what JSON knows, :meth:`store` and :meth:`load`.
    """

    suffix = ".json"

    def __call__(self) -> Any:
        raise NotImplementedError(f"{type(self).__name__} says nothing of how it is computed")

    def key(self) -> str:
        """Name the point by its content: the same on every machine and in every process."""
        return hashlib.sha256(repr((__version__, _content(self))).encode()).hexdigest()[:32]

    def store(self, result, path: Path) -> None:
        """Write a result to a file, whole or not at all."""
        files.write(path, json.dumps(result) + "\n")

    def load(self, path: Path) -> Any:
        """Read it again; whatever is damaged raises an error, and the point is computed anew."""
        return json.loads(path.read_text(encoding="utf-8"))


def _content(value):
    """What a point is made of, as nested tuples that read the same everywhere."""
    if isinstance(value, SCB):
        P, Q, backend, dtype = value.__reduce__()[1]
        return "SCB", _content(P), _content(Q), backend, dtype
    if is_dataclass(value) and not isinstance(value, type):
        kind = type(value).__module__, type(value).__qualname__
        return (*kind, *((f.name, _content(getattr(value, f.name))) for f in fields(value)))
    if isinstance(value, dict):
        return tuple((str(name), _content(value[name])) for name in sorted(value))
    if isinstance(value, list | tuple):
        return tuple(map(_content, value))
    if isinstance(value, np.generic):
        return _content(value.item())
    if hasattr(value, "shape"):
        array = np.asarray(value.get() if hasattr(value, "get") else value)  # CuPy's come to the host
        return array.shape, array.dtype.str, hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise InvalidArgument(f"a point holds {value!r}; expected numbers, texts, arrays, tasks, stages or models")


@dataclass(frozen=True)
class Run(Point):
    """One run that another process can be given: what :func:`scbtheory.training.train` is called with.

    Parameters
    ----------
    task, stages, seed : of the run; it trains on the task's own backend and in its precision.
    options : further arguments of ``train``, such as ``start``, ``max_samples``, ``mu``, ``packed`` and ``record``.
        Samples are not packed unless asked for: methods with different batches then read the same ones.
    """

    task: SCB
    stages: tuple
    seed: int
    options: dict[str, Any]

    suffix = ".npz"

    @classmethod
    def of(cls, task: SCB, stages, seed: int, **options) -> Run:
        return cls(task, several("stages", stages), seed, {"packed": False} | options)

    def __call__(self) -> History:
        with warnings.catch_warnings():  # a comparison counts its failures itself
            warnings.simplefilter("ignore", NoSupport)
            draws = None if self.options.get("packed", True) else _shared(self.task, self.seed)
            task = self.task if draws is None else draws.task
            return train(task, self.stages, seed=self.seed, draws=draws, **self.options)

    def store(self, result: History, path: Path) -> None:
        result.save(path)

    def load(self, path: Path) -> History:
        return replace(self, options=self.options | {"checkpoint": path})()  # there is nothing left to train


_latest: dict[Any, Draws] = {}  # of this process: at most one


def _shared(task, seed) -> Draws:
    """The samples that the run before drew, if it had this task and seed; else none as yet, and those are forgotten."""
    name = _content(task), int(seed)
    if name not in _latest:
        _latest.clear()
        _latest[name] = Draws(task)
    return _latest[name]


def run_all(
    runs: Sequence[Callable[[], Any]],
    *,
    jobs: int | None = None,
    scheduler: str | None = None,
    cache=None,
    progress: bool = False,
) -> list:
    """Call everything once and return the results in the order given: on this machine, or on a Dask cluster.

    Results depend neither on ``jobs`` nor on the cluster (their last bits may on how many threads a BLAS has). Points
    that are equal are computed once. A point whose worker is lost is given to another one. Once a point fails, or on
    Ctrl-C, this machine begins no other; those that it still computes end and are kept before the error is raised.

    Parameters
    ----------
    runs : what to run: :class:`Run` and other points; without ``cache`` and ``scheduler`` anything that is called
        without arguments.
    jobs : processes of this machine, never more than runs: as many as cores by default; 1: this one. A script that uses
        several runs its sweeps below ``if __name__ == "__main__":``, as theirs import it.
    scheduler : the address of a running Dask scheduler, such as ``"tcp://10.0.0.1:8786"``; its workers then compute.
        They need this version of the package. On a worker one point is computed at a time.
    cache : a folder that keeps each result as soon as it is there, and whose results are not computed again: who is
        interrupted goes on. It may be on this machine alone. It is made if need be.
    progress : show on the terminal how many points are done.

    Returns
    -------
    list
        One result for each run, such as a :class:`scbtheory.training.History`.

    Raises
    ------
    InvalidArgument : ``jobs`` is not a whole number of at least 1, or is given with a scheduler; no scheduler answers
        there, or a worker has another version; what is run is no point; or :func:`scbtheory.training.train` refuses.
    BackendUnavailable : a scheduler is given, and ``distributed`` is not installed.
    SCBError : a process was killed; the results until then are in the cache.
    TypeError : two or more processes, and a task on a backend that is not known by its name.
    """
    runs = list(runs)
    if jobs is not None and scheduler is not None:
        raise InvalidArgument(f"jobs is {jobs!r} and scheduler {scheduler!r}; a cluster has as many as its workers")
    jobs = (os.cpu_count() or 1) if jobs is None else count("jobs", jobs)
    if cache is None and scheduler is None:
        names = [str(i) for i in range(len(runs))]
    else:
        names = [_key(run) for run in runs]
    points = dict(zip(names, runs, strict=True))
    kept = None if cache is None else _Folder(cache)
    results = {} if kept is None else kept.results(points)
    waiting = {name: point for name, point in points.items() if name not in results}
    with _bar(progress, len(points), len(results)) as advance, ExitStack() as after:
        after.callback(_latest.clear)
        computed = _here(waiting, jobs) if scheduler is None else _on_cluster(waiting, scheduler)
        with closing(computed):
            for name, result in computed:
                results[name] = result
                if kept is not None:
                    kept.keep(name, points[name], result)
                advance()
    return [results[name] for name in names]


def _key(run) -> str:
    if not isinstance(run, Point):
        raise InvalidArgument(f"{run!r} has no name to be kept by; expected a sweeps.Run or another sweeps.Point")
    return run.key()


class _Folder:
    """A file for each result, named by its point."""

    def __init__(self, path):
        self.path = Path(path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidArgument(f"cache is {path}, which cannot be a folder: {error.strerror}") from error

    def results(self, points) -> dict:
        """What is there already, and whole."""
        found = {}
        for name, point in points.items():
            path = self.path / (name + point.suffix)
            if path.exists():
                with suppress(Exception):  # damaged, or of another version: computed anew, which is never wrong
                    found[name] = point.load(path)
        return found

    def keep(self, name, point, result) -> None:
        try:
            point.store(result, self.path / (name + point.suffix))
        except OSError as error:
            raise SCBError(f"a result cannot be kept in {self.path}: {error.strerror}") from error


def _here(points: dict, jobs: int) -> Generator[tuple[str, Any]]:
    """Results in the order in which they are ready, from processes of this machine."""
    jobs = min(jobs, len(points))
    if jobs > 1 and any(map(_of_a_session, points.values())):
        warnings.warn(
            "other processes cannot find what an interactive session defines: points that use it are computed here, "
            "one after another; to share them, put their classes into a module",
            stacklevel=3,
        )
        jobs = 1
    if jobs <= 1:
        yield from ((name, point()) for name, point in points.items())
        return
    pool = _pool(jobs)
    try:
        yield from _given_out(points, pool, jobs)
    except BrokenProcessPool as error:
        raise SCBError(
            "a process of the sweep was killed: out of memory, or a script that does not run its sweeps below "
            '`if __name__ == "__main__":`? A cache keeps what was ready'
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _given_out(points: dict, pool: ProcessPoolExecutor, jobs: int) -> Generator[tuple[str, Any]]:
    """Results from a pool that holds no more points than it computes, so that after an error it begins no other."""
    left, begun = iter(points.items()), dict[Future, str]()
    failed: BaseException | None = None
    while True:
        try:
            if failed is None:
                begun |= {pool.submit(_call, point): name for name, point in islice(left, jobs - len(begun))}
        except BrokenProcessPool as error:
            failed = error
        if not begun:
            break
        try:
            ended = wait(begun, return_when=FIRST_COMPLETED).done
        except KeyboardInterrupt as error:
            if failed is not None:  # asked for twice: what runs is not waited for
                raise
            failed, ended = error, set()
        for future in ended:
            name = begun.pop(future)
            if future.exception() is None:
                yield name, future.result()
            elif failed is None:
                failed = future.exception()
    if failed is not None:
        raise failed


def _of_a_session(point) -> bool:
    """Whether a point's class, or that of a stage or a model in it, exists in a notebook or an interpreter alone."""
    return not hasattr(sys.modules["__main__"], "__file__") and b"__main__" in pickle.dumps(point)


def _pool(jobs: int) -> ProcessPoolExecutor:
    """Processes that are no forks of this one, whose threads may hold a lock that a fork waits for without end."""
    server = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if server else "spawn")
    if server:
        context.set_forkserver_preload(LOADED)
    # The server keeps the environment in which it began.
    return ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin, initargs=(dict(os.environ),))


def _begin(environment):
    os.environ.clear()
    os.environ.update(environment)


def _on_cluster(points: dict, scheduler: str) -> Generator[tuple[str, Any]]:
    """The same from the workers of a Dask cluster, which gives a lost worker's points to others."""
    try:
        import distributed
    except ImportError as error:
        raise BackendUnavailable(f"scheduler is {scheduler!r}: pip install 'scbtheory[cluster]' first") from error
    try:
        client = distributed.Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InvalidArgument(f"no Dask scheduler answers at {scheduler!r}: {error}") from error
    with client:
        _check_versions(client)
        # Named by content: two sweeps of the same points on one cluster share them.
        futures = {client.submit(_in_turn, point, key=f"scb-{name}"): name for name, point in points.items()}
        for future in distributed.as_completed(futures, loop=client.loop):
            if future.status == "cancelled":
                raise SCBError(f"the scheduler at {scheduler} is gone; a cache keeps what was ready")
            try:
                yield futures[future], future.result()
            except distributed.KilledWorker as error:
                raise SCBError(f"{error.last_worker} and others were lost over one point: out of memory?") from error
            future.release()


def _check_versions(client) -> None:
    """Refuse a cluster of another version: its results would be another package's."""

    def version():  # nested, so that a worker without the package can run it
        from importlib import import_module

        try:
            return import_module("scbtheory").__version__
        except ImportError:
            return None

    found = client.run(version)
    if not found:
        warnings.warn("the scheduler has no workers yet; the sweep waits for them", stacklevel=4)
    for address, other in found.items():
        if other != __version__:
            raise InvalidArgument(f"the worker {address} has scbtheory {other}; expected {__version__}, as here")


_TURN = threading.Lock()


def _in_turn(point):
    """One point at a time in a worker: its loops use the threads themselves."""
    with _TURN:
        return point()


def _call(point):
    return point()


@contextmanager
def _bar(progress: bool, total: int, done: int):
    """Yield a function that counts one more point, on the terminal where that is asked for."""
    if not progress:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("points"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("points", total=total, completed=done)
        yield lambda: bar.advance(task)
