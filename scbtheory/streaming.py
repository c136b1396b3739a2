"""Minibatch gradients of batches too large to hold: drawn, used and dropped in parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from scbtheory.checks import below, count, flag
from scbtheory.errors import InvalidArgument
from scbtheory.kernels import choose, packing
from scbtheory.kernels.stream import STEP_BITS, Stream
from scbtheory.memory import check_order
from scbtheory.model import M, Parameters, centred, contributions, forward, tables
from scbtheory.task import OUTPUTS, POSITIONS, SCB, TOKENS, TRIGGERS

__all__ = ["CODES", "MEMORY", "Packs", "draw_packs", "gradient"]


def __dir__():
    return sorted(__all__)  # what Tab shows


MEMORY = 2**26
CODES = 4  # the purpose of a random stream: the four before it belong to ``SCB.sample``


def gradient(
    task: SCB,
    theta: M,
    batch_size: int,
    *,
    seed: int,
    step: int = 0,
    first: int = 0,
    projected: bool = False,
    packed: bool = False,
    memory: int = MEMORY,
) -> M:
    """Return ``minibatch_gradient(task, theta, task.sample(batch_size, seed=seed, step=step, first=first))``.

    The same samples, the same gradient to rounding, but never more than ``memory`` bytes of tokens
    at once (or one sample, if that is more). A gradient is a sum over samples, so that of a
    batch is the sum of its parts'.

    With ``packed``, the fast way, the batch is another one of exactly the same law: triggers are those of
    ``task.sample``, but tokens are drawn from random bits of their own, as many at a time as a byte holds (see
    :mod:`scbtheory.kernels.packing`): two or more up to 16 tokens, one up to 256. Beyond, ``packed`` changes nothing.
    Sums that threads keep of their own may take ``memory`` bytes once more, and a sample's trigger and place 16 bytes.

    Parameters
    ----------
    task : a task; its backend draws and computes.
    theta : a model on that backend, at its precision.
    batch_size : samples, at least 1.
    seed, step, first : which samples, as in :meth:`scbtheory.SCB.sample`.
    projected : whether to return G6's estimator, and not the plain gradient.
    packed : whether to draw several tokens at a time.
    memory : bytes, at least 1.

    Returns
    -------
    Model
        The gradient in each of theta's arrays, of theta's type.

    Raises
    ------
    InvalidArgument : a number or flag is out of range, or the triggers, or the tokens of one part, do not fit the
        available memory.
    MixedBackends : ``theta`` is of another array library, device or precision than the task.
    ShapeMismatch : ``theta`` has other sizes than the task.
    """
    batch_size, memory = count("batch_size", batch_size), count("memory", memory)
    linear, pull_back = forward(task, theta)
    loops, a_byte = task.backend.kernels, task.vocab_size <= packing.CODES
    projected, packed = flag("projected", projected), flag("packed", packed) and a_byte
    whole, grouped = getattr(loops, "step_gradient", None), getattr(loops, "grouped_gradient", None)
    if whole is None and grouped is not None and (packed or (a_byte and not loops.few(task, batch_size, packed))):
        whole = grouped
    if whole is not None:
        if whole is grouped:
            check_order(batch_size)
        streams, first = _streams(task, batch_size, seed, step, first, CODES if packed else TOKENS)
        A, V = whole(task, linear, batch_size, streams, first, memory, projected=projected, packed=packed)
        return pull_back(Parameters(A, V))
    parts = _packed if packed else _plain
    A = V = None
    for into_A, into_V in parts(task, linear, batch_size, seed, step, first, projected, memory):
        if A is None:
            A, V = into_A, into_V
        else:
            A += into_A  # both are ours
            V += into_V
        del into_A  # before the next part is drawn
    return pull_back(Parameters(centred(task, A) if projected else A, V))


def _plain(task, theta, batch_size, seed, step, first, projected, memory):
    """Yield the gradient of each part of the batch that ``task.sample`` draws."""
    rows = max(1, memory // task.sample_bytes)
    for done in range(0, batch_size, rows):
        batch = task.sample(min(rows, batch_size - done), seed=seed, step=step, first=first + done)
        yield contributions(task, theta, batch, batch_size, projected=projected)
        del batch  # before the next part is drawn


def _packed(task, theta, batch_size, seed, step, first, projected, memory):
    """Yield the gradient of each part of a batch whose samples travel in packs, m to a byte."""
    backend, xp, loops, N = task.backend, task.backend.xp, task.backend.kernels, task.vocab_size
    m = packing.width(N)
    D = backend.asarray(packing.incidence(N, m)) if m > 1 else None  # one token is its own code
    for pack in draw_packs(task, batch_size, seed=seed, step=step, first=first, memory=memory):
        counts = loops.histogram(backend, pack.codes, pack.of, theta.A, n_codes=N**m)  # of codes, as attention weighs
        z = xp.take(counts if D is None else xp.reshape(counts @ D, (-1, N)), pack.seat, axis=0)
        table, into_V = tables(task, theta, z, pack.trigger, pack.output, batch_size, projected=projected)
        nobody = xp.zeros((1, N), dtype=table.dtype, device=backend.device)
        seated = xp.take(xp.concat([table, nobody]), pack.sitting, axis=0)
        table_of_codes = seated if D is None else xp.reshape(seated, (-1, m * N)) @ D.T
        yield loops.accumulate(backend, pack.codes, pack.of, table_of_codes, n_triggers=N), into_V
        del pack  # before the next part is drawn


@dataclass(frozen=True)
class Packs:
    """Some samples of a batch, in packs of m that share a trigger (see :mod:`scbtheory.kernels.packing`).

    Parameters
    ----------
    codes, of : (packs, T) the codes; (packs,) the trigger of each pack.
    seat : (samples,) where a sample sits: token ``seat % m`` of the codes of pack ``seat // m``.
    sitting : (m packs,) the sample in each seat; in an empty seat, the number of samples.
    trigger, output : (samples,) as in a :class:`~scbtheory.task.Batch`.
    """

    codes: Any
    of: Any
    seat: Any
    sitting: Any
    trigger: Any
    output: Any


def draw_packs(task: SCB, batch_size: int, *, seed: int, step: int = 0, first: int = 0, memory: int = MEMORY):
    """Yield ``batch_size`` samples as :class:`Packs`, each with at most ``memory`` bytes of codes, or one pack.

    Parameters
    ----------
    task : of at most 256 tokens, for a code is a byte.
    batch_size : samples, all of one step.
    seed, step : a run and a batch of it, as in :meth:`scbtheory.SCB.sample`.
    first : skips the random bits of that many samples of the step.
    memory : bytes, at least 1.

    Yields
    ------
    Packs
        Arrays on the task's backend, codes of 8 bits and all else of 64.

    Raises
    ------
    InvalidArgument : a number is out of range, or the task has more than 256 tokens; raised when the first packs are
        asked for.
    """
    backend, xp, N, T = task.backend, task.backend.xp, task.vocab_size, task.context_length
    batch_size, memory = count("batch_size", batch_size), count("memory", memory)
    if N > packing.CODES:
        raise InvalidArgument(f"the task has {N} tokens; a code is a byte, which holds one of at most {packing.CODES}")
    (triggers, positions, outputs, tokens), first = _streams(task, batch_size, seed, step, first)
    m = packing.width(N)
    number = np.arange(first, first + batch_size)
    trigger = choose(triggers, number, task._trigger_cdf[None, :], np.zeros_like(number))
    position = choose(positions, number, task._position_cdfs, trigger)
    seat, of = packing.seats(trigger, N, m)
    rows = max(1, memory // T)
    for done in range(0, len(of), rows):
        own = np.flatnonzero((m * done <= seat) & (seat < m * (done + rows)))
        here, packs = seat[own] - m * done, min(rows, len(of) - done)
        # Packs are no more than samples: these bits are no other sample's.
        number_of_code = (first + done) * T
        codes = backend.kernels.draw(backend, tokens, (packs, T), task._code_cdf, xp.uint8, first=number_of_code)
        place = backend.asarray(here // m * T + position[own], xp.int64)
        code = backend.to_numpy(xp.take(xp.reshape(codes, (-1,)), place)).astype(np.int64)
        copied = packing.decode(code, here % m, N)
        output = choose(outputs, number[own], task._output_cdfs, copied)
        sitting = np.full(m * packs, len(own))
        sitting[here] = np.arange(len(own))
        integers = of[done : done + rows], here, sitting, trigger[own], output
        yield Packs(codes, *(backend.asarray(x, xp.int64) for x in integers))
        del codes  # before the next part is drawn


def _streams(task, batch_size, seed, step, first, last=CODES):
    """Return a step's streams of triggers, positions, outputs and codes, and ``first``; refuse what is out of range."""
    seed, step = below("seed", seed, 2**64), below("step", step, 2 ** (64 - STEP_BITS))
    room = 2**STEP_BITS // task.context_length  # a step owns 2**STEP_BITS codes
    below("batch_size", batch_size, room + 1)
    purposes = TRIGGERS, POSITIONS, OUTPUTS, last
    return [Stream.of(seed, step, purpose) for purpose in purposes], below("first", first, room - batch_size + 1)
