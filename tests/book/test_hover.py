"""What previews are made of: a claim's box whole but for what leads on, an equation, a table's symbols."""

import pytest
from docutils import nodes
from docutils.core import publish_doctree
from myst_parser.parsers.docutils_ import Parser

from scbtheory.publishing.extension import hover

BOX = """<div class="before"></div>
<div aria-labelledby="claim-S3-title" class="scb-claim scb-theorem" id="claim-S3" role="group">
<p class="scb-claim-title" id="claim-S3-title">S3<a class="headerlink" href="#claim-S3">#</a></p>
<div class="math notranslate" id="equation-eq-one">
<span class="eqno">(1)<a class="headerlink" href="#equation-eq-one">#</a></span>\\[x = 1\\]</div>
<details class="scb-measured"><summary>Measured</summary><div>1</div></details>
<p class="scb-claim-near">Rests on S1</p>
</div>
<div class="after"></div>"""


def test_a_box_is_taken_whole_without_what_leads_on():
    [(anchor, shown)] = hover.boxes(BOX).items()
    assert anchor == "claim-S3"
    assert "S3</p>" in shown
    assert r"\[x = 1\]</div>" in shown
    assert not any(word in shown for word in ("id=", "headerlink", "Measured", "Rests on", "after"))
    assert shown.count("<div") == shown.count("</div>") == 1


def test_an_equation_keeps_its_number():
    expected = '<div class="math"><span class="eqno">(1)</span>\\[x = 1\\]</div>'
    assert hover.equations(BOX) == {"equation-eq-one": expected}


def test_symbols_come_from_tables_with_a_meaning():
    source = (
        "| symbol | shape | meaning |\n|---|---|---|\n| $P$, $Q$ | $N$ | two **laws**, $P < Q$ & so |\n\n"
        "| other | meaning |\n|---|---|\n| $x$ | nothing |\n\n| symbol | shape |\n|---|---|\n| $y$ | $N$ |\n"
    )
    settings = {"myst_enable_extensions": ["dollarmath"], "report_level": 5}
    document = publish_doctree(source, parser=Parser(), settings_overrides=settings)
    assert isinstance(document, nodes.document)
    meaning = r"two laws, \(P &lt; Q\) &amp; so"
    assert hover.symbols(document) == [("P", meaning), ("Q", meaning)]


@pytest.mark.parametrize("html", ["", "<div>no claim</div>", '<div class="scb-claim" id="other"></div>'])
def test_a_page_without_claims_has_no_preview(html):
    assert hover.boxes(html) == hover.equations(html) == {}
