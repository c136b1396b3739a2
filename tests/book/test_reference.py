"""From docstrings to pages: sections of one line, ids of claims, and what a cell's names mean."""

import pytest

from scbtheory.publishing.extension import codelinks
from scbtheory.publishing.extension.docstrings import linked, sectioned

DOCSTRING = """\
S3: what :math:`S3` is, in ``S3``.

Parameters
----------
p, q : (N,) two laws,
    both positive.
**system : the numbers.

Returns
-------
float or ndarray
    Of t's shape.
low : float, the end.

Raises
------
InvalidArgument, TypeError : no law (S3)."""
FIELDS = """\
S3: what :math:`S3` is, in ``S3``.


:Parameters:

    - ``p``, ``q``: (N,) two laws,
      both positive.
    - ``**system``: the numbers.


:Returns:

    - *float or ndarray*:
      Of t's shape.
    - ``low``: float, the end.


:Raises:

    - :exc:`.InvalidArgument`, :exc:`.TypeError`: no law (S3)."""
PLACES = {
    "scbtheory.task.SCB": "task#SCB",
    "scbtheory.task.SCB.random": "task#random",
    "scbtheory.dynamics.flow": "dynamics#flow",
    "scbtheory.verify": "verify#verify",
}


def test_sections_become_lists():
    assert "\n".join(sectioned(DOCSTRING.splitlines())) == FIELDS


def test_ids_become_links_outside_of_code_and_formulas():
    text = "S3: what :math:`S3\n+ S3` is, in ``S3``, not S30, AS3 or S3-like; and (S3).\n>>> scb.verify('S3')"
    expected = text.replace("S3: what", ":claim:`S3`: what").replace("(S3).", "(:claim:`S3`).")
    assert "\n".join(linked(text.splitlines(), ["S3"])) == expected


def block(*names: str) -> str:
    """Code as Pygments writes it: only names and dots matter."""
    lines = ['<span class="o">.</span>'.join(f'<span class="n">{n}</span>' for n in name.split(".")) for name in names]
    return '<div class="highlight"><pre>' + "\n".join(lines) + "</pre></div>"


IMPORT = (
    '<div class="highlight"><pre><span class="kn">import</span> <span class="n">scbtheory</span> as scb</pre></div>'
)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("scb.SCB", "task#SCB"),  # another name of it
        ("scb.SCB.random", "task#random"),
        ("scb.dynamics.flow", "dynamics#flow"),
        ("scb.verify", "verify#verify"),
        ("scb.dynamics.nothing", None),
        ("other.dynamics.flow", None),
        ("task.scb.SCB", None),  # an attribute of something else
    ],
)
def test_a_name_leads_to_its_description(name, place):
    html = codelinks.link(IMPORT + block(name), PLACES)
    expected = (
        block(name) if place is None else block(name).replace("<pre>", f'<pre><a class="scb-code" href="{place}">')
    )
    assert html == IMPORT + expected.replace("</pre>", "</a></pre>" if place else "</pre>")


def test_a_name_means_what_was_imported_last():
    again = '<div class="highlight"><pre>from math import pi as scb</pre></div>'
    html = codelinks.link(IMPORT + again + block("scb.SCB"), PLACES)
    assert html == IMPORT + again + block("scb.SCB")


def test_a_cell_that_is_not_python_binds_nothing():
    assert codelinks.imported("%time\nimport scbtheory as scb") == {"scb": "scbtheory"}
    assert codelinks.imported("import scbtheory as") == {}
