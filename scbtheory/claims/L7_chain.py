r"""L7. Tokens that are a chain: what survives, and which statement fails first."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from itertools import pairwise, product
from types import SimpleNamespace

import numpy as np
import sympy as sp

import scbtheory as scb
from scbtheory.claims._tasks import task_on_two
from scbtheory.derivations import chain as derivation
from scbtheory.verification import quantities, routes
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import worse, z_score
from scbtheory.verification.profiles import sized

STICKINESS = 0.5
BATCHES, SIZE = 60, 2000


def statement(s):
    r"""Correlation at a distance, the three diagonals of its inverse, and the factors in both gradients.

    ``s.seen`` applies :math:`\Lambda` to a column.
    """
    r = s.rate
    at = r**s.distance
    inverse = (1 + r**2) / (1 - r**2), -r / (1 - r**2), 1 / (1 - r**2)
    attention = s.squared * s.seen(s.a) - s.crossed * s.seen(s.q)
    return at, inverse, attention, (s.dot(s.a, s.seen(s.a)), -s.dot(s.a, s.seen(s.q)))


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    T = 4
    a, q = (sp.Matrix(sp.symbols(f"{name}_1:{T}")) for name in "aq")
    a, q = (x.col_join(sp.Matrix([1 - sum(x)])) for x in (a, q))
    squared, crossed = sp.symbols("squared crossed")
    chained = sp.Matrix(T, T, lambda t, u: derivation.rate ** abs(t - u))
    s = SimpleNamespace(
        rate=derivation.rate, distance=derivation.distance, a=a, q=q, squared=squared, crossed=crossed,
        seen=lambda x: chained * x, dot=lambda x, y: (x.T * y)[0, 0],
    )  # fmt: skip
    at, inverse, attention, value = statement(s)
    found, factors = derivation.gradients(a, q, squared, crossed)
    attention = attention - sp.ones(T, 1) * (sum(attention) / T)
    left = {
        "correlation": [sp.simplify(at - derivation.correlation())],
        "inverse": [x - y for x, y in zip(derivation.three_diagonals(*inverse), (1, 0, 1, 0), strict=True)],
        "attention's gradient": [sp.expand(x) for x in attention - found],
        "value's gradient": [sp.expand(x - y) for x, y in zip(value, factors, strict=True)],
    }
    return {f"terms of {name}": sum(x != 0 for x in terms) for name, terms in left.items()}


def bundle(numbers, rate):
    """A trigger's numbers with the chain's."""
    T = numbers.T
    chained = np.array([[rate ** abs(t - u) for u in range(T)] for t in range(T)])
    V, P, C = numbers.V, numbers.P, numbers.C
    return SimpleNamespace(
        rate=rate, distance=1, a=numbers.a, q=numbers.q, seen=lambda x: chained @ x, dot=numbers.dot,
        squared=numbers.tr(V.T @ V @ C), crossed=numbers.tr(V.T @ P @ C),
    )  # fmt: skip


def differences(numbers, rate, pairs, statement):
    r"""What ``statement`` leaves of the truth, seen from one trigger, in four arrays.

    ``pairs[t, u]`` is :math:`E x_tx_u^\top`, from which everything else is a sum.
    """
    n, s = numbers, bundle(numbers, rate)
    T, mean = n.T, n.mu @ n.mu.T
    moments = [n.P @ (sum(n.q[u, 0] * pairs[u, t] for u in range(T)) - mean) for t in range(T)]
    _, (own, neighbour, end), attention, (along, across) = statement(s)
    at = [statement(SimpleNamespace(**vars(s) | {"distance": d}))[0] for d in range(T)]
    weight = [sum(n.q[u, 0] * at[abs(t - u)] for u in range(T)) for t in range(T)]
    single = [
        (end if t in (0, T - 1) else own) * moments[t]
        + neighbour * sum(moments[u] for u in (t - 1, t + 1) if 0 <= u < T)
        for t in range(T)
    ]
    quadratic = [[n.tr(n.V.T @ n.V @ pairs[u, t]) for u in range(T)] for t in range(T)]
    linear = [[n.tr(n.V.T @ n.P @ pairs[u, t]) for u in range(T)] for t in range(T)]
    gradient = np.array(quadratic) @ n.a - np.array(linear) @ n.q
    G_V = sum((n.V * n.a[u, 0] - n.P * n.q[u, 0]) @ pairs[u, t] * n.a[t, 0] for t, u in product(range(T), repeat=2))
    return {
        "moments": [m - w * n.P @ n.C for m, w in zip(moments, weight, strict=True)],
        "moments less their neighbours'": [m - q * n.P @ n.C for m, q in zip(single, n.q[:, 0], strict=True)],
        "attention's gradient": [level(gradient) - level(attention)],
        "value's gradient": [G_V - (along * n.V + across * n.P) @ n.C],
    }


def level(column):
    """A column less its mean."""
    return column - column.sum() / len(column)


def by_enumeration(statement):
    """Every context of the chain, with its probability, in fractions."""
    rate, worst = Fraction(1, 3), {}
    for world in routes.worlds(True):
        n = world.numbers
        if n.N**n.T > 30:
            continue
        pairs = np.full((n.T, n.T), None)
        law = {x: chance(x, n.mu[:, 0], rate) for x, _ in world.contexts}
        for t, u in product(range(n.T), repeat=2):
            pairs[t, u] = np.array([
                [sum(p for x, p in law.items() if (x[t], x[u]) == (i, j)) for j in range(n.N)] for i in range(n.N)
            ])  # fmt: skip
        for k in range(n.N):
            for name, gaps in differences(n.seen_from(k), rate, pairs, statement).items():
                worst[name] = worse(worst.get(name, 0), *(abs(gap).max() for gap in gaps))
    return worst


def chance(x, mu, rate):
    """Of a context, by the chain's definition."""
    p = mu[x[0]]
    for before, after in pairwise(x):
        p *= (1 - rate) * mu[after] + (rate if before == after else 0)
    return p


