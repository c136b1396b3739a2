"""The whole book as one PDF: rendered as a single page, which a browser without a network prints."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from scbtheory import files
from scbtheory.publishing.rendering import render
from scbtheory.publishing.source import BookError
from scbtheory.publishing.workplace import workplace

__all__ = ["find_browser", "print_book", "print_page", "single_page"]

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MACOS = tuple(f"/Applications/{name}.app/Contents/MacOS/{name}" for name in ("Chromium", "Google Chrome"))
FLAGS = (
    "--headless",
    "--no-sandbox",  # a container's root cannot use it, and the page is our own
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--no-pdf-header-footer",
    "--generate-pdf-document-outline",
)
# What a page says that leads to a place of another page: all places are on this one.
ELSEWHERE = re.compile(r'href="(?!https?:)[^"#]*\.html#([^"]+)"')


def find_browser() -> str:
    """Return the program that prints.

    Raises
    ------
    BookError : there is none; the message says what to install.
    """
    for name in (*BROWSERS, *MACOS):
        if found := shutil.which(name):
            return found
    raise BookError(f"a PDF needs a browser that prints, one of {', '.join(BROWSERS)}: apt-get install chromium")


def print_book(root: Path, pdf: Path, executed: Path | None = None) -> Path:
    """Render the book of ``root``, print it into ``pdf`` and return that; a failure leaves the last one.

    Raises
    ------
    BookError : the book does not render, there is no browser, or it printed nothing.
    """
    program = find_browser()  # before the minutes of rendering
    pdf.parent.mkdir(parents=True, exist_ok=True)
    with workplace(root, "pdf") as folder:
        page = single_page(root, folder / "html", executed)
        files.write(pdf, print_page(program, page, folder))
    return pdf


def single_page(root: Path, folder: Path, executed: Path | None = None) -> Path:
    """Render the book as one page that is ready to be printed."""
    render(root, folder, executed, builder="singlehtml")
    [written] = (folder / "book").glob("*.html")
    page = folder / "whole.html"  # what it shows is named from here, not from the folder of the root document
    page.write_text(ELSEWHERE.sub(r'href="#\1"', written.read_text(encoding="utf-8")), encoding="utf-8")
    return page


def print_page(program: str, page: Path, folder: Path) -> bytes:
    """Return the page as PDF, with its headings as an outline."""
    made = folder / "page.pdf"
    command = [program, *FLAGS, f"--user-data-dir={folder / 'profile'}", f"--print-to-pdf={made}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode or not made.exists():
        raise BookError(f"{program} printed nothing:\n{done.stderr[-1000:]}")
    return made.read_bytes()
