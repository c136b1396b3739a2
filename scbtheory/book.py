"""Execute the chapters, keep their stored outputs clean, and render the book.

Nothing here is half done when it fails. A chapter is executed into a temporary file and takes
its place only when every cell ran; a rendered book replaces the last one only when Sphinx had
no complaint. Whoever interrupts finds everything as it was.
"""

import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from scbtheory.errors import SCBError, nearest

# Two kernels run at a time, so that more threads in each would only compete.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}
# Written by papermill and by editors; no two runs agree on these.
PASSING_CELL_METADATA = ("papermill", "execution", "ExecuteTime", "collapsed", "scrolled")
ANSI = re.compile(r"\x1b\[[0-9;]*m")


class BookError(SCBError):
    """The book could not be executed or rendered."""


class NoBook(BookError):
    """There is no book where one was expected."""


class UnknownChapter(BookError, LookupError):
    """No chapter has this name."""


class UnknownParameter(BookError, LookupError):
    """The chapter has no such parameter."""


@dataclass(frozen=True)
class Failure:
    """Where a chapter stopped, and the last lines of why."""

    notebook: Path
    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.notebook.name}, {self.where}\n{self.reason}"


# --- what there is ------------------------------------------------------------------------------


def find_root(start: Path | None = None) -> Path:
    """Return the nearest folder upwards from ``start`` that holds a book."""
    start = Path(start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "_config.yml").is_file() and (folder / "_toc.yml").is_file():
            return folder
    raise NoBook(f"no book here: neither {start} nor a folder above it holds _config.yml, _toc.yml")


def chapters(root: Path, names: Iterable[str] = ()) -> list[Path]:
    """Return the notebooks so named, ``model`` or ``book/model.ipynb``; without names, all."""
    known = {path.stem: path for path in sorted((root / "book").glob("*.ipynb"))}
    wanted = [Path(name).stem for name in names]
    for name in wanted:
        if name not in known:
            raise UnknownChapter(f"no chapter {name!r}{nearest(name, known)} (the chapters: {', '.join(known)})")
    return [known[name] for name in wanted] or list(known.values())


# --- execute ------------------------------------------------------------------------------------


def execute(
    notebooks: Iterable[Path],
    out_dir: Path,
    parameters: Mapping[str, object] | None = None,
    jobs: int = 2,
    console: Console | None = None,
) -> list[Failure]:
    """Run the notebooks, ``jobs`` at a time, and write them to ``out_dir``, normalised.

    Returns the failures; a chapter that failed leaves no file. The others still run.
    """
    notebooks = [Path(notebook).resolve() for notebook in notebooks]
    parameters = dict(parameters or {})
    for notebook in notebooks:
        _check_parameters(notebook, parameters)
    out_dir.mkdir(parents=True, exist_ok=True)

    failures = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    progress = Progress(*columns, TimeElapsedColumn(), console=console or Console(stderr=True))
    with _workers(jobs) as pool, progress:
        bar = progress.add_task("executing", total=len(notebooks))
        waiting, running = list(notebooks), {}
        while waiting or running:
            # Hand out no more than can run, so that the bar names the chapters that do.
            while waiting and len(running) < jobs:
                notebook = waiting.pop(0)
                running[pool.submit(_execute_one, notebook, out_dir, parameters)] = notebook
            names = ", ".join(notebook.stem for notebook in running.values())
            progress.update(bar, description=f"executing {names}")
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                notebook = running.pop(future)
                if failure := future.result():
                    failures.append(failure)
                    progress.console.print(f"FAILED {failure}", markup=False, highlight=False)
                progress.advance(bar)
        progress.update(bar, description="executed")
    return failures


def _check_parameters(notebook: Path, parameters: Mapping[str, object]) -> None:
    """Papermill would inject an unknown name in silence, and the chapter would ignore it."""
    if not parameters:
        return
    import papermill  # a second to import: only for those who need it

    known = list(papermill.inspect_notebook(str(notebook)))
    for name in parameters:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise UnknownParameter(
                f"{notebook.name} has no parameter {name!r}{nearest(name, known)} (its parameters: {listed})"
            )


