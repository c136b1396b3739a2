r"""A whole training step on a GPU, in six launches, and nothing that waits for the host.

Triggers, positions and outputs are drawn on the device, from the bits that the CPU uses; a sample's copied token is
computed from its number. Tokens are drawn for the histograms, and for the gradient again; only where a whole batch
takes little memory they are kept in between, a byte for each code (see ``KEEP``). Histograms are sums of integers, all
other sums have a fixed order, and how the work is cut depends on the sizes alone: results are the same from run to run
and on every card.

1. ``prepare``: samples grouped by trigger; the size of A's columns. 2. ``forward``: the histograms.
3. ``residuals``: outputs, residuals, and what each code adds to A's gradient. 4. ``values``: V's gradient, in parts.
5. ``backward``: A's. 6. ``finish``: sums over parts, columns centred. Beyond ``DENSE`` tokens the products with V are
the array library's.

Run on one H100, and on one H200 last on 29 November 2026 (CuPy 14.2). Without a GPU, tests run the source compiled as
C++, and compile it with nvcc where that is installed.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scbtheory.kernels import packing
from scbtheory.kernels.stream import GOLDEN, MIX_1, MIX_2

__all__ = [
    "GUIDE",
    "KEEP",
    "STEP_KERNELS",
    "THREADS",
    "WIDE_BINS",
    "Geometry",
    "Plan",
    "Record",
    "address",
    "fields",
    "function",
    "geometry",
    "guide",
    "kernel",
    "module",
    "plan",
    "source",
    "step_gradient",
]

SOURCES = Path(__file__).parent / "sources"
THREADS = 256
MANY = 1024  # threads of a block of ``prepare``, whose work is a chain of lookups
DENSE = 256  # tokens up to which ``residuals`` multiplies with V itself
LANES = 64  # bins up to which each lane has its own
WARPS = 12  # of a block of ``forward``: with one guide for all, as many as possible find room on a processor
WIDE_BINS = 8192  # tokens whose bins, two halves of 32 bits, lie in a block's fast memory; beyond, in the device's
TABLE_BYTES = 2**14  # of tables in fast memory, for ``backward``
TILE = 4 * THREADS  # positions of a block of ``backward``
BLOCKS = 1024  # enough to fill a large card several times over
GUIDE = 4096  # entries, 16 codes each
KEEP = "fits"  # codes, if those of the batch fit the memory; "always": the batch in parts that fit; "never"


@functools.cache
def source(*names):
    """Return the source of some kernels, with the constants before it."""
    numbers = {"WIDE_BINS": WIDE_BINS, "TABLE_BYTES": TABLE_BYTES}
    words = {"GOLDEN": GOLDEN, "MIX_1": MIX_1, "MIX_2": MIX_2}
    lines = [f"#define {k} {v}" for k, v in numbers.items()] + [f"#define {k} {v:#x}ULL" for k, v in words.items()]
    return "\n".join([*lines, *((SOURCES / f"{name}.cu").read_text() for name in ("common", *names))])


@functools.lru_cache(maxsize=16)
def fields(text, struct):
    """Return the names of a struct's fields in order, read off its source; each takes eight bytes."""
    body = re.search(rf"struct {struct} \{{(.*?)\}};", re.sub(r"/\*.*?\*/", "", text, flags=re.S), re.S)[1]
    names = []
    for declaration in filter(None, (part.strip() for part in body.split(";"))):
        kind, rest = re.fullmatch(r"(?:const )?(\w+)(.*)", declaration, re.S).groups()
        own = [name.strip(" *\n") for name in rest.split(",")]
        names += [f"{name}.{inner}" for name in own for inner in fields(text, kind)] if kind == "Law" else own
    return names


class Record:
    """The one argument of a kernel: numbers and addresses, by name, as the struct in the source has them."""

    def __init__(self, text, struct):
        self.place = {name: i for i, name in enumerate(fields(text, struct))}
        self.words = np.zeros(len(self.place), dtype=np.uint64)
        self.parameters = np.array([self.words.ctypes.data], dtype=np.uint64)  # what the driver asks for
        self.pointer = self.parameters.ctypes.data

    def set(self, **values):
        for name, value in values.items():
            if isinstance(value, float):
                value = int(np.float64(value).view(np.uint64))
            self.words[self.place[name]] = value if isinstance(value, (int, np.integer)) else address(value)

    def law(self, stream, guide, boundaries):
        values = stream.origin, stream.refinement.origin, address(guide), address(boundaries), len(boundaries)
        self.words[: len(values)] = values


