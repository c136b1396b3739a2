"""Two stages' loops on a GPU: many steps of the refit in one launch, and the moment statistic of a batch.

Run on one H100, and on one H200 last on 29 November 2026 (CuPy 14.2). Without a GPU, tests run the sources compiled as
C++, and compile them with nvcc where that is installed.
"""

from __future__ import annotations

import functools

import numpy as np

from scbtheory.kernels import device
from scbtheory.kernels.stream import Stream

__all__ = ["descend", "moment_sums"]

FAST = 160 * 1024  # bytes of a block's fast memory that are used
CHUNK = 256  # samples whose tokens and residuals are held at a time
GROUPS = 32  # of samples, that an entry of a gradient is summed in at most
POSITIONS = 128  # of a block of ``moments``
MEMORY = 2**26  # bytes of counts beyond the fast memory
BLOCKS = 1024
KERNELS = {"refit": ("descend<double>", "descend<float>"), "moments": ("moments",)}


def descend(task, purposes, place, size, steps, positions, on, iterate, speeds, sums, filled, length, bound):
    """Take up to ``steps`` steps on a support, in place: see :func:`scbtheory.kernels.supported.descend`.

    One launch of one block, whose waits are all inside it; the host waits once, for the number of steps taken.
    """
    xp, (N, m) = task.backend.xp, positions.shape
    plan, record = device.plan(task, packed=False), device.Record(device.source("refit"), "Refit")
    seed, step, first = place
    tokens, *others = (Stream.of(seed, step, purpose) for purpose in purposes)
    entries = N * m + N * N + N
    chunk, groups = min(size, CHUNK), max(1, min(GROUPS, device.THREADS // entries))
    doubles = 3 * (entries - N) + entries * groups + chunk * (N + 2 * m) + -(-chunk * (m + 1) // 2)
    near = 8 * (device.THREADS + doubles) <= FAST
    workspace, result = xp.empty(0 if near else doubles, dtype=xp.float64), xp.zeros(2, dtype=xp.float64)
    places = xp.ascontiguousarray(positions.astype(xp.int64))
    record.law(tokens, plan.guide, plan.boundaries)
    record.set(
        **{name: stream.origin for name, stream in zip(("triggers", "positions", "outputs"), others, strict=True)}
    )
    record.set(
        **plan.constants, first=first, size=size, steps=steps, T=task.context_length, N=N, m=m, filled=filled,
        length=length, near=int(near), chunk=chunk, groups=groups, sparsity=plan.constants["support"].shape[1],
        bound=float(bound), rate_A=float(speeds[0]), rate_V=float(speeds[1]), places=places, on=on, A=iterate[0],
        V=iterate[1], sums_A=sums[0], sums_V=sums[1], workspace=workspace, result=result,
    )  # fmt: skip
    shared = 8 * (device.THREADS + (doubles if near else 0))
    launch = kernel("refit", f"descend<{plan.real}>", shared)
    launch(1, device.THREADS, record, shared)
    done, last = task.backend.to_numpy(result)
    return int(done), float(last)


def moment_sums(stream, cdf, first, trigger, output, T, mu):
    """Return the sums of squares of counts, on the host: see :func:`scbtheory.kernels.moments.statistic`."""
    xp, N = arrays(), len(mu)
    order = np.argsort(trigger, kind="stable")
    start = np.searchsorted(trigger[order], np.arange(N + 1))
    boundaries = 65536.0 * np.asarray(cdf, dtype=np.float64)[:-1]
    guide, bounds = xp.asarray(device.guide(boundaries)), xp.asarray(boundaries)
    tiles, bytes_ = -(-T // POSITIONS), 4 * POSITIONS * N**2
    near = bytes_ <= FAST
    blocks = min(tiles * N, BLOCKS if near else max(1, MEMORY // bytes_))
    integers = {"order": order, "start": start, "output": output[order]}
    held = {name: xp.asarray(values.astype(np.int64)) for name, values in integers.items()} | {
        "inverse": xp.asarray(1 / np.asarray(mu, dtype=np.float64)),
        "counts": xp.empty(0 if near else blocks * bytes_ // 4, dtype=xp.uint32),
        "joint": xp.empty((N, T), dtype=xp.float64), "alone": xp.empty((N, T), dtype=xp.float64),
    }  # fmt: skip
    record = device.Record(device.source("moments"), "Moments")
    record.law(stream, guide, bounds)
    record.set(**held, first=first, T=T, N=N, tiles=tiles, near=int(near))
    shared = bytes_ if near else 0
    kernel("moments", "moments", shared)(blocks, POSITIONS, record, shared)
    return tuple(x.get() if hasattr(x, "get") else x for x in (held["joint"], held["alone"]))


def arrays():
    """The array library of the device."""
    import cupy

    return cupy


@functools.lru_cache(maxsize=64)
def kernel(source, expression, shared):
    """Return a kernel that may take ``shared`` bytes of a block's fast memory."""
    return device.function(device.module(source, kernels=KERNELS[source]), expression, shared)
