"""What a reader does with the rendered book: look up a name, search, save a chapter, print, ask how old it is."""

import base64
import importlib
import inspect
import json
import re
import time
from pathlib import Path

import pytest
from browser import Browser

import scbtheory as scb
from scbtheory.publishing import rendering
from scbtheory.verification import measurements
from scbtheory.verification.registry import CLAIMS

ROOT = Path(__file__).parents[2]
ROOMS = sorted(p.stem for p in (ROOT / "book" / "api").glob("*.md") if p.stem not in ("index", "verification"))
PATIENCE = 30  # seconds


@pytest.fixture(scope="module")
def browser(chromium, tmp_path_factory):
    with Browser(chromium, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def wait(found):
    """The first answer that is not empty."""
    end = time.monotonic() + PATIENCE
    while not (answer := found()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
    return answer


def page(html, name) -> str:
    return (html / "book" / f"{name}.html").read_text(encoding="utf-8")


def text(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


# --- the reference ------------------------------------------------------------------------------


def test_every_room_that_a_reader_can_import_has_a_page():
    modules = {name for name in scb.__all__ if inspect.ismodule(getattr(scb, name))}
    assert modules - {"claims"} <= set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_rooms_page_describes_what_it_exports(html, room):
    module = importlib.import_module(f"scbtheory.{room}")
    public = [
        n for n in module.__all__ if inspect.isfunction(getattr(module, n)) or inspect.isclass(getattr(module, n))
    ]
    shown = page(html, f"api/{room}")
    assert public
    assert [name for name in public if f'id="scbtheory.{room}.{name}"' not in shown] == []


def test_descriptions_say_their_sections_and_lead_to_claims_and_errors(html):
    shown = page(html, "api/dynamics")
    entry = shown[shown.index('id="scbtheory.dynamics.half_time"') :]
    entry = entry[: entry.index('id="scbtheory.dynamics.high_precision_flow"')]
    assert f'href="../{scb.claims.chapter("S3")}.html#claim-S3"' in entry
    assert 'href="errors.html#scbtheory.errors.InvalidArgument"' in entry
    assert "Parameters : order : 1 or 2." in text(entry)
    assert "Returns : float : In units of" in text(entry)
    assert "-----" not in text(shown)


def test_names_in_the_chapters_code_lead_to_the_reference(html):
    shown = page(html, "stage_one")
    assert re.search(r'<a class="scb-code" href="api/dynamics.html#scbtheory.dynamics.linearised"><span', shown)
    without = [p.stem for p in (ROOT / "book").glob("*.ipynb") if 'class="scb-code"' not in page(html, p.stem)]
    assert set(without) <= {"ledger"}, "its code names claims and files only"


# --- search, save, print ------------------------------------------------------------------------


def test_search_finds_pages_without_a_server(html, browser):
    browser.open(html / "search.html")
    browser.events.clear()
    browser.call("Page.navigate", url=(html / "search.html").as_uri() + "?q=saddle")
    hits = "[...document.querySelectorAll('#search-results li a')].map(a => a.getAttribute('href')).join(' ')"
    pages = ("book/stage_one.html", "book/api/landscape.html")
    wait(lambda: all(page in browser.evaluate(hits) for page in pages))
    complaints = [e for e in browser.events if e["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")]
    assert complaints == []


def test_a_click_saves_the_chapters_notebook(html, browser, tmp_path):
    browser.open(html / "book" / "stage_one.html")
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser.evaluate("document.querySelector('a.btn-download-source-button').click()")
    stored, saved = ROOT / "book" / "stage_one.ipynb", tmp_path / "stage_one.ipynb"
    size = stored.stat().st_size
    wait(lambda: saved.exists() and saved.stat().st_size == size)
    assert json.loads(saved.read_text(encoding="utf-8")) == json.loads(stored.read_text(encoding="utf-8"))


def test_a_printed_page_has_no_side_bars(html, browser):
    browser.open(html / "book" / "stage_one.html")
    parts = ("bd-sidebar-primary", "bd-sidebar-secondary", "bd-header-article", "prev-next-footer", "bd-article")
    shown = f"{json.dumps(parts)}.filter(p => document.querySelector('.' + p).getBoundingClientRect().width > 0)"
    assert set(browser.evaluate(shown)) == set(parts)
    browser.call("Emulation.setEmulatedMedia", media="print")
    try:
        assert browser.evaluate(shown) == ["bd-article"]
        printed = base64.b64decode(browser.call("Page.printToPDF")["data"])
    finally:
        browser.call("Emulation.setEmulatedMedia", media="")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) > 2


def test_paper_shows_solutions_and_no_bar_that_could_be_clicked(html, browser):
    browser.open(html / "book" / "stage_one.html")
    folded = "details.sd-dropdown, details.scb-controls"
    states = f"[...document.querySelectorAll('{folded}')].map(details => details.open)"
    bars = "[...document.querySelectorAll('div.cell details.hide')].filter(bar => bar.checkVisibility()).length"
    closed = browser.evaluate(states)
    assert len(closed) > 3
    assert not any(closed)
    assert browser.evaluate(bars) > 0
    browser.evaluate(f"addEventListener('beforeprint', () => {{ window.whilePrinting = {states}; }})")
    browser.call("Emulation.setEmulatedMedia", media="print")
    try:
        assert browser.evaluate(bars) == 0
        browser.call("Page.printToPDF")
    finally:
        browser.call("Emulation.setEmulatedMedia", media="")
    assert browser.evaluate("window.whilePrinting") == [True] * len(closed)
    assert browser.evaluate(states) == closed


# --- point at it --------------------------------------------------------------------------------


def point(browser, selector: str) -> None:
    """Move the mouse onto the first such element, as a reader would: from elsewhere, once it is in sight."""
    place = f"""(() => {{
        const node = {selector};
        node.scrollIntoView({{block: 'center'}});
        const box = node.getClientRects()[0];
        return [box.x + box.width / 2, box.y + box.height / 2];
    }})()"""
    for x, y in ((1, 1), browser.evaluate(place)):
        browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)


SHOWN = """(() => {
    const box = document.getElementById('scb-hover');
    if (!box || getComputedStyle(box).visibility !== 'visible') return null;
    const place = box.getBoundingClientRect();
    return {
        text: box.textContent, formulas: box.querySelectorAll('mjx-container').length,
        inside: place.left >= 0 && place.right <= innerWidth,
        errors: box.querySelectorAll('mjx-merror, mtext[mathcolor=red]').length,
    };
})()"""


@pytest.mark.parametrize(
    ("name", "selector", "words", "formulas"),
    [
        ("intro", "document.querySelector('article a[href*=\"#claim-S3\"]')", "half time of the rise", 2),
        ("stage_two", "document.querySelector('article a[href=\"#claim-S3\"]')", "half time of the rise", 2),
        ("stage_two", "document.querySelector('article p a[href*=\"#equation-\"]')", "", 1),
        ("api/dynamics", "document.querySelector('article a[href*=\"#claim-R1\"]')", "A plane that", 2),
        ("stage_two", "document.querySelector('#claim-S3 div.math mjx-container')", "how much the output tells", 1),
    ],
    ids=("claim", "own page", "equation", "from the reference", "symbols"),
)
def test_what_is_pointed_at_is_shown(html, browser, name, selector, words, formulas):
    browser.resize(1280)
    browser.open(html / "book" / f"{name}.html")
    assert browser.evaluate(SHOWN) is None
    point(browser, selector)
    found = wait(lambda: browser.evaluate(SHOWN))
    assert words in " ".join(found["text"].split())
    assert "sparsity" not in found["text"], "an s of \\begin is no symbol"
    assert found["formulas"] >= formulas
    assert (found["inside"], found["errors"]) == (True, 0)
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)
    wait(lambda: browser.evaluate(SHOWN) is None)


