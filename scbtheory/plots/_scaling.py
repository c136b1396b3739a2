"""Figures of the chapter on scaling: right signs over (B, T), and what a run costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from scbtheory import sweeps
from scbtheory.plots._style import BLACK, BLUE, ORANGE, RED, SEQUENTIAL, Picture, canvas

MARKS = {1: ("^", "interval above {:g}"), 0: ("o", "interval holds {:g}"), -1: ("v", "interval below {:g}")}


def phase_diagram(found: sweeps.PhaseDiagram, share: float = 0.9, confidence: float = 0.95) -> Picture:
    """Draw the share of right signs over T and B, with the lines of N5 and N6 for one share.

    Parameters
    ----------
    found : what :func:`scbtheory.sweeps.phase_diagram` returned.
    share : of right signs that the lines are for, above ½ and below 1.
    confidence : of the intervals that decide a point's mark.

    Returns
    -------
    Picture
        A mark for each point, whose form says on which side of ``share`` its whole interval lies.

    Raises
    ------
    InvalidArgument : a number is out of range.
    """
    verdict = found.verdict(share, confidence)
    T, B = np.meshgrid(found.lengths, found.batches, indexing="ij")
    grid = np.unique(np.geomspace(min(found.lengths) / 1.3, max(found.lengths) * 1.3, 40).astype(int))
    with canvas(size=(6.6, 4.6)) as (picture, ax):
        training = [found.training_batch(int(t), share) for t in grid]
        limit = [found.training_batch(int(t), share, corrected=False) for t in grid]
        least = [found.least_batch(int(t), share) for t in grid]
        ax.fill_between(grid, least, min(found.batches) / 4, color="0.9", lw=0, zorder=0)
        ax.plot(grid, training, color=RED, lw=2, label=f"N5: {share:g} of the runs, noise in the attention counted")
        ax.plot(grid, limit, color=RED, lw=1.2, ls="--", label="N5 at large $B$")
        ax.plot(grid, least, color=BLACK, lw=1.6, ls=":", label="N6: below it no method on counts")
        for sign, (marker, words) in MARKS.items():
            here = verdict == sign
            colours = {"c": (found.right / found.runs)[here], "cmap": SEQUENTIAL, "vmin": 0.5, "vmax": 1.0}
            marks: Any = ax.scatter(
                T[here], B[here], s=90, marker=marker, edgecolor=BLACK, lw=0.7, zorder=3, **colours
            )  # fmt: skip
            ax.scatter([], [], s=60, marker=marker, facecolor="none", edgecolor=BLACK, label=words.format(share))
        picture.figure.colorbar(marks, ax=ax, label="share of runs with the right sign", pad=0.02)
        ax.set(xscale="log", yscale="log", xlabel="context length $T$", ylabel="batch size $B$")
        ax.set(xlim=(grid[0], grid[-1]), ylim=(min(found.batches) / 1.6, max(found.batches) * 1.6))
        _plain(ax.xaxis, found.lengths)
        _plain(ax.yaxis, found.batches)
        picture.figure.legend(ncols=2, loc="outside lower center")
        return picture


def _plain(axis, values) -> None:
    """Ticks at the sizes that were run, as numbers."""
    axis.set_ticks(values, [str(v) for v in values])
    axis.set_ticks([], minor=True)


class SweepCosts:
    """What a token of a sweep costs on one core, as ``python -m benchmarks.sweep`` stored it.

    Parameters
    ----------
    path : of the JSON file, such as ``benchmarks/results_sweep.json``.
    """

    def __init__(self, path):
        self.stored = json.loads(Path(path).read_text(encoding="utf-8"))
        self.points = self.stored["points"]

    @property
    def machine(self) -> str:
        """The processor."""
        return self.stored["machine"]["processor"]

    @property
    def rate(self) -> float:
        """Tokens that one core draws in a second and turns into gradients, at the longest length that was measured."""
        longest = max(self.points, key=lambda point: point["T"])
        return longest["tokens"] / longest["seconds"]

    def picture(self, found: sweeps.PhaseDiagram, share: float = 0.9, longest: int = 10**7) -> Picture:
        """Draw the seconds of one run over T: measured ones, and the forecast from counted tokens and one rate.

        Parameters
        ----------
        found : the diagram whose steps were counted.
        share : of right signs that the batches are for.
        longest : where the forecast ends.

        Returns
        -------
        Picture
            Seconds of one core against T, both logarithmic.
        """
        grid = np.unique(np.geomspace(50, longest, 60).astype(int))
        forecast = np.array([found.forecast(int(T), share).tokens for T in grid]) / self.rate
        with canvas(size=(6.2, 3.4)) as (picture, ax):
            ax.loglog(grid, forecast, color=BLUE, label="forecast: counted steps, N5's batch, one rate")
            measured = [(p["T"], p["seconds"] / p["runs"]) for p in self.points]
            ax.loglog(*np.transpose(measured), "o", color=ORANGE, ms=7, label="measured")
            for seconds, name in ((1, "a second"), (3600, "an hour"), (86400, "a day"), (365.25 * 86400, "a year")):
                ax.axhline(seconds, color="0.8", lw=0.8, zorder=0)
                ax.text(grid[0], seconds, name, fontsize=9, color="0.35", va="bottom")
            ax.set(xlabel="context length $T$", ylabel="one run, in seconds of a core")
            ax.legend(loc="lower right")
            return picture

    def __repr__(self) -> str:
        return f"SweepCosts at {len(self.points)} lengths"
