"""Where things lie in a finished figure: what a legend covers, and the pieces that a narrow page may stack."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.transforms import Affine2D, Bbox

PADDING = 0.1  # inches around a saved figure, Matplotlib's own


def covers(ax: Any, legend: Any) -> bool:
    """Whether the legend lies over a line, a point, a bar, an area or a text of its panel; the figure has been drawn.

    Lines and bands through the whole panel, which nothing could avoid, do not count.
    """
    box = Bbox.intersection(legend.get_window_extent(), ax.bbox)
    if box is None:
        return False
    drawn = [artist for artist in (*ax.lines, *ax.patches, *ax.collections) if _has_data(ax, artist)]
    return any(_meets(artist, box) for artist in drawn) or any(
        box.overlaps(text.get_window_extent()) for text in ax.texts if text.get_text()
    )


def _has_data(ax, artist) -> bool:
    """Whether both coordinates are data: those of a line through the whole panel are not."""
    return artist.get_visible() and all(artist.get_transform().contains_branch_seperately(ax.transData))


def _meets(artist, box: Bbox) -> bool:
    if hasattr(artist, "get_offsets") and isinstance(artist, PathCollection):
        return bool(box.count_contains(artist.get_offset_transform().transform(artist.get_offsets())))
    transform = artist.get_transform()
    paths = artist.get_paths() if hasattr(artist, "get_paths") else [artist.get_path()]
    filled = hasattr(artist, "get_facecolor") and len(np.atleast_2d(artist.get_facecolor())) > 0
    for path in map(transform.transform_path, paths):
        if hasattr(artist, "get_linestyle") and artist.get_linestyle() == "None":  # markers alone
            if box.count_contains(path.vertices):
                return True
        elif len(path.vertices) and path.intersects_bbox(box, filled=filled):
            return True
    return False


def pieces(figure: Figure) -> list[tuple[float, float, float, float]]:
    """The parts of a figure that can be told apart by straight cuts, as (x, y, width, height) in shares, from the top.

    A colour bar stays with what is left of it. A figure that is all one piece has none.
    """
    figure.draw_without_rendering()
    placed = [(ax.get_label() == "<colorbar>", ax.get_tightbbox()) for ax in figure.axes]
    bars = [box for is_bar, box in placed if is_bar and box]
    others = [box for is_bar, box in placed if not is_bar and box]
    boxes = [*others, *bars, *(legend.get_window_extent() for legend in figure.legends)]
    found: list[Bbox] = []
    for leaf in _cut(boxes):
        alone = all(any(box is bar for bar in bars) for box in leaf)
        whole = Bbox.union([*leaf, found.pop()] if alone and found else leaf)
        found.append(whole)
    if len(found) < 2:
        return []
    page, scale = figure.get_tightbbox().padded(PADDING), Affine2D().scale(1 / figure.dpi)
    inches = [scale.transform_bbox(box).padded(PADDING / 2) for box in found]
    return [
        (
            (box.x0 - page.x0) / page.width,
            (page.y1 - box.y1) / page.height,
            box.width / page.width,
            box.height / page.height,
        )
        for box in inches
    ]


def _cut(boxes: list[Bbox]) -> list[list[Bbox]]:
    """Groups of boxes between straight cuts, rows from the top first, then from the left."""
    for low, high in (("y0", "y1"), ("x0", "x1")):
        groups: list[list[Bbox]] = []
        reach = -np.inf
        for box in sorted(boxes, key=lambda box: getattr(box, low)):
            if getattr(box, low) > reach or not groups:
                groups.append([])
            groups[-1].append(box)
            reach = max(reach, getattr(box, high))
        if len(groups) > 1:
            ordered = groups[::-1] if low == "y0" else groups
            return [leaf for group in ordered for leaf in _cut(group)]
    return [boxes]
