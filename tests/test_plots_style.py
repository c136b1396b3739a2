"""Colours that every eye tells apart, in both themes; legends that cover nothing; pieces that a narrow page stacks."""

import re
from functools import cache
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb

import scbtheory
from scbtheory import plots
from scbtheory.errors import InvalidArgument
from scbtheory.plots import _style
from scbtheory.plots._panels import covers, pieces
from scbtheory.plots._style import CYCLE, canvas, legend
from scbtheory.publishing.extension.figures import stacked

PAGE = {"light": to_rgb("#ffffff"), "dark": to_rgb("#121212")}  # of the theme
# Machado, Oliveira and Fernandes (2009) at full severity, on linear RGB.
EYES = {
    "all cones": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], LUMINANCE, [0.0193339, 0.1191920, 0.9503041]])


def shown(colour: str, theme: str) -> np.ndarray:
    """A colour as the page shows it: ``scb.css`` inverts a figure for the dark page, turns its hues, and screens it."""
    rgb = np.array(to_rgb(colour))
    if theme == "light":
        return rgb
    inverted = 1 - rgb
    turned = np.clip(2 * (np.array([0.213, 0.715, 0.072]) @ inverted) - inverted, 0, 1)  # by half a circle
    return 1 - (1 - turned) * (1 - np.array(PAGE["dark"]))


def linear(rgb) -> np.ndarray:
    rgb = np.asarray(rgb)
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast(one, other) -> float:
    """As the Web Content Accessibility Guidelines define it; graphics need 3, text 4.5."""
    low, high = sorted((linear(one) @ LUMINANCE, linear(other) @ LUMINANCE))
    return (high + 0.05) / (low + 0.05)


