"""The directive and the role ``claim``, in books of a few lines about toy claims."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from browser import Browser, find_chromium

from scbtheory.verification import measurements

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
CONTROLS = tuple(Control(mistake, lambda s: ()) for mistake in ("one", "another"))
CLAIM = Claim(
    id="{id}", title="Of ${id}$", text={text!r}, assumptions="$x > 0$", scope="Proved for *every* size.",
    nature="{nature}", chapter="{chapter}", statement=lambda s: (), routes=(ROUTE, ROUTE), controls=CONTROLS,
    rests_on={rests},
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
STORED = {
    "G1": {
        "quick": {
            "date": "2020-01-01", "seconds": 1, "holds": True, "versions": {}, "controls": {}, "routes": [],
            "settings": {"routes": []},
            "quantities": [
                {"name": f"digits {n}", "value": value, "low": value - 1, "high": value + 1, "confidence": 0.95,
                 "stated": "", "runs": 2, "seeds": ""}
                for n, value in enumerate((1.001, 0.949, 12.34))
            ],
        }
    }
}  # fmt: skip
THIRD = "# Third\n\nIt is {measured}`G1: digits`.\n\n```{claim-map}\n```\n"
THIRD += "\n```{drawn} model\n:name: fig-model\n:alt: A model.\nAs {claim}`G1` says.\n```\n"
SECOND = "# Second\n\n:::{claim} S1\n:::\n\n```{claim} E1\n```\n\nAs {claim}`G1` says in {eq}`eq-one`.\n"


class Book:
    def __init__(self, folder: Path):
        self.folder = folder
        (folder / "toys").mkdir()
        (folder / "toys" / "__init__.py").touch()
        for claim_id, nature, chapter, rests, text in (
            ("G1", "theorem", "first", (), TEXT),
            ("S1", "asymptotic", "second", ("G1",), "$$\ny = 2\n$$"),
            ("E1", "observation", "second", ("S1",), "$z$ is seen."),
        ):
            source = CLAIM.format(id=claim_id, nature=nature, chapter=chapter, text=text, rests=rests)
            (folder / "toys" / f"{claim_id}_toy.py").write_text(source)
        self.source = folder / "source"
        (self.source / "book").mkdir(parents=True)
        (self.source / "conf.py").write_text(CONF)
        (self.source / "index.md").write_text("# Toys\n\n```{toctree}\nbook/first\nbook/second\nbook/third\n```\n")
        (self.source / measurements.FILE).write_text(json.dumps(STORED))
        self.write(first=FIRST, second=SECOND, third=THIRD)

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
    return page[page.rindex("<div", 0, start) : page.index("</div>\n", page.index("scb-claim-near", start))]


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
    "```{drawn} stories\n:alt: A.\n```": r"ERROR: .*drawn stories: expected a figure",
    "```{drawn} story\n```": r"ERROR: .*drawn story: expected a figure of scbtheory.plots and its alt text",
    "It is {measured}`G1: digist`.": r"WARNING: nothing measured is called 'G1: digist'; did you mean 'digits 2'",
    "```{verdict}\n```": r"ERROR: .*no verdicts are stored of S1, E1",
}


@pytest.fixture(scope="module")
def complaints(tmp_path_factory):
    wrong = Book(tmp_path_factory.mktemp("wrong"))
    pages = {f"page_{number}": f"# Page\n\n{mistake}\n" for number, mistake in enumerate(MISTAKES)}
    wrong.write(first="# First", second="# Second", third="# Third", **pages)
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
    assert first.count('href="second.html#claim-S1"') == 3, "from the page, the claim's own text, and its neighbours"
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


def test_a_box_names_its_neighbours_and_they_name_it(book):
    second = box(book.page("second"), "S1")
    assert text(second).endswith("Rests on G1 · Carries E1 · source · tests")
    assert re.search(r'href="first.html#claim-G1"', second)
    assert text(box(book.page("first"), "G1")).endswith("Carries S1 · source · tests"), "E1 rests on S1 alone"


def test_the_map_links_every_claim_and_draws_who_rests_on_whom(book):
    third = book.page("third")
    for claim_id, page in (("G1", "first"), ("S1", "second"), ("E1", "second")):
        assert re.search(rf'id="map-{claim_id}"[^>]*href="{page}.html#claim-{claim_id}"', third)
    assert re.findall(r'data-below="(\w+)" data-above="(\w+)"', third) == [("G1", "S1"), ("S1", "E1")]


def test_a_page_says_what_was_measured_and_draws_what_it_names(book):
    third = book.page("third")
    assert "It is 1.0, 0.95 and 12." in text(third)
    assert re.findall(r'<abbr title="([^"]*)">0.95', third) == ["-0.051 to 1.9"]
    assert re.search(r'<img alt="A model." src="../_images/model.svg"', third)
    assert "As G1 says." in text(third[third.index("<figcaption") :])
    assert (book.html / "_images" / "model.svg").read_text().startswith("<?xml")


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
