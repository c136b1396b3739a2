r"""The Sparse Contextual Bigram: its law, its validation, its exact sampler (claims M1 and M3).

A sample: :math:`x_1,\dots,x_T` i.i.d. from :math:`\mu`; a trigger :math:`k` from :math:`\mu`,
independent; a position :math:`t` from :math:`q^{(k)}`; the output from column :math:`x_t` of :math:`P`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from scbtheory import memory
from scbtheory.backend import NAMES, Backend, get_backend, same
from scbtheory.checks import below, count
from scbtheory.errors import InvalidArgument, InvalidTask, NotADistribution, ReducibleChain, ShapeMismatch
from scbtheory.kernels import choose, packing
from scbtheory.kernels.stream import STEP_BITS, Stream

__all__ = ["OUTPUTS", "POSITIONS", "SCB", "TOKENS", "TRIGGERS", "Batch", "distribution_function"]

TOLERANCE = 1e-9  # how far a column of P or Q may sum from 1 before it is an error
TOKENS, TRIGGERS, POSITIONS, OUTPUTS = range(4)  # the purposes that random streams serve


@dataclass(frozen=True, eq=False)
class Batch:
    """B samples of the task, on the task's backend.

    Parameters
    ----------
    tokens : (B, T) smallest unsigned integers that hold N.
    trigger, output : (B,) the last token, which chooses the column of attention; the next token, to be predicted.
    position : (B,) the position that the output was copied from; latent, a learner never sees it.

    Attributes
    ----------
    drawn : N of the task that drew them, on NumPy into arrays that cannot be written to: for a task of as many tokens
        their numbers need no check of their range. 0 for a batch made by hand, and for a changed or pickled copy.
    """

    tokens: Any
    trigger: Any
    output: Any
    position: Any

    drawn: int = field(default=0, init=False, repr=False)

    @classmethod
    def _of(cls, vocab_size, *arrays) -> Batch:
        """A batch whose numbers are in range by construction, and stay there."""
        batch = cls(*map(_kept, arrays))
        object.__setattr__(batch, "drawn", vocab_size)
        return batch

    def __reduce__(self):
        return Batch, (self.tokens, self.trigger, self.output, self.position)  # a copy's arrays can be written to

    def __len__(self) -> int:
        return self.trigger.shape[0]

    def __eq__(self, other) -> bool:
        names = ("tokens", "trigger", "output", "position")
        return isinstance(other, Batch) and all(same(getattr(self, n), getattr(other, n)) for n in names)

    __hash__ = None  # type: ignore[assignment]  # equality looks at the arrays


class SCB:
    r"""A Sparse Contextual Bigram task :math:`(P, Q)` with its stationary distribution :math:`\mu`.

    Parameters
    ----------
    P : (N, N) columns are distributions, ``P[n, m]`` = Pr(next = n | copied token = m).
    Q : (T, N) column ``k`` is the distribution over positions that trigger ``k`` chooses.
    backend : ``"numpy"``, ``"cupy"`` or a :class:`~scbtheory.backend.Backend`.
    dtype : ``"float64"`` or ``"float32"``; by default the backend's own, float64 for a name.

    Raises
    ------
    InvalidTask : ``P`` is not square, or ``P`` or ``Q`` is not a matrix of real numbers.
    ShapeMismatch : ``Q`` does not have one column for each token.
    NotADistribution : a column has a negative or non-finite entry, or does not sum to 1.
    ReducibleChain : ``P`` has no unique positive stationary distribution.
    """

    def __init__(self, P, Q, *, backend="numpy", dtype=None):
        self.backend: Backend = get_backend(backend, dtype)
        host_P, host_Q = _matrix("P", P), _matrix("Q", Q)
        (N, columns), shape = host_P[0].shape, host_Q[0].shape
        if columns != N:
            raise InvalidTask(f"P has shape {(N, columns)}; it must be square, one row and column a token")
        if shape[1] != N:
            raise ShapeMismatch(f"Q has shape {shape}; expected (T, {N}): one column for each token of P")
        host_P, host_Q = _columns("P", host_P), _columns("Q", host_Q)
        self._host_mu = _stationary(host_P)
        # A task's law cannot be edited: on NumPy the arrays below are these, or rounded to its precision.
        self._host_P, self._host_Q, self._host_mu = (_kept(x) for x in (host_P, host_Q, self._host_mu))
        self.P, self.Q, self.mu = (_kept(self.backend.asarray(x)) for x in (host_P, host_Q, self._host_mu))

    @classmethod
    def random(cls, vocab_size: int, context_length: int, sparsity: int, *, seed: int = 0, **options) -> SCB:
        r"""Draw a well-conditioned task, the same for the same arguments.

        :math:`P` is half a random cycle through all tokens, half Dirichlet(1) columns: irreducible, with
        no rare token and :math:`K_P` near ¼. A column of :math:`Q` has ``sparsity`` positions, uniformly
        chosen, with weights 0.6 uniform and 0.4 Dirichlet(1), so that none is below ``0.6 / sparsity``.
        """
        N, T, s = (
            count(name, value)
            for name, value in (
                ("vocab_size", vocab_size), ("context_length", context_length), ("sparsity", sparsity)
            )
        )  # fmt: skip
        if N < 2:
            raise InvalidArgument(f"vocab_size is {N}; with fewer than two tokens there is nothing to learn")
        if s > T:
            raise InvalidArgument(f"sparsity is {s}, context_length is {T}; sparsity must be at most the length")
        rng = np.random.Generator(np.random.Philox(below("seed", seed, 2**64)))
        cycle = rng.permutation(N)
        P = 0.5 * rng.dirichlet(np.ones(N), size=N).T
        P[np.roll(cycle, -1), cycle] += 0.5
        Q = np.zeros((T, N))
        for k in range(N):
            Q[rng.choice(T, size=s, replace=False), k] = 0.6 / s + 0.4 * rng.dirichlet(np.ones(s))
        return cls(P / P.sum(axis=0), Q / Q.sum(axis=0), **options)

    @property
    def vocab_size(self) -> int:
        return self._host_P.shape[0]

    @property
    def context_length(self) -> int:
        return self._host_Q.shape[0]

    @cached_property
    def sparsity(self) -> int:
        """The largest number of positions that one trigger can choose."""
        return int((self._host_Q > 0).sum(axis=0).max())

    @cached_property
    def K_P(self) -> float:
        r""":math:`K_P = \|P\|_\mu^2 - \|\mu\|^2`: how much the output depends on the copied token."""
        return float(((self._host_P - self._host_mu[:, None]) ** 2).sum(axis=0) @ self._host_mu)

    @cached_property
    def K_Q(self) -> float:
        r""":math:`K_Q = \|Q\|_\mu^2 - 1/T`: how far attention is from uniform."""
        return float(((self._host_Q - 1 / self.context_length) ** 2).sum(axis=0) @ self._host_mu)

    @cached_property
    def C(self):
        r""":math:`C = \mathrm{diag}(\mu) - \mu\mu^\top`, the covariance of a one-hot token, (N, N)."""
        return _kept(self.backend.asarray(np.diag(self._host_mu) - np.outer(self._host_mu, self._host_mu)))

    @cached_property
    def token_dtype(self):
        """The smallest unsigned integer type that holds a token."""
        xp = self.backend.xp
        return next(
            t for t, top in ((xp.uint8, 2**8), (xp.uint16, 2**16), (xp.uint32, 2**32)) if self.vocab_size <= top
        )

    @cached_property
    def sample_bytes(self) -> int:
        """The memory that one sample's tokens take."""
        return self.context_length * self.backend.xp.iinfo(self.token_dtype).bits // 8

    def inner(self, M, R) -> float:
        r""":math:`\langle M, R\rangle_\mu = \sum_k \mu_k \langle M_k, R_k\rangle` over columns."""
        return float(self.backend.xp.sum(self.backend.xp.sum(M * R, axis=0) * self.mu))

    def on(self, backend=None, dtype=None) -> SCB:
        """Return the same task on another backend, or on its own backend at another precision."""
        return SCB(self._host_P, self._host_Q, backend=backend or self.backend, dtype=dtype)

    def sample(self, batch_size: int, *, seed: int, step: int = 0, first: int = 0) -> Batch:
        """Draw ``batch_size`` independent samples, exactly (claim M1).

        ``seed`` names a run and ``step`` a batch of it: batches of one seed never share random bits.
        The tokens depend on ``(seed, step)`` alone, not on backend, precision or threads. ``first``
        skips samples, so that a batch can be drawn in parts: the same samples as drawn at once.

        Raises
        ------
        InvalidArgument : a number is out of range, or the tokens do not fit the available memory.
        """
        B, T = count("batch_size", batch_size), self.context_length
        seed, step, first = self._place(B, seed, step, first)
        memory.check_batch(self, B)
        stream = Stream.of(seed, step, TOKENS)
        tokens = self.backend.kernels.draw(
            self.backend, stream, (B, T), self._trigger_cdf, self.token_dtype, first=first * T
        )
        trigger, position = self._latent(B, seed, step, first)
        row = self.backend.xp.arange(B, dtype=self.backend.xp.int64, device=self.backend.device)
        copied = self.backend.xp.take(self.backend.xp.reshape(tokens, (-1,)), row * T + position)
        return self._batch(tokens, trigger, position, copied, seed, step, first)

    def sample_at(self, positions, batch_size: int, *, seed: int, step: int = 0, first: int = 0) -> Batch:
        """Draw the samples of :meth:`sample`, but of their tokens only those at some positions of each trigger.

        The cost does not depend on T: a token is computed from its number alone.

        Parameters
        ----------
        positions : (m, N) integers from 0 to T - 1, on the host; of a sample with trigger k, column k is seen.
        batch_size, seed, step, first : as in :meth:`sample`.

        Returns
        -------
        Batch
            ``tokens`` has shape (B, m); all else is that of :meth:`sample`.

        Raises
        ------
        InvalidArgument : a number is out of range, or there is no position.
        """
        B, T, N, xp = count("batch_size", batch_size), self.context_length, self.vocab_size, self.backend.xp
        seed, step, first = self._place(B, seed, step, first)
        places = np.asarray(positions)
        if places.ndim != 2 or places.shape[1] != N or places.shape[0] == 0 or places.dtype.kind not in "iu":
            raise InvalidArgument(
                f"positions has shape {places.shape} and type {places.dtype}; expected integers, (m, {N}) with m > 0"
            )
        if places.min() < 0 or places.max() >= T:
            raise InvalidArgument(f"positions are from {places.min()} to {places.max()}; expected 0 to {T - 1}")
        trigger, position = self._latent(B, seed, step, first)
        start = (first + np.arange(B)) * T
        seen = np.column_stack([places.T[trigger] + start[:, None], self.backend.to_numpy(position) + start])
        drawn = self.backend.kernels.draw_at(
            self.backend, Stream.of(seed, step, TOKENS), self.backend.asarray(seen.astype(np.uint64), xp.uint64),
            self._trigger_cdf, self.token_dtype,
        )  # fmt: skip
        return self._batch(drawn[:, :-1], trigger, position, drawn[:, -1], seed, step, first)

    def _place(self, batch_size, seed, step, first):
        """Refuse what is no place in a stream of samples."""
        room = 2**STEP_BITS // self.context_length  # a step owns 2**STEP_BITS tokens
        below("batch_size", batch_size, room + 1)
        return (
            below("seed", seed, 2**64),
            below("step", step, 2 ** (64 - STEP_BITS)),
            below("first", first, room - batch_size + 1),
        )

    def _latent(self, batch_size, seed, step, first):
        """The triggers, on the host, and the copied positions of some samples."""
        index = np.arange(first, first + batch_size, dtype=np.uint64)
        zeros = np.zeros(batch_size, dtype=np.int64)
        trigger = choose(Stream.of(seed, step, TRIGGERS), index, self._trigger_cdf[None, :], zeros)
        position = choose(Stream.of(seed, step, POSITIONS), index, self._position_cdfs, trigger)
        return trigger, self.backend.asarray(position, self.backend.xp.int64)

    def _batch(self, tokens, trigger, position, copied, seed, step, first) -> Batch:
        """The samples with these tokens; their outputs follow from the copied ones."""
        index = np.arange(first, first + len(trigger), dtype=np.uint64)
        copied = self.backend.to_numpy(copied).astype(np.int64)
        output = choose(Stream.of(seed, step, OUTPUTS), index, self._output_cdfs, copied)
        dtype = self.token_dtype
        trigger, output = self.backend.asarray(trigger, dtype), self.backend.asarray(output, dtype)
        return Batch._of(self.vocab_size, tokens, trigger, output, position)

    @cached_property
    def _trigger_cdf(self):
        return distribution_function(self._host_mu)

    @cached_property
    def _code_cdf(self):
        """The distribution function of as many tokens as a byte holds (see :mod:`scbtheory.kernels.packing`)."""
        return distribution_function(packing.law(self._host_mu, packing.width(self.vocab_size)))

    @cached_property
    def _position_cdfs(self):
        return _kept(np.stack([distribution_function(column) for column in self._host_Q.T]))

    @cached_property
    def _output_cdfs(self):
        return _kept(np.stack([distribution_function(column) for column in self._host_P.T]))

    def __reduce__(self):
        dtype = str(self.backend.dtype).rpartition(".")[2].rstrip("'>")
        if not self.backend.known:
            raise TypeError(f"a task on backend {self.backend.name!r} cannot be copied; known are {', '.join(NAMES)}")
        return _again, (self._host_P, self._host_Q, self.backend.name, dtype)

    def __repr__(self) -> str:
        return (
            f"SCB(vocab_size={self.vocab_size}, context_length={self.context_length}, sparsity={self.sparsity}, "
            f"K_P={self.K_P:.4g}, K_Q={self.K_Q:.4g}, backend={self.backend.name!r})"
        )