def by_powers(statement):
    """The same from powers of the transition matrix, in floats."""
    n, T = routes.medium(True).numbers, 60
    R = STICKINESS * np.eye(n.N) + (1 - STICKINESS) * n.mu @ n.one_N.T
    ahead = [np.linalg.matrix_power(R, d) @ n.D for d in range(T)]
    pairs = np.full((T, T), None)
    for t, u in product(range(T), repeat=2):
        pairs[t, u] = ahead[t - u] if t >= u else ahead[u - t].T
    found = differences(n, STICKINESS, pairs, statement)
    return {name: worse(*(np.abs(gap).max() for gap in gaps)) for name, gaps in found.items()}


@cache
def sampled():
    """Weights read from moments and both gradients, of each batch; a start between none and all of the truth."""
    task = task_on_two(3, 30, 5, (0.7, 0.3))
    theta = scb.dynamics.lift(task, 0.3, 0.6)
    prime = task.P - task.mu[:, None]
    scale = np.sum((prime @ task.C) ** 2)
    weights, gradients = [], []
    for step in range(BATCHES):
        batch = scb.limits.chain_batch(task, SIZE, STICKINESS, seed=71, step=step)
        here = batch.trigger == 0
        y = np.eye(3)[batch.tokens[here]] - task.mu  # (n, T, N)
        out = np.eye(3)[batch.output[here]] - task.mu
        weights.append(np.einsum("bo,btn,on->t", out, y, prime @ task.C) / here.sum() / scale)
        gradients.append(scb.model.minibatch_gradient(task, theta, batch, projected=True))
    return task, theta, np.array(weights), gradients


def by_sampling(statement):
    task, theta, weights, gradients = sampled()
    T, worst = task.context_length, {}
    found = []
    for k in range(3):
        n = SimpleNamespace(
            T=T, V=theta.V, P=task.P, C=task.C, a=theta.A[:, [k]], q=task.Q[:, [k]],
            tr=np.trace, dot=lambda x, y: (x.T @ y)[0, 0],
        )  # fmt: skip
        s = bundle(n, STICKINESS)
        found.append((s, statement(s)))
    s, (_, (own, neighbour, end), _, _) = found[0]
    at = [statement(SimpleNamespace(**vars(s) | {"distance": d}))[0] for d in range(T)]
    stated = np.array([sum(at[abs(t - u)] * task.Q[u, 0] for u in range(T)) for t in range(T)])
    mine = np.full(T, own)
    mine[[0, -1]] = end
    single = weights * mine
    single[:, 1:] += neighbour * weights[:, :-1]
    single[:, :-1] += neighbour * weights[:, 1:]
    worst["|z| of moments"] = z_score(weights, stated)
    worst["|z| of moments less their neighbours'"] = z_score(single, task.Q[:, 0])
    # The package's projected gradient preconditions columns: attention's is of trigger k, the value's times D⁻¹.
    A = np.concatenate([level(parts[2]) for _, parts in found], axis=1)
    V = sum(
        task.mu[k] * (parts[3][0] * theta.V + parts[3][1] * task.P) @ task.C for k, (_, parts) in enumerate(found)
    ) @ np.diag(1 / task.mu)
    worst["|z| of attention's gradient"] = z_score(np.array([g.A for g in gradients]), A)
    worst["|z| of the value's gradient"] = z_score(np.array([g.V for g in gradients]), V)
    return worst


