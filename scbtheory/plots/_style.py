"""One look for every figure: vector graphics in colours that stay apart for every eye, on white and turned dark.

A page in dark mode inverts a figure's lightness and turns its hues back (``scb.css``); the palette was chosen, and is
tested, for contrast and distance in both, as people with each kind of colour blindness see it.
"""

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
from matplotlib.legend import Legend
from matplotlib.legend_handler import HandlerTuple
from matplotlib.transforms import ScaledTranslation

from scbtheory.plots._data import described
from scbtheory.plots._panels import covers, pieces

BLUE, ORANGE, GREEN, PURPLE, RED, BLACK, GREY = (
    "#2C62BA", "#CA780B", "#53A35C", "#76517D", "#A3200F", "#222222", "#808080",
)  # fmt: skip
SKY, YELLOW = "#56B4E9", "#F0E442"  # for areas only: too light for a line
CYCLE = (BLUE, ORANGE, GREEN, RED, PURPLE, GREY, BLACK)
SEQUENTIAL = "cividis"

STYLE = {
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.prop_cycle": cycler(color=CYCLE),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.labelsize": 10,
    "font.size": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.title_fontsize": 9,
    "lines.linewidth": 1.8,
    "svg.hashsalt": "scbtheory",  # the same drawing gives the same bytes
    "svg.fonttype": "path",
    "mathtext.fontset": "cm",
}


def own():
    """The book's style in force, and nothing of a ``matplotlibrc`` that this machine may have."""
    return mpl.style.context(["default", STYLE])


class Picture:
    """A finished figure that shows itself as SVG in a notebook, and as its data in text; ``figure`` is Matplotlib's.

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
            panels = " ".join(",".join(f"{x:.4f}" for x in panel) for panel in pieces(self.figure))
        return buffer.getvalue().replace("<svg ", f'<svg data-panels="{panels}" ', 1)

    def save(self, path) -> None:
        """Write the figure to a file; the ending chooses the format."""
        with own():
            self.figure.savefig(path, bbox_inches="tight", dpi=150)

    def __repr__(self) -> str:
        return described(self.figure)


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


def legend(ax: Any, also: Iterable[tuple[Any, str]] = (), *, outside: bool = False, **options: Any) -> Legend:
    """Name what is drawn, covering none of it: inside the panel where that has room, else below it.

    ``also`` holds further entries: an artist, or several that share a meaning, and the words.
    """
    handles, labels = ax.get_legend_handles_labels()
    for artists, words in also:
        handles.append(artists)
        labels.append(words)
    options = {"handler_map": {tuple: HandlerTuple(ndivide=None)}, **options}
    below = ax.transAxes + ScaledTranslation(0, -0.45, ax.figure.dpi_scale_trans)
    made = ax.legend(handles, labels, loc="best", **options)
    ax.figure.draw_without_rendering()
    if outside or covers(ax, made):
        made = ax.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0), bbox_transform=below, **options)
    return made
