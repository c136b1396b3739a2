"""Every page of the rendered book, as files and as a browser without a network shows it."""

import os
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from browser import Browser, Page
from survey import THEMES, WIDTHS, Survey, show, survey

ROOT = Path(__file__).parents[2]
EXTERNAL = re.compile(r"^(?:https?:)?//", flags=re.IGNORECASE)
LOADED_LINKS = {"stylesheet", "preload", "prefetch", "icon", "preconnect", "modulepreload"}
# These load what they name; a link that a reader may follow is no source.
SOURCES = {"script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data"}


@dataclass
class Facts(HTMLParser):
    """What the tests want to know of one page's HTML."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    images: list[dict] = field(default_factory=list)
    has_math: bool = False
    redirects: bool = False

    def __post_init__(self):
        super().__init__()

    def handle_starttag(self, tag, attrs):
        values = {name: value or "" for name, value in attrs}
        self.ids.update(values[key] for key in ("id", "name") if key in values)
        self.has_math |= "math" in values.get("class", "").split()
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "meta" and values.get("http-equiv", "").lower() == "refresh":
            self.redirects = True
            self.links.append(values["content"].partition("url=")[2])
        if tag == "img":
            self.images.append(values)
        if tag == "link" and LOADED_LINKS & set(values.get("rel", "").split()):
            self.sources.append(values.get("href", ""))
        if values.get(SOURCES.get(tag, "")):
            self.sources.append(values[SOURCES[tag]])


def read(page: Path) -> Facts:
    facts = Facts()
    facts.feed(page.read_text(encoding="utf-8"))
    return facts


@pytest.fixture(scope="module")
def pages(html) -> dict[str, Facts]:
    found = [page for page in sorted(html.rglob("*.html")) if "_static" not in page.parts]
    return {page.relative_to(html).as_posix(): read(page) for page in found}


@pytest.fixture(scope="module")
def surveys(html, pages, chromium, tmp_path_factory) -> dict[str, Survey]:
    # A redirect leaves while it is being asked; where it leads is checked with the links.
    shown = [name for name, page in pages.items() if not page.redirects]
    # The package's files, line by line, are one kind of page: the browser opens one in ten.
    listings = [name for name in shown if "_modules" in Path(name).parts]
    shown = [name for name in shown if name not in listings] + listings[::10]
    with Browser(chromium, tmp_path_factory.mktemp("profile")) as browser:
        return {name: survey(browser, html / name) for name in shown}


@pytest.fixture(scope="module")
def visits(surveys) -> dict[str, Page]:
    return {name: found.page for name, found in surveys.items()}


def test_the_front_door_leads_to_the_introduction(pages):
    assert (pages["index.html"].redirects, pages["index.html"].links) == (True, ["book/intro.html"])


def test_every_chapter_is_a_page(pages):
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    chapters = [chapter for part in toc["parts"] for chapter in part["chapters"]]
    files = [entry["file"] for chapter in chapters for entry in (chapter, *chapter.get("sections", ()))]
    assert [file for file in (toc["root"], *files) if f"{file}.html" not in pages] == []


def test_no_page_loads_anything_from_elsewhere(pages):
    assert {n: e for n, p in pages.items() if (e := list(filter(EXTERNAL.match, p.sources)))} == {}


def test_no_stylesheet_loads_anything_from_elsewhere(html):
    outside = re.compile(r"""(?:@import|url\()\s*(?:url\()?["']?((?:https?:)?//[^"')]+)""")
    sheets = {sheet.name: sheet.read_text(encoding="utf-8") for sheet in html.rglob("*.css")}
    assert {name: hits for name, text in sheets.items() if (hits := outside.findall(text))} == {}


def test_every_image_has_alternative_text(pages):
    """MyST-NB falls back to the file's name, which tells a reader nothing."""

    def mute(image):
        alt = image.get("alt", "").strip()
        return not alt or alt.startswith("_images/") or alt in image["src"]

    found = {name: [i["src"] for i in page.images if mute(i)] for name, page in pages.items()}
    assert {name: images for name, images in found.items() if images} == {}


def test_every_internal_link_leads_somewhere(html, pages):
    def leads_somewhere(name: str, link: str) -> bool:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            return True
        here = html / name
        target = here.parent / unquote(parts.path) if parts.path else here
        key = Path(os.path.relpath(target, html)).as_posix()
        ids = pages[key].ids if key in pages else {parts.fragment}
        return target.exists() and (not parts.fragment or unquote(parts.fragment) in ids)

    links = [(name, link) for name, page in pages.items() for link in page.links]
    assert [pair for pair in links if not leads_somewhere(*pair)] == []


def test_the_console_stays_free_of_errors(visits):
    assert {name: visit.errors for name, visit in visits.items() if visit.errors} == {}


def test_formulas_are_typeset_without_a_network(pages, visits):
    written = [name for name, page in pages.items() if page.has_math]
    assert written, "no page has a formula?"
    assert [name for name in written if not visits[name].formulas] == []


def test_no_formula_is_an_error(visits):
    found = {name: visit.formula_errors for name, visit in visits.items() if visit.formula_errors}
    assert found == {}


def test_no_formula_is_wider_than_its_column(visits):
    found = {name: visit.clipped for name, visit in visits.items() if visit.clipped}
    assert found == {}


def test_no_page_is_wider_than_its_window(surveys):
    found = {name: survey.too_wide for name, survey in surveys.items() if survey.too_wide}
    assert found == {}


def test_code_is_seen_whole(surveys):
    assert {name: survey.code for name, survey in surveys.items() if survey.code} == {}


def test_axe_finds_nothing_serious(surveys):
    """Names, roles, order and reach on every page; contrast, in both themes, on a page of each kind."""
    found = {name: survey.serious for name, survey in surveys.items() if survey.serious}
    assert found == {}


def test_images_are_shown(visits):
    found = {name: visit.broken_images for name, visit in visits.items() if visit.broken_images}
    assert found == {}


@pytest.mark.parametrize(
    ("planted", "noticed"),
    [
        ("<script>console.error('planted')</script>", "planted"),
        ("<script>throw new Error('planted')</script>", "Error: planted"),
        ("<script>Promise.reject(new Error('planted'))</script>", "Error: planted"),
        ('<script src="https://example.org/a.js"></script>', "ERR_NAME_NOT_RESOLVED"),
        ('<link rel="stylesheet" href="absent.css">', "ERR_FILE_NOT_FOUND"),
    ],
)
def test_the_browser_notices_a_planted_error(chromium, tmp_path, planted, noticed):
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><title>t</title>{planted}<p>text</p>")
    with Browser(chromium, tmp_path / "profile") as browser:
        assert any(noticed in error for error in browser.open(page).errors)
        page.write_text("<!doctype html><title>t</title><p>text</p>")
        assert browser.open(page).errors == []


def test_the_browser_notices_a_wrong_formula(chromium, html, tmp_path):
    script = next(html.rglob("tex-svg-full.js")).as_uri()
    page = tmp_path / "page.html"
    with Browser(chromium, tmp_path / "profile") as browser:
        for tex, wrong in ((r"\frac{1}{2}", False), (r"\frac{1}", True), (r"\nosuch", True)):
            page.write_text(f'<!doctype html><script src="{script}"></script>\\({tex}\\)')
            visit = browser.open(page)
            assert (visit.formulas, bool(visit.formula_errors)) == (1, wrong), tex


@pytest.mark.parametrize(
    ("planted", "where"),
    [
        ("<div style='width: 2000px'>wide</div>", "too_wide"),
        (
            "<div class='highlight-python' style='width: 200px'><pre style='overflow: auto'>"
            + 80 * "x"
            + "</pre></div>",
            "code",
        ),
        ("<p style='color: #aaa; background: #fff'>words</p>", "serious"),
        ("<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>", "serious"),
        ("<button></button>", "serious"),
    ],
)
def test_a_survey_notices_what_is_planted(chromium, tmp_path, planted, where):
    page = tmp_path / "intro.html"
    plain = "<!doctype html><html lang='en'><meta name='viewport' content='width=device-width'><title>t</title><main>"
    with Browser(chromium, tmp_path / "profile") as browser:
        for content, expected in (("<p>text</p>", {}), (planted, {where})):
            page.write_text(plain + content)
            found = survey(browser, page)
            assert {name for name in ("too_wide", "code", "serious") if getattr(found, name)} == set(expected)


def test_panels_stand_below_each_other_on_a_phone(chromium, html, tmp_path):
    """And a figure is turned dark by the page, not drawn on a white sheet."""
    state = """[...document.querySelectorAll('picture img')].map(image =>
        [image.currentSrc.includes('-stacked'), getComputedStyle(image).filter, image.getBoundingClientRect().width])"""
    with Browser(chromium, tmp_path / "profile") as browser:
        for width in WIDTHS:
            browser.resize(width)
            browser.open(html / "book" / "stage_two.html")
            for theme in THEMES:
                show(browser, theme)
                paper = browser.evaluate("getComputedStyle(document.body).backgroundColor")
                assert (
                    paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 18, 18)"}[theme]
                )  # as the palette's test
                images = browser.evaluate(state)
                assert len(images) > 1
                for stacked, turned, wide in images:
                    assert stacked == (width == min(WIDTHS))
                    assert ("invert(1)" in turned) == (theme == "dark")
                    assert wide <= width


def test_a_page_is_read_from_the_keyboard(chromium, html, tmp_path):
    """Tab reaches all that a mouse can click, but for the signs beside headings, which show under the mouse only."""
    clickable = "main :is(a[href], button, input, summary):not([tabindex='-1'])"
    there = "node.checkVisibility({visibilityProperty: true})"
    seen = f"""[...document.querySelectorAll("{clickable}")].filter(node => {there})"""
    with Browser(chromium, tmp_path / "profile") as browser:
        for name in ("intro", "explore", "map"):
            browser.resize(WIDTHS[0])
            browser.open(html / "book" / f"{name}.html")
            expected = browser.evaluate(f"{seen}.length")
            reached = set()
            for _ in range(expected + 60):  # the side bar, the header and the footer lie around
                browser.call("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
                reached.add(browser.evaluate(f"{seen}.indexOf(document.activeElement)"))
            assert reached - {-1} == set(range(expected)), name
            assert expected > 5
