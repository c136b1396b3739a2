r"""Claims G3 to G5 and G7: gradients of the population loss, their projection, and the curvature.

G3, G4 and G7 hold for arbitrary A and V; G5 on the set :math:`1^\top a = 1, 1^\top V = 1^\top, V\mu = \mu`.
"""

from __future__ import annotations

from functools import cache, partial

import autograd.numpy as anp
import numpy as np
from autograd import grad
from scipy.sparse.linalg import LinearOperator, eigsh

import scbtheory as scb
from scbtheory.claims._legacy import Claim, Control, Route, register
from scbtheory.claims.population import M_aa, M_qa
from scbtheory.derivations import gradients
from scbtheory.derivations import symbols as sym
from scbtheory.derivations.algebra import normal
from scbtheory.verification.instances import case, gap, relative_gap, z_score
from scbtheory.verification.routes import (
    ALL_SIZES,
    ANY,
    ON_SET,
    enumeration,
    medium,
    monte_carlo,
    numeric,
    sampled,
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
            mu
            * (
                1
                - 2 * (p11 * anp.trace(V.T @ s.P @ C) + p10 * (fv @ pv))
                + p20 * anp.trace(V.T @ V @ C)
                + p10**2 * (fv @ fv)
            )
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
            getattr(
                scb.model.minibatch_gradient(instance.task, instance.theta, b, projected=projected),
                which,
            )
            for b in batches
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
            Control(
                "the constant-frequency term ‖Vμ‖² (1'a) 1 dropped",
                partial(attention_statement, top=False),
            ),
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
    attention = (s.tr(s.V @ s.D @ s.V.T) - mu_mu) * (s.a - uniform) - (s.tr(s.V @ s.D @ s.P.T) - mu_mu) * (
        s.q - uniform
    )
    return value, attention


def _projected_symbolic(statement):
    rules, (value, attention) = sym.ALWAYS + sym.ADMISSIBLE, statement(sym)
    leaves = sum(len(normal(leak, rules)) for leak in (sym.one_N.T * value, value * sym.mu, sym.one_T.T * attention))
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
    truth = (
        plain_V @ s.W @ (s.I_N - s.mu @ s.one_N.T),
        (plain_A - plain_A.mean(axis=0)) / s.mu[:, 0],
    )
    package = scb.population.projected_gradient(instance.task, instance.theta)
    stated = s.average(statement), s.columns(statement, 1)
    return max(
        relative_gap(x, y) for found in (truth, (package.V, package.A)) for x, y in zip(found, stated, strict=True)
    )


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
            numeric(
                "automatic differentiation of G2, projected, and the package, N = 7, T = 60",
                _projected_numeric,
            ),
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
        worst = max(
            worst,
            gap(found, hessian),
            gap(along, top),
            gap((found.trace() - along) / (s.T - 1), bulk),
        )
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
        largest = eigsh(
            operator,
            k=1,
            which="LM",
            v0=np.ones(size) + np.arange(size) / size,
            return_eigenvectors=False,
        )[0]
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
            Route(
                "symbolic",
                f"{ALL_SIZES}: second derivative and both eigenvector equations",
                _curvature_symbolic,
            ),
            enumeration(_curvature_exact),
            numeric(
                "Lanczos through the package's gradient, N = 4, T = 300",
                _curvature_numeric,
                limit=1e-8,
            ),
        ),
        (
            Control(
                "the factor T dropped from the top eigenvalue",
                partial(curvature_statement, length=lambda s: 1),
            ),
            Control("T² for T", partial(curvature_statement, length=lambda s: s.T**2)),
            Control("the weight μ_k dropped", partial(curvature_statement, weight=False)),
            Control("diag(μ) for C", partial(curvature_statement, bulk="D")),
        ),
    )
)
