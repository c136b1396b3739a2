"""One look for every figure: vector graphics, colour-blind safe, on white so that dark mode stays readable."""

from __future__ import annotations

import io
from collections.abc import Iterable
from contextlib import contextmanager
from itertools import chain, repeat
from string import ascii_lowercase
from typing import Any

import matplotlib as mpl
import matplotlib.style
from cycler import cycler
from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart with any colour vision, and in grey by order of lightness.
BLUE, ORANGE, GREEN, PINK, SKY, YELLOW, RED, BLACK = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#F0E442", "#D55E00", "#222222",
)  # fmt: skip
CYCLE = (BLUE, ORANGE, GREEN, RED, PINK, SKY, BLACK)
SEQUENTIAL = "cividis"

STYLE = {
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.prop_cycle": cycler(color=CYCLE),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.labelsize": 11,
    "font.size": 10,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "svg.hashsalt": "scbtheory",  # the same drawing gives the same bytes
    "svg.fonttype": "path",
    "mathtext.fontset": "cm",
}


def own():
    """The book's style in force, and nothing of a ``matplotlibrc`` that this machine may have."""
    return mpl.style.context(["default", STYLE])


class Picture:
    """A finished figure that shows itself as SVG in a notebook; ``figure`` is Matplotlib's.

    Parameters
    ----------
    figure : a :class:`matplotlib.figure.Figure`.
    """

    def __init__(self, figure: Figure):
        self.figure = figure

    def _repr_svg_(self) -> str:
        buffer = io.StringIO()
        with own():
            self.figure.savefig(buffer, format="svg", metadata={"Date": None}, bbox_inches="tight")
        return buffer.getvalue()

    def save(self, path) -> None:
        """Write the figure to a file; the ending chooses the format."""
        with own():
            self.figure.savefig(path, bbox_inches="tight", dpi=150)

    def __repr__(self) -> str:
        return "Picture"


@contextmanager
def canvas(*, rows: int = 1, columns: int = 1, size: tuple[float, float] = (7.0, 3.2), **options):
    """Yield ``(picture, axes)`` with the book's style in force; no global figure is made."""
    with own():
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(rows, columns, **options)
        yield Picture(figure), axes


def panel_letters(axes: Iterable[Any], titles: Iterable[str] = ()) -> None:
    """Write (a), (b), … over each panel, for captions to point at, with a title if given."""
    for letter, ax, title in zip(ascii_lowercase, axes, chain(titles, repeat("")), strict=False):
        if ax:
            ax.set_title(f"({letter})  {title}".strip(), loc="left", fontsize=10)
