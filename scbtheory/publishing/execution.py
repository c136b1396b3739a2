"""Execute chapters, some at a time, each in a kernel of this very interpreter."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from scbtheory.publishing import parameters as chapter_parameters
from scbtheory.publishing.notebooks import KERNELSPEC, normalise_file, seal
from scbtheory.publishing.progress import Board, counting
from scbtheory.publishing.source import ANSI, BookError

__all__ = ["Failure", "execute"]

# Two kernels run at a time, so that more threads in each would only compete.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

CONFIGURATIONS = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")
TEMPORARY = "TMPDIR"  # a kernel's connection file, and what its cells put there, go with the folder


@dataclass(frozen=True)
class Failure:
    """Where a chapter stopped, and the last lines of why."""

    notebook: Path
    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.notebook.name}, {self.where}\n{self.reason}"


def execute(
    notebooks: Iterable[Path],
    out_dir: Path,
    parameters: Mapping[str, object] | None = None,
    jobs: int = 2,
    console: Console | None = None,
    profile: str | None = None,
) -> list[Failure]:
    """Run the notebooks, ``jobs`` at a time, and write them to ``out_dir``, normalised.

    ``parameters`` take the place of each chapter's own, ``profile`` that of SCB_PROFILE. Returns the failures; a
    chapter that failed leaves no file. The others still run.

    Raises
    ------
    UnknownParameter, InvalidParameter : before anything runs.
    """
    notebooks = [Path(notebook).resolve() for notebook in notebooks]
    given = {}
    for notebook in notebooks:
        values = chapter_parameters.check(notebook, parameters) if parameters else {}
        given[notebook] = {name: values[name] for name in parameters or ()}
    out_dir.mkdir(parents=True, exist_ok=True)

    failures = []
    with _workers(jobs, profile) as (pool, folder):
        board = Board(folder, len(notebooks), console)
        with board.progress:
            waiting, running = list(notebooks), dict[Future, Path]()
            while waiting or running:
                # Hand out no more than can run, so that the bar names the chapters that do.
                while waiting and len(running) < jobs:
                    notebook = waiting.pop(0)
                    running[pool.submit(_execute_one, notebook, out_dir, given[notebook], folder)] = notebook
                board.show([notebook.stem for notebook in running.values()])
                for future in wait(running, timeout=0.5, return_when=FIRST_COMPLETED).done:
                    notebook = running.pop(future)
                    if failure := future.result():
                        failures.append(failure)
                    board.finished(notebook.stem, failure)
            board.show([])
    return failures


def _plain(path: Path) -> str:
    """A path for papermill, which takes what stands in braces for a parameter's name."""
    return str(path).replace("{", "{{").replace("}", "}}")


@contextmanager
def _workers(jobs: int, profile: str | None) -> Iterator[tuple[ProcessPoolExecutor, Path]]:
    """Processes whose kernel ``python3`` is this very interpreter, under an empty configuration; a folder for notes.

    A kernel of that name in the user's home would come before ours, so ours goes first; what IPython and Jupyter find
    configured there could change what a cell shows.
    """
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder, "kernels", "python3", "kernel.json")
        spec.parent.mkdir(parents=True)
        start = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        start += ["--log-level=CRITICAL"]  # it complains about being told to stop
        spec.write_text(json.dumps({"argv": start, **KERNELSPEC}))
        paths = [folder, *filter(None, [os.environ.get("JUPYTER_PATH")])]
        environment = {**dict.fromkeys(THREADS, "1"), "JUPYTER_PATH": os.pathsep.join(paths)}
        environment |= {name: str(Path(folder, name)) for name in CONFIGURATIONS} | {TEMPORARY: folder}
        environment |= {"SCB_PROFILE": profile} if profile else {}
        notes = Path(folder, "notes")
        notes.mkdir()
        pool = ProcessPoolExecutor(
            jobs,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(environment, folder),
        )
        try:
            yield pool, notes
        except BaseException as error:
            for process in list(pool._processes.values()):  # Python 3.14: pool.terminate_workers()
                process.terminate()
            if isinstance(error, BrokenProcessPool):
                raise BookError("a process that ran a chapter was killed: out of memory?") from error
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _start_worker(environment: dict[str, str], folder: str) -> None:
    os.environ.update(environment)
    tempfile.tempdir = folder
    threading.Thread(target=_end_with_parent, args=(folder,), daemon=True).start()


def _end_with_parent(folder: str) -> None:
    """A worker whose parent was killed would wait for work for ever; its kernel ends with it, and nothing stays."""
    if parent := multiprocessing.parent_process():
        parent.join()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _execute_one(notebook: Path, out_dir: Path, parameters: dict, notes: Path) -> Failure | None:
    import papermill
    from papermill.exceptions import PapermillExecutionError

    with tempfile.TemporaryDirectory(dir=out_dir) as folder:
        draft = Path(folder, notebook.name)
        try:
            papermill.execute_notebook(
                _plain(notebook),
                _plain(draft),
                parameters=parameters,
                kernel_name="python3",
                cwd=str(notebook.parent),
                progress_bar=False,
                engine_name=counting(lambda number, total: (notes / notebook.stem).write_text(f"{number} {total}")),
                start_timeout=120,
            )
        except PapermillExecutionError as error:
            first, *_ = error.source.strip().splitlines() or [""]
            lines = ANSI.sub("", "\n".join(error.traceback)).splitlines()
            last = "\n".join(lines[-6:]) or f"{error.ename}: {error.evalue}"
            return Failure(notebook, f"In [{error.exec_count}]: {first}", last)
        except Exception as error:  # a kernel that died or never started: the others go on
            last = "\n".join(ANSI.sub("", str(error)).splitlines()[-6:])
            return Failure(notebook, "outside any cell", f"{type(error).__name__}: {last}")
        normalise_file(draft, root=notebook.parent.parent)
        seal(draft)
        draft.replace(out_dir / notebook.name)
    return None