def test_the_keyboard_shows_and_closes_it_too(html, browser):
    browser.resize(390)
    try:
        browser.open(html / "book" / "intro.html")
        browser.evaluate("document.querySelector('article a[href*=\"#claim-\"]').focus({focusVisible: true})")
        found = wait(lambda: browser.evaluate(SHOWN))
        assert found["inside"]
        assert browser.evaluate("document.activeElement.getAttribute('aria-describedby')") == "scb-hover"
        browser.call("Input.dispatchKeyEvent", type="keyDown", key="Escape", code="Escape", windowsVirtualKeyCode=27)
        assert browser.evaluate("document.getElementById('scb-hover')") is None
    finally:
        browser.resize(1280)


def test_every_claim_can_be_shown(html):
    stored = (html / "_static" / "previews.js").read_text(encoding="utf-8")
    found = json.loads(stored.removeprefix("scbPreviews(").removesuffix(");\n"))
    stated = {place.partition("#claim-")[2] for place in found["places"] if "#claim-" in place}
    assert stated == set(scb.claims.ids())
    assert all("id=" not in shown for shown in found["places"].values())
    assert {"K_P", "K_Q", r"\omega", r"K_\times"} <= {tex for tex, _ in found["symbols"]}


# --- how old it is ------------------------------------------------------------------------------


