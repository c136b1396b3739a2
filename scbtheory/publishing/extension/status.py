"""The directive ``{status}``: what the pages were made from, and when."""
from sphinx.application import Sphinx

def setup(app: Sphinx) -> None:
    pass
