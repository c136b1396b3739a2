"""The notation's tables hold every symbol of the book's formulas, each with one meaning."""

import importlib.util
import json
import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from scbtheory import claims

BOOK = Path(__file__).parents[2] / "book"
spec = importlib.util.spec_from_file_location("symbols", Path(__file__).with_name("symbols.py"))
reader = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reader)


def rows(text):
    """Rows of a text's tables that begin with a formula: its cells."""
    found = [line.strip().strip("|") for line in text.splitlines() if line.startswith("| $")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|(?![^$]*\|[^$|]*\$ \|)", line, maxsplit=2)] for line in found]


def keys(cell):
    """The symbols that a table's first cell names, with the subscripts they are shown with."""
    return [full for formula in reader.formulas(cell) for _, full in reader.symbols(formula)[:1]]


@pytest.fixture(scope="module")
def tables():
    """(symbols of the whole book, symbols by page): how often each is listed."""
    everywhere, of_a_page = (BOOK / "notation.md").read_text(encoding="utf-8").split("## Of a page")
    known, local = Counter(), defaultdict(Counter)
    for first, *_ in rows(everywhere):
        known.update(keys(first))
    for first, pages, _ in rows(of_a_page):
        for page in re.findall(r"\{doc\}`(\w+)`", pages):
            local[page].update(keys(first))
    return known, local


@pytest.fixture(scope="module")
def used():
    """By page, every symbol of its formulas and of its claims', with a formula that it stands in."""
    texts = defaultdict(list)
    for path in sorted(BOOK.glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        for cell in cells:
            caption = cell["metadata"].get("mystnb", {}).get("figure", {}).get("caption", "")
            texts[path.stem] += [caption] + ["".join(cell["source"])] * (cell["cell_type"] == "markdown")
    for path in sorted({*BOOK.glob("*.md")} - {BOOK / "notation.md"}):
        texts[path.stem].append(path.read_text(encoding="utf-8"))
    for claim in map(claims.find, claims.ids()):
        texts[claim.chapter] += [claim.text, claim.scope, claim.assumptions, claim.title]
    found = defaultdict(dict)
    for page, parts in texts.items():
        for formula in (f for part in parts for f in reader.formulas(part)):
            for symbol in reader.symbols(formula):
                found[page].setdefault(symbol, " ".join(formula.split()))
    return found


def listed(symbol, table):
    """Whether a table holds a symbol with its subscript, or without one: then the subscript is an index."""
    base, full = symbol
    return full in table or base in table or re.sub(r"_\d\d$", "_ij", full) in table


def test_every_symbol_of_a_page_is_in_the_notation(tables, used):
    known, local = tables
    missing = {
        f"{page}: {full}": formula
        for page, symbols in used.items()
        for (base, full), formula in symbols.items()
        if not listed((base, full), known) and not listed((base, full), local[page])
    }
    assert not missing


def test_no_symbol_has_two_meanings(tables):
    known, local = tables
    assert [symbol for symbol, count in known.items() if count > 1] == []
    assert [(page, symbol) for page, table in local.items() for symbol, count in table.items() if count > 1] == []
    assert [(page, symbol) for page, table in local.items() for symbol in table if symbol in known] == []


def test_the_tables_list_nothing_that_the_book_does_not_use(tables, used):
    known, local = tables
    everywhere = {name for symbols in used.values() for symbol in symbols for name in symbol}
    everywhere |= {"p_ij" for name in everywhere if re.fullmatch(r"p_\d\d", name)}
    assert [symbol for symbol in known if symbol not in everywhere] == []
    unused = [
        (page, symbol)
        for page, table in local.items()
        for symbol in table
        if symbol not in {name for pair in used[page] for name in pair}
    ]
    assert unused == []


def test_the_reader_of_symbols_knows_accents_primes_and_subscripts():
    formula = (
        r"\hat P' = K_{\hat P} + \lVert\tilde q_t^{(k)}\rVert_\mu + \tfrac12\sigma_k \operatorname{tr} \mathcal I_k"
    )
    assert reader.symbols(formula) == [
        ("hat P'", "hat P'"), ("K", r"K_\hat P"), ("tilde q", "tilde q_t"), ("k", "k"), ("mu", "mu"),
        ("sigma", "sigma_k"), ("mathcal I", "mathcal I_k"),
    ]  # fmt: skip
    assert list(reader.formulas("`$a$` and $b$\n```\n$c$\n```\n$$d$$")) == ["b", "d"]
