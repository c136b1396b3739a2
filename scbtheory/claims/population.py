r"""Claims G1 to G5 and G7: moments, population loss, gradients and curvature.

Everything but G5 holds for arbitrary A and V. Per-trigger statements carry the weight :math:`\mu_k`
outside, as in :math:`\ell = \sum_k \mu_k \ell_k`.
"""

from __future__ import annotations

from functools import cache, partial

import autograd.numpy as anp
import numpy as np
from autograd import grad
from scipy.sparse.linalg import LinearOperator, eigsh

import scbtheory as scb
from scbtheory.claims.framework import Claim, Control, Route, register
from scbtheory.claims.instances import World, case, exact, gap, relative_gap, z_score
from scbtheory.derivations import gradients, moments
from scbtheory.derivations import symbols as sym
from scbtheory.derivations.algebra import normal

SIZES = ((2, 2), (2, 3), (3, 2), (2, 4), (3, 4))
ANY = "every task; every A and V"
ON_SET = "every task; A and V with 1'a = 1, 1'V = 1', Vμ = μ"
ALL_SIZES = "proof for every N and T"
ENUMERATED = "every context, trigger and output in fractions, (N, T) = " + ", ".join(f"{N}×{T}" for N, T in SIZES)


@cache
def worlds(admissible: bool = False) -> tuple[World, ...]:
    """Enumerated instances with arbitrary fractions for A and V, or ones on the constraint set."""
    return tuple(World(exact(N, T, seed=10 * N + T, admissible=admissible)) for N, T in SIZES)


@cache
def medium(admissible: bool = False):
    """A task too large to enumerate."""
    return case(7, 60, seed=5, admissible=admissible)


@cache
def sampled(admissible: bool = False, batches: int = 100, size: int = 2000):
    """A small task with ``batches`` independent batches of it."""
    instance = case(3, 6, seed=7, admissible=admissible)
    return instance, [instance.task.sample(size, seed=11, step=i) for i in range(batches)]


def enumeration(discrepancy, admissible=False) -> Route:
    """The exact route: the largest discrepancy over all enumerated worlds must be 0."""
    return Route(
        "exact", ENUMERATED, lambda statement: max(discrepancy(w, statement) for w in worlds(admissible)), unit="difference"
    )


def numeric(scope, discrepancy, limit=1e-10) -> Route:
    return Route("numeric", scope, discrepancy, limit=limit, margin=1e4, unit="relative difference")


def monte_carlo(scope, discrepancy) -> Route:
    return Route("monte carlo", scope + ", 200 000 samples at N = 3, T = 6", discrepancy, limit=5.0, unit="largest |z|")


def replaced(statement, index, wrong):
    """The statement with one of its quantities replaced."""

    def version(s):
        parts = list(statement(s))
        parts[index] = wrong(s)
        return tuple(parts)

    return version


# --- G1: moments ---------------------------------------------------------------------------------


def moments_statement(s, covariance="C", cross=True, flat=True):
    C = getattr(s, covariance)
    attended = s.dot(s.a, s.b) * C
    if cross:
        attended = attended + s.dot(s.one_T, s.a) * s.dot(s.one_T, s.b) * (s.mu @ s.mu.T)
    sandwich = s.tr(s.M @ C) * s.I_T
    return attended, sandwich + s.tr(s.mu.T @ s.M @ s.mu) * (s.one_T @ s.one_T.T if flat else s.I_T)


def _moments_symbolic(statement):
    attended, sandwich = statement(sym)
    return (not moments.same(moments.entries(attended, moments.i, moments.j), moments.attended())) + (
        not moments.same(moments.entries(sandwich, moments.t, moments.u), moments.sandwiched())
    )


def _moments_exact(world, statement):
    s = world.numbers
    attended = world.mean_over_contexts(lambda X: X @ s.a @ (X @ s.b).T)
    sandwich = world.mean_over_contexts(lambda X: X.T @ s.M @ X)
    stated = statement(s)
    return max(gap(attended, stated[0]), gap(sandwich, stated[1]))