def test_the_status_page_says_what_was_measured_and_when(html):
    shown = text(page(html, "status"))
    stored = [entries["quick"] for entries in measurements.read(ROOT).values() if "quick" in entries]
    held = sum(entry["holds"] for entry in stored)
    assert f"{held} of {len(stored)} that were run" in shown
    assert max(entry["date"] for entry in stored) in shown
    assert f"numpy {stored[0]['versions']['numpy']}" in shown
    assert f"Rendered {time.gmtime().tm_year}-" in shown


def test_the_status_page_names_the_commit_of_each_chapter(tmp_path, monkeypatch):
    for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
        monkeypatch.setenv(f"{name}_NAME", "a")
        monkeypatch.setenv(f"{name}_EMAIL", "a@example.org")
        monkeypatch.setenv(f"{name}_DATE", "2020-01-02T03:04:05Z")
    assert rendering._origin(tmp_path, False)["commits"] == {}
    (tmp_path / "book").mkdir()
    for content in "12":
        for name in ("one", "two"):
            (tmp_path / "book" / f"{name}.ipynb").write_text(content)
        for words in (["init", "-q"], ["add", "."], ["commit", "-qm", content]):
            rendering._git(tmp_path, *words)
    head = rendering._git(tmp_path, "log", "-1", "--format=%h").strip()
    (tmp_path / "book" / "one.ipynb").write_text("3")
    found = rendering._origin(tmp_path, True)
    assert found["commits"] == {f"book/{name}.ipynb": [head, "2020-01-02"] for name in ("one", "two")}
    assert (found["changed"], found["executed"]) == (["book/one.ipynb"], True)


def test_each_claim_leads_to_its_source_and_its_tests(html):
    for name in CLAIMS.ids():
        page = (html / "book" / f"{CLAIMS.find(name).chapter}.html").read_text(encoding="utf-8")
        for part in ("source", "tests"):
            assert f'href="../_modules/claims/{name}.html#{part}">{part}</a>' in page
    page = (html / "_modules" / "claims" / "N5.html").read_text(encoding="utf-8")
    assert 'href="../../book/sign_of_the_correlation.html#claim-N5"' in page
    text = re.sub(r"<[^>]+>", "", page)
    assert "scbtheory/claims/N5_sign.py" in text
    assert "def statement(s):" in text
    assert "tests/test_noise_sign.py" in text
    assert "def test_N5_all_T_collapse_on_one_curve():" in text
    assert "scbtheory/noise/_sign.py" in text
