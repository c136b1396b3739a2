r"""Maximum likelihood on the supports: the counts that suffice, EM, and Fisher scoring under the constraints (L5)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scbtheory.checks import reals
from scbtheory.errors import InvalidArgument, MixedBackends, ShapeMismatch
from scbtheory.limits._fisher import Model, Row
from scbtheory.limits._moments import frequencies_of
from scbtheory.model import Parameters

EM_STEPS = 30  # enough to come near; scoring does the rest
SCORING_STEPS = 100
FLOOR = 1e-10  # EM stays this far inside, where scoring can begin
CLOSE = 1e-10  # squared Newton decrement, in units of the statistical error, at which scoring ends


@dataclass(frozen=True, eq=False)
class Counts:
    r"""How often each (trigger, copied tokens, output) was seen: all that samples tell once the supports are known.

    Cell :math:`(k, c, n)` has the code :math:`(kN^s + \sum_j c_jN^{s-j})N + n`; a trigger with fewer positions than
    s = ``width`` leaves the last digits 0.

    Parameters
    ----------
    supports : a tuple with the positions of each trigger, (s_k,) integers each.
    context_length : T.
    cells, count : (M,) the codes seen, in increasing order, and how often.
    """

    supports: tuple[np.ndarray, ...]
    context_length: int
    cells: np.ndarray
    count: np.ndarray

    @classmethod
    def empty(cls, on) -> Counts:
        """No samples yet; ``on`` (T, N) says, as booleans on the host, where each trigger's support is.

        Raises
        ------
        InvalidArgument : ``on`` is not (T, N), or a trigger has no position, or so many that a cell's code does not
            fit 63 bits.
        """
        on = np.asarray(on, dtype=bool)
        if on.ndim != 2 or not on.shape[1]:
            raise InvalidArgument(f"on has shape {on.shape}; expected (T, N)")
        N, supports = on.shape[1], tuple(np.flatnonzero(column) for column in on.T)
        sizes = [len(support) for support in supports]
        if min(sizes) < 1:
            raise InvalidArgument(f"trigger {sizes.index(0)} has no position in its support; expected at least one")
        if (max(sizes) + 2) * np.log2(N) >= 63:
            raise InvalidArgument(
                f"a support has {max(sizes)} positions of {N} tokens each; expected N^(s + 2) below 2^63: round first"
            )
        nothing = np.zeros(0, dtype=np.int64)
        return cls(supports, on.shape[0], nothing, nothing)

    def __eq__(self, other) -> bool:
        if not isinstance(other, Counts) or self.context_length != other.context_length:
            return False
        own, others = ((*counts.supports, counts.cells, counts.count) for counts in (self, other))
        return len(own) == len(others) and all(map(np.array_equal, own, others))

    __hash__ = None  # type: ignore[assignment]  # equality looks at the arrays

    @property
    def vocab_size(self) -> int:
        return len(self.supports)

    @property
    def width(self) -> int:
        """The largest support's size."""
        return max(map(len, self.supports))

    @property
    def total(self) -> int:
        """The number of samples."""
        return int(self.count.sum())

    def add(self, tokens, trigger, output) -> Counts:
        """Count more samples: host arrays ``tokens`` (B, T), ``trigger`` (B,) and ``output`` (B,).

        Raises
        ------
        ShapeMismatch : the arrays have other shapes.
        InvalidArgument : a trigger, an output or a token on the support of its trigger is no whole number from 0 to
            N - 1.
        """
        tokens, trigger, output = map(np.asarray, (tokens, trigger, output))
        expected = (len(tokens), self.context_length), tokens.shape[:1], tokens.shape[:1]
        if (tokens.shape, trigger.shape, output.shape) != expected:
            raise ShapeMismatch(
                f"tokens have shape {tokens.shape}, trigger {trigger.shape} and output {output.shape}; "
                f"expected (B, {self.context_length}), (B,) and (B,)"
            )
        positions = np.stack([np.pad(p, (0, self.width - len(p)), mode="edge") for p in self.supports])
        trigger, output = self._in_range("trigger", trigger), self._in_range("output", output)
        copied = np.take_along_axis(tokens, positions[trigger], axis=1)
        return self.add_at(self._in_range("tokens", copied), trigger, output)

    def _in_range(self, name, values):
        """Tokens as int64, or refuse what are none: their cell would be another's."""
        low, high = (values.min(), values.max()) if values.size else (0, 0)
        if values.dtype.kind not in "iu" or low < 0 or high >= self.vocab_size:
            raise InvalidArgument(
                f"{name} has the type {values.dtype} and entries from {low} to {high}; "
                f"expected whole numbers from 0 to {self.vocab_size - 1}"
            )
        return values.astype(np.int64)

    def add_at(self, copied, trigger, output) -> Counts:
        """Count more samples by their tokens on the support of their trigger alone: (B, width), any in empty places."""
        code = self.code(trigger, copied * self._real[trigger], output)
        return self.merged(code, np.ones(len(trigger), dtype=np.int64))

    def merged(self, cells, count) -> Counts:
        """The same with ``count`` more of the cells whose codes are given."""
        codes, place = np.unique(np.concatenate([self.cells, cells]), return_inverse=True)
        total = np.bincount(place, np.concatenate([self.count, count]), minlength=len(codes))
        return replace(self, cells=codes, count=np.rint(total).astype(np.int64))

    def code(self, trigger, copied, output):
        """The codes of cells; ``copied`` is (M, width)."""
        N, code = self.vocab_size, trigger
        for column in copied.T:
            code = code * N + column
        return code * N + output

    def decoded(self):
        """``(trigger, copied, output)`` of the cells seen: (M,), (M, width), (M,)."""
        N, rest = self.vocab_size, self.cells
        rest, output = np.divmod(rest, N)
        columns = []
        for _ in range(self.width):
            rest, column = np.divmod(rest, N)
            columns.append(column)
        return rest, np.stack(columns[::-1], axis=1), output

    @property
    def _real(self):
        """Which of the ``width`` digits are positions of a trigger's support, (N, width)."""
        return np.arange(self.width) < np.array([len(p) for p in self.supports])[:, None]