def _moments_sampled(statement):
    instance, batches = sampled()
    task, s = instance.task, instance.numbers
    weigh = partial(task.backend.kernels.histogram, task.backend)
    za = [weigh(b.tokens, b.trigger * 0, s.A) for b in batches]
    zb = [weigh(b.tokens, b.trigger * 0, s.B) for b in batches]
    attended = [x.T @ y / len(x) for x, y in zip(za, zb, strict=True)]
    sandwich = []
    for batch in batches:
        pairs = s.M[batch.tokens[:, :, None].astype(int), batch.tokens[:, None, :].astype(int)]
        sandwich.append(pairs.mean(axis=0))
    stated = statement(s)
    return max(z_score(attended, stated[0]), z_score(sandwich, stated[1]))


register(
    Claim(
        "G1",
        "Second moments of one-hot contexts",
        r"E[Xa(Xb)^\top] = \langle a,b\rangle C + (1^\top a)(1^\top b)\,\mu\mu^\top,\qquad "
        r"E[X^\top M X] = \mathrm{tr}(MC)\, I_T + (\mu^\top M\mu)\, 11^\top",
        "tokens i.i.d. from μ; every a, b, M",
        moments_statement,
        (
            Route("symbolic", f"{ALL_SIZES}: sums over Kronecker deltas, entry by entry", _moments_symbolic),
            enumeration(_moments_exact),
            numeric(
                "the package's second_moment at N = 7, T = 60",
                lambda statement: relative_gap(
                    scb.population.second_moment(medium().task, medium().numbers.a[:, 0], medium().numbers.b[:, 0]),
                    statement(medium().numbers)[0],
                ),
            ),
            monte_carlo("the package's sampler", _moments_sampled),
        ),
        (
            Control("diag(μ) for C (tokens not centred)", partial(moments_statement, covariance="D")),
            Control(
                "C + μμᵀ as if one position held all the weight",
                lambda s: (s.dot(s.a, s.b) * (s.C + s.mu @ s.mu.T), moments_statement(s, flat=False)[1]),
            ),
            Control("independent tokens taken as uncorrelated with mean zero", partial(moments_statement, cross=False)),
        ),
    )
)

# --- G2: loss ------------------------------------------------------------------------------------


def M_aa(s):
    return s.dot(s.a, s.a) * s.C + s.dot(s.one_T, s.a) ** 2 * (s.mu @ s.mu.T)


def M_qa(s):
    return s.dot(s.q, s.a) * s.C + s.dot(s.one_T, s.a) * (s.mu @ s.mu.T)


def loss_statement(s, aa=M_aa, qa=M_qa, cross=2):
    return ((1 - cross * s.tr(s.V.T @ s.P @ qa(s)) + s.tr(s.V.T @ s.V @ aa(s))) / 2,)


def _loss_sampled(statement):
    instance, batches = sampled()
    losses = [scb.model.minibatch_loss(instance.task, instance.theta, batch) for batch in batches]
    return z_score(losses, instance.numbers.average(statement))


register(
    Claim(
        "G2",
        "The population loss",
        r"\ell = \tfrac12 \sum_k \mu_k\left[1 - 2\,\mathrm{tr}(V^\top P M_{qa}) + \mathrm{tr}(V^\top V M_{aa})\right]",
        ANY,
        loss_statement,
        (
            Route(
                "symbolic",
                f"{ALL_SIZES}: expectation of the sample loss, word by word",
                lambda statement: gradients.unexplained(gradients.SAMPLE_LOSS, statement(sym)[0]),
            ),
            enumeration(lambda w, statement: gap(w.loss(w.numbers.A, w.numbers.V), w.numbers.average(statement))),
            numeric(
                "the package's loss at N = 7, T = 60",
                lambda statement: relative_gap(
                    scb.population.loss(medium().task, medium().theta), medium().numbers.average(statement)
                ),
            ),
            monte_carlo("minibatch losses", _loss_sampled),
        ),
        (
            Control("the cross term counted once", partial(loss_statement, cross=1)),
            Control("(1'a)² dropped: attention taken to have mean-free output", partial(loss_statement, aa=lambda s: s.dot(s.a, s.a) * s.C)),
            Control("⟨a,a⟩ for ⟨q,a⟩ in the cross term", partial(loss_statement, qa=M_aa)),
            Control("diag(μ) for C", partial(loss_statement, aa=lambda s: s.dot(s.a, s.a) * s.D)),
        ),
    )
)

# --- G3 and G4: plain gradients ------------------------------------------------------------------


def value_statement(s, aa=M_aa, qa=M_qa):
    return (s.V @ aa(s) - s.P @ qa(s),)


