"""One training step, as users of five other tools would write it, and the same step of this package.

A peer is built from a :class:`Problem` and returns two functions: ``step(i)`` draws the i-th fresh
batch and computes both gradients; ``gradients(tokens, trigger, output)`` does the second half on
given NumPy arrays, so that all can be compared on the same tokens. All compute in float64. The table
samplers of the peers use 16 random bits a token, a bias of at most 2**-16; this package's is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

import scbtheory as scb
from scbtheory import streaming
from scbtheory.kernels import compiled, packed, packing, threads
from scbtheory.kernels.stream import GOLDEN

BITS = 16


@dataclass(frozen=True)
class Problem:
    """The task, its arrays and the parameters as NumPy arrays, and the batch size."""

    task: scb.SCB
    P: np.ndarray
    Q: np.ndarray
    mu: np.ndarray
    A: np.ndarray
    V: np.ndarray
    batch_size: int

    @classmethod
    def of(cls, vocab_size, context_length, batch_size):
        task = scb.SCB.random(vocab_size, context_length, sparsity=2, seed=0)
        theta = scb.Parameters.random(task, seed=1)
        return cls(task, task.P, task.Q, task.mu, theta.A, theta.V, batch_size)

    @property
    def shape(self):
        return self.batch_size, self.Q.shape[0]

    @property
    def support(self):
        """Positions (N, s) that a trigger can choose, and their probabilities (N, s)."""
        where = np.argsort(-self.Q.T, axis=1, kind="stable")[:, : self.task.sparsity]
        return where, np.take_along_axis(self.Q.T, where, axis=1)

    @property
    def table(self):
        """Token of each 16-bit code."""
        return np.searchsorted(np.cumsum(self.mu)[:-1] * 2**BITS, np.arange(2**BITS), side="right")


def scbtheory(problem):
    """This package: compiled loops on a counter-based stream; exact tokens, several in a byte where they fit."""
    return _ours(problem, packed=True)


def scbtheory_samples(problem):
    """This package, on the samples of ``task.sample``: a byte for each token."""
    return _ours(problem, packed=False)


def _ours(problem, packed):
    task, theta = problem.task, scb.Parameters(problem.A, problem.V)

    def gradients(tokens, trigger, output):
        g = scb.model.minibatch_gradient(task, theta, scb.Batch(tokens, trigger, output, position=None))
        return g.A, g.V

    return lambda i: streaming.gradient(task, theta, problem.batch_size, seed=0, step=i, packed=packed), gradients


def limit(problem):
    """No step at all: draw the random bits, store one byte for each token, read each byte once."""
    tokens = np.empty(problem.shape, dtype=np.uint8).reshape(-1)
    sums = np.zeros(-(-tokens.size // LIMIT_BLOCK), dtype=np.int64)

    def step(i):
        key = np.uint64(i)
        threads.share(lambda lo, hi: _touch(key, tokens, sums, lo, hi), len(sums), tokens.size)

    return step, None


LIMIT_BLOCK = 4096


@numba.njit(nogil=True)
def _touch(key, tokens, sums, start, stop):
    words = np.empty(LIMIT_BLOCK // 4, dtype=np.uint64)
    codes = words.view(np.uint16)
    at = key + np.uint64(start * words.size) * np.uint64(GOLDEN)
    for block in range(start, stop):
        for i in range(words.size):
            words[i] = compiled._mix(at)
            at += np.uint64(GOLDEN)
        own = tokens[block * LIMIT_BLOCK : (block + 1) * LIMIT_BLOCK]
        for i in range(own.size):
            own[i] = codes[i]
        total = 0
        for i in range(own.size):
            total += own[i]
        sums[block] = total


def limit_looked_up(problem):
    """No step either: draw the bits of one code, as many tokens as a byte holds; look each up once and add it once."""
    B, T = problem.shape
    rows = -(-B // packing.width(len(problem.mu)))
    tables, totals = np.random.default_rng(0).random((rows, 256)), np.empty((packed.PARTS, T))

    def step(i):
        key = np.uint64(i)
        threads.share(lambda lo, hi: _look_up_and_add(key, tables, totals, lo, hi), len(totals), rows * T)

    return step, None


@numba.njit(nogil=True)
def _look_up_and_add(key, tables, totals, start, stop):
    rows, (parts, T) = len(tables), totals.shape
    words = np.empty(LIMIT_BLOCK // 4, dtype=np.uint64)
    codes = words.view(np.uint16)
    for part in range(start, stop):
        totals[part] = 0
        for row in range(rows * part // parts, rows * (part + 1) // parts):
            table = tables[row]
            for lo in range(0, T, LIMIT_BLOCK):
                own = totals[part, lo : lo + LIMIT_BLOCK]
                at = key + np.uint64((row * T + lo) // 4) * np.uint64(GOLDEN)
                for i in range((len(own) + 3) // 4):
                    words[i] = compiled._mix(at)
                    at += np.uint64(GOLDEN)
                for t in range(len(own)):
                    own[t] += table[codes[t] & np.uint16(255)]


def torch_one_hot(problem):
    """PyTorch: one-hot contexts, ``multinomial``, automatic differentiation."""
    import torch

    A, V = (_tensor(torch, x).requires_grad_() for x in (problem.A.copy(order="C"), problem.V))
    (B, T), N, mu = problem.shape, len(problem.mu), _tensor(torch, problem.mu)
    rest = _torch_rest(torch, problem)

    def gradients(tokens, trigger, output):
        X = torch.nn.functional.one_hot(tokens, N).to(A.dtype)
        z = torch.einsum("btn,bt->bn", X, A[:, trigger].T)
        residual = z @ V.T - torch.nn.functional.one_hot(output, N)
        return torch.autograd.grad((residual**2).sum() / (2 * len(trigger)), (A, V))

    def step(i):
        torch.manual_seed(i)
        tokens = torch.multinomial(mu, B * T, replacement=True).view(B, T)
        return gradients(tokens, *rest(tokens))

    return step, _torch_half(torch, gradients)


def torch_gather(problem):
    """PyTorch: table sampler, ``scatter_add``, ``gather``, ``index_add``; gradients by hand."""
    import torch

    A, V = _tensor(torch, problem.A), _tensor(torch, problem.V)  # A's columns are contiguous, as ours
    (B, T), N, table = problem.shape, len(problem.mu), _tensor(torch, problem.table)
    rest = _torch_rest(torch, problem)

    def gradients(tokens, trigger, output):
        z = torch.zeros(len(trigger), N, dtype=A.dtype).scatter_add_(1, tokens, A.T[trigger])
        residual = z @ V.T - torch.nn.functional.one_hot(output, N)
        residual /= len(trigger)
        grad_A = torch.zeros(N, T, dtype=A.dtype).index_add_(0, trigger, (residual @ V).gather(1, tokens))
        return grad_A.T, residual.T @ z

    def step(i):
        torch.manual_seed(i)
        tokens = table[torch.randint(2**BITS, (B, T))]
        with torch.no_grad():
            return gradients(tokens, *rest(tokens))

    return step, _torch_half(torch, gradients)


def _tensor(torch, values):
    """A copy where PyTorch makes its tensors: in a GPU's memory, if a worker has said so."""
    return torch.as_tensor(np.array(values), device=torch.get_default_device())


