r"""Claims N1 and N2: the second moment of one sample's value gradient, and the noise scale.

Per-trigger statements are averaged over triggers outside. What they are evaluated on, ``Sums`` of numbers and
``Symbols``, serves N3 and N5 as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache, partial

import numpy as np
import sympy as sp

import scbtheory as scb
from scbtheory.claims._legacy import Claim, Control, Route, register
from scbtheory.derivations import noise, sums
from scbtheory.derivations import symbols as sym
from scbtheory.verification import routes
from scbtheory.verification.instances import Case, Numbers, World, exact, floating, gap, relative_gap, z_score

ON_PLANE = "V = μ1' + βP', A = 11'/T + αQ'"


@dataclass(frozen=True)
class Sums:
    """Numbers seen from one trigger and one position, with the sums and averages that the noise is made of."""

    numbers: Numbers
    alpha: object = None
    beta: object = None
    t: int = 0

    def __getattr__(self, name):
        return getattr(self.numbers, name)

    def seen_from(self, k, t=0):
        return replace(self, numbers=self.numbers.seen_from(k), t=t)

    def p(self, i, j):
        return (self.a**i * self.q**j).sum()

    def h(self, j):
        return (self.q**j).sum()

    T = property(lambda self: type(self.mu[0, 0])(self.numbers.T))  # a fraction among fractions
    a_t = property(lambda self: self.a[self.t, 0])
    q_t = property(lambda self: self.q[self.t, 0])
    K_P = property(lambda self: self.tr(self.P @ self.D @ self.P.T) - self.dot(self.mu, self.mu))
    Q_norm = property(lambda self: ((self.Q**2) @ self.mu).sum())

    def one_token(self, function):
        return sum(self.mu[n, 0] * function(self.I_N[:, [n]] - self.mu) for n in range(self.N))

    def diag(self, vector):
        return self.I_N * vector

    def average(self, statement, index=0):
        return sum(self.mu[k, 0] * statement(self.seen_from(k))[index] for k in range(self.N))


class Symbols:
    """The same names as symbols; K_P stays one symbol until an equation is rid of fractions."""

    def __init__(self, V=sym.V):
        self.V, self.alpha, self.beta = V, noise.alpha, noise.beta
        self.a_t, self.q_t, self.p, self.K_P = sums.a_t, sums.q_t, sums.p, noise.K_P
        self.Q_norm = sp.Symbol("h_2", positive=True)  # as if it were the same for every trigger

    def __getattr__(self, name):
        return getattr(sym, name)

    def h(self, j):
        return sums.p(0, j) if j < 2 else sp.Symbol(f"h_{j}", positive=True)

    def one_token(self, function):
        return sums.one_token(function(sums.y))

    def diag(self, vector):
        if vector != sym.P * sums.y:
            raise ValueError(f"only diag(Py) has a symbol, not diag({vector})")
        return sums.SPREAD


K_P_IN_FULL = sums.number(sym.tr(sym.P * sym.D * sym.P.T) - sym.tr(sym.mu.T * sym.mu))


def terms(expr) -> int:
    """How many terms of a normal form are left."""
    rest = sp.expand(expr)
    return 0 if rest == 0 else len(sp.Add.make_args(rest))


def on_plane(numbers: Numbers, alpha, beta) -> Sums:
    """Put A and V on the plane of R."""
    mean = numbers.mu @ numbers.one_N.T
    A = alpha * (numbers.Q - numbers.one_T @ numbers.one_N.T / numbers.T) + numbers.one_T @ numbers.one_N.T / numbers.T
    return Sums(replace(numbers, A=A, V=mean + beta * (numbers.P - mean)), alpha, beta)


# --- N1: the value gradient ----------------------------------------------------------------------


def value_norm(s, X, output, centred=True):
    r"""One sample's :math:`\|\hat G_V\|_\mu^2`, by its definition."""
    z = X @ s.a
    r = s.V @ z - output
    gradient = r @ (z - s.mu if centred else z).T @ s.W
    return s.tr(gradient @ s.D @ gradient.T)