def attention_statement(s, weight=True, top=True, target="q", C="C"):
    C = getattr(s, C)
    inner = s.tr(s.V.T @ s.V @ C) * s.a - s.tr(s.V.T @ s.P @ C) * getattr(s, target)
    if top:
        inner = inner + s.tr(s.mu.T @ s.V.T @ s.V @ s.mu) * s.dot(s.one_T, s.a) * s.one_T
    inner = inner - s.tr(s.mu.T @ s.V.T @ s.P @ s.mu) * s.one_T
    return (s.mu_k * inner if weight else inner,)


@cache
def autodiff(admissible: bool = False):
    """Gradients of G2's loss at N = 7, T = 60 by automatic differentiation: (in A, in V)."""
    s = medium(admissible).numbers
    mu, C = s.mu[:, 0], s.C

    def loss(A, V):
        p10, p11, p20 = anp.sum(A, axis=0), anp.sum(A * s.Q, axis=0), anp.sum(A * A, axis=0)
        fv, pv = V @ mu, s.P @ mu
        return 0.5 * anp.sum(
            mu * (1 - 2 * (p11 * anp.trace(V.T @ s.P @ C) + p10 * (fv @ pv)) + p20 * anp.trace(V.T @ V @ C) + p10**2 * (fv @ fv))
        )

    return grad(loss, 0)(s.A, s.V), grad(loss, 1)(s.A, s.V)


def _gradient_numeric(which, stated_of, package, truth, admissible=False):
    """Discrepancy of a stated gradient from automatic differentiation and from the package's function."""

    def discrepancy(statement):
        instance = medium(admissible)
        stated = stated_of(instance.numbers, statement)
        found = getattr(package(instance.task, instance.theta), which)
        return max(relative_gap(truth(), stated), relative_gap(found, stated))

    return discrepancy


def _gradient_sampled(which, stated_of, *, projected=False):
    def discrepancy(statement):
        instance, batches = sampled(projected)
        means = [
            getattr(scb.model.minibatch_gradient(instance.task, instance.theta, b, projected=projected), which) for b in batches
        ]
        return z_score(means, stated_of(instance.numbers, statement))

    return discrepancy


def _average(numbers, statement):
    return numbers.average(statement)


def _columns(numbers, statement):
    return numbers.columns(statement)


register(
    Claim(
        "G3",
        "Gradient in the value matrix",
        r"\nabla_V \ell = \sum_k \mu_k (V M_{aa} - P M_{qa})",
        ANY,
        value_statement,
        (
            Route(
                "symbolic",
                f"{ALL_SIZES}: SymPy's derivative of the sample loss, then its expectation",
                lambda statement: gradients.unexplained(gradients.SAMPLE_GRADIENT_V, statement(sym)[0]),
            ),
            enumeration(lambda w, statement: gap(w.gradient[1], w.numbers.average(statement))),
            numeric(
                "automatic differentiation of G2 and the package's gradient, N = 7, T = 60",
                _gradient_numeric("V", _average, scb.population.gradient, lambda: autodiff()[1]),
            ),
            monte_carlo("minibatch gradients", _gradient_sampled("V", _average)),
        ),
        (
            Control("⟨q,a⟩ and ⟨a,a⟩ exchanged", partial(value_statement, aa=M_qa, qa=M_aa)),
            Control("P and V exchanged", lambda s: (s.P @ M_aa(s) - s.V @ M_qa(s),)),
            Control("the factor 2 of the square kept", lambda s: (2 * value_statement(s)[0],)),
            Control("diag(μ) for C", partial(value_statement, aa=lambda s: s.dot(s.a, s.a) * s.D)),
        ),
    )
)

