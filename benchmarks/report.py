"""The stored results as a table and a figure: ``python -m benchmarks.report [FIGURE]``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

RESULTS = Path(__file__).with_name("results.json")
LABELS = {
    "scbtheory": "scbtheory, packed where a byte holds two tokens",
    "scbtheory_samples": "scbtheory, a byte for each token",
    "limit": "limit: random bits, each token touched once",
    "torch_one_hot": "PyTorch, one-hot, autograd, multinomial",
    "torch_gather": "PyTorch, scatter/gather, table sampler",
    "jax_one_hot": "JAX, one-hot, autodiff, choice",
    "jax_segment_sum": "JAX, segment_sum, table sampler, one jit",
    "numpy_loop": "NumPy, bincount and take, table sampler",
}
AXES = {"N": "vocabulary size $N$", "T": "context length $T$", "B": "batch size $B$"}


def load(path=RESULTS):
    """Return the stored results."""
    return json.loads(Path(path).read_text())


def table(results):
    """Return a Markdown table: median ms of a step over fresh processes, their range, and peak memory."""
    sizes = list(dict.fromkeys(tuple(r["size"]) for r in results["steps"]))
    found = {(r["peer"], tuple(r["size"])): r for r in results["steps"]}
    lines = [
        "| ms a step (range) [peak MiB] at $(N, T, B)$ | " + " | ".join(map(str, sizes)) + " |",
        "|---" * (len(sizes) + 1) + "|",
    ]
    for peer, label in LABELS.items():
        lines.append(f"| {label} | " + " | ".join(_cell(found[peer, size]) for size in sizes) + " |")
    for peer, label in list(LABELS.items())[1:]:
        ratios = (found[peer, size]["ms"] / found["scbtheory", size]["ms"] for size in sizes)
        lines.append(f"| ratio to scbtheory: {label} | " + " | ".join(f"{r:.3g}" for r in ratios) + " |")
    for peer, label in LABELS.items():
        least = (found[peer, size]["ms_least"] for size in sizes)
        lines.append(f"| least ms of any step: {label} | " + " | ".join(f"{ms:.3g}" for ms in least) + " |")
    for large in results["large"]:
        tokens = large["size"][1] * large["size"][2]
        lines += [
            "",
            f"{LABELS[large['peer']]}, at $(N, T, B)$ = {tuple(large['size'])}: {large['ms']:.0f} ms a step, "
            f"{tokens / large['ms'] / 1e6:.2f} billion tokens a second, {_memory(large)} MiB at the peak.",
        ]
    about, load = results["machine"], results["load_before"]
    lines += [
        "",
        f"{about['processor']}, {about['cores']} cores; "
        + ", ".join(f"{name} {version}" for name, version in about.items() if name not in ("processor", "cores"))
        + f"; float64; {results['rounds']} fresh processes each."
        + ("" if load is None else f" Load average before the run, by other programs: {load:.1f}."),
    ]
    return "\n".join(lines)


def plot(results):
    """Return a figure: every peer's time at every size, and this package's tokens a second along N, T and B."""
    import matplotlib.pyplot as plt

    figure, (left, *right) = plt.subplots(1, 4, figsize=(13, 3.6), width_ratios=[2, 1, 1, 1], layout="constrained")
    sizes = list(dict.fromkeys(tuple(r["size"]) for r in results["steps"]))
    for (peer, label), marker in zip(LABELS.items(), "oPsv^<>D", strict=True):
        runs = [next(r for r in results["steps"] if r["peer"] == peer and tuple(r["size"]) == s) for s in sizes]
        middle = [r["ms"] for r in runs]
        spread = [[r["ms"] - r["ms_low"] for r in runs], [r["ms_high"] - r["ms"] for r in runs]]
        left.errorbar(range(len(sizes)), middle, spread, marker=marker, linestyle="none", capsize=2, label=label)
    left.set(yscale="log", ylabel="ms a step", xlabel="$(N, T, B)$", ylim=(None, 1e8))
    left.set_xticks(range(len(sizes)), [f"{n}, {t}, {b}" for n, t, b in sizes], fontsize="small")
    left.legend(fontsize="x-small", loc="upper left")
    for axis, axes in zip(AXES, right, strict=True):
        runs = [r for r in results["scaling"] if r["axis"] == axis]
        place = "NTB".index(axis)
        rate = [r["size"][1] * r["size"][2] / r["ms"] / 1e6 for r in runs]
        axes.plot([r["size"][place] for r in runs], rate, marker="o")
        axes.set(xscale="log", xlabel=AXES[axis], ylim=(0, None))
    right[0].set_ylabel("billion tokens a second")
    return figure


def _cell(run):
    return f"{run['ms']:.3g} ({run['ms_low']:.3g}–{run['ms_high']:.3g}) [{_memory(run)}]"


def _memory(run):
    return "?" if run["peak_mib"] is None else f"{run['peak_mib']:.0f}"


if __name__ == "__main__":
    stored = load()
    print(table(stored))
    if len(sys.argv) > 1:
        plot(stored).savefig(sys.argv[1])
