"""What a step on a GPU should take, from counted operations: ``python -m benchmarks.predict``.

Instructions of the inner loops were counted in nvcc 13.0's code for an H100 or H200 (``sm_90``); each issues one of 32
threads'. Fast memory serves one row of 32 banks a cycle: four 16-bit codes look up four random entries (3.5 rows each),
a bin is read and written, 64 bits wide (4 rows), four table entries are 64 bits wide (6 rows each). A kernel takes the
largest of: instructions, rows of fast memory, float64 products, bytes; over ``EFFICIENCY``, a guess at what latency
leaves. A prediction, not a measurement.
"""

from __future__ import annotations

from scbtheory.kernels import device

SMS, CLOCK, ISSUES, BYTES = (
    132,
    1.7e9,
    4,
    4.2e12,
)  # an H200: cores, cycles a second, instructions a cycle, bytes a second
EFFICIENCY, FLOOR = 0.6, 3e-6  # and a kernel's least time, its launch included
HOST = 45e-6  # of Python and the driver: six launches and the arrays of a step
HASH, GUIDE, ROW = 40, 4 * 8, 14  # instructions, and rows of fast memory, for four codes
WEIGHTS, DIGIT, LAST = 26, 4 * 10, 4 * 5
SETTLE = 65  # instructions of a warp in which a code does not decide
SIZES = [
    (3, 5000, 64), (32, 4096, 256), (16, 100_000, 64), (64, 512, 1024), (32, 4096, 16384), (256, 4096, 4096),
    (3, 10**6, 256), (16, 100_000, 4096), (3, 10**7, 32),
]  # fmt: skip


def seconds(instructions, rows=0.0, products=0.0, data=0.0, warps=1.0):
    """The time of a kernel: what each of ``warps`` pieces of work takes of each resource, and bytes in all."""
    cycles = warps * max(instructions / ISSUES, rows, products / 2) / SMS
    return FLOOR + max(cycles / CLOCK, data / BYTES) / EFFICIENCY


def step(N, T, B, keep=None):
    """Return the predicted seconds of each of a step's launches in float64, and of the host."""
    cut = device.geometry(N, T, B, N <= 256, 2**26, 8, keep or device.KEEP)
    m, packs = cut.m, min(B, (B + N * (cut.m - 1) / 2) / cut.m)  # a trigger's last pack is half full
    quads = packs * T / 128  # of a warp
    unclear = (1 - (1 - cut.codes / 65536) ** 32) * 4 * SETTLE
    draw = HASH + GUIDE + unclear
    bins = 16 * m if cut.warps else 40
    forward = draw + WEIGHTS + DIGIT * (m - 1) + LAST + (4 if cut.words else 0)
    backward, rows = (20, 24) if cut.words else (draw + 30, 24 + ROW)
    seats, wide = cut.rows * m, 16 * cut.columns
    parts = -(-cut.packs // cut.rows)
    tiles = -(-cut.rows // (32 // m)) * parts
    products = 2 * 32 * wide * N / 32  # of a warp's width, for one tile of residuals
    share = (2 + cut.columns) / (2 * cut.columns)  # rows of fast memory a product
    square = (-(-N // (16 * cut.each)) * 16 * cut.each) ** 2 / 32
    column = 8 * N * T
    return {
        "prepare": seconds(2 * 80, warps=N * B / 32, data=column),
        "forward": seconds(forward, ROW + bins, warps=quads, data=column + (packs * T if cut.words else 0)),
        "residuals": seconds(products * 2, products * share, products, warps=tiles),
        "values": seconds(square * 2, square * 2 / cut.each, square, warps=seats * parts, data=8 * cut.parts * N * N),
        "backward": seconds(backward, rows, warps=quads, data=column * cut.splits + (packs * T if cut.words else 0)),
        "finish": seconds(0, data=column * (1 + cut.splits) + 8 * cut.parts * N * N),
        "host": HOST * (1 + 2 * (parts - 1) / 3),
    }


def limit(N, T, B):
    """Return the predicted seconds of drawing bits alone."""
    return seconds(40, warps=B * T / 128)


def total(parts) -> float:
    """The time of a step: of the device or of the host, which work at the same time."""
    return max(parts["host"], sum(value for name, value in parts.items() if name != "host"))


def main():
    names = list(step(*SIZES[0]))
    print("| N, T, B | keeps codes | ms | x limit | " + " | ".join(names) + " |\n|" + "---|" * (4 + len(names)))
    for size in SIZES:
        for keep in ("fits", "always", "never"):
            parts = step(*size, keep)
            time = total(parts)
            cells = [", ".join(map(str, size)), keep, f"{1e3 * time:.3f}", f"{time / limit(*size):.1f}"]
            print("| " + " | ".join(cells + [f"{1e3 * parts[name]:.3f}" for name in names]) + " |")


if __name__ == "__main__":
    main()