def _torch_half(torch, gradients):
    """The function of NumPy arrays that is compared with this package."""

    def half(*batch):
        return [g.cpu().numpy() for g in gradients(*(_tensor(torch, x.astype(np.int64)) for x in batch))]

    return half


def _torch_rest(torch, problem):
    """Return the function that draws triggers and outputs for given tokens."""
    P, mu, where, weight = (_tensor(torch, x) for x in (problem.P, problem.mu, *problem.support))

    def rest(tokens):
        trigger = torch.multinomial(mu, len(tokens), replacement=True)
        position = where[trigger].gather(1, torch.multinomial(weight[trigger], 1))
        return trigger, torch.multinomial(P.T[tokens.gather(1, position)[:, 0]], 1)[:, 0]

    return rest


def jax_one_hot(problem):
    """JAX: one-hot contexts, ``choice``, automatic differentiation, all in one ``jit``."""
    jax, jnp = _jax()
    N = len(problem.mu)

    def loss(theta, tokens, trigger, output):
        A, V = theta
        X = jax.nn.one_hot(tokens, N, dtype=A.dtype)
        z = jnp.einsum("btn,bt->bn", X, A[:, trigger].T)
        return jnp.sum((z @ V.T - jax.nn.one_hot(output, N)) ** 2) / (2 * len(trigger))

    def draw(key, mu):
        return jax.random.choice(key, N, problem.shape, p=mu)

    return _jax_peer(problem, jax, jnp, draw, jax.grad(loss))