def address(array) -> int:
    """Where an array's memory begins, on the device or (in tests) the host."""
    return array.data.ptr if hasattr(array.data, "ptr") else array.ctypes.data


def guide(boundaries):
    """Return, for each 16 codes, the token of the first and where the next begins (see ``sources/common.cu``)."""
    start = 16 * np.arange(GUIDE)
    token = np.searchsorted(boundaries, start, side="right")
    inside = np.searchsorted(boundaries, start + 16, side="left") - token
    within = np.floor(boundaries[np.minimum(token, len(boundaries) - 1)]).astype(np.int64) - start
    place = np.where(inside == 1, 31 - within, 0)
    return (token | place << 16 | (inside > 1) << 31).astype(np.uint32)


@dataclass(frozen=True)
class Geometry:
    """How a step is cut into launches: a function of its sizes alone.

    Attributes
    ----------
    m, codes : tokens in a code; how many codes there are.
    packs : at most so many packs hold the batch, whatever its triggers.
    rows, words : packs of one part of the batch; words of four codes in a pack that is kept, 0 where none is.
    slices : of a column, for the sum of its sizes.
    span, warps : positions and packs of one block of ``forward``; no warps: one pack.
    tiles, splits : blocks of ``backward`` along a column, and for its packs.
    pieces : of a column, for the last pass over the splits and the mean.
    parts : of V's gradient.
    columns, across : of a thread of ``residuals``, threads along a row; without columns neither it nor ``values`` runs.
    each : entries of a thread of ``values``, along either side.
    """

    m: int
    codes: int
    packs: int
    rows: int
    words: int
    slices: int
    span: int
    warps: int
    tiles: int
    splits: int
    pieces: int
    parts: int
    columns: int
    across: int
    each: int