def searches(stickiness, runs, size):
    """How often L2's threshold finds exactly the supports: from tokens as they are, and less their neighbours."""
    task, right = task_on_two(3, 60, 5, (0.6, 0.4)), np.zeros(2, dtype=int)
    N, T, on = 3, 60, task.Q > 0
    white = (np.eye(N) - task.mu) / np.sqrt(task.mu)
    variance = np.full(T, (1 + stickiness**2) / (1 - stickiness**2))
    variance[[0, -1]] = 1 / (1 - stickiness**2)
    cut = scb.limits.detection_threshold(N=N, T=T, false_alarm=0.01)
    for run in range(runs):
        batch = scb.limits.chain_batch(task, size, stickiness, seed=83, step=run)
        y, out = white[batch.tokens], white[batch.output]
        for which in range(2):
            if which:
                y = np.swapaxes(scb.limits.decorrelate(np.swapaxes(y, 0, 1), stickiness), 0, 1)
                y /= np.sqrt(variance)[:, None]
            found = np.empty((T, N), dtype=bool)
            for k in range(N):
                here = batch.trigger == k
                mean = np.tensordot(out[here], y[here], axes=(0, 0)) / here.sum()  # (N, T, N)
                found[:, k] = here.sum() * (mean**2).sum(axis=(0, 2)) > cut
            right[which] += np.array_equal(found, on)
    return right


def measured():
    runs, size = sized(40, 400), 6000
    for stickiness in (0.0, 0.2, STICKINESS):
        for name, found in zip(("as they are", "less their neighbours"), searches(stickiness, runs, size), strict=True):
            yield quantities.frequency(
                f"exactly the supports found from {size} samples, stickiness {stickiness:g}, tokens {name}",
                int(found), runs, seeds=f"83, steps 0 to {runs - 1}",
            )  # fmt: skip


# --- controls ------------------------------------------------------------------------------------


def squared_rate(s):
    return s.rate ** (2 * s.distance), *statement(s)[1:]


def ends_everywhere(s):
    at, (_, neighbour, end), *rest = statement(s)
    return at, (end, neighbour, end), *rest


def as_independent(s):
    independent = statement(SimpleNamespace(**vars(s) | {"seen": lambda x: x}))
    return *statement(s)[:2], *independent[2:]


CLAIM = Claim(
    id="L7",
    title="Tokens that stick together: gradients keep their zero, the search by moments finds neighbours",
    text=r"""
Let the context be a stationary chain that repeats its last token with chance $\varsigma$ and draws from $\mu$
otherwise, and $\Lambda_{tu} = \varsigma^{|t-u|}$. Then, for $1^\top a^{(k)} = 1$ and $V\mu = \mu$,

$$
\begin{aligned}
&E\bigl[(x_o-\mu)(x_t-\mu)^\top \mid k\bigr] = (\Lambda q^{(k)})_t\, P'D, \\
&\nabla_{a^{(k)}} \simeq \mu_k \Lambda\bigl[\operatorname{tr}(V^\top\!VC)\,a^{(k)} -
\operatorname{tr}(V^\top\!PC)\,q^{(k)}\bigr], \\
&\nabla_V = \textstyle\sum_k\mu_k\bigl[a^{(k)\top}\!\Lambda a^{(k)}\,V - a^{(k)\top}\!\Lambda q^{(k)}\,P\bigr]C,
\end{aligned}
$$ (eq-chain)

up to a multiple of $1$ in the second line, and $\Lambda^{-1}$ has three diagonals:
$(\Lambda^{-1}m)_t = \frac{(1+\varsigma^2)m_t - \varsigma(m_{t-1}+m_{t+1})}{1-\varsigma^2}$, with $1$ for
$1+\varsigma^2$ at both ends.
""",
    assumptions=r"$0 \le \varsigma < 1$; the trigger is independent of the context; {eq}`eq-moment-mean`'s $\mu$ known",
    scope="Correlation and inverse for every $N$, $T$ and distance; gradients symbolic for every $N$ at $T = 4$.",
    nature="theorem",
    chapter="limits",
    rests_on=("L1", "G3", "G4"),
    statement=statement,
    quantities=measured,
    routes=(
        Route("symbolic", "correlation and inverse for every N and T; gradients for every N at T = 4", derived),
        Route("exact", "every context of a chain in fractions, (N, T) = 2×2, 2×3, 3×2, 2×4, ς = ⅓", by_enumeration),
        Route("numeric", "powers of the transition matrix, N = 7, T = 60, ς = ½", by_powers, 1e-12, margin=1e4),
        Route("monte carlo", f"{BATCHES} batches of {SIZE} samples, N = 3, T = 30, ς = ½", by_sampling, 4.5),
    ),
    controls=(
        Control("ς²ᵈ for ςᵈ", squared_rate),
        Control("neighbours taken off as at an end, everywhere", ends_everywhere),
        Control("gradients as for independent tokens", as_independent),
    ),
)