register(
    Claim(
        "G4",
        "Gradient in the attention",
        r"\nabla_{a^{(k)}} \ell = \mu_k\left[\mathrm{tr}(V^\top VC)\,a + \|V\mu\|^2 (1^\top a)\,1 "
        r"- \mathrm{tr}(V^\top PC)\,q - (\mu^\top V^\top P\mu)\,1\right]",
        ANY,
        attention_statement,
        (
            Route(
                "symbolic",
                f"{ALL_SIZES}: SymPy's derivative of the sample loss, then its expectation",
                lambda statement: gradients.unexplained(sym.mu_k * gradients.SAMPLE_GRADIENT_A, statement(sym)[0]),
            ),
            enumeration(lambda w, statement: gap(w.gradient[0], w.numbers.columns(statement))),
            numeric(
                "automatic differentiation of G2 and the package's gradient, N = 7, T = 60",
                _gradient_numeric("A", _columns, scb.population.gradient, lambda: autodiff()[0]),
            ),
            monte_carlo("minibatch gradients", _gradient_sampled("A", _columns)),
        ),
        (
            Control("the weight μ_k dropped", partial(attention_statement, weight=False)),
            Control("the constant-frequency term ‖Vμ‖² (1'a) 1 dropped", partial(attention_statement, top=False)),
            Control("diag(μ) for C", partial(attention_statement, C="D")),
            Control("attention pulled to itself, not to q", partial(attention_statement, target="a")),
        ),
    )
)

# --- G5: projected gradients ---------------------------------------------------------------------


def projected_statement(s, aa=None, centre=True, mean=True, flat=True):
    """G_V per trigger, G_a of the trigger."""
    aa = aa or (lambda s: s.dot(s.a, s.a))
    mu_1 = s.mu @ s.one_N.T
    mu_mu = s.tr(s.mu.T @ s.mu) if mean else 0
    uniform = s.one_T / s.T if flat else s.one_T
    value = aa(s) * (s.V - mu_1 if centre else s.V) - s.dot(s.q, s.a) * (s.P - mu_1)
    attention = (s.tr(s.V @ s.D @ s.V.T) - mu_mu) * (s.a - uniform) - (s.tr(s.V @ s.D @ s.P.T) - mu_mu) * (s.q - uniform)
    return value, attention


def _projected_symbolic(statement):
    rules, (value, attention) = sym.ALWAYS + sym.ADMISSIBLE, statement(sym)
    leaves = sum(
        len(normal(leak, rules)) for leak in (sym.one_N.T * value, value * sym.mu, sym.one_T.T * attention)
    )
    return (
        gradients.unexplained(gradients.projected_sample_V(), value, rules)
        + gradients.unexplained(gradients.projected_sample_A(), attention, rules)
        + leaves
    )


def _projected_exact(world, statement):
    s = world.numbers
    plain_A, plain_V = world.gradient
    value = plain_V @ s.W @ (s.I_N - s.mu @ s.one_N.T)
    attention = (plain_A - plain_A.sum(axis=0) / s.T) / s.mu[:, 0]
    stated_V, stated_A = s.average(statement), s.columns(statement, 1)
    leaves = max(gap(stated_A.sum(axis=0), 0), gap(stated_V.sum(axis=0), 0), gap(stated_V @ s.mu, 0))
    return max(gap(value, stated_V), gap(attention, stated_A), leaves)


def _projected_numeric(statement):
    instance = medium(True)
    s = instance.numbers
    plain_A, plain_V = autodiff(True)
    truth = plain_V @ s.W @ (s.I_N - s.mu @ s.one_N.T), (plain_A - plain_A.mean(axis=0)) / s.mu[:, 0]
    package = scb.population.projected_gradient(instance.task, instance.theta)
    stated = s.average(statement), s.columns(statement, 1)
    return max(relative_gap(x, y) for found in (truth, (package.V, package.A)) for x, y in zip(found, stated, strict=True))


def _projected_sampled(statement):
    value = _gradient_sampled("V", _average, projected=True)(statement)
    return max(value, _gradient_sampled("A", lambda s, st: s.columns(st, 1), projected=True)(statement))


register(
    Claim(
        "G5",
        "Preconditioned, projected gradients, and the set they keep",
        r"G_V = \|A\|_\mu^2 (V - \mu 1^\top) - \langle Q,A\rangle_\mu P',\qquad "
        r"G_{a^{(k)}} = (\|V\|_\mu^2 - \|\mu\|^2)(a - \tfrac1T) - (\langle V,P\rangle_\mu - \|\mu\|^2)(q - \tfrac1T)",
        ON_SET,
        projected_statement,
        (
            Route("symbolic", f"{ALL_SIZES}, invariance of the set included", _projected_symbolic),
            enumeration(_projected_exact, admissible=True),
            numeric("automatic differentiation of G2, projected, and the package, N = 7, T = 60", _projected_numeric),
            monte_carlo("projected minibatch gradients", _projected_sampled),
        ),
        (
            Control("V not centred by μ1'", partial(projected_statement, centre=False)),
            Control("‖μ‖² not subtracted", partial(projected_statement, mean=False)),
            Control("the 1/T of uniform attention dropped", partial(projected_statement, flat=False)),
            Control("⟨Q,A⟩ for ‖A‖²", partial(projected_statement, aa=lambda s: s.dot(s.q, s.a))),
        ),
    )
)