def _again(P, Q, backend, dtype) -> SCB:
    """Make a task that was pickled or copied."""
    return SCB(P, Q, backend=backend, dtype=dtype)


def _matrix(name, values) -> tuple[np.ndarray, float]:
    """The matrix in float64, and how far from 1 its columns may sum."""
    try:
        if isinstance(values, np.ma.MaskedArray):
            raise TypeError("it is a masked array, and what its mask hides has no value; fill it first")
        matrix = np.asarray(values)
        if matrix.dtype == object and hasattr(values, "toarray"):
            raise TypeError("it is sparse; pass its toarray()")
        if matrix.dtype.kind in "cSU":  # NumPy would drop imaginary parts and parse strings
            raise TypeError(f"its entries are {matrix.dtype}")
        precision = np.finfo(matrix.dtype).eps if matrix.dtype.kind == "f" else 0.0
        matrix = matrix.astype(np.float64)  # a copy: the task owns its matrices
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidTask(f"{name} is not a matrix of real numbers: {error}") from error
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise InvalidTask(f"{name} has shape {matrix.shape}; expected a matrix with at least one row and column")
    return matrix, max(TOLERANCE, 4 * len(matrix) ** 0.5 * precision)


def _columns(name, given):
    """Columns that are distributions to float64; refuse the first entry or column that none can have.

    Numbers of a lower precision may miss the sum by as much as they are rounded.
    """
    matrix, tolerance = given
    bad = np.argwhere(~np.isfinite(matrix) | (matrix < 0))
    if len(bad):
        i, j = (int(x) for x in bad[0])
        raise NotADistribution(
            f"{name}[{i}, {j}] is {matrix[i, j]:g}; entries of {name} must be finite and not negative"
        )
    sums = matrix.sum(axis=0)
    worst = int(np.argmax(np.abs(sums - 1)))
    if abs(sums[worst] - 1) > tolerance:
        rows = bool(np.all(np.abs(matrix.sum(axis=1) - 1) <= tolerance))
        raise NotADistribution(
            f"{name}[:, {worst}] sums to {sums[worst]:.10g}, off by {sums[worst] - 1:+.3g}; "
            f"columns of {name} must be distributions" + f"; its rows are: pass {name}.T" * rows
        )
    # Rounding of the sum itself is left as it is, so that a task made from a task's own matrices is that task.
    return matrix / sums if abs(sums[worst] - 1) > len(matrix) * np.finfo(float).eps else matrix


