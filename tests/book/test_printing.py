"""The whole book as one PDF: every page of the table of contents is in it."""

import re
from pathlib import Path

import pytest
import yaml
from browser import find_chromium

from scbtheory.publishing import extension, printing, source

ROOT = Path(__file__).parents[2]
needs_chromium = pytest.mark.skipif(find_chromium() is None, reason="no Chromium to print with")


def outline(pdf: bytes) -> list[str]:
    """The titles of a PDF's outline: strings in brackets, or UTF-16 in hexadecimal digits."""
    found = re.findall(rb"/Title\s*(?:\(((?:\\.|[^\\)])*)\)|<([0-9A-Fa-f]+)>)", pdf, flags=re.DOTALL)
    return [
        bytes.fromhex(digits.decode()).decode("utf-16") if digits else re.sub(r"\\(.)", r"\1", plain.decode("latin-1"))
        for plain, digits in found
    ]


def letters(title: str) -> str:
    """A title without what printing may change: spaces at a line's end, signs, formulas."""
    return re.sub(r"\W", "", re.sub(r"\$[^$]*\$", "", title)).lower()


def titles() -> dict[str, str]:
    """The first heading of each page in the table of contents."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    chapters = [chapter for part in toc["parts"] for chapter in part["chapters"]]
    files = [toc["root"], *(e["file"] for c in chapters for e in (c, *c.get("sections", ())))]
    found = {}
    for file in files:
        [path] = (path for end in (".md", ".ipynb") if (path := ROOT / f"{file}{end}").exists())
        heading = re.search(r'^(?:\s*")?# (.+?)(?:\\n",?|"\,?)?$', path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        found[file] = heading[1]
    return found


@needs_chromium
@pytest.mark.slow
def test_the_printed_book_holds_every_page(tmp_path):
    pdf = printing.print_book(ROOT, tmp_path / "book.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    said = [letters(title) for title in outline(pdf)]
    assert {f: t for f, t in titles().items() if not any(letters(t) in one for one in said)} == {}
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) > 200
    assert [path.name for path in tmp_path.iterdir()] == ["book.pdf"], "no scaffolding stays"


@needs_chromium
def test_formulas_and_links_are_printed(tmp_path):
    """A formula is drawn by a script long after the page has loaded: the printer waits for it."""
    from scbtheory.publishing.extension.offline import mathjax_file

    sizes = []
    for formula in ("", r"\(\sum_{i=1}^n\frac{\alpha_i}{\beta_i}\sqrt{\gamma\delta\epsilon\zeta}\)"):
        page = tmp_path / "page.html"
        page.write_text(f'<script src="{mathjax_file().as_uri()}" defer></script><h1>One</h1>{formula}')
        pdf = printing.print_page(find_chromium(), page, tmp_path)
        assert outline(pdf)[-1] == "One"
        sizes.append(len(pdf))
    assert sizes[1] > sizes[0] + 1000
    found = printing.ELSEWHERE.sub(
        r'href="#\1"', '<a href="../a/b.html#c"> <a href="https://d.org/e.html#f"> <a href="#g">'
    )
    assert found == '<a href="#c"> <a href="https://d.org/e.html#f"> <a href="#g">'


@needs_chromium
@pytest.mark.parametrize(("kind", "expected"), [("sd-dropdown", {"One", "Inside"}), ("scb-measured", {"One"})])
def test_solutions_are_printed_unfolded(tmp_path, kind, expected):
    page, script = tmp_path / "page.html", Path(extension.__file__).parent / "static" / "print.js"
    folded = f'<details class="{kind}"><summary>Solution</summary><h2>Inside</h2><p>words</p></details>'
    page.write_text(f'<!doctype html><script src="{script.as_uri()}"></script><h1>One</h1>{folded}')
    pdf = printing.print_page(find_chromium(), page, tmp_path)
    assert {title for title in outline(pdf) if title in ("One", "Inside")} == expected


def test_without_a_browser_nothing_is_rendered(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(printing, "render", lambda *_, **__: pytest.fail("rendered"))
    with pytest.raises(source.BookError, match="apt-get install chromium"):
        printing.print_book(ROOT, tmp_path / "book.pdf")
    assert list(tmp_path.iterdir()) == []


def test_a_browser_that_fails_is_no_pdf(tmp_path):
    with pytest.raises(source.BookError, match="printed nothing"):
        printing.print_page("false", tmp_path / "page.html", tmp_path)


def test_a_browser_is_found_among_the_applications_of_macOS(monkeypatch):
    chrome = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
    monkeypatch.setattr(printing.shutil, "which", lambda name: name if name == chrome else None)
    assert printing.find_browser() == chrome