def second_moment_statement(s, V=None, p=None, fourth=True, cross="aq", pairings=2, rank=lambda s: s.tr(s.W @ s.C)):
    """Given the trigger: centred, then without centring. ``V`` and ``p`` replace the matrix and the power sums."""
    V, p = (s.V if V is None else V), p or s.p

    def F(M, power, pairs):
        g = s.tr(M @ s.C) * rank(s) + pairings * s.tr(M @ s.C @ s.W @ s.C)
        kurtosis = s.one_token(lambda y: s.tr(y.T @ M @ y) * s.tr(y.T @ s.W @ y))
        return power * ((kurtosis if fourth else g) - g) + pairs * g

    M, S = V.T @ s.P, V.T @ V
    flat = 1 - s.tr(s.mu.T @ s.mu)
    skew = s.one_token(lambda y: s.tr(s.mu.T @ s.P @ y) * s.tr(y.T @ s.W @ y))
    pairs = p(2, 0) * (p(1, 1) if cross == "aq" else p(2, 0))
    centred = flat * p(2, 0) * rank(s) - 2 * p(2, 1) * skew
    centred = centred + F(S, p(4, 0), p(2, 0) ** 2) - 2 * F(M, p(3, 1), pairs)
    residual = flat + p(2, 0) * s.tr(S @ s.C) - 2 * p(1, 1) * s.tr(M @ s.C)
    return centred, centred + residual


@cache
def _derived_second_moments():
    """The second moment, centred and not, and how many of the facts about cumulants that it rests on fail."""
    unproven = sum(sums.cumulant_of_sums(x) != sums.stated_cumulant(x) for x in ("aa", "aq", "aaq", "aaaa", "aaaq"))
    unproven += sum(not sums.moment_of_sums(n) for n in (2, 3, 4))
    return noise.value_second_moment(), noise.value_second_moment(centred=False), unproven


def _second_moment_symbolic(statement):
    centred, plain = statement(Symbols())
    derived, derived_plain, unproven = _derived_second_moments()
    return terms(sums.number(centred) - derived) + terms(sums.number(plain) - derived_plain) + unproven


@cache
def _enumerated_norms():
    """For each world and trigger: the mean of the squared norm, centred and not."""
    return [
        [
            [w.mean_given(k, partial(value_norm, w.numbers.seen_from(k), centred=c)) for c in (True, False)]
            for k in range(w.numbers.N)
        ]
        for w in routes.worlds(admissible=True)
    ]


def _second_moment_exact(statement):
    return max(
        gap(found[k], statement(Sums(w.numbers).seen_from(k)))
        for w, found in zip(routes.worlds(admissible=True), _enumerated_norms(), strict=True)
        for k in range(w.numbers.N)
    )


def _second_moment_numeric(statement):
    instance = routes.medium(admissible=True)
    s = Sums(instance.numbers)
    worst = 0.0
    for index, centred in enumerate((True, False)):
        moment = partial(scb.noise.value_gradient_second_moment, instance.task, instance.theta, centred=centred)
        stated = [statement(s.seen_from(k))[index] for k in range(s.N)]
        worst = max(worst, relative_gap(moment(by_trigger=True), stated))
        worst = max(worst, relative_gap(moment(), s.average(statement, index)))
    return worst


def sampled_norms(task, theta, batch, centred=True):
    r"""Each sample's :math:`\|\hat G_V\|_\mu^2` by index, (B,): no array larger than the tokens."""
    z = task.backend.kernels.histogram(task.backend, batch.tokens, batch.trigger, theta.A)
    r = z @ theta.V.T - np.eye(task.vocab_size)[batch.output]
    return (r**2).sum(axis=1) * ((z - task.mu if centred else z) ** 2 / task.mu).sum(axis=1)


@cache
def _sampled_norms():
    instance, batches = routes.sampled(admissible=True)
    return instance, [
        [sampled_norms(instance.task, instance.theta, b, c).mean() for c in (True, False)] for b in batches
    ]


def _second_moment_sampled(statement):
    instance, found = _sampled_norms()
    s = Sums(instance.numbers)
    return z_score(found, [s.average(statement, index) for index in (0, 1)])


