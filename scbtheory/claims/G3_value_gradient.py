r"""G3. The gradient in the value matrix, for arbitrary A and V."""

from __future__ import annotations

import scbtheory as scb
from scbtheory.claims._gradients import M_aa, M_qa, autodiff, sampled_gradient
from scbtheory.derivations import gradients
from scbtheory.derivations import symbols as sym
from scbtheory.verification import routes
from scbtheory.verification.bundles import Matrices
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import gap, relative_gap


def statement(s: Matrices):
    """∇_V of the loss given the trigger; the weight μ_k stays outside."""
    return (s.V @ M_aa(s) - s.P @ M_qa(s),)


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    left = gradients.unexplained(gradients.SAMPLE_GRADIENT_V, statement(sym)[0])
    return {"terms that do not cancel": left}


def by_enumeration(world, statement):
    return gap(world.gradient[1], world.numbers.average(statement))


def by_differentiation(statement):
    instance = routes.medium()
    stated = instance.numbers.average(statement)
    return {
        "automatic differentiation, relative": relative_gap(autodiff()[1], stated),
        "the package, relative": relative_gap(scb.population.gradient(instance.task, instance.theta).V, stated),
    }


def by_sampling(statement):
    return sampled_gradient("V", routes.sampled()[0].numbers.average(statement))


# --- controls ------------------------------------------------------------------------------------


def sums_exchanged(s):
    return (s.V @ M_qa(s) - s.P @ M_aa(s),)


def P_and_V_exchanged(s):
    return (s.P @ M_aa(s) - s.V @ M_qa(s),)


def factor_two(s):
    return (2 * statement(s)[0],)


def not_centred(s):
    return (s.dot(s.a, s.a) * s.V @ s.D - s.P @ M_qa(s),)


CLAIM = Claim(
    id="G3",
    title="Gradient in the value matrix",
    text=r"""
For arbitrary $A$ and $V$, with {claim}`G2`'s $M_{aa}$ and $M_{qa}$,

$$
\nabla_V\ell = \sum_k \mu_k\,(V M_{aa} - P M_{qa}).
$$ (eq-grad-v)
""",
    assumptions=routes.ANY,
    scope="Proved for every $N$ and $T$; no constraint is used.",
    nature="theorem",
    chapter="population_gradient",
    rests_on=("G1", "G2"),
    statement=statement,
    routes=(
        Route(
            "symbolic",
            f"{routes.ALL_SIZES}: SymPy's derivative of the sample loss, then its expectation",
            derived,
        ),
        routes.enumeration(by_enumeration),
        routes.numeric("automatic differentiation of G2 and the package's gradient, N = 7, T = 60", by_differentiation),
        routes.monte_carlo("minibatch gradients", by_sampling),
    ),
    controls=(
        Control("⟨q,a⟩ and ⟨a,a⟩ exchanged", sums_exchanged),
        Control("P and V exchanged", P_and_V_exchanged),
        Control("the factor 2 of the square kept", factor_two),
        Control("diag(μ) for C", not_centred),
    ),
)
