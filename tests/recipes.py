"""The recipes of CONTRIBUTING.md, as code."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def recipe(heading):
    """The first block of Python in a section."""
    section = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)[0]