def maximum_likelihood(counts: Counts, mu=None, start: Parameters | None = None) -> Parameters:
    r"""L5: maximise :math:`\sum_{k,c,n} n_{kcn}\log\sum_j a_j^{(k)}V_{nc_j}` over distributions A and V.

    EM from ``start``, :math:`a_j \propto \sum n_{kcn}\rho_j`, :math:`V_{nm} \propto \sum_{c_j=m} n_{kcn}\rho_j` with
    :math:`\rho_j = a_jV_{nc_j}/\sum_i a_iV_{nc_i}`; then Fisher scoring with a step that stays inside and never lowers
    the likelihood. With ``mu`` also :math:`V\mu=\mu` (a start by Sinkhorn's scaling). A trigger that was never seen
    keeps its start, and so does a column of V whose token was never copied.

    Parameters
    ----------
    counts : the samples, at least one.
    mu : (N,) the known frequencies, on the host, or ``None``.
    start : host arrays; by default uniform attention on the supports and :math:`V = \frac12(I + 11^\top/N)`.

    Returns
    -------
    Parameters
        Host arrays, A (T, N), 0 off the supports, and V (N, N); their columns are distributions.

    Raises
    ------
    InvalidArgument : there are no samples, ``mu`` are no frequencies, or ``start`` are no finite Parameters.
    ShapeMismatch : ``mu`` or ``start`` do not fit the counts.
    MixedBackends : ``start`` holds other arrays than NumPy's.
    """
    N, T = counts.vocab_size, counts.context_length
    fit = _Fit.of(counts, mu)
    q, V = fit.initial(start)
    for _ in range(EM_STEPS):
        q, V = fit.em(q, V)
    if mu is not None:
        V = _sinkhorn(V, np.asarray(mu, dtype=float))
    q, V = fit.scoring(q, V)
    A = np.zeros((N, T)).T
    for k, positions in enumerate(counts.supports):
        A[positions, k] = q[k, : len(positions)]
    return Parameters(A, V)


