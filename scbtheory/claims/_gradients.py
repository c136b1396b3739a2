"""What the claims about the gradient share: G2's loss differentiated automatically, and G5's projected gradients."""

from __future__ import annotations

from functools import cache

import autograd.numpy as anp
from autograd import grad

import scbtheory as scb
from scbtheory.verification.instances import z_score
from scbtheory.verification.routes import medium, sampled


def M_aa(s):
    return s.dot(s.a, s.a) * s.C + s.dot(s.one_T, s.a) ** 2 * (s.mu @ s.mu.T)


def M_qa(s):
    return s.dot(s.q, s.a) * s.C + s.dot(s.one_T, s.a) * (s.mu @ s.mu.T)


def projected(s):
    """G5: G_V per trigger, G_a of the trigger."""
    return projected_value(s, s.dot(s.a, s.a)), projected_attention(s, s.tr(s.mu.T @ s.mu), s.one_T / s.T)


def projected_value(s, square):
    mu_1 = s.mu @ s.one_N.T
    return square * (s.V - mu_1) - s.dot(s.q, s.a) * (s.P - mu_1)


def projected_attention(s, mu_mu, uniform):
    own, pull = s.tr(s.V @ s.D @ s.V.T) - mu_mu, s.tr(s.V @ s.D @ s.P.T) - mu_mu
    return own * (s.a - uniform) - pull * (s.q - uniform)


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


def sampled_gradient(which, stated, *, projected=False) -> float:
    """|z| of minibatch gradients in ``which`` against the stated array."""
    instance, batches = sampled(projected)
    means = [
        getattr(scb.model.minibatch_gradient(instance.task, instance.theta, b, projected=projected), which)
        for b in batches
    ]
    return z_score(means, stated)
