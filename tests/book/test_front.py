"""The front page: every sentence of its story and every answer leads to evidence."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
INTRO = (ROOT / "book" / "intro.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return re.split(r"^## ", INTRO.split(f"## {title}", 1)[1], flags=re.MULTILINE)[0]


def test_every_sentence_of_the_story_leads_to_a_claim():
    story = section("The story in seven sentences")
    sentences = re.findall(r"^\d\. (.+?)(?=^\d\. |^```|\Z)", story, flags=re.MULTILINE | re.DOTALL)
    assert len(sentences) == 7
    assert [sentence for sentence in sentences if "{claim}" not in sentence] == []


def test_every_claim_of_the_paper_has_an_answer_with_evidence():
    rows = re.findall(r"^\| (.+) \|$", section("What the paper claims, and what the book finds"), flags=re.MULTILINE)
    answers = [row.split(" | ") for row in rows[2:] if not row.startswith("---")]
    assert len(answers) >= 7
    for paper, answer, where in answers:
        assert "{claim}" in answer, paper
        assert "{doc}" in where, paper


def test_numbers_of_the_story_are_measured_ones():
    """What looks like a result must come from the stored measurements: no digits with a point in the prose."""
    prose = re.sub(r"\$[^$]*\$|\{measured\}`[^`]*`", "", section("The story in seven sentences"))
    assert re.findall(r"\d+\.\d+", prose) == []