def lab(rgb, eye: str) -> np.ndarray:
    """CIELAB of what such an eye sees."""
    seen = XYZ @ np.clip(np.array(EYES[eye]) @ linear(rgb), 0, 1) / (XYZ @ np.ones(3))
    x, y, z = np.where(seen > 0.008856, np.cbrt(seen), 7.787 * seen + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_what_the_pages_draw_themselves_has_the_figures_colours():
    sheet = (Path(scbtheory.__file__).parent / "publishing/extension/static/scb.css").read_text("utf-8")
    stated = re.findall(r"--scb-(blue|orange|green|purple|red): (#\w+);", sheet)
    assert len(stated) == 10
    for (name, colour), theme in zip(stated, ["light"] * 5 + ["dark"] * 5, strict=True):
        np.testing.assert_allclose(to_rgb(colour), shown(getattr(_style, name.upper()), theme), atol=0.003)


@pytest.mark.parametrize("theme", PAGE)
def test_lines_stand_out_from_the_page(theme):
    assert {c: r for c in CYCLE if (r := contrast(shown(c, theme), PAGE[theme])) < 3} == {}
    assert contrast(shown("black", theme), PAGE[theme]) > 4.5


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("theme", PAGE)
def test_lines_are_told_apart_by_every_eye(theme, eye):
    """From 10 on a difference is plain; Matplotlib's own cycle goes down to 3 for some eyes."""
    coloured = [c for c in CYCLE if c != _style.GREY]  # grey is for what has a mark of its own
    distances = {(a, b): np.linalg.norm(lab(shown(a, theme), eye) - lab(shown(b, theme), eye))
                 for a, b in combinations(coloured, 2)}  # fmt: skip
    assert {pair: round(d, 1) for pair, d in distances.items() if d < 15} == {}


def test_no_line_has_a_colour_of_its_own():
    """Colours come from the palette, which is what the tests above are about."""
    folder = Path(scbtheory.__file__).parent / "plots"
    found = {path.name: re.findall(r'"#[0-9a-fA-F]{6}"', path.read_text("utf-8")) for path in folder.glob("*.py")}
    areas = {'"#e8e8e8"', '"#b0b0b0"'}  # boxes of tokens, and arrows behind a portrait
    assert {n: c for n, c in found.items() if set(c) - areas and n != "_style.py"} == {}


def test_nothing_is_written_smaller_than_the_ticks():
    ticks = _style.STYLE["xtick.labelsize"]
    assert min(v for k, v in _style.STYLE.items() if k.endswith(("size", "fontsize"))) == ticks
    folder = Path(scbtheory.__file__).parent / "plots"
    sizes = [
        float(n) for path in folder.glob("*.py") for n in re.findall(r"fontsize=([\d.]+)", path.read_text("utf-8"))
    ]
    assert [n for n in sizes if n < ticks] == []


def crowded(ax):
    """A panel without room for a legend."""
    for level in np.linspace(0, 1, 12):
        ax.plot([0, 1], [level, level], label=f"a line through it {level:.1f}" if level < 0.2 else None)


def test_a_legend_covers_nothing():
    with canvas() as (picture, ax):
        crowded(ax)
        inside = ax.legend(loc="center")
        picture.figure.draw_without_rendering()
        assert covers(ax, inside)
        made = legend(ax)
        picture.figure.draw_without_rendering()
        assert not covers(ax, made)
        assert made.get_window_extent().y1 < ax.get_window_extent().y0


def test_a_legend_stays_inside_where_there_is_room():
    with canvas() as (picture, ax):
        ax.plot([0, 1], [0, 1], label="one line")
        ax.axvline(0.1)
        made = legend(ax)
        picture.figure.draw_without_rendering()
        assert ax.get_window_extent().contains(*made.get_window_extent().min)


@pytest.mark.parametrize("kind", ["line", "points", "bar", "area", "errors", "text"])
def test_what_a_legend_may_cover_is_noticed(kind):
    with canvas() as (picture, ax):
        draw = {
            "line": lambda: ax.plot([0, 1], [0.5, 0.5], label="a"),
            "points": lambda: ax.plot([0.5], [0.5], "o", label="a"),
            "bar": lambda: ax.bar([0.5], [1.0], 0.02, label="a"),
            "area": lambda: ax.fill_between([0, 1], 0, 1, label="a"),
            "errors": lambda: ax.errorbar([0.5], [0.1], [0.9], fmt="none", label="a"),
            "text": lambda: (ax.text(0.5, 0.5, "word"), ax.plot([], [], label="a")),
        }[kind]
        draw()
        ax.set(xlim=(0, 1), ylim=(0, 1))
        made = {place: ax.legend(loc=place) for place in ("center",)}["center"]
        picture.figure.draw_without_rendering()
        assert covers(ax, made)


SYSTEM = {"K_P": 0.2, "K_Q": 0.5}
QUICK = {
    "rise": lambda: plots.rise([1e2, 1e4], **SYSTEM),
    "portrait": lambda: plots.phase_portrait(T=50, **SYSTEM),
    "bypass": lambda: plots.bypass(T=1e4, K_hat=0.2, correlations=(0.15, 0.0, -0.05), **SYSTEM),
    "softmax": lambda: plots.softmax_flow(T=50, **SYSTEM),
}


@cache
def drawn(name) -> plots.Picture:
    return QUICK[name]()


@pytest.mark.parametrize("name", QUICK)
def test_legends_of_the_figures_cover_nothing(name):
    figure = drawn(name).figure
    figure.draw_without_rendering()
    assert [ax for ax in figure.axes if ax.get_legend() and covers(ax, ax.get_legend())] == []


# --- pieces ---------------------------------------------------------------------------------------


def test_panels_are_pieces_that_do_not_overlap():
    figure = drawn("rise").figure
    first, second = pieces(figure)
    assert first[0] + first[2] < second[0] + 0.02
    assert second[0] + second[2] <= 1.001
    assert pieces(drawn("bypass").figure) == []


def test_a_colour_bar_stays_with_its_panel():
    with canvas(columns=2) as (picture, axes):
        for ax in axes:
            picture.figure.colorbar(ax.imshow([[0, 1]]), ax=ax)
        assert len(pieces(picture.figure)) == 2


def test_stacked_panels_stand_below_each_other_and_draw_everything_once():
    svg = drawn("rise")._repr_svg_()
    narrow = stacked(svg)
    places = [tuple(map(float, re.findall(r'(?:x|y|width|height)="([\d.]+)"', tag)))
              for tag in re.findall(r'<svg x="[^>]*>', narrow)]  # fmt: skip
    assert len(places) == 2
    assert all(lower[1] >= upper[1] + upper[3] for upper, lower in pairwise(places))
    width = float(re.search(r'width="([\d.]+)pt"', narrow)[1])
    assert width < 0.6 * float(re.search(r'width="([\d.]+)pt"', svg)[1])
    assert (narrow.count('id="figure_1"'), narrow.count("#figure_1")) == (1, 1)
    assert stacked(drawn("bypass")._repr_svg_()) is None
    assert stacked(svg.replace("data-panels", "data-other")) is None


# --- new figures ----------------------------------------------------------------------------------


def test_runs_are_drawn_by_their_branch():
    task = scbtheory.SCB.random(3, 200, 2, seed=0)
    stages = scbtheory.training.projected_sgd(task, 0.1, batch_size=4)
    runs = [scbtheory.training.train(task, stages, seed=n, max_samples=400, record=1.05) for n in range(8)]
    wrong = sum(run.alpha[-1] < 0 for run in runs)
    left, right = plots.branches(task, runs).figure.axes
    dashed = [line for line in left.lines if line.get_linestyle() == "--"]
    assert len(dashed) == wrong > 0
    marked = [line.get_ydata() for line in right.lines if line.get_label().startswith("support")]
    assert [len(values) for values in marked] == [2, 2]
    only = [run for run in runs if run.alpha[-1] > 0]
    left, right = plots.branches(task, only).figure.axes  # a chapter's other seed may give no wrong one
    assert not [line for line in left.lines if line.get_linestyle() == "--"]
    assert len([line for line in right.lines if line.get_label().startswith("support")]) == 1
    with pytest.raises(InvalidArgument, match="runs is empty"):
        plots.branches(task, [])


def test_savings_fall_faster_than_the_correlation_grows():
    ax = plots.savings((100, 1000), (0.1, 0.2, 0.4), runs=4).figure.axes[0]
    curve, level, points, longer, longer_level = (line.get_ydata() for line in ax.lines)
    assert np.all(np.diff(np.log(curve)) < np.log(0.5))
    assert np.all(longer / curve < 2)  # log T
    assert longer_level[0] / level[0] > 5  # T
    assert np.all(points < 4 * curve[-len(points) :])