@contextmanager
def _workers(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Processes whose kernel ``python3`` is this very interpreter.

    A kernel of that name in the user's home would come before ours, so ours goes first.
    """
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder, "kernels", "python3", "kernel.json")
        spec.parent.mkdir(parents=True)
        start = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        start += ["--log-level=CRITICAL"]  # it complains about being told to stop
        spec.write_text(json.dumps({"argv": start, **KERNELSPEC}))
        paths = [folder, *filter(None, [os.environ.get("JUPYTER_PATH")])]
        environment = {**dict.fromkeys(THREADS, "1"), "JUPYTER_PATH": os.pathsep.join(paths)}
        pool = ProcessPoolExecutor(
            jobs,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(environment,),
        )
        try:
            yield pool
        except BaseException as error:
            for process in list(pool._processes.values()):  # Python 3.14: pool.terminate_workers()
                process.terminate()
            if isinstance(error, BrokenProcessPool):
                raise BookError("a process that ran a chapter was killed: out of memory?") from error
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _start_worker(environment: dict[str, str]) -> None:
    os.environ.update(environment)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever; its kernel ends with it."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _execute_one(notebook: Path, out_dir: Path, parameters: dict) -> Failure | None:
    import papermill
    from papermill.exceptions import PapermillExecutionError

    with tempfile.TemporaryDirectory(dir=out_dir) as folder:
        draft = Path(folder, notebook.name)
        try:
            papermill.execute_notebook(
                str(notebook),
                str(draft),
                parameters=parameters,
                kernel_name="python3",
                cwd=str(notebook.parent),
                progress_bar=False,
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
        draft.replace(out_dir / notebook.name)
    return None


# --- normalise ----------------------------------------------------------------------------------


def normalise(notebook: nbformat.NotebookNode, root: Path) -> nbformat.NotebookNode:
    """Remove, in place, what two runs of the same cells would not have in common.

    Outputs, execution counts and cell ids stay. Paths below ``root`` become relative to it.
    """
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNELSPEC, "language_info": {"name": "python"}})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    here = f"{root}{os.sep}"
    for number, cell in enumerate(notebook.cells):
        for key in PASSING_CELL_METADATA:
            cell.metadata.pop(key, None)
        if not cell.metadata.get("tags", True):
            del cell.metadata["tags"]
        if "id" not in cell:
            cell["id"] = f"cell-{number}"
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell["id"] = "injected-parameters"  # papermill draws one at random
        if cell.cell_type == "code":
            cell.outputs = _join_streams(_without(here, output) for output in cell.outputs)
    return notebook


def _without(prefix: str, value):
    """Make absolute paths below ``prefix`` relative, in every string of a nested output."""
    if isinstance(value, str):
        return value.replace(prefix, "")
    if isinstance(value, list):
        return [_without(prefix, item) for item in value]
    if isinstance(value, dict):
        return nbformat.from_dict({key: _without(prefix, item) for key, item in value.items()})
    return value


def _join_streams(outputs: Iterable[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Join what was printed in a row: where the kernel cuts it is a matter of timing."""
    joined: list[nbformat.NotebookNode] = []
    for output in outputs:
        last = joined[-1] if joined else None
        if last and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            joined.append(output)
    return joined


def normalise_file(path: Path, root: Path | None = None) -> bool:
    """Normalise the notebook in ``path``; return whether that changed it.

    ``root`` is by default the folder above the notebook's: chapters lie in ``ROOT/book``.
    """
    before = path.read_text(encoding="utf-8")
    try:
        notebook = nbformat.reads(before, as_version=4)
    except ValueError as error:
        raise BookError(f"{path} is not a notebook: {error}") from error
    normalise(notebook, root or path.resolve().parent.parent)
    after = nbformat.writes(notebook) + "\n"
    if after == before:
        return False
    draft = path.with_name(f".{path.name}.part")
    draft.write_text(after, encoding="utf-8")
    draft.replace(path)
    return True


# --- render -------------------------------------------------------------------------------------


def render(root: Path, html_dir: Path, executed: Path | None = None) -> Path:
    """Build the book of ``root`` into ``html_dir`` and return its first page.

    Notebooks in the folder ``executed`` take the place of the committed ones. Every warning is an
    error, and after an error ``html_dir`` still holds the last good book.
    """
    html_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="stage-", dir=html_dir.parent) as folder:
        stage = Path(folder).resolve()
        source = stage / "source"
        source.mkdir()
        for name in ("_config.yml", "_toc.yml"):
            shutil.copy(root / name, source)
        ignored = shutil.ignore_patterns(".ipynb_checkpoints", ".*.part")
        shutil.copytree(root / "book", source / "book", ignore=ignored)
        for notebook in sorted(executed.glob("*.ipynb")) if executed else ():
            shutil.copy(notebook, source / "book")

        start = "import sys; from jupyter_book.cli.main import main; sys.exit(main())"
        command = [sys.executable, "-c", start, "build", str(source)]  # it has no `python -m`
        command += ["--path-output", str(stage), "-W", "--keep-going", "-n", "-q"]
        environment = {**os.environ, "NO_COLOR": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        built = stage / "_build" / "html"
        if done.returncode or not (built / "index.html").is_file():
            raise BookError(f"the book was not rendered:\n{_complaints(done, source)}")
        if html_dir.exists():
            html_dir.rename(stage / "previous")
        built.rename(html_dir)
    return html_dir / "index.html"


def _complaints(done: subprocess.CompletedProcess, source: Path) -> str:
    """Sphinx's warnings and errors if there are any, its last lines otherwise."""
    lines = ANSI.sub("", done.stdout + done.stderr).replace(f"{source}{os.sep}", "").splitlines()
    marked = [line for line in lines if re.search(r"\b(WARNING|ERROR|CRITICAL)\b", line)]
    return "\n".join(marked or [line for line in lines if line.strip()][-15:])


# --- the two things people do -------------------------------------------------------------------


def build(root: Path, run: bool = True, jobs: int = 2) -> Path:
    """Execute every chapter, unless told otherwise, and render; return the first page."""
    html_dir = root / "_build" / "html"
    if not run:
        return render(root, html_dir)
    html_dir.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="executed-", dir=html_dir.parent) as folder:
        notebooks = chapters(root)
        _raise_if_any(execute(notebooks, Path(folder), jobs=jobs), notebooks)
        return render(root, html_dir, executed=Path(folder))