def estimated_error(counts: Counts, theta: Parameters, mu=None):
    r"""The Cramér–Rao errors at an estimate, for the samples counted: what a learner can know of its own error.

    Parameters
    ----------
    counts : the samples, at least one.
    theta : host arrays, as :func:`maximum_likelihood` returns them; every output has a chance above 0.
    mu : (N,) the known frequencies, on the host, or ``None``: V is then free of :math:`V\mu = \mu`.

    Returns
    -------
    Errors
        Already divided by n; triggers and tokens are weighed by the frequencies seen, or ``mu``.

    Raises
    ------
    InvalidArgument : there are no samples, ``mu`` are no frequencies, ``theta`` are no finite Parameters, or an output
        has no chance above 0 there.
    ShapeMismatch : ``mu`` or ``theta`` do not fit the counts.
    MixedBackends : ``theta`` holds other arrays than NumPy's.
    """
    fit = _Fit.of(counts, mu)
    fit.fits("theta", theta)
    q = np.zeros((counts.vocab_size, counts.width))
    for k, positions in enumerate(counts.supports):
        q[k, : len(positions)] = theta.A[positions, k]
    model, U = fit.model(q, np.asarray(theta.V, dtype=float)), fit.tangent
    least = min((model.law(row.trigger, row.copied).min() for row in fit.rows if len(row.copied)), default=1.0)
    if not least > 0:
        raise InvalidArgument(f"theta gives an output the chance {least:g}; expected chances above 0 of every output")
    information = U.T @ model.information(fit.rows) @ U
    scale = np.sqrt(np.maximum(np.diag(information), np.finfo(float).tiny))
    normal = np.linalg.pinv(information / np.outer(scale, scale), hermitian=True) / np.outer(scale, scale)
    return model.errors(U @ normal @ U.T)


def _sinkhorn(V, mu, sweeps=2000):
    r"""The nearest scaling of :math:`V\,\mathrm{diag}\,\mu` with both margins :math:`\mu`, divided by them again."""
    joint = np.maximum(V, FLOOR) * mu
    for _ in range(sweeps):
        joint *= (mu / joint.sum(axis=1))[:, None]
        joint *= mu / joint.sum(axis=0)
        if np.abs(joint.sum(axis=1) - mu).max() < 1e-15:
            break
    return joint / mu


