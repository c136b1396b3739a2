"""A figure says what it was drawn from: another datum is another text, another rounding in the last bits is not."""

import numpy as np
import pytest

from scbtheory.plots._style import canvas

X = np.arange(1, 41) / 40


def pictured(draw, values, **scales):
    with canvas() as (picture, ax):
        draw(ax, values)
        ax.set(**scales)
    return repr(picture)


DRAWINGS = {
    "line": lambda ax, y: ax.plot(X, y, label="curve"),
    "points": lambda ax, y: ax.scatter(X, y),
    "bars": lambda ax, y: ax.bar(X, y),
    "stacked": lambda ax, y: ax.bar(X, 1, bottom=y),
    "error bars": lambda ax, y: ax.errorbar(X, np.ones(40), y, label="mean"),
    "band": lambda ax, y: ax.fill_between(X, y, 2),
    "stems": lambda ax, y: ax.stem(X, y),
    "segments": lambda ax, y: ax.vlines(X, 0, y),
    "image": lambda ax, y: ax.imshow(y.reshape(5, 8)),
    "arrows": lambda ax, y: ax.quiver(X, X, y, 1 - y),
    "level": lambda ax, y: ax.contour(np.add.outer(y, y), levels=[3.0]),
    "limit": lambda ax, y: ax.axvline(y[17]),
    "span": lambda ax, y: ax.axhspan(0, y[17]),
    "words": lambda ax, y: ax.text(0, 0, f"{y[17]:.1f}"),
    "place": lambda ax, y: ax.annotate("here", (y[17], 0)),
    "sizes": lambda ax, y: ax.scatter(X, X, s=y),
    "mesh": lambda ax, y: ax.pcolormesh(y.reshape(5, 8)),
    "polygons": lambda ax, y: ax.pcolor(y.reshape(5, 8)),
    "triangles": lambda ax, y: ax.tripcolor(X, X**2, y),
    "arrows' colours": lambda ax, y: ax.quiver(X, X, X, X, y),
    "slope": lambda ax, y: ax.axline((0, 1), slope=y[17]),
    "two points": lambda ax, y: ax.axline((0, 1), (2, y[17])),
    "words along an axis": lambda ax, y: ax.plot([f"{x:g}" for x in X], y),
    "words that change": lambda ax, y: ax.plot(np.where(y > 1.21, "more", "less"), X),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_changed_datum_is_another_text(name):
    values = 1 + X**2
    changed = values.copy()
    changed[17] *= 1.3
    before = pictured(DRAWINGS[name], values)
    assert before == pictured(DRAWINGS[name], values.copy())
    assert before != pictured(DRAWINGS[name], changed)


def test_each_point_counts_on_a_logarithmic_axis():
    """Also one of five hundred that is not shown, and far below the others."""

    def draw(ax, y):
        ax.loglog(np.arange(1, 501), y)

    values = np.geomspace(1, 1e-9, 500)
    changed = values.copy()
    changed[487] *= 1.02
    assert pictured(draw, values) != pictured(draw, changed)


@pytest.mark.parametrize("yscale", ["linear", "log"])
def test_the_last_bits_do_not_matter(yscale):
    """Not even where they would round the other way, at 1/16 and its like, or where only noise is left of a zero."""
    rng = np.random.default_rng(0)
    for trial in range(15):
        values = rng.normal(size=40) ** 2 + 1e-3
        values[::3] = 2.0 ** -rng.integers(0, 12, size=14) * (1 + 2 * rng.integers(0, 500, size=14))
        values[5] = 1e-17 * trial
        noisy = values * (1 + 1e-13 * rng.normal(size=40))
        noisy[5] = 1e-17 * rng.random()
        assert pictured(DRAWINGS["line"], values, yscale=yscale) == pictured(DRAWINGS["line"], noisy, yscale=yscale)


def test_it_reads_as_text():
    def draw(ax, y):
        ax.loglog([1, 10, 100], y, label="cost")
        ax.plot([], [], label="empty")
        ax.axhline(np.nan)

    text = pictured(draw, [0.5, 1 / 16, 1e-5], xlabel="size", ylabel="$y$")
    assert text == (
        "Picture\npanel: x = size (log) y = $y$ (log)\n  line 'cost': 1 0.5, 10 0.0625, 100 1e-05\n  line: 0 nan, 1 nan"
    )