register(
    Claim(
        "N1",
        "The second moment of the value gradient",
        r"E[\|\hat G_V\|_\mu^2 \mid k] = (1-\|\mu\|^2)\, p_{20}\,\mathrm{tr}(WC)"
        r" - 2p_{21} E_y[(\mu^\top Py)(y^\top Wy)] + F(V^\top V, p_{40}, p_{20}^2)"
        r" - 2F(V^\top P, p_{31}, p_{20}p_{11}),\quad F(M, p, \pi) = p\,(E_y[(y^\top My)(y^\top Wy)] - g) + \pi g,"
        r"\quad g = \mathrm{tr}(MC)\,\mathrm{tr}(WC) + 2\,\mathrm{tr}(MCWC)",
        routes.ON_SET,
        second_moment_statement,
        (
            Route(
                "symbolic",
                f"{routes.ALL_SIZES}: sums over positions by their cumulants; averages over one token stay open",
                _second_moment_symbolic,
            ),
            Route("exact", routes.ENUMERATED, _second_moment_exact, unit="difference"),
            routes.numeric("the package's second moment at N = 7, T = 60", _second_moment_numeric),
            routes.monte_carlo("squared norms of single samples", _second_moment_sampled),
        ),
        (
            Control("the fourth cumulant dropped: ζ taken as Gaussian", partial(second_moment_statement, fourth=False)),
            Control("one of the three pairings forgotten", partial(second_moment_statement, pairings=1)),
            Control("⟨a,a⟩ for ⟨a,q⟩ in the cross term", partial(second_moment_statement, cross="aa")),
            Control("tr(WC) = N: tokens not centred", partial(second_moment_statement, rank=lambda s: s.N)),
        ),
    )
)

# --- N2: the noise scale -------------------------------------------------------------------------


def scale_statement(s, rank=lambda s: s.N - 1, uncentred=2, weight=True, flat=True):
    """At the start, centred and not; then in stage 2: the limit of the second moment given k, and the mean's square."""
    start = (1 - s.tr(s.mu.T @ s.mu) if flat else 1) / (s.K_P if weight else 1)
    mean = s.mu @ s.one_N.T
    limit, _ = second_moment_statement(
        s, mean + s.beta * (s.P - mean), lambda i, j: s.alpha**i * s.h(i + j), rank=lambda s: rank(s)
    )
    signal = s.alpha**2 * (1 - s.alpha * s.beta) ** 2 * s.Q_norm**2 * (s.K_P if weight else 1)
    return start * rank(s) * s.T, start * s.T**uncentred, limit, signal


@cache
def _derived_scale():
    """Leading terms: second moments at the start, the second moment on the plane, and <mean, P'> there."""
    flat = sym.mu * sym.one_N.T
    start = [noise.on_plane(noise.value_second_moment(flat, centred=c)).subs(noise.alpha, 0) for c in (True, False)]
    moving, along = noise.value_second_moment(noise.PLANE), noise.mean_along_change(noise.PLANE)
    moving, along = (noise.leading(noise.on_plane(e), 0) for e in (moving, along))
    return noise.leading(start[0], 1), noise.leading(start[1], 0), moving, along


def _scale_symbolic(statement):
    centred, plain, limit, signal = statement(Symbols())
    start, start_plain, moving, along = _derived_scale()
    # At the start the mean is -P'/T, so the scale times K_P is T² times the second moment, less K_P.
    left = terms(sums.number(sp.cancel(centred * noise.K_P / sym.T)) - start)
    left += terms(sums.number(sp.cancel(plain * noise.K_P / sym.T**2)) - start_plain)
    left += terms(sums.number(limit) - moving)
    return left + terms(sp.expand(signal.subs(noise.K_P, K_P_IN_FULL) * K_P_IN_FULL) - sp.expand(along**2))


LENGTHS = (2, 3, 4, 5, 6)
STAGE_2 = Fraction(3, 4), Fraction(2, 3)


@cache
def _growing(alpha, beta):
    """The same P and q at several T, on the plane: (bundle, centred and plain second moment, the mean's square)."""
    base, found = exact(2, 2, seed=3), []
    for T in LENGTHS:
        Q = np.concatenate([base.Q, np.full((T - 2, 2), Fraction(0))])
        s = on_plane(replace(base, Q=Q, A=Q, B=Q), alpha, beta)
        world, moments, mean = World(s.numbers), [Fraction(0)] * 2, 0
        for k in range(s.N):
            n = s.numbers.seen_from(k)
            for index, centred in enumerate((True, False)):
                moments[index] += n.mu_k * world.mean_given(k, partial(value_norm, n, centred=centred))
            residual = lambda X, output, n=n: (n.V @ X @ n.a - output) @ (X @ n.a - n.mu).T @ n.W  # noqa: E731
            mean = mean + n.mu_k * world.mean_given(k, residual)
        found.append((s, *moments, s.tr(mean @ s.D @ mean.T)))
    return found


def _at_infinity(values):
    """Extrapolate values at 1/T for T in LENGTHS to 1/T = 0, exactly for polynomials of degree below five."""
    x = [Fraction(1, T) for T in LENGTHS]
    total = Fraction(0)
    for i, value in enumerate(values):
        weight = Fraction(1)
        for j, other in enumerate(x):
            weight *= other / (other - x[i]) if j != i else 1
        total += weight * value
    return total