def _stationary(P) -> np.ndarray:
    """Return the unique positive solution of ``P mu = mu``; it exists just when P is irreducible."""
    from scipy.sparse.csgraph import connected_components  # loads what few sessions need

    parts, label = connected_components(P.T > 0, directed=True, connection="strong")
    if parts > 1:
        groups = [np.flatnonzero(label == c).tolist() for c in range(parts)]
        raise ReducibleChain(
            f"P is reducible: its tokens fall into {parts} classes {groups} that do not all reach each other, "
            "so no unique positive stationary distribution exists"
        )
    N, mu = len(P), _by_elimination(P)
    if not mu.min() > N * np.finfo(float).eps:
        raise ReducibleChain(
            "P is reducible to double precision: its stationary distribution has entries below "
            f"{N * np.finfo(float).eps:.1g}"
        )
    return mu


def _by_elimination(P) -> np.ndarray:
    """Grassmann, Taksar and Heyman's elimination: no subtraction, so no digit is lost however rare a transition is."""
    flow, N = P.T.copy(), len(P)  # of i to j; the diagonal is never read
    for n in range(N - 1, 0, -1):
        flow[:n, n] /= flow[n, :n].sum()
        flow[:n, :n] += np.outer(flow[:n, n], flow[n, :n])
    mu = np.ones(N)
    for n in range(1, N):
        mu[n] = mu[:n] @ flow[:n, n]
    return mu / mu.sum()


def distribution_function(probabilities) -> np.ndarray:
    """Cumulative sums, exactly 1 from the last possible outcome on, so that u < 1 never overshoots.

    Parameters
    ----------
    probabilities : (n,) not negative, of sum 1 to rounding; not checked.

    Returns
    -------
    ndarray
        (n,), rising to 1; read-only.
    """
    cdf = np.minimum(np.cumsum(probabilities), 1.0)
    cdf[np.flatnonzero(probabilities)[-1] :] = 1.0
    return _kept(cdf)


def _kept(array):
    """The same array, for keeping: nobody who is given it can change it, where its library can forbid that."""
    if isinstance(array, np.ndarray):
        array.setflags(write=False)
    return array
