r"""What a learner has: its parameters, a stream of samples, and what it can compute from them (claims G6, N3, N4).

A learner never reads P, Q or the reduced coordinates. It knows the token frequencies :math:`\mu`, or
estimates them from the tokens of the same samples.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from scbtheory import streaming
from scbtheory.backend import column_medians
from scbtheory.checks import count
from scbtheory.kernels.stream import STEP_BITS, Stream
from scbtheory.model import Model, Parameters, centred, contributions
from scbtheory.streaming import CODES, MEMORY
from scbtheory.task import OUTPUTS, POSITIONS, SCB, TRIGGERS, Batch

AHEAD = 2**19  # bytes of tokens that are drawn ahead for small batches
AT_ONCE = 2**22  # tokens of the steps that one compiled call takes
PACKED = TRIGGERS, POSITIONS, OUTPUTS, CODES
NEAR = 2**16  # entries of attention up to which a record is made on the host
NORMAL_MAD = 1.4826  # standard deviation of a normal variable over its median absolute deviation


class Draws:
    """Samples of one task, kept for further runs with the same seeds: the same ones, drawn once.

    Parameters
    ----------
    task : whose samples they are.
    memory : bytes that are kept; what is drawn beyond is drawn again by the next run.
    """

    def __init__(self, task: SCB, memory: int = 2**28):
        self.task, self.memory, self.used = task, count("memory", memory), 0
        self._kept: dict[tuple, Batch] = {}

    def sample(self, size: int, *, seed: int, step: int, first: int) -> Batch:
        """Return what ``task.sample`` does."""
        place = size, seed, step, first
        if place in self._kept:
            return self._kept[place]
        batch, own = self.task.sample(size, seed=seed, step=step, first=first), size * self.task.sample_bytes
        if self.used + own <= self.memory:
            self._kept[place], self.used = batch, self.used + own
        return batch


@dataclass
class Learner:
    r"""Parameters, frequencies and the position in the stream of samples; everything a run must save.

    Parameters
    ----------
    task : gives samples and sizes; P and Q are not read.
    seed : names the stream of samples.
    theta : the current model, in its own parameters.
    mu : (N,) the frequencies in use; with ``counts`` they are those of the tokens seen so far.
    counts : (N,) how often each token was seen, or ``None`` where :math:`\mu` is known.
    samples : samples used; also the index of the next sample in the stream.
    packed : whether samples are drawn several at a time (see :func:`scbtheory.streaming.gradient`).
    memory : arrays that the current stage keeps between steps (moments, supports, averages).
    draws : where samples come from that another run has drawn, or ``None``.
    _drawn, _forward : what need not be computed again: samples drawn ahead, and the current model's forward pass.
    """

    task: SCB
    seed: int
    theta: Model
    mu: Any
    counts: Any = None
    samples: int = 0
    packed: bool = False
    memory: dict[str, Any] = field(default_factory=dict)
    draws: Draws | None = None
    _drawn: dict[tuple, Batch] = field(default_factory=dict, repr=False)
    _forward: tuple = field(default=(None, None), repr=False)  # a model, and what its forward pass returned

    @property
    def xp(self):
        return self.task.backend.xp

    @property
    def size(self) -> tuple[int, int]:
        """``(T, N)``."""
        return self.task.context_length, self.task.vocab_size

    @property
    def linear(self) -> Parameters:
        """The attention and value that the current model computes with."""
        return self._passed()[0]

    @property
    def near(self) -> tuple[SCB, Parameters]:
        """The task and ``linear`` for a record: on the host if small, where many little sums outrun their launches."""
        T, N = self.size
        if self.task.backend.on_host or T * N > NEAR:
            return self.task, self.linear
        host = self._on_host.backend
        arrays = (host.asarray(self.task.backend.to_numpy(x)) for x in (self.linear.A, self.linear.V))
        return self._on_host, Parameters(*arrays)

    @cached_property
    def _on_host(self) -> SCB:
        single = self.xp.finfo(self.task.backend.dtype).bits == 32
        return self.task.on("numpy", "float32" if single else "float64")

    def _passed(self):
        """The forward pass of the current model, made once for each."""
        if self._forward[0] is not self.theta:
            self._forward = self.theta, self.theta.forward(self.task)
        return self._forward[1]

    def gradient(self, batch_size: int, *, projected: bool) -> Model:
        r"""Use the next ``batch_size`` samples of the stream: the plain minibatch gradient, or G6's estimator.

        Sample number i of a seed is the same whichever method asks for it and in batches of whatever size:
        methods that have used equally many samples have seen the same ones. Not if samples are packed:
        then they also depend on the batch that they travel in.
        """
        kept = not hasattr(self.task.backend.kernels, "step_gradient") and batch_size <= self._rows
        if self.packed or (self.counts is None and not kept):  # nothing of these samples is for another step or run
            step, offset = self._place(batch_size)
            self.samples += batch_size
            where: dict[str, Any] = {"seed": self.seed, "step": step, "first": offset, "packed": self.packed}
            linear, pull_back = self._passed()
            return pull_back(streaming.gradient(self.task, linear, batch_size, projected=projected, **where))
        total: Parameters | None = None
        for batch in self._draw(batch_size):
            if self.counts is not None:
                self._observe(batch)
            options = {"projected": projected, "mu": self.mu}
            part = Parameters(*contributions(self.task, self.linear, batch, batch_size, **options))
            total = part if total is None else total + part
        assert total is not None  # there is a part where there is a sample
        return self._passed()[1](Parameters(centred(self.task, total.A) if projected else total.A, total.V))

    def gradient_at(self, positions, theta: Parameters, batch_size: int) -> Parameters:
        r"""Use the next ``batch_size`` samples: G6's estimator where attention is on some positions alone.

        Only the tokens there are drawn, unless they are all or the frequencies are counted from all.

        Parameters
        ----------
        positions : (m, N) on the host; column k lists the positions of trigger k.
        theta : ``A`` (m, N) at these positions, ``V`` (N, N).
        batch_size : how many samples.

        Returns
        -------
        Parameters
            ``A`` (m, N), not yet centred, and ``V``.
        """
        if self.counts is None and len(positions) < self.task.context_length:
            step, first = self._place(batch_size)
            self.samples += batch_size
            parts = [self.task.sample_at(positions, batch_size, seed=self.seed, step=step, first=first)]
        else:
            parts = self._draw(batch_size)
        total: Parameters | None = None
        for batch in parts:
            if batch.tokens.shape[1] != len(positions) or self.counts is not None:
                batch = self._seen(batch, positions)
            part = Parameters(*contributions(self.task, theta, batch, batch_size, projected=True, mu=self.mu))
            total = part if total is None else total + part
        assert total is not None
        return total

    def _seen(self, batch, positions) -> Batch:
        """A batch with the tokens at some positions alone, once all of them were counted."""
        if self.counts is not None:
            self._observe(batch)
        host = self.task.backend.to_numpy
        trigger = host(batch.trigger).astype(np.int64)
        tokens = np.take_along_axis(host(batch.tokens), positions.T[trigger], axis=1)
        tokens = self.task.backend.asarray(tokens, batch.tokens.dtype)
        return Batch(tokens, batch.trigger, batch.output, batch.position)

    def at_once(self, size: int) -> bool:
        """Whether steps of ``size`` samples are taken many in one call: few tokens, the linear model, known μ."""
        few = getattr(self.task.backend.kernels, "few", None)
        linear = self.counts is None and type(self.theta) is Parameters
        return linear and few is not None and few(self.task, size, self.packed)

    def descend(self, size: int, count: int, *, projected: bool, rates, bound: float, adam=None):
        """Take up to ``count`` steps of descent in one compiled call, where :meth:`at_once` says so.

        For ``rates`` and ``adam`` see ``descend_drawn`` of :mod:`scbtheory.kernels`. Returns the steps that used
        samples, and the squared size after the last one; one beyond the bound is undone.
        """
        loops = self.task.backend.kernels
        options = {"projected": projected, "rates": rates, "bound": bound, "adam": adam}
        within = AT_ONCE // (size * self.task.context_length) if self.packed else self._rows // size
        count = self.steps_at_once(size, min(count, max(1, within)))
        step, first = self._place(size)
        if self.packed:
            streams = [Stream.of(self.seed, step, purpose) for purpose in PACKED]
            found = loops.descend_packed(self.task, self.theta, size, count, streams, first, **options)
        else:
            batch = self._take(step, first, size * count)
            found = loops.descend_drawn(self.task, self.theta, batch, size, **options)
        A, V, done, last = found
        self.theta, self.samples = Parameters(A, V), self.samples + done * size
        return done, last

    def steps_at_once(self, batch_size: int, at_most: int) -> int:
        """How many of the next ``at_most`` steps of a compiled loop the stream holds in one piece."""
        offset = self._place(batch_size)[1]
        return max(1, min(at_most, (self._capacity - offset) // batch_size))

    def _draw(self, batch_size):
        """Yield the next samples in parts that fit the memory; a step of the stream holds 2**40 tokens."""
        rows = min(batch_size, max(1, MEMORY // self.task.sample_bytes))
        for first in range(0, batch_size, rows):
            size = min(rows, batch_size - first)
            yield self._take(*self._place(size), size)
            self.samples += size

    @property
    def _capacity(self) -> int:
        """How many samples a step of the stream holds."""
        return 2**STEP_BITS // self.task.context_length

    def _place(self, size) -> tuple[int, int]:
        """Return the step, and the place in it, of the next ``size`` samples, which do not straddle two steps."""
        step, offset = divmod(self.samples, self._capacity)
        if offset + size > self._capacity:
            step, offset = step + 1, 0
            self.samples = step * self._capacity
        return step, offset

    def _take(self, step, first, size) -> Batch:
        """Samples ``first`` to ``first + size`` of a step; few of them are cut from larger blocks, drawn once."""
        if size > self._rows:
            return self.task.sample(size, seed=self.seed, step=step, first=first)
        parts = []
        for i in range(first // self._rows, (first + size - 1) // self._rows + 1):
            start, block = i * self._rows, self._block(step, i)
            rows = slice(max(first - start, 0), min(first + size - start, len(block)))
            parts.append((block.tokens[rows, :], block.trigger[rows], block.output[rows], block.position[rows]))
        whole = parts[0] if len(parts) == 1 else (self.xp.concat(pair) for pair in zip(*parts, strict=True))
        return Batch._of(self.task.vocab_size, *whole)

    @cached_property
    def _rows(self) -> int:
        """How many samples a block has, at most."""
        return max(1, min(AHEAD // self.task.sample_bytes, self._capacity))

    def _block(self, step, i) -> Batch:
        if (step, i) not in self._drawn:
            while len(self._drawn) > 1:  # a batch is cut from two blocks at most
                del self._drawn[next(iter(self._drawn))]
            first = i * self._rows
            options = {"seed": self.seed, "step": step, "first": first}
            draw = self.task.sample if self.draws is None else self.draws.sample
            self._drawn[step, i] = draw(min(self._rows, self._capacity - first), **options)
        return self._drawn[step, i]

    def _observe(self, batch):
        r"""Count the tokens, update :math:`\mu`, and move V by a multiple of :math:`1^\top`, to :math:`V\mu=\mu`."""
        xp, backend, dtype = self.xp, self.task.backend, self.task.backend.dtype
        ones = xp.ones(self.size, dtype=dtype, device=backend.device)
        seen = xp.sum(backend.kernels.histogram(backend, batch.tokens, batch.trigger, ones), axis=0)
        self.counts = self.counts + xp.astype(xp.round(seen), xp.int64)
        self.mu = xp.astype(self.counts, dtype) / xp.astype(xp.sum(self.counts), dtype)
        V = self.theta.V
        self.theta = replace(self.theta, V=V + (self.mu - V @ self.mu)[:, None])


def noise_level(xp, values):
    """A robust standard deviation of each column: 1.4826 times the median absolute deviation, (N,).

    For columns in which most entries are noise: what stands out does not move it.

    Parameters
    ----------
    xp : the array namespace.
    values : (T, N).

    Returns
    -------
    array
        (N,), in the units of ``values``, not negative.
    """
    centred = values - column_medians(xp, values)[None, :]
    return NORMAL_MAD * column_medians(xp, xp.abs(centred))


def deviation(xp, A):
    """Attention minus its mean, column by column.

    Parameters
    ----------
    xp : the array namespace.
    A : (T, N).

    Returns
    -------
    array
        (T, N); columns sum to 0.
    """
    return A - xp.mean(A, axis=0, keepdims=True)


def soft_threshold(xp, values, level):
    r"""The proximal map of :math:`h\|\cdot\|_1`: move each entry towards 0 by ``level`` (N,), and stop there.

    Parameters
    ----------
    xp : the array namespace.
    values : (T, N).
    level : (N,), :math:`h` of each column, not negative.

    Returns
    -------
    array
        (T, N); 0 wherever an entry was at most its column's level.
    """
    shrunk = xp.abs(values) - level[None, :]
    return xp.sign(values) * xp.where(shrunk > 0, shrunk, xp.zeros_like(shrunk))
