"""One visit of a page, at two widths and in both themes: what runs out of it, and what axe-core finds serious."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import axe_core_python
from browser import Browser, Page

WIDTHS = (1280, 390)  # pixels: a laptop's, a phone's
THEMES = ("light", "dark")
# Judging contrast means drawing every letter: pages of each kind, not every page of a kind.
JUDGED = {"intro", "explore", "map", "stage_two", "ledger", "status", "notation", "backend", "search"}
TOO_WIDE = """(() => {
  const page = document.documentElement;
  if (page.scrollWidth <= innerWidth) return [];
  return [...document.querySelectorAll('body *')]
    .filter(node => node.getBoundingClientRect().right > innerWidth + 1)
    .slice(0, 5).map(node => `${innerWidth}: ${node.tagName} ${node.className} ${node.id}`);
})()"""
CODE = """[...document.querySelectorAll(':is(.highlight-ipython3, .highlight-python, .highlight-default) pre')]
  .filter(node => node.scrollWidth > node.clientWidth + 1).map(node => node.textContent.slice(0, 200))"""
# Drawn letters are no text to axe, and there are so many that it would take minutes to find that out.
WITHOUT_FORMULAS = "document.querySelectorAll('mjx-container').forEach(node => node.replaceChildren())"
# The list of citations has its roles from docutils, in another edition of ARIA.
SERIOUS = """axe.run({exclude: [['mjx-container'], ['.citation-list']]}, {resultTypes: ['violations'], %s})
  .then(found => found.violations.filter(v => ['serious', 'critical'].includes(v.impact))
    .map(v => `${v.id}: ` + v.nodes.slice(0, 3).map(node => node.html.slice(0, 160)).join(' ')))"""
# A colour on its way from one theme to the other would be judged as it passes.
AT_ONCE = """document.head.append(
  Object.assign(document.createElement('style'), {textContent: '* { transition: none !important; }'}))"""
STRUCTURE = "rules: {'color-contrast': {enabled: false}}"
CONTRAST = "runOnly: ['color-contrast']"


@dataclass
class Survey:
    """What was found, each an empty list where all is well."""

    page: Page
    too_wide: list[str] = field(default_factory=list)
    code: list[str] = field(default_factory=list)
    serious: list[str] = field(default_factory=list)


@cache
def axe() -> str:
    return Path(axe_core_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8")


def show(browser: Browser, theme: str) -> None:
    """What a click on the theme's button ends in."""
    browser.evaluate(f"document.documentElement.dataset.theme = document.documentElement.dataset.mode = '{theme}'")


def survey(browser: Browser, page: Path) -> Survey:
    browser.resize(WIDTHS[0])
    found = Survey(browser.open(page))
    if "_modules" in page.parts:  # the package's own files, line by line
        return found
    browser.evaluate(f"{AT_ONCE}; 0")
    found.code += browser.evaluate(CODE)
    for theme in THEMES:
        show(browser, theme)
        for width in WIDTHS:
            browser.resize(width)
            found.too_wide += browser.evaluate(TOO_WIDE)
    browser.resize(WIDTHS[0])
    browser.evaluate(f"{axe()}; {WITHOUT_FORMULAS}; 0")
    found.serious += browser.evaluate(SERIOUS % STRUCTURE)
    for theme in THEMES if page.stem in JUDGED else ():
        show(browser, theme)
        found.serious += [f"{theme}: {what}" for what in browser.evaluate(SERIOUS % CONTRAST)]
    return found
