"""The stored results in a terminal: ``python -m benchmarks.report [FIGURE]``; the book's page shows the same."""

from __future__ import annotations

import sys
from pathlib import Path

from scbtheory.plots import Results
from scbtheory.plots._performance import LABELS

RESULTS = Path(__file__).with_name("results.json")


def table(results: Results) -> str:
    """Return a Markdown table: median ms of a step, range over fresh processes, peak MiB, ratio to this package."""
    lines = [
        "| ms a step (range) [peak MiB], ratio | " + " | ".join(map(str, results.sizes)) + " |",
        "|---" * (len(results.sizes) + 1) + "|",
    ]
    for peer in results.peers:
        lines.append(f"| {LABELS[peer]} | " + " | ".join(_cell(results, peer, size) for size in results.sizes) + " |")
    for large in results.stored["large"]:
        tokens = large["size"][1] * large["size"][2]
        lines += [
            "",
            f"{LABELS[large['peer']]}, at (N, T, B) = {tuple(large['size'])}: {large['ms']:.0f} ms a step, "
            f"{tokens / large['ms'] / 1e6:.2f} billion tokens a second, {_memory(large)} MiB at the peak.",
        ]
    return "\n".join([*lines, "", results.machine])


def _cell(results, peer, size):
    run = results.found[peer, size]
    times = f"{run['ms']:.3g} ({run['ms_low']:.3g}–{run['ms_high']:.3g}) [{_memory(run)}]"
    return f"{times} {results.ratio(peer, size):.3g}×"


def _memory(run):
    return "?" if run["peak_mib"] is None else f"{run['peak_mib']:.0f}"


if __name__ == "__main__":
    stored = Results(RESULTS)
    print(table(stored))
    if len(sys.argv) > 1:
        stored.picture().save(sys.argv[1])