@functools.lru_cache(maxsize=64)
def geometry(N, T, B, packed, memory, itemsize, keep="fits") -> Geometry:
    """Return the cut of a step of B samples that keeps at most ``memory`` bytes besides the gradients, if it can."""
    m = packing.width(N) if packed else 1
    codes = N**m
    packs = min(B, (B + N * (m - 1)) // m)
    each_pack, words = 16 * m * N + codes * itemsize, -(-T // 4)
    if keep == "never" or codes > 256 or (keep == "fits" and packs * (each_pack + 4 * words) > memory * 7 // 8):
        words = 0
    rows = max(1, min(packs, memory * 7 // 8 // (each_pack + 4 * words)))
    warps = 0 if m * N > LANES else WARPS if m * N <= 3 * LANES // 4 else 2 * WARPS // 3
    groups = -(-rows // warps) if warps else rows
    shortest, longest = (512, 16384) if warps else (4096, 65536)
    span = min(max(512 * -(-T * groups // (512 * BLOCKS)), shortest), longest)
    tiles = -(-T // TILE)
    splits = max(1, min(-(-BLOCKS // (N * tiles)), rows // (4 * N), memory // 16 // (N * T * itemsize)))
    across = 16 if N <= 64 else 32
    columns = next((c for c in (1, 2, 4, 8) if across * c >= N), 0) if N <= DENSE else 0
    each = 1 if N <= 16 else 2 if N <= 32 else 4
    squares = (-(-N // (16 * each))) ** 2
    parts = max(1, min(256 // squares, -(-rows * m // 64), memory // 16 // (8 * N * N))) if columns else 0
    slices = min(64, -(-T // 8192))
    pieces = min(tiles, max(1, BLOCKS // N))
    return Geometry(
        m, codes, packs, rows, words, slices, span, warps, tiles, splits, pieces, parts, columns, across, each,
    )  # fmt: skip


class Plan:
    """What steps of one task share: its laws on the device, and the memory between launches."""

    def __init__(self, task, packed):
        self.task, self.packed, backend, xp = task, packed, task.backend, task.backend.xp
        positions = [np.flatnonzero(np.diff(cdf, prepend=0.0) > 0) for cdf in task._position_cdfs]
        sparsity = max(map(len, positions))
        support = np.stack([np.pad(p, (0, sparsity - len(p)), mode="edge") for p in positions])
        cdf = task._code_cdf if packed else task._trigger_cdf
        boundaries = 65536.0 * np.asarray(cdf, dtype=np.float64)[:-1]
        self.guide = backend.asarray(guide(boundaries), xp.uint32)
        self.constants = {
            "trigger_cdf": task._trigger_cdf, "output_cdfs": task._output_cdfs,
            "position_cdfs": np.take_along_axis(task._position_cdfs, support, axis=1),
        }  # fmt: skip
        self.constants = {k: backend.asarray(np.ascontiguousarray(v), xp.float64) for k, v in self.constants.items()}
        self.constants |= {"support": backend.asarray(support, xp.int64), "mu": xp.ascontiguousarray(task.mu)}
        self.boundaries = backend.asarray(boundaries, xp.float64)
        self.record = Record(source("step"), "Step")
        N, T = task.vocab_size, task.context_length
        self.record.set(**self.constants, N=N, T=T, plain=int(not packed), sparsity=sparsity)
        self.real = {4: "float", 8: "double"}[np.dtype(backend.dtype).itemsize]
        self.kept = None, None

    def __call__(self, theta, size, streams, first, memory, projected):
        """Return the gradients for A (T, N), its columns contiguous, and V (N, N), of one batch."""
        task, xp, record = self.task, self.task.backend.xp, self.record
        N, T, dtype = task.vocab_size, task.context_length, task.backend.dtype
        cut = geometry(N, T, size, self.packed, memory, np.dtype(dtype).itemsize, KEEP)
        scratch = self._scratch(cut, size)
        A, V = xp.ascontiguousarray(theta.A.T), xp.ascontiguousarray(theta.V)
        into_A, into_V = xp.empty((N, T), dtype=dtype), xp.zeros((N, N), dtype=dtype)
        triggers, positions, outputs, tokens = streams
        record.law(tokens, self.guide, self.boundaries)
        record.set(
            triggers=triggers.origin, positions=positions.origin, outputs=outputs.origin, first=first,
            projected=int(projected), A=A, V=V, into_A=into_A, into_V=into_V,
        )  # fmt: skip
        pieces = cut.pieces
        if cut.splits == 1:
            record.set(columns=into_A)
            pieces *= projected  # else ``backward`` has written all there is
        record.set(pieces=pieces)
        for begin in range(0, cut.packs, cut.rows):
            record.set(begin=begin, rows=cut.rows, accumulate=int(begin > 0))
            if begin == 0:
                self._launch("prepare", N * (1 + cut.slices), 8 * MANY + 64, threads=MANY)
            else:
                scratch["z"][...] = 0
            self._histograms(cut, -(-T // cut.span))
            if cut.columns:
                tiles, lanes = -(-cut.rows // (32 // cut.m)), 16 * cut.across
                self._launch("residuals", tiles, _tile_bytes(cut), cut.columns, cut.across, threads=lanes)
                self._launch("values", (-(-N // (16 * cut.each))) ** 2 * cut.parts, 4096 * cut.each, cut.each)
            else:
                into_V += self._products(scratch, V, size, projected)
            self._launch("backward", cut.tiles * N * cut.splits, 8 * THREADS + 4 * GUIDE + TABLE_BYTES)
        extra = -(-N * N // THREADS) if cut.columns else 0
        if pieces or extra:
            self._launch("finish", N * pieces + extra, 8 * THREADS)
        return into_A.T, into_V

    def _histograms(self, cut, spans):
        if cut.warps:
            shared = 4 * GUIDE + cut.warps * cut.m * self.task.vocab_size * 256
            self._launch("forward", -(-cut.rows // cut.warps) * spans, shared, cut.m, threads=32 * cut.warps)
        else:
            bins = self.task.vocab_size if self.task.vocab_size <= WIDE_BINS else 0
            self._launch("forward_wide", cut.rows * spans, 4 * GUIDE + 8 * bins)

    def _products(self, scratch, V, size, projected):
        """Residuals, tables and V's gradient by the array library; the tables are left in memory for ``backward``."""
        xp, mu = self.task.backend.xp, self.constants["mu"]
        rows, trigger, output = len(scratch["trigger"]), scratch["trigger"], scratch["output"]
        self._launch("seats", rows, 0)
        here = output >= 0
        z = scratch["z"].view(xp.float64).reshape(rows, -1) * here[:, None]
        residual = z @ V.T
        residual[xp.arange(rows), xp.where(here, output, 0)] -= here
        residual /= size
        table = residual @ V
        if projected:
            table /= mu[trigger][:, None]
            z -= mu
        scratch["tables"][...] = table
        gradient = residual.T @ z
        return (gradient / mu if projected else gradient).astype(V.dtype)

    def _scratch(self, cut, size):
        """The arrays between launches, named in the record as well; those of the last sizes are kept."""
        if self.kept[0] == (cut, size):
            return self.kept[1]
        xp, N, T, dtype = self.task.backend.xp, self.task.vocab_size, self.task.context_length, self.task.backend.dtype
        seats, here = cut.rows * cut.m, bool(cut.columns)
        shapes = {
            "order": (size,), "members": (N + 1,), "packs": (N + 1,), "z": (seats, N),
            "trigger": (0 if here else seats,), "output": (0 if here else seats,),
        }  # fmt: skip
        scratch = {name: xp.empty(shape, dtype=xp.int64) for name, shape in shapes.items()}
        shapes = {
            "norms": (N, cut.slices), "residual": (seats if here else 0, N), "values": (cut.parts, N, N),
            "sums": (cut.splits, N, cut.tiles),
        }  # fmt: skip
        scratch |= {name: xp.empty(shape, dtype=xp.float64) for name, shape in shapes.items()}
        scratch["tables"] = xp.empty((cut.rows, cut.codes), dtype=dtype)
        scratch["stored"] = xp.empty((cut.rows, cut.words), dtype=xp.uint32)
        scratch["columns"] = xp.empty((cut.splits if cut.splits > 1 else 0, N, T), dtype=dtype)
        self.record.set(
            **scratch, B=size, m=cut.m, codes=cut.codes, slices=cut.slices, span=cut.span, splits=cut.splits,
            tiles=cut.tiles, parts=cut.parts, words=cut.words,
        )  # fmt: skip
        self.kept = (cut, size), scratch
        return scratch

    def _launch(self, name, blocks, shared, *numbers, threads=THREADS):
        types = ", ".join([self.real, *map(str, numbers)])
        kernel(f"{name}<{types}>", shared)(blocks, threads, self.record, shared)


def _tile_bytes(cut):
    """The fast memory of a block of ``residuals``."""
    return 8 * (40 * (cut.across * cut.columns + 1) + 3 * 32)


def step_gradient(task, theta, size, streams, first, memory, *, projected, packed):
    r"""Return the gradients of samples ``first`` to ``first + size``, A's columns centred if ``projected``.

    Parameters
    ----------
    task, theta : on the device.
    size : samples.
    streams : those of triggers, positions, outputs and codes; of tokens rather than codes if not ``packed``.
    first : the number of the first sample in each stream.
    memory : bytes that may be held between launches.
    projected : whether to return G6's estimator, and not the plain gradient.
    packed : whether samples travel in packs, as those of :func:`scbtheory.streaming.draw_packs`.

    Returns
    -------
    tuple
        (T, N) and (N, N) arrays on the device; nothing has waited for them.
    """
    return plan(task, packed)(theta, size, streams, first, memory, projected)


def plan(task, packed) -> Plan:
    """Return the plan of a task, made once."""
    plans = vars(task).setdefault("_device_plans", {})
    if packed not in plans:
        plans[packed] = Plan(task, packed)
    return plans[packed]


STEP_KERNELS = tuple(
    f"{name}<{real}{number}>"
    for real in ("double", "float")
    for name, number in (
        *((name, "") for name in ("prepare", "forward_wide", "seats", "backward", "finish")),
        *(("forward", f", {m}") for m in (1, 2, 3, 4, 5, 8)),
        *(("residuals", f", {n}, 16") for n in (1, 2, 4)), *(("residuals", f", {n}, 32") for n in (4, 8)),
        *(("values", f", {n}") for n in (1, 2, 4)),
    )
)  # fmt: skip


@functools.lru_cache(maxsize=256)
def kernel(expression, shared):
    """Return a kernel of the step that may take ``shared`` bytes of a block's fast memory."""
    real = "<double" if "<double" in expression else "<float"  # half of them, for a quick start
    kernels = tuple(name for name in STEP_KERNELS if real in name)
    return function(module("step", "gradient", kernels=kernels), expression, shared)


def function(compiled, expression, shared):
    """Return a kernel of a compiled module, to be launched with a :class:`Record` by the driver itself.

    CuPy's own handling of arguments takes several times as long. The driver needs a context, which every plan's
    first array has made.
    """
    from cupy.cuda import driver, get_current_stream

    found = compiled.get_function(expression)
    if shared > max(48 * 1024, found.max_dynamic_shared_size_bytes):  # beyond, a kernel has to ask, once for the most
        found.max_dynamic_shared_size_bytes = shared

    def launch(blocks, threads, record, shared):
        stream = get_current_stream().ptr
        driver.launchKernel(found.kernel.ptr, blocks, 1, 1, threads, 1, 1, shared, stream, record.pointer, 0)

    return launch


@functools.lru_cache(maxsize=8)
def module(*names, kernels):
    """Compile some sources: products are not contracted, so that a CPU gives the same bits."""
    import cupy

    return cupy.RawModule(code=source(*names), options=("-std=c++17", "--fmad=false"), name_expressions=kernels)
