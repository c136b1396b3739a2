"""The performance page: where a step's time goes, and how far it is from what nothing can undercut."""

from __future__ import annotations

import numpy as np

from scbtheory.plots._performance import Results
from scbtheory.plots._style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, Picture, canvas

LABELS = {
    "draw": "draw",
    "look_up": "histogram",
    "add": "gradient of attention",
    "dense": "products with $V$",
    "rest": "rest of the loops",
    "interpreter": "interpreter",
    "threads": "two threads, not one",
}
COLOURS = BLUE, ORANGE, GREEN, RED, SKY, GREY, PURPLE


class SplitResults(Results):
    """A step's time, part by part, and over two limits, as ``make bench`` stored them.

    Parameters
    ----------
    path : of the JSON file, such as ``benchmarks/results.json``.
    """

    @property
    def splits(self) -> list[dict]:
        """Of each size: ``packs``, threads ``busy``, and thread-milliseconds of each part."""
        return self.stored["split"]

    def over(self, limit: str, size: tuple[int, int, int]) -> float:
        """How many times longer a step takes than a peer called a limit."""
        return 1 / self.ratio(limit, size)

    @staticmethod
    def nanoseconds(run: dict) -> dict[str, float]:
        """Of one size, thread-nanoseconds of each part for each code."""
        codes = run["packs"] * run["size"][1]
        return {part: 1e6 * run[part] / codes for part in LABELS}

    def _repr_html_(self) -> str:
        heads = ("(N, T, B)", "codes", "ns a code", "over the limit", "over the second limit")
        return (
            '<table class="scb-report"><caption>A packed step: its codes, thread-nanoseconds for each, and how many '
            "times longer it takes than random bits alone, and than one look-up and one addition for each code."
            "</caption><thead><tr>" + "".join(f"<th>{head}</th>" for head in heads)
            + "</tr></thead><tbody>" + "".join(self._split_row(run) for run in self.splits) + "</tbody></table>"
        )  # fmt: skip

    def _split_row(self, run) -> str:
        size = tuple(run["size"])
        codes, spent = run["packs"] * size[1], sum(self.nanoseconds(run).values())
        cells = [str(size), f"{codes:,}".replace(",", " "), f"{spent:.2f}"]
        cells += [f"{self.over(limit, size):.1f} ×" for limit in ("limit", "limit_looked_up")]
        return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"

    def __repr__(self) -> str:
        return f"SplitResults at {len(self.splits)} sizes"

    def picture(self) -> Picture:
        """Draw the nanoseconds of a code at each size, part by part."""
        with canvas(size=(7.0, 3.6)) as (picture, axis):
            places, below = np.arange(len(self.splits)), np.zeros(len(self.splits))
            parts = [self.nanoseconds(run) for run in self.splits]
            for part, colour in zip(LABELS, COLOURS, strict=True):
                heights = np.maximum([found[part] for found in parts], 0)
                axis.bar(places, heights, 0.6, below, color=colour, label=LABELS[part])
                below += heights
            axis.set(xlabel="$N$, $T$, $B$", ylabel="thread-nanoseconds a code", ylim=(0, None))
            axis.set_xticks(places, ["\n".join(map(str, run["size"])) for run in self.splits], fontsize=9)
            picture.figure.legend(*axis.get_legend_handles_labels(), ncols=4, loc="outside lower center")
            return picture
