"""How far each running chapter is, by cells: its worker notes it in a file, and a bar in the terminal reads that.

A file, since a worker may be killed at any moment: it then leaves no lock behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

__all__ = ["Board", "counting"]

ENGINE = "counting"


class Board:
    """A bar over all chapters that says which are running, and at which cell.

    Parameters
    ----------
    folder : where the workers note their cells; see :meth:`tell`.
    total : how many chapters there are.
    console : where the bar goes, the standard error stream by default.
    """

    def __init__(self, folder: Path, total: int, console: Console | None = None):
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self.progress = Progress(*columns, TimeElapsedColumn(), console=console or Console(stderr=True))
        self.bar = self.progress.add_task("executing", total=total)
        self.folder, self.started = folder, dict[str, float]()

    def show(self, names: list[str]) -> None:
        """Name the chapters that run now."""
        for name in names:
            self.started.setdefault(name, time.monotonic())
        running = ", ".join(f"{name}{_cell(self.folder, name)}" for name in names)
        self.progress.update(self.bar, description=f"executing {running}" if names else "executed")

    def finished(self, name: str, failure: object | None) -> None:
        """Count a chapter, and leave a line about it."""
        seconds = time.monotonic() - self.started[name]
        line = f"FAILED {failure}" if failure else f"executed {name} in {seconds:.0f} s"
        self.progress.console.print(line, markup=False, highlight=False)
        self.progress.advance(self.bar)


def _cell(folder: Path, name: str) -> str:
    try:
        number, total = (folder / name).read_text().split()
    except (OSError, ValueError):  # not begun, or caught while it was being written
        return ""
    return f" (cell {number} of {total})"


def counting(note: Callable[[int, int], Any]) -> str:
    """Register an engine that calls ``note`` with a cell's number and their total before it runs; return its name."""
    from papermill.engines import NBClientEngine, papermill_engines

    class Counting(NBClientEngine):
        @classmethod
        def execute_managed_notebook(cls, nb_man, kernel_name, **options):
            code = [i for i, cell in enumerate(nb_man.nb.cells) if cell.cell_type == "code"]
            start = nb_man.cell_start

            def cell_start(cell, cell_index=None, **more):
                if cell_index in code:
                    with suppress(OSError):  # a full disk is for the chapter itself to report
                        note(code.index(cell_index) + 1, len(code))
                return start(cell, cell_index=cell_index, **more)

            nb_man.cell_start = cell_start
            return super().execute_managed_notebook(nb_man, kernel_name, **options)

    papermill_engines.register(ENGINE, Counting)
    return ENGINE