def jax_segment_sum(problem):
    """JAX: table sampler, ``segment_sum``, ``take_along_axis``; gradients by hand, all in one ``jit``."""
    jax, jnp = _jax()
    N = len(problem.mu)
    table = jnp.asarray(problem.table, dtype=jnp.int32)

    def gradients(theta, tokens, trigger, output):
        (A, V), B = theta, len(trigger)
        bins = tokens + N * jnp.arange(B, dtype=jnp.int32)[:, None]
        z = jax.ops.segment_sum(A.T[trigger].ravel(), bins.ravel(), B * N).reshape(B, N)
        residual = (z @ V.T - jax.nn.one_hot(output, N)) / B
        per_token = jnp.take_along_axis(residual @ V, tokens, axis=1)
        return jax.ops.segment_sum(per_token, trigger, N).T, residual.T @ z

    def draw(key, mu):
        return table[jax.random.bits(key, problem.shape, jnp.uint16)]

    return _jax_peer(problem, jax, jnp, draw, gradients)


def _jax():
    import jax

    jax.config.update("jax_enable_x64", True)
    return jax, jax.numpy


def _jax_peer(problem, jax, jnp, draw, gradients):
    mu, A, V = (jnp.asarray(x) for x in (problem.mu, problem.A, problem.V))
    where, weight = (jnp.asarray(x) for x in problem.support)
    cumulative_P, cumulative_Q = jnp.cumsum(jnp.asarray(problem.P), axis=0).T, jnp.cumsum(weight, axis=1)

    @jax.jit
    def whole(i, theta):
        keys = jax.random.split(jax.random.key(i), 4)
        tokens = draw(keys[0], mu)
        trigger = jax.random.choice(keys[1], len(mu), (problem.batch_size,), p=mu)
        chosen = _jax_invert(jax, jnp, keys[2], cumulative_Q[trigger])[:, None]
        position = jnp.take_along_axis(where[trigger], chosen, axis=1)
        copied = jnp.take_along_axis(tokens, position, axis=1)[:, 0]
        return gradients(theta, tokens, trigger, _jax_invert(jax, jnp, keys[3], cumulative_P[copied]))

    half = jax.jit(gradients)
    return (
        lambda i: jax.block_until_ready(whole(i, (A, V))),
        lambda *batch: [np.asarray(g) for g in half((A, V), *(jnp.asarray(x, dtype=jnp.int32) for x in batch))],
    )


def _jax_invert(jax, jnp, key, cumulative):
    u = jax.random.uniform(key, (len(cumulative),)) * cumulative[:, -1]
    return jax.vmap(lambda row, x: jnp.searchsorted(row, x, side="right"))(cumulative, u)


def numpy_loop(problem):
    """NumPy: table sampler, a loop over triggers with ``bincount`` and ``take``; gradients by hand."""
    mu, A, V, (where, weight) = problem.mu, problem.A, problem.V, problem.support
    (B, T), N = problem.shape, len(mu)
    table = problem.table.astype(np.uint8)
    columns = np.ascontiguousarray(A.T)
    cumulative_P, cumulative_Q = np.cumsum(problem.P, axis=0).T, np.cumsum(weight, axis=1)

    def gradients(tokens, trigger, output):
        z, grad_A = np.empty((len(trigger), N)), np.zeros((N, T))
        for b, k in enumerate(trigger):
            z[b] = np.bincount(tokens[b], weights=columns[k], minlength=N)
        residual = z @ V.T
        residual[np.arange(len(trigger)), output] -= 1
        residual /= len(trigger)
        for row, own, k in zip(residual @ V, tokens, trigger, strict=True):
            grad_A[k] += row.take(own)
        return grad_A.T, residual.T @ z

    def step(i):
        rng = np.random.default_rng(i)
        tokens = table[np.frombuffer(rng.bytes(2 * B * T), dtype=np.uint16).reshape(B, T)]
        trigger = np.searchsorted(np.cumsum(mu)[:-1], rng.random(B), side="right")
        output = np.empty(B, dtype=np.int64)
        for b, (k, u, v) in enumerate(zip(trigger, rng.random(B), rng.random(B), strict=True)):
            t = where[k, np.searchsorted(cumulative_Q[k, :-1], u, side="right")]
            output[b] = np.searchsorted(cumulative_P[tokens[b, t], :-1], v, side="right")
        return gradients(tokens, trigger, output)

    return step, gradients


PEERS = (
    scbtheory, scbtheory_samples, limit, limit_looked_up, torch_one_hot, torch_gather, jax_one_hot, jax_segment_sum,
    numpy_loop,
)  # fmt: skip
