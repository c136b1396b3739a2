"""The directive and the role ``claim``, in books of a few lines about toy claims."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from browser import Browser, find_chromium

CONF = """
extensions = ["myst_parser", "scbtheory.publishing.extension"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
scb_claims_package = "toys"
html_theme = "sphinx_book_theme"
math_eqref_format = "({number})"
"""
CLAIM = """
from scbtheory.verification.claim import Claim, Control, Route

ROUTE = Route("exact", "", lambda statement: {{"difference": 0}})
CONTROL = Control("", lambda s: ())
CLAIM = Claim(
    id="{id}", title="Of ${id}$", text={text!r}, assumptions="$x > 0$", scope="Proved for *every* size.",
    nature="{nature}", chapter="{chapter}", statement=lambda s: (), routes=(ROUTE, ROUTE), controls=(CONTROL, CONTROL),
)
"""
TEXT = """
For all $x$,

$$
x = 1 .
$$ (eq-one)

- a list, and {claim}`S1`
"""
FIRST = "# First\n\n:::{claim} G1\n:::\n\nBy {eq}`eq-one`, {claim}`S1` and {claim}`G1`.\n"
SECOND = "# Second\n\n:::{claim} S1\n:::\n\n```{claim} E1\n```\n\nAs {claim}`G1` says in {eq}`eq-one`.\n"


class Book:
    def __init__(self, folder: Path):
        self.folder = folder
        (folder / "toys").mkdir()
        (folder / "toys" / "__init__.py").touch()
        for claim_id, nature, chapter, text in (
            ("G1", "theorem", "first", TEXT),
            ("S1", "asymptotic", "second", "$$\ny = 2\n$$"),
            ("E1", "observation", "second", "$z$ is seen."),
        ):
            source = CLAIM.format(id=claim_id, nature=nature, chapter=chapter, text=text)
            (folder / "toys" / f"{claim_id}_toy.py").write_text(source)
        self.source = folder / "source"
        (self.source / "book").mkdir(parents=True)
        (self.source / "conf.py").write_text(CONF)
        (self.source / "index.md").write_text("# Toys\n\n```{toctree}\nbook/first\nbook/second\n```\n")
        self.write(first=FIRST, second=SECOND)

    def write(self, **pages):
        for name, text in pages.items():
            (self.source / "book" / f"{name}.md").write_text(text)

    def build(self) -> str:
        """Render as the real book is rendered, and return the warnings."""
        command = [
            sys.executable,
            "-m",
            "sphinx",
            "-W",
            "--keep-going",
            "-n",
            "-q",
            "-b",
            "html",
            self.source,
            self.html,
        ]
        path = os.pathsep.join([str(self.folder), *filter(None, sys.path)])
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path, "NO_COLOR": "1"}
        )
        assert bool(done.returncode) == ("WARNING" in done.stderr), done.stderr
        return done.stderr

    @property
    def html(self) -> Path:
        return self.folder / "html"

    def page(self, name: str) -> str:
        return (self.html / "book" / f"{name}.html").read_text(encoding="utf-8")


def text(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", "", html).split())


def box(page: str, claim_id: str) -> str:
    """The box's HTML: its elements are no more than a few, so its end is where the next paragraph follows."""
    start = page.index(f'id="claim-{claim_id}"')
    return page[page.rindex("<div", 0, start) : page.index("</div>\n</div>", start)]


# A build takes seconds, so the tests share two books: one that is right, one with every mistake.
@pytest.fixture(scope="module")
def book(tmp_path_factory):
    right = Book(tmp_path_factory.mktemp("right"))
    assert right.build() == ""
    return right


MISTAKES = {
    ":::{claim} G11\n:::": r"WARNING: claim 'G11' is not known; did you mean 'G1'",
    ":::{claim} g1\n:::": r"WARNING: claim 'g1' is not known; did you mean 'G1'",
    ":::{claim} E1\n:::": r"WARNING: claim E1 belongs to the page second",
    ":::{claim} S1\n:::\n\n:::{claim} S1\n:::": r"WARNING: claim S1 is stated twice",
    ":::{claim}\n:::": r"ERROR: .*'claim'.*1 argument\(s\) required",
    "By {claim}`S10`.": r"WARNING: claim 'S10' is not known; did you mean 'S1'",
    "By {claim}`G1`.": r"WARNING: undefined label: 'claim-g1'",  # its box is on no page
}


@pytest.fixture(scope="module")
def complaints(tmp_path_factory):
    wrong = Book(tmp_path_factory.mktemp("wrong"))
    pages = {f"page_{number}": f"# Page\n\n{mistake}\n" for number, mistake in enumerate(MISTAKES)}
    wrong.write(first="# First", second="# Second", **pages)
    return wrong.build().splitlines()


def test_a_box_says_all_that_the_claim_knows(book):
    shown = text(box(book.page("first"), "G1"))
    order = ["Theorem G1", "proved for the sizes it names", "Assumes:", "For all", "a list", "Proved for every size."]
    assert [shown.index(part) for part in order] == sorted(shown.index(part) for part in order)
    second = book.page("second")
    assert "Asymptotic S1" in text(box(second, "S1"))
    assert "formal, or to leading order" in text(box(second, "S1"))
    assert "Observation E1" in text(box(second, "E1"))
    assert '<span class="math notranslate nohighlight">\\(x &gt; 0\\)</span>' in book.page("first")


def test_references_lead_to_boxes_and_to_equations_in_them_on_every_page(book):
    first, second = book.page("first"), book.page("second")
    assert 'href="#claim-G1"' in first
    assert first.count('href="second.html#claim-S1"') == 2, "once from the page, once from the claim's own text"
    assert re.search(r'href="first.html#equation-eq-one">\(1\)<', second)
    assert re.search(r'<a [^>]*href="first.html#claim-G1"><span[^>]*>G1</span></a>', second)


@pytest.mark.skipif(find_chromium() is None, reason="no Chromium to read the pages with")
def test_boxes_differ_by_more_than_colour(book, tmp_path):
    borders = """[...document.querySelectorAll('.scb-claim')]
        .map(box => getComputedStyle(box)).map(style => `${style.borderTopStyle} ${style.borderLeftStyle}`)"""
    with Browser(find_chromium(), tmp_path) as browser:
        browser.open(book.html / "book" / "first.html")
        assert browser.evaluate(borders) == ["solid solid"]
        browser.open(book.html / "book" / "second.html")
        assert browser.evaluate(borders) == ["dashed dashed", "dotted double"]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_page_that_says_something_else_is_not_built(complaints, mistake):
    number = list(MISTAKES).index(mistake)
    found = [line for line in complaints if f"page_{number}.md" in line]
    assert any(re.search(f"page_{number}\\.md:\\d+: {MISTAKES[mistake]}", line) for line in found), found


def test_a_page_follows_its_claim(book):
    file = book.folder / "toys" / "S1_toy.py"
    file.write_text(file.read_text().replace("y = 2", "y = 3"))
    assert book.build() == ""
    assert "y = 3" in book.page("second")