def _scale_exact(statement):
    start, moving = _growing(Fraction(0), Fraction(0)), _growing(*STAGE_2)
    signal = _at_infinity([s.T**2 * square for s, _, _, square in start])
    s = start[-1][0]
    centred, plain = statement(s)[:2]
    worst = gap(_at_infinity([s.T * m for s, m, _, _ in start]) / signal, centred / s.T)
    worst = max(worst, gap(_at_infinity([m for _, _, m, _ in start]) / signal, plain / s.T**2))
    s = moving[-1][0]
    worst = max(worst, gap(_at_infinity([m for _, m, _, _ in moving]), s.average(statement, 2)))
    return max(worst, gap(_at_infinity([square for *_, square in moving]), statement(s)[3]))


@cache
def long_task(T, alpha, beta):
    """A task of the package on the plane."""
    task = scb.SCB.random(3, T, 2, seed=4)
    theta = scb.noise.plane(task, alpha, beta)
    return Case(task, theta, Sums(floating(task, theta), alpha, beta))


def _stage_2_scale(s, statement):
    return s.average(statement, 2) / statement(s)[3] - 1


def _scale_numeric(statement):
    start, moving = long_task(10**5, 0.0, 0.0), long_task(10**5, 0.75, 2 / 3)
    found = [scb.noise.noise_scale(start.task, start.theta, centred=c) for c in (True, False)]
    stated = statement(start.numbers)[:2]
    return max(
        relative_gap(found[:1], stated[:1]),
        relative_gap(found[1:], stated[1:]),
        relative_gap(scb.noise.noise_scale(moving.task, moving.theta), _stage_2_scale(moving.numbers, statement)),
    )


@cache
def _scales_sampled():
    """Batch means of the noise scale at T = 4000: at the start, centred and not, and in stage 2."""
    found = []
    for alpha, beta, centred in ((0.0, 0.0, True), (0.0, 0.0, False), (0.75, 2 / 3, True)):
        instance = long_task(4000, alpha, beta)
        mean = scb.population.projected_gradient(instance.task, instance.theta).V
        signal = instance.task.inner(mean, mean)
        batches = (instance.task.sample(250, seed=41, step=i) for i in range(40))
        norms = [sampled_norms(instance.task, instance.theta, b, centred).mean() for b in batches]
        found.append((instance.numbers, [x / signal - 1 for x in norms]))
    return found


def _scale_sampled(statement):
    (s, centred), (_, plain), (later, moving) = _scales_sampled()
    stated = statement(s)
    return max(
        z_score(centred, stated[0]), z_score(plain, stated[1]), z_score(moving, _stage_2_scale(later, statement))
    )


register(
    Claim(
        "N2",
        "The noise scale: from T at the start to a constant in stage 2",
        r"B_{noise} \sim \frac{(1-\|\mu\|^2)(N-1)}{K_P}\,T \text{ centred},"
        r"\quad \frac{1-\|\mu\|^2}{K_P}\,T^2 \text{ not};"
        r"\qquad \lim_{T\to\infty} B_{noise} < \infty \text{ at fixed } \alpha \ne 0,\ \alpha\beta \ne 1",
        f"start V = μ1', A = 11'/T; stage 2 {ON_PLANE} with α, β and the entries of Q fixed as T grows, α(1 − αβ) ≠ 0",
        scale_statement,
        (
            Route("symbolic", f"{routes.ALL_SIZES}: leading term in 1/T of N1's exact expression", _scale_symbolic),
            Route(
                "exact",
                "enumerated at N = 2, T = 2 to 6; extrapolated in fractions, as polynomials in 1/T of degree 3",
                _scale_exact,
                unit="difference",
            ),
            Route(
                "numeric",
                "the package's noise scale at N = 3, T = 10⁵",
                _scale_numeric,
                limit=1e-4,
                margin=100.0,
                unit="relative difference",
            ),
            Route(
                "monte carlo",
                "squared norms of 10 000 single samples at N = 3, T = 4000",
                _scale_sampled,
                limit=4.0,
                unit="largest |z|",
            ),
        ),
        (
            Control("N for N − 1", partial(scale_statement, rank=lambda s: s.N)),
            Control("T for T² without centring", partial(scale_statement, uncentred=1)),
            Control("K_P dropped", partial(scale_statement, weight=False)),
            Control("‖μ‖² dropped: an output of length one", partial(scale_statement, flat=False)),
        ),
    )
)
