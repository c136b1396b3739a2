"""The performance page: stored benchmark results as a table and a figure."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

import numpy as np

from scbtheory.plots._style import CYCLE, GREY, SKY, Picture, canvas, legend, panel_letters

LABELS = {
    "scbtheory": "scbtheory, as many tokens in a byte as fit",
    "scbtheory_samples": "scbtheory, a byte for each token",
    "limit": "limit: random bits, each token touched once",
    "limit_looked_up": "second limit: bits, a look-up and an addition a code",
    "torch_one_hot": "PyTorch, one-hot, autograd, multinomial",
    "torch_gather": "PyTorch, scatter/gather, table sampler",
    "jax_one_hot": "JAX, one-hot, autodiff, choice",
    "jax_segment_sum": "JAX, segment_sum, table sampler, one jit",
    "numpy_loop": "NumPy, bincount and take, table sampler",
}
AXES = {"N": "vocabulary size $N$", "T": "context length $T$", "B": "batch size $B$"}


class Results:
    """Times of one training step, of this package and of its peers, as ``make bench`` stored them.

    Parameters
    ----------
    path : of the JSON file, such as ``benchmarks/results.json``.
    """

    def __init__(self, path):
        self.stored = json.loads(Path(path).read_text(encoding="utf-8"))
        self.sizes = list(dict.fromkeys(tuple(r["size"]) for r in self.stored["steps"]))
        self.found = {(r["peer"], tuple(r["size"])): r for r in self.stored["steps"]}
        self.peers = [p for p in LABELS if (p, self.sizes[0]) in self.found]

    @property
    def machine(self) -> str:
        """What the results were measured on."""
        about = dict(self.stored["machine"])
        head = f"{about.pop('processor')}, {about.pop('cores')} cores"
        load = self.stored.get("load_before")
        busy = "" if load is None else f"; load average before the run, by other programs: {load:.1f}"
        return f"{head}; " + ", ".join(f"{name} {version}" for name, version in about.items()) + busy

    def ratio(self, peer: str, size: tuple[int, int, int]) -> float:
        """How many times longer a peer's median step took than this package's."""
        return self.found[peer, size]["ms"] / self.found["scbtheory", size]["ms"]

    def _repr_html_(self) -> str:
        head = "".join(f"<th>({n}, {t}, {b})</th>" for n, t, b in self.sizes)
        body = "".join(self._row(peer) for peer in self.peers)
        return (
            '<table class="scb-report"><caption>Milliseconds a step, median and range over fresh processes, and how '
            f"many times this package's median. {escape(self.machine)}.</caption>"
            f"<thead><tr><th>(N, T, B)</th>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table>"
        )

    def _row(self, peer) -> str:
        cells = ""
        for size in self.sizes:
            r = self.found[peer, size]
            times = f"{r['ms']:.3g} <small>({r['ms_low']:.3g}–{r['ms_high']:.3g})</small>"
            cells += f"<td>{times}<br>{self.ratio(peer, size):.3g} ×</td>"
        return f"<tr><td>{escape(LABELS[peer])}</td>{cells}</tr>"

    def __repr__(self) -> str:
        return f"Results of {len(self.peers)} implementations at {len(self.sizes)} sizes"

    def picture(self) -> Picture:
        """Draw every peer's step at every size, and this package's tokens a second along N, T and B."""
        with canvas(columns=2, size=(7.6, 4.6), width_ratios=(1.5, 1)) as (picture, axes):
            colours = *CYCLE[:3], *CYCLE[2:], SKY  # both limits have one
            for peer, colour, marker in zip(self.peers, colours, "oPsXv^<>D", strict=True):
                runs = [self.found[peer, size] for size in self.sizes]
                middle = np.array([r["ms"] for r in runs])
                bars = np.abs([middle - [r["ms_low"] for r in runs], [r["ms_high"] for r in runs] - middle])
                axes[0].errorbar(
                    range(len(runs)), middle, bars, fmt=marker, color=colour, ms=5, capsize=2, label=LABELS[peer]
                )
            axes[0].set(yscale="log", xlabel="$N$, $T$, $B$", ylabel="ms a step", xlim=(-0.5, len(self.sizes) - 0.5))
            axes[0].set_xticks(range(len(self.sizes)), ["\n".join(map(str, size)) for size in self.sizes], fontsize=9)
            picture.figure.legend(*axes[0].get_legend_handles_labels(), ncols=2, loc="outside lower center")
            for axis, colour, marker in zip(AXES, CYCLE, "osD", strict=False):
                runs = [r for r in self.stored["scaling"] if r["axis"] == axis]
                place = "NTB".index(axis)
                rate = [r["size"][1] * r["size"][2] / r["ms"] / 1e6 for r in runs]
                axes[1].semilogx(
                    [r["size"][place] for r in runs], rate, marker + "-", color=colour, ms=4, label=AXES[axis]
                )
            axes[1].set(xlabel="size", ylabel="billion tokens a second", ylim=(0, None))
            legend(axes[1])
            panel_letters(axes)
            return picture


class DeviceResults:
    """Times of one training step on a GPU, with its kernels apart, as ``python -m benchmarks --gpu`` stored them.

    Parameters
    ----------
    path : of the JSON file, such as ``benchmarks/results_gpu.json``.
    """

    #: The kernels of a step in their order, as the breakdown names them.
    KERNELS = ("prepare", "forward", "residuals", "values", "backward", "finish")

    def __init__(self, path):
        self.stored = json.loads(Path(path).read_text(encoding="utf-8"))
        self.sizes = [tuple(run["size"]) for run in self.stored["gpu"]]
        self.runs = {tuple(run["size"]): run for run in self.stored["gpu"]}
        self.steps = {(r["peer"], tuple(r["size"])): r for r in self.stored["steps"]}

    @property
    def machine(self) -> str:
        """The card, its software and the day of the run."""
        about = dict(self.stored["machine"])
        return f"{about.pop('processor')}, {self.stored['date']}; " + ", ".join(f"{k} {v}" for k, v in about.items())

    def ratio(self, peer: str, size: tuple[int, int, int]) -> float:
        """How many times longer a peer's median step took than this package's on the same card."""
        return self.steps[peer, size]["ms"] / self.steps["scbtheory", size]["ms"]

    def over_limit(self, size: tuple[int, int, int]) -> float:
        """How many times longer a step takes than drawing its codes and doing nothing with them."""
        return self.steps["scbtheory", size]["ms"] / self.runs[size]["limit_codes"]

    def _repr_html_(self) -> str:
        rows = "".join(self._row(size) for size in self.sizes)
        heads = (
            "(N, T, B)",
            "this package",
            "on the card",
            "limit: codes drawn alone",
            "PyTorch",
            "JAX",
            "memory, MiB",
        )
        return (
            '<table class="scb-report"><caption>Milliseconds a step on a GPU (median), and how many times this '
            f"package's median. {escape(self.machine)}.</caption><thead><tr>"
            + "".join(f"<th>{escape(head)}</th>" for head in heads)
            + f"</tr></thead><tbody>{rows}</tbody></table>"
        )

    def kernels(self, size: tuple[int, int, int]) -> list[float]:
        """Milliseconds of each of ``KERNELS``; wide vocabularies have a forward kernel of their own."""
        spent = self.steps["scbtheory", size]["breakdown"]
        return [spent[kernel] if kernel in spent else spent[f"{kernel}_wide"] for kernel in self.KERNELS]

    def _row(self, size) -> str:
        ours, run = self.steps["scbtheory", size], self.runs[size]
        cells = [str(size), f"{ours['ms']:.3g}", f"{sum(self.kernels(size)):.3g}"]
        cells.append(f"{run['limit_codes']:.2g}<br>1/{self.over_limit(size):.2g}")
        for peer in ("torch_gather", "jax_segment_sum"):
            cells.append(f"{self.steps[peer, size]['ms']:.3g}<br>{self.ratio(peer, size):.3g} ×")
        cells.append(f"{ours['peak_mib']:.2g}")
        return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"

    def __repr__(self) -> str:
        return f"DeviceResults at {len(self.sizes)} sizes"

    def picture(self) -> Picture:
        """Draw each size's step as a bar of its kernels and the host, with its limit and its peers."""
        with canvas(size=(7.4, 4.2)) as (picture, axis):
            places = np.arange(len(self.sizes))
            below = np.zeros(len(places))
            columns = np.array([self.kernels(size) for size in self.sizes]).T
            for kernel, times, colour in zip(self.KERNELS, columns, CYCLE, strict=False):
                axis.bar(places, times, 0.6, below, color=colour, label=kernel)
                below += times
            whole = np.array([self.steps["scbtheory", size]["ms"] for size in self.sizes])
            rest = np.maximum(whole - below, 0)
            axis.bar(places, rest, 0.6, below, color=GREY, label="host, waiting")
            marks = {"torch_gather": ("PyTorch", "s"), "jax_segment_sum": ("JAX", "^")}
            for peer, (name, marker) in marks.items():
                axis.plot(places, [self.steps[peer, size]["ms"] for size in self.sizes], "k" + marker, ms=5, label=name)
            limits = [self.runs[size]["limit_codes"] for size in self.sizes]
            axis.plot(places, limits, "k_", ms=16, mew=2, label="limit: codes drawn alone")
            axis.set(yscale="log", xlabel="$N$, $T$, $B$", ylabel="ms a step", ylim=(0.008, None))
            axis.set_xticks(places, ["\n".join(map(str, size)) for size in self.sizes], fontsize=9)
            picture.figure.legend(*axis.get_legend_handles_labels(), ncols=4, loc="outside lower center")
            return picture
