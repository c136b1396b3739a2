"""What a figure was drawn from, as text: for whoever cannot see it, and for a comparison that outlives a drawing.

Each drawn thing has a line: how many points, their mean and deviation (of logarithms on such an axis), and a few in
order. Numbers have three digits, means five, as each point must count in them; what is far below the largest of its
kind is zero. So two machines whose sums differ in the last bits say the same, and figures of different data do not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import Collection, PathCollection, PolyCollection, QuadMesh, TriMesh
from matplotlib.figure import Figure
from matplotlib.lines import AxLine, Line2D
from matplotlib.patches import FancyArrowPatch, Patch
from matplotlib.quiver import Quiver

__all__ = ["described"]

SHOWN = 9  # points of a longer series, at equal distances
MAPPED = (QuadMesh, PolyCollection, TriMesh)  # whose colours may be data
NUDGE = 1 + 3e-8  # off the middle between two numbers of three digits, where 1/16 and its like stand exactly
SMALL = {"linear": 1e-6, "log": 1e-11}  # of the largest, by the axis's scale


def described(figure: Figure) -> str:
    """Return the data of a figure, panel by panel."""
    return "\n".join(["Picture", *(line for ax in figure.axes for line in _panel(ax))])


def _panel(ax: Axes) -> list[str]:
    if ax.get_label() == "<colorbar>":  # a scale, not data
        return []
    names = [f"{ax.get_title(loc='left') or ax.get_title() or 'panel'}:"]
    for axis, label in (("x", ax.get_xlabel()), ("y", ax.get_ylabel())):
        scale = getattr(ax, f"get_{axis}scale")()
        names.append(f"{axis} = {label or 'none'}" + f" ({scale})" * (scale != "linear"))
    scales = ax.get_xscale(), ax.get_yscale()
    return [" ".join(names), *(f"  {name}{_series(points, scales)}" for name, points in _things(ax) if points.size)]


def _things(ax: Axes) -> Iterator[tuple[str, np.ndarray]]:
    """What is drawn in a panel, by name, as points of equal dimension."""
    for line in ax.lines:
        yield _name("line", line), _along(line)
    for collection in ax.collections:
        yield _name("shape", collection), _points(collection)
        if isinstance(collection, MAPPED) and collection.get_array() is not None:
            yield _name("values", collection), _plain(collection.get_array()).reshape(-1, 1)
    patches = [patch for patch in ax.patches if not isinstance(patch, FancyArrowPatch)]  # which lie in pixels
    if patches:
        yield "boxes", np.array([_extent(patch) for patch in patches])
    for image in ax.images:
        yield _name("image", image), np.asarray(image.get_array(), dtype=float).reshape(-1, 1)
    for text in ax.texts:
        yield f"text {text.get_text()!r}", np.array([_plain(text.get_position())])


def _name(kind: str, artist) -> str:
    label = str(artist.get_label())
    return kind if label.startswith("_") or not label else f"{kind} {label!r}"


def _along(line: Line2D) -> np.ndarray:
    if isinstance(line, AxLine):  # endless: its data are the ends of the panel
        start, end = np.array(line.get_xy1()), line.get_xy2()
        return np.array([start, start + np.array([1, line.get_slope()]) if end is None else end])
    return np.column_stack([_plain(line.get_xdata(orig=False)), _plain(line.get_ydata(orig=False))])  # words by place


def _points(collection: Collection) -> np.ndarray:
    if isinstance(collection, Quiver):
        return np.column_stack([collection.XY, collection.U, collection.V])
    if isinstance(collection, PathCollection):  # a scatter: its paths are the marks
        offsets, sizes = _plain(collection.get_offsets()).reshape(-1, 2), collection.get_sizes()
        return np.column_stack([offsets, sizes]) if 1 < len(sizes) == len(offsets) else offsets
    paths = [path.vertices for path in collection.get_paths()]
    return np.concatenate(paths) if paths else np.zeros((0, 2))


def _extent(patch: Patch) -> np.ndarray:
    return np.array(patch.get_path().transformed(patch.get_patch_transform()).get_extents().extents)


def _plain(values) -> np.ndarray:
    return np.ma.filled(np.ma.asarray(values, dtype=float), np.nan)


def _series(points: np.ndarray, scales: tuple[str, str]) -> str:
    """A few of the points in order; all where they are few, else behind their number, mean and deviation."""
    n = len(points)
    axes = [scales[column % 2] for column in range(points.shape[1])]
    floors = [
        SMALL.get(scale, SMALL["linear"]) * _largest(values) for scale, values in zip(axes, points.T, strict=True)
    ]
    at = range(n) if n <= SHOWN + 1 else np.linspace(0, n - 1, SHOWN).round().astype(int)
    shown = [" ".join(_number(x, floor) for x, floor in zip(points[i], floors, strict=True)) for i in at]
    if n <= SHOWN + 1:
        return ": " + ", ".join(shown)
    whole = [_whole(values, floor, scale) for values, floor, scale in zip(points.T, floors, axes, strict=True)]
    return f", {n} points of mean ± deviation {', '.join(whole)}: " + ", ".join(shown)


def _largest(values: np.ndarray) -> float:
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0))


def _whole(values: np.ndarray, floor: float, scale: str) -> str:
    """Mean and deviation of what is finite; on a logarithmic axis of the logarithms of what is above zero as well."""
    kept = values[np.isfinite(values)]
    if scale == "log":
        kept, floor = np.log(kept[kept > floor]), SMALL["linear"]
    if not kept.size:
        return "nan"
    return f"{_number(float(kept.mean()), floor, 5)} ± {_number(float(kept.std()), floor, 5)}"


def _number(value: float, floor: float, digits: int = 3) -> str:
    if not math.isfinite(value):
        return f"{value:g}"
    return "0" if abs(value) <= floor else f"{value * NUDGE:.{digits}g}"