def refresh(notebooks: list[Path], jobs: int = 2) -> list[Path]:
    """Execute the notebooks and store their new outputs; return those that changed.

    Each is replaced in one step, and only when all of its cells ran.
    """
    changed = []
    with tempfile.TemporaryDirectory() as folder:
        failures = execute(notebooks, Path(folder), jobs=jobs)
        failed = {failure.notebook for failure in failures}
        for notebook in notebooks:
            fresh = Path(folder, notebook.name)
            if notebook.resolve() not in failed and fresh.read_bytes() != notebook.read_bytes():
                draft = notebook.with_name(f".{notebook.name}.part")
                shutil.copyfile(fresh, draft)  # the temporary folder may be on another disk
                draft.replace(notebook)
                changed.append(notebook)
    _raise_if_any(failures, notebooks)
    return changed


def run(notebook: Path, output: Path, parameters: Mapping[str, object]) -> None:
    """Execute one chapter with other parameters into another file."""
    if output.resolve() == notebook.resolve():
        raise BookError(f"{output} is the chapter itself: name another file with --output")
    with tempfile.TemporaryDirectory() as folder:
        _raise_if_any(execute([notebook], Path(folder), parameters, jobs=1), [notebook])
        output.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(folder, notebook.name), output)


def _raise_if_any(failures: list[Failure], notebooks: list[Path]) -> None:
    if failures:
        names = ", ".join(failure.notebook.stem for failure in failures)
        raise BookError(f"{len(failures)} of {len(notebooks)} chapters failed: {names}")