@dataclass
class _Fit:
    """Cells as flat arrays, and what EM and scoring make of them."""

    counts: Counts
    trigger: Any
    copied: Any
    output: Any
    mu: Any
    frequencies: Any
    rows: list[Row]
    tangent: Any

    @classmethod
    def of(cls, counts, mu):
        if counts.total == 0:
            raise InvalidArgument("counts are empty; expected at least one sample")
        if mu is not None and np.shape(mu) != (counts.vocab_size,):
            raise ShapeMismatch(f"mu has shape {np.shape(mu)}; expected {(counts.vocab_size,)}")
        mu = None if mu is None else frequencies_of(mu, counts.vocab_size)
        trigger, copied, output = counts.decoded()
        N, weight = counts.vocab_size, counts.count.astype(float)
        frequencies = np.bincount(trigger, weight, minlength=N) / counts.total
        rows, sizes = [], [len(p) for p in counts.supports]
        _, first, place = np.unique(counts.cells // N, return_index=True, return_inverse=True)
        seen = np.bincount(place, weight)
        for k in range(N):
            mine = first[trigger[first] == k]
            rows.append(Row(k, copied[mine, : sizes[k]], seen[trigger[first] == k]))
        fit = cls(counts, trigger, copied, output, mu, frequencies, rows, None)
        flat = fit.model(counts._real / counts._real.sum(axis=1, keepdims=True), np.full((N, N), 1 / N))
        fit.tangent = flat.tangent("unknown" if mu is None else "known")
        return fit

    def model(self, q, V) -> Model:
        mu = self.frequencies if self.mu is None else np.asarray(self.mu, dtype=float)
        return Model(V, mu, tuple(q[k, : len(p)] for k, p in enumerate(self.counts.supports)))

    def fits(self, name, theta):
        """Refuse what are no parameters on the host, of the counts' shapes."""
        if not isinstance(theta, Parameters):
            raise InvalidArgument(f"{name} is of type {type(theta).__name__}; expected Parameters of NumPy's arrays")
        for part, array in theta.arrays().items():
            if not isinstance(array, np.ndarray):
                kind = f"{type(array).__module__}.{type(array).__name__}"
                raise MixedBackends(f"{name}.{part} is a {kind}; expected an array of NumPy, on the host")
        N, T = self.counts.vocab_size, self.counts.context_length
        if theta.A.shape != (T, N) or theta.V.shape != (N, N):
            raise ShapeMismatch(
                f"{name} has shapes {theta.A.shape} and {theta.V.shape}; expected {(T, N)} and {(N, N)}"
            )
        for part, array in theta.arrays().items():
            reals(f"{name}.{part}", array)

    def initial(self, start):
        N, real = self.counts.vocab_size, self.counts._real
        q, V = real / real.sum(axis=1, keepdims=True), (np.eye(N) + 1 / N) / 2
        if start is not None:
            self.fits("start", start)
            for k, positions in enumerate(self.counts.supports):
                q[k, : len(positions)] = start.A[positions, k]
            V = np.array(start.V, dtype=float)
        q, V = np.where(real, np.maximum(q, 1e-3), 0), np.maximum(V, 1e-3)  # EM never leaves an edge again
        return q / q.sum(axis=1, keepdims=True), V / V.sum(axis=0)

    def shares(self, q, V):
        """``a_j V[n, c_j]`` for every cell and position, (M, s)."""
        return q[self.trigger] * V[self.output[:, None], self.copied]

    def log_likelihood(self, q, V) -> float:
        return float(self.counts.count @ np.log(self.shares(q, V).sum(axis=1)))

    def em(self, q, V):
        N = self.counts.vocab_size
        shares = self.shares(q, V)
        mass = shares * (self.counts.count / shares.sum(axis=1))[:, None]
        new_q = np.stack([np.bincount(self.trigger, column, minlength=N) for column in mass.T], axis=1)
        codes = self.output[:, None] * N + self.copied
        new_V = np.bincount(codes.ravel(), mass.ravel(), minlength=N * N).reshape(N, N)
        seen, copied = new_q.sum(axis=1, keepdims=True) > 0, new_V.sum(axis=0) > 0
        new_q = np.where(seen, np.where(self.counts._real, np.maximum(new_q, FLOOR * self.counts.total), 0), q)
        new_V = np.where(copied, np.maximum(new_V, FLOOR * self.counts.total), V)
        return new_q / new_q.sum(axis=1, keepdims=True), new_V / new_V.sum(axis=0)

    def score(self, model, q, V):
        """The gradient of the log-likelihood in all parameters, in the order of :class:`Model`."""
        N = self.counts.vocab_size
        ratio = self.counts.count / self.shares(q, V).sum(axis=1)
        along = ratio[:, None] * V[self.output[:, None], self.copied]
        into_q = np.stack([np.bincount(self.trigger, column, minlength=N) for column in along.T], axis=1)
        codes = self.output[:, None] * N + self.copied
        into_V = np.bincount(codes.ravel(), (ratio[:, None] * q[self.trigger]).ravel(), minlength=N * N)
        return np.concatenate([*(into_q[k, : len(w)] for k, w in enumerate(model.weights)), into_V])

    def scoring(self, q, V):
        U, height = self.tangent, self.log_likelihood(q, V)
        for _ in range(SCORING_STEPS):
            model = self.model(q, V)
            slope = U.T @ self.score(model, q, V)
            information = U.T @ model.information(self.rows) @ U
            scale = np.sqrt(np.maximum(np.diag(information), np.finfo(float).tiny))
            move = np.linalg.lstsq(information / np.outer(scale, scale), slope / scale, rcond=1e-12)[0] / scale
            if slope @ move <= CLOSE:
                break
            step, moved = self._advance(model, q, V, U @ move, height)
            if step == 0:
                break
            q, V, height = moved
        return q, V

    def _advance(self, model, q, V, direction, height):
        """The longest of halved steps that stays inside and does not lower the likelihood."""
        flat = np.concatenate([*model.weights, V.ravel()])
        down = direction < 0
        room = np.min(flat[down] / -direction[down]) if down.any() else np.inf
        step = min(1.0, 0.95 * room)
        for _ in range(40):
            new = flat + step * direction
            new_q = q.copy()
            for k, support in enumerate(self.counts.supports):
                new_q[k, : len(support)] = new[model.offsets[k] : model.offsets[k + 1]]
            new_V = new[model.offsets[-1] :].reshape(V.shape)
            reached = self.log_likelihood(new_q, new_V)
            if reached >= height:
                return step, (new_q, new_V, reached)
            step /= 2
        return 0, None
