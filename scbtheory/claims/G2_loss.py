r"""G2. The population loss."""

from __future__ import annotations

import scbtheory as scb
from scbtheory.claims._gradients import M_aa, M_qa
from scbtheory.derivations import gradients
from scbtheory.derivations import symbols as sym
from scbtheory.verification import routes
from scbtheory.verification.bundles import Matrices
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import gap, relative_gap, z_score


def statement(s: Matrices):
    """The loss given the trigger; the weight μ_k stays outside."""
    return (loss(s, M_aa(s), M_qa(s)),)


def loss(s, own, crossed):
    return (1 - 2 * s.tr(s.V.T @ s.P @ crossed) + s.tr(s.V.T @ s.V @ own)) / 2


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    return {"terms that do not cancel": gradients.unexplained(gradients.SAMPLE_LOSS, statement(sym)[0])}


def by_enumeration(world, statement):
    return gap(world.loss(world.numbers.A, world.numbers.V), world.numbers.average(statement))


def by_package(statement):
    instance = routes.medium()
    return relative_gap(scb.population.loss(instance.task, instance.theta), instance.numbers.average(statement))


def by_sampling(statement):
    instance, batches = routes.sampled()
    losses = [scb.model.minibatch_loss(instance.task, instance.theta, batch) for batch in batches]
    return z_score(losses, instance.numbers.average(statement))


# --- controls ------------------------------------------------------------------------------------


def cross_counted_once(s):
    return (loss(s, M_aa(s), M_qa(s)) + s.tr(s.V.T @ s.P @ M_qa(s)) / 2,)


def mean_free(s):
    return (loss(s, s.dot(s.a, s.a) * s.C, M_qa(s)),)


def crossed_with_itself(s):
    return (loss(s, M_aa(s), M_aa(s)),)


def not_centred(s):
    return (loss(s, s.dot(s.a, s.a) * s.D, M_qa(s)),)


CLAIM = Claim(
    id="G2",
    title="The population loss",
    text=r"""
With $M_{aa} = \lVert a\rVert^2 C + (1^\top a)^2\mu\mu^\top$ and
$M_{qa} = \langle q, a\rangle C + (1^\top a)\,\mu\mu^\top$, both for trigger $k$,

$$
\ell(A, V) = \tfrac12 \sum_k \mu_k\left[1 - 2\operatorname{tr}(V^\top P M_{qa})
+ \operatorname{tr}(V^\top V M_{aa})\right].
$$ (eq-loss)
""",
    assumptions=routes.ANY,
    scope="Proved for every $N$ and $T$, and for arbitrary $A$ and $V$: no constraint is used.",
    nature="theorem",
    chapter="moments",
    rests_on=("M1", "G1"),
    statement=statement,
    routes=(
        Route("symbolic", f"{routes.ALL_SIZES}: expectation of the sample loss, word by word", derived),
        routes.enumeration(by_enumeration),
        routes.numeric("the package's loss at N = 7, T = 60", by_package),
        routes.monte_carlo("minibatch losses", by_sampling),
    ),
    controls=(
        Control("the cross term counted once", cross_counted_once),
        Control("(1'a)² dropped: attention taken to have mean-free output", mean_free),
        Control("⟨a,a⟩ for ⟨q,a⟩ in the cross term", crossed_with_itself),
        Control("diag(μ) for C", not_centred),
    ),
)
