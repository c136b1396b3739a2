r"""M1. The law of the next token."""

from __future__ import annotations

from itertools import product

import numpy as np

from scbtheory.claims._sampler import law_z_score, observed, sampler_route
from scbtheory.derivations import gradients, model, moments
from scbtheory.derivations import symbols as sym
from scbtheory.verification import routes
from scbtheory.verification.bundles import Matrices
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import gap, z_score


def statement(s: Matrices):
    """The output's law given context and trigger, and its marginal."""
    return s.P @ s.X @ s.q, s.mu


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    law, marginal = statement(sym)
    return {
        "entries of the law that differ": int(not moments.same(model.stated_law(law), model.law())),
        "terms of the marginal": gradients.unexplained(sym.output, marginal),
    }


def by_enumeration(world, statement):
    s, law_gap, marginal = world.numbers, 0, 0
    for (x, p), k in product(world.contexts, range(s.N)):
        law, stated_marginal = statement(s.seen_from(k, X=world.one_hot(x)))
        law_gap = max(law_gap, gap(world.laws[x, k], law[:, 0]))
        marginal = marginal + p * s.mu[k, 0] * world.laws[x, k]
    return {"law": law_gap, "marginal": gap(marginal, stated_marginal[:, 0])}


def by_sampling(statement):
    s, contexts, _, batch = observed()
    marginal = statement(s.seen_from(0, X=contexts[0]))[1]
    return {
        "|z| of the law": law_z_score(lambda s: statement(s)[0]),
        "|z| of the marginal": z_score(np.eye(s.N)[batch.output], marginal[:, 0]),
    }


CLAIM = Claim(
    id="M1",
    title="The law of the next token",
    text=r"""
For every task, context $X$ (one-hot columns, $N\times T$) and trigger $k$,

$$
\Pr(x_o = n \mid X, k) = (P X q^{(k)})_n ,
$$ (eq-law)

and marginally $x_o \sim \mu$.
""",
    assumptions="tokens and trigger i.i.d. from μ, position from q, output from P",
    scope="Proved for every $N$ and $T$; nothing is assumed beyond the definition of the task.",
    nature="theorem",
    chapter="model",
    statement=statement,
    routes=(
        Route("symbolic", f"{routes.ALL_SIZES}: total probability over the position", derived),
        routes.enumeration(by_enumeration),
        sampler_route("the package's sampler, by trigger, position and token", by_sampling),
    ),
    controls=(
        Control("rows of P taken as the distributions", routes.replaced(statement, 0, lambda s: s.P.T @ s.X @ s.q)),
        Control("the token copied without a transition", routes.replaced(statement, 0, lambda s: s.X @ s.q)),
        Control("positions weighed uniformly", routes.replaced(statement, 0, lambda s: s.P @ s.X @ s.one_T / s.T)),
        Control("a uniform marginal", routes.replaced(statement, 1, lambda s: s.one_N / s.N)),
    ),
)
