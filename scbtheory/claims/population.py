r"""Claims G1 and G2: second moments of one-hot contexts, and the population loss, for arbitrary A and V.

Per-trigger statements carry the weight :math:`\mu_k` outside, as in :math:`\ell = \sum_k \mu_k \ell_k`.
"""

from __future__ import annotations

from functools import partial

import scbtheory as scb
from scbtheory.claims._legacy import Claim, Control, Route, register
from scbtheory.derivations import gradients, moments
from scbtheory.derivations import symbols as sym
from scbtheory.verification.instances import gap, relative_gap, z_score
from scbtheory.verification.routes import (
    ALL_SIZES,
    ANY,
    enumeration,
    medium,
    monte_carlo,
    numeric,
    sampled,
)

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
            Route(
                "symbolic",
                f"{ALL_SIZES}: sums over Kronecker deltas, entry by entry",
                _moments_symbolic,
            ),
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
                lambda s: (
                    s.dot(s.a, s.b) * (s.C + s.mu @ s.mu.T),
                    moments_statement(s, flat=False)[1],
                ),
            ),
            Control(
                "independent tokens taken as uncorrelated with mean zero",
                partial(moments_statement, cross=False),
            ),
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
                    scb.population.loss(medium().task, medium().theta),
                    medium().numbers.average(statement),
                ),
            ),
            monte_carlo("minibatch losses", _loss_sampled),
        ),
        (
            Control("the cross term counted once", partial(loss_statement, cross=1)),
            Control(
                "(1'a)² dropped: attention taken to have mean-free output",
                partial(loss_statement, aa=lambda s: s.dot(s.a, s.a) * s.C),
            ),
            Control("⟨a,a⟩ for ⟨q,a⟩ in the cross term", partial(loss_statement, qa=M_aa)),
            Control("diag(μ) for C", partial(loss_statement, aa=lambda s: s.dot(s.a, s.a) * s.D)),
        ),
    )
)
