"""Where a book and its chapters are, and what may be wrong with them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from scbtheory.errors import SCBError, nearest

__all__ = [
    "ANSI",
    "BookError",
    "InvalidParameter",
    "NoBook",
    "UnknownChapter",
    "UnknownParameter",
    "chapters",
    "find_root",
    "is_listed",
]

ANSI = re.compile(r"\x1b\[[0-9;]*m")  # colours, which a message in a file must not have


class BookError(SCBError):
    """The book could not be executed or rendered."""


class NoBook(BookError):
    """There is no book where one was expected."""


class UnknownChapter(BookError, LookupError):
    """No chapter has this name."""


class UnknownParameter(BookError, LookupError):
    """The chapter has no such parameter."""


class InvalidParameter(BookError, ValueError):
    """A parameter's value is of another type, out of its range, or asks for what this machine lacks."""


def find_root(start: Path | None = None) -> Path:
    """Return the nearest folder upwards from ``start`` that holds a book."""
    start = Path(start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "_config.yml").is_file() and (folder / "_toc.yml").is_file():
            return folder
    raise NoBook(
        f"no book here: neither {start} nor a folder above it holds _config.yml, _toc.yml (an installed package has "
        "none: go to a checkout or an unpacked sdist)"
    )


def chapters(root: Path, names: Iterable[str] = ()) -> list[Path]:
    """Return the notebooks so named, ``model`` or ``book/model.ipynb``, each once; without names, all."""
    known = {path.stem: path for path in sorted((root / "book").glob("*.ipynb"))}
    wanted = dict.fromkeys(Path(name).stem for name in names)
    for name in wanted:
        if name not in known:
            raise UnknownChapter(f"no chapter {name!r}{nearest(name, known)} (the chapters: {', '.join(known)})")
    return [known[name] for name in wanted] or list(known.values())


def is_listed(root: Path, chapter: Path) -> bool:
    """Whether the contents name a chapter, so that the book has a page of it."""
    named = rf"\bbook/{re.escape(chapter.stem)}(?![\w-])"
    return bool(re.search(named, (root / "_toc.yml").read_text(encoding="utf-8")))
