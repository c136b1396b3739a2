"""The performance page: whole runs, from the start to the truth."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

import numpy as np

from scbtheory.plots._style import CYCLE, GREY, Picture, canvas, legend

LABELS = {
    "boosting": "scbtheory, boosting",
    "moments": "scbtheory, moments and likelihood",
    "sgd": "scbtheory, SGD, rounded and refitted",
    "adam": "scbtheory, Adam, rounded and refitted",
    "torch_table": "PyTorch's table form of boosting",
}


class RunResults:
    """Seconds of whole runs at several context lengths, as ``python -m benchmarks.runs`` stored them.

    Parameters
    ----------
    path : of the JSON file, such as ``benchmarks/results_runs.json``.
    """

    def __init__(self, path):
        self.stored = json.loads(Path(path).read_text(encoding="utf-8"))
        self.runs = {(run["method"], run["T"]): run for run in self.stored["runs"]}
        self.lengths = sorted({T for _, T in self.runs})
        self.methods = [name for name in LABELS if any(name == known for known, _ in self.runs)]

    def seconds(self, method: str) -> tuple[list[int], list[float]]:
        """The lengths at which a method arrived in time, and how long it took there."""
        ended = [T for T in self.lengths if self.runs.get((method, T), {}).get("seconds") is not None]
        return ended, [self.runs[method, T]["seconds"] for T in ended]

    def given_up(self, method: str) -> int | None:
        """The length at which a method did not arrive in time, or ``None``."""
        late = (T for T in self.lengths if self.runs.get((method, T), {"seconds": 0})["seconds"] is None)
        return next(late, None)

    def _repr_html_(self) -> str:
        about = dict(self.stored["machine"])
        head = f"{about.pop('processor')}, {about.pop('cores')} cores"
        rows = "".join(self._row(method) for method in self.methods)
        return (
            '<table class="scb-report"><caption>Seconds until the estimated squared error is below '
            f"{self.stored['level']:g}, millions of samples, and the true squared error; N = 3, two positions a "
            f"trigger. {escape(head)}."
            "</caption><thead><tr><th>method</th>" + "".join(f"<th>T = {T}</th>" for T in self.lengths)
            + f"</tr></thead><tbody>{rows}</tbody></table>"
        )  # fmt: skip

    def _row(self, method) -> str:
        cells = f"<td>{escape(LABELS[method])}</td>"
        for T in self.lengths:
            run = self.runs.get((method, T))
            if run is None:
                cells += "<td>–</td>"
            elif run["seconds"] is None:
                cells += f"<td>over {self.stored['limit_s']:g}</td>"
            else:
                seconds, millions = (float(f"{x:.2g}") for x in (run["seconds"], run["samples"][-1] / 1e6))
                cells += f"<td>{seconds:g}<br>{millions:g} M<br>{run['error']:.1e}</td>"
        return f"<tr>{cells}</tr>"

    def __repr__(self) -> str:
        return f"RunResults of {len(self.methods)} methods at {len(self.lengths)} lengths"

    def picture(self) -> Picture:
        """Draw seconds against T: each method, those that did not arrive in time, and what was predicted."""
        with canvas(size=(7.0, 3.8)) as (picture, ax):
            for method, colour, marker in zip(self.methods, CYCLE, "osD^v", strict=False):
                ax.loglog(*self.seconds(method), marker + "-", color=colour, ms=5, label=LABELS[method])
                if (T := self.given_up(method)) is not None:
                    ax.plot([T], [self.stored["limit_s"]], marker, color=colour, mfc="white", ms=7)
            forecast = {int(T): seconds for T, seconds in self.stored["predicted"].items()}
            ax.loglog(*np.array(sorted(forecast.items())).T, "k--", lw=1.2, label="boosting, predicted from its tokens")
            ax.axhline(self.stored["limit_s"], color=GREY, lw=1, ls=":")
            ax.set(xlabel="context length $T$", ylabel="seconds to the truth")
            legend(ax, outside=True, ncols=2)
            return picture
