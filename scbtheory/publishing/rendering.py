"""Render the book with Sphinx, every warning an error."""

from __future__ import annotations

import datetime
import errno
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from scbtheory.publishing.source import ANSI, BookError

__all__ = ["ORIGIN", "render"]

# Jupyter Book has no `python -m`.
START = """
import os, sys, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
from jupyter_book.cli.main import main
sys.exit(main())
"""
ORIGIN = Path("book") / "origin.json"  # beside the copied pages only: which commits they come from


def render(
    root: Path, html_dir: Path, executed: Path | None = None, builder: str = "html", stage_in: Path | None = None
) -> Path:
    """Build the book of ``root`` into ``html_dir`` and return its first page; ``singlehtml`` makes one page of it all.

    Notebooks in the folder ``executed`` take the place of the committed ones. Every warning is an
    error, and after an error ``html_dir`` still holds the last good book. Work is done in ``stage_in``, by default
    beside ``html_dir``; it must be on the same disk.
    """
    html_dir.parent.mkdir(parents=True, exist_ok=True)
    previous = html_dir.with_name(f".{html_dir.name}.previous")
    if previous.exists():  # a process was killed between the two renamings below
        shutil.rmtree(previous) if html_dir.exists() else previous.rename(html_dir)
    with tempfile.TemporaryDirectory(prefix="stage-", dir=stage_in or html_dir.parent) as folder:
        stage = Path(folder).resolve()
        source = stage / "source"
        source.mkdir()
        for name in ("_config.yml", "_toc.yml"):
            shutil.copy(root / name, source)
        ignored = shutil.ignore_patterns(".ipynb_checkpoints", ".*.part")
        try:
            shutil.copytree(root / "book", source / "book", ignore=ignored)
            for notebook in sorted(executed.glob("*.ipynb")) if executed else ():
                shutil.copy(notebook, source / "book")
        except shutil.Error as error:  # one line for the many files that did not fit
            raise BookError(f"the book was not rendered: {error.args[0][0][2]}") from error
        (source / ORIGIN).write_text(json.dumps(_origin(root, executed is not None)), encoding="utf-8")

        command = [sys.executable, "-c", START, "build", str(source)]
        command += ["--path-output", str(stage), "--builder", builder, "-W", "--keep-going", "-n", "-q"]
        environment = {**os.environ, "NO_COLOR": "1"}
        done = _with_us(command, environment)
        built = stage / "_build" / builder
        if done.returncode or not (built / "index.html").is_file():
            raise BookError(f"the book was not rendered:\n{_complaints(done, source)}")
        if html_dir.exists():
            html_dir.rename(previous)
        try:
            built.rename(html_dir)
        except BaseException:
            if previous.exists():  # not when the first book is rendered
                previous.rename(html_dir)
            raise
        shutil.rmtree(previous, ignore_errors=True)
    return html_dir / "index.html"


def _with_us(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess:
    """Run a program that ends with this process, even when this one is killed: its standard input then ends."""
    reading, writing = os.pipe()
    try:
        return subprocess.run(command, stdin=reading, capture_output=True, text=True, env=environment)
    finally:
        os.close(reading)
        os.close(writing)


def _origin(root: Path, executed: bool) -> dict:
    """When this is rendered, and of each notebook and of the measurements the last commit and its date."""
    commits: dict[str, list[str]] = {}
    files = ["book/*.ipynb", "book/measurements.json"]
    log = _git(root, "log", "--format=%x00%h %cs", "--name-only", "--relative", "--", *files)
    for entry in log.split("\0")[1:]:
        first, *names = entry.splitlines()
        for name in filter(None, names):
            if (root / name).exists():
                commits.setdefault(name, first.split())
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    changed = _git(root, "diff", "--name-only", "--relative", "HEAD", "--", *files).splitlines()
    return {"rendered": now, "executed": executed, "commits": commits, "changed": changed}


def _git(root: Path, *words: str) -> str:
    """What Git answers; nothing outside of a checkout, or where there is no Git."""
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def _complaints(done: subprocess.CompletedProcess, source: Path) -> str:
    """Sphinx's warnings and errors if there are any, its last lines otherwise."""
    full = os.strerror(errno.ENOSPC)
    if full in done.stdout + done.stderr:
        return full  # one line for the many files that did not fit
    lines = ANSI.sub("", done.stdout + done.stderr).replace(f"{source}{os.sep}", "").splitlines()
    marked = [line for line in lines if re.search(r"\b(WARNING|ERROR|CRITICAL)\b", line)]
    return "\n".join(marked or [line for line in lines if line.strip()][-15:])