# --- G7: curvature -------------------------------------------------------------------------------


def curvature_statement(s, length=None, weight=True, bulk="C"):
    """The Hessian in a, its eigenvalue on directions that sum to zero, and the one along the constant."""
    mu_k = s.mu_k if weight else 1
    spread = s.tr(s.V.T @ s.V @ getattr(s, bulk))
    mean = s.tr(s.mu.T @ s.V.T @ s.V @ s.mu)
    length = s.T if length is None else length(s)
    hessian = mu_k * (spread * s.I_T + mean * (s.one_T @ s.one_T.T))
    return hessian, mu_k * spread, mu_k * (spread + length * mean)


def _curvature_symbolic(statement):
    hessian, bulk, top = statement(sym)
    found = sym.mu_k * gradients.hessian_A()
    rules = sym.ALWAYS + gradients.CENTRED
    # Each eigenvector's equation, H b = bulk b and H 1 = top 1, for a direction b that sums to zero.
    return (
        gradients.difference(found, hessian, sym.ALWAYS)
        + gradients.difference(found * sym.b, bulk * sym.b, rules)
        + gradients.difference(found * sym.one_T, top * sym.one_T, rules)
    )


def _curvature_exact(world, statement):
    s, worst = world.numbers, 0
    for k in range(s.N):
        hessian, bulk, top = statement(s.seen_from(k))
        found = world.hessian(k)
        # bulk has multiplicity T - 1: the trace and the constant vector's eigenvalue determine it.
        along = found.sum() / s.T
        worst = max(worst, gap(found, hessian), gap(along, top), gap((found.trace() - along) / (s.T - 1), bulk))
    return worst


def _curvature_numeric(statement):
    """The largest eigenvalue that Lanczos finds through the package's gradient, at N = 4, T = 300."""
    instance = case(4, 300, seed=3)
    task, theta, worst = instance.task, instance.theta, 0.0
    base = scb.population.gradient(task, theta).A
    for k in range(task.vocab_size):

        def curvature(u, k=k):
            A = theta.A.copy()
            A[:, k] += np.ravel(u)
            return (scb.population.gradient(task, scb.Parameters(A, theta.V)).A - base)[:, k]

        size = task.context_length
        operator = LinearOperator((size, size), matvec=curvature, dtype=float)
        largest = eigsh(operator, k=1, which="LM", v0=np.ones(size) + np.arange(size) / size, return_eigenvectors=False)[0]
        _, bulk, top = statement(instance.numbers.seen_from(k))
        package_bulk, package_top = scb.population.attention_curvature(task, theta.V)
        worst = max(worst, relative_gap([largest, package_top[k], package_bulk[k]], [top, top, bulk]))
    return worst


register(
    Claim(
        "G7",
        "Why the projection matters: curvature in the attention grows with T",
        r"\nabla^2_{a^{(k)}}\ell = \mu_k\left[\mathrm{tr}(V^\top VC)\, I + \|V\mu\|^2\, 11^\top\right],\qquad "
        r"\lambda_{\max} = \mu_k\left(\mathrm{tr}(V^\top VC) + T\|V\mu\|^2\right)",
        ANY,
        curvature_statement,
        (
            Route("symbolic", f"{ALL_SIZES}: second derivative and both eigenvector equations", _curvature_symbolic),
            enumeration(_curvature_exact),
            numeric("Lanczos through the package's gradient, N = 4, T = 300", _curvature_numeric, limit=1e-8),
        ),
        (
            Control("the factor T dropped from the top eigenvalue", partial(curvature_statement, length=lambda s: 1)),
            Control("T² for T", partial(curvature_statement, length=lambda s: s.T**2)),
            Control("the weight μ_k dropped", partial(curvature_statement, weight=False)),
            Control("diag(μ) for C", partial(curvature_statement, bulk="D")),
        ),
    )
)
