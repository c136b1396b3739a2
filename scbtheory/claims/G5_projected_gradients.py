r"""G5. Preconditioned, projected gradients, and the set they keep."""

from __future__ import annotations

import scbtheory as scb
from scbtheory.claims._gradients import autodiff, projected, projected_attention, projected_value, sampled_gradient
from scbtheory.derivations import gradients
from scbtheory.derivations import symbols as sym
from scbtheory.derivations.algebra import normal
from scbtheory.verification import routes
from scbtheory.verification.bundles import Matrices
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import gap, relative_gap


def statement(s: Matrices):
    """G_V per trigger, G_a of the trigger."""
    return projected(s)


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    rules, (value, attention) = sym.ALWAYS + sym.ADMISSIBLE, statement(sym)
    leaks = (sym.one_N.T * value, value * sym.mu, sym.one_T.T * attention)
    return {
        "terms of G_V": gradients.unexplained(gradients.projected_sample_V(), value, rules),
        "terms of G_a": gradients.unexplained(gradients.projected_sample_A(), attention, rules),
        "terms that leave the set": sum(len(normal(leak, rules)) for leak in leaks),
    }


def by_enumeration(world, statement):
    s = world.numbers
    plain_A, plain_V = world.gradient
    value, columns = s.average(statement), s.columns(statement, 1)
    return {
        "G_V": gap(plain_V @ s.W @ (s.I_N - s.mu @ s.one_N.T), value),
        "G_a": gap((plain_A - plain_A.sum(axis=0) / s.T) / s.mu[:, 0], columns),
        "leak from the set": max(gap(columns.sum(axis=0), 0), gap(value.sum(axis=0), 0), gap(value @ s.mu, 0)),
    }


def by_differentiation(statement):
    instance = routes.medium(True)
    s = instance.numbers
    plain_A, plain_V = autodiff(True)
    truth = plain_V @ s.W @ (s.I_N - s.mu @ s.one_N.T), (plain_A - plain_A.mean(axis=0)) / s.mu[:, 0]
    package = scb.population.projected_gradient(instance.task, instance.theta)
    found = {}
    for name, stated, x, y in zip(
        ("G_V", "G_a"), (s.average(statement), s.columns(statement, 1)), truth, (package.V, package.A), strict=True
    ):
        found[f"{name} by automatic differentiation, relative"] = relative_gap(x, stated)
        found[f"the package's {name}, relative"] = relative_gap(y, stated)
    return found


def by_sampling(statement):
    s = routes.sampled(True)[0].numbers
    return {
        "|z| of G_V": sampled_gradient("V", s.average(statement), projected=True),
        "|z| of G_a": sampled_gradient("A", s.columns(statement, 1), projected=True),
    }


# --- controls ------------------------------------------------------------------------------------


def V_not_centred(s):
    value = s.dot(s.a, s.a) * s.V - s.dot(s.q, s.a) * (s.P - s.mu @ s.one_N.T)
    return value, projected(s)[1]


def mean_not_subtracted(s):
    return projected_value(s, s.dot(s.a, s.a)), projected_attention(s, 0, s.one_T / s.T)


def not_averaged(s):
    return projected_value(s, s.dot(s.a, s.a)), projected_attention(s, s.tr(s.mu.T @ s.mu), s.one_T)


def overlap_for_square(s):
    return projected_value(s, s.dot(s.q, s.a)), projected(s)[1]


CLAIM = Claim(
    id="G5",
    title="Preconditioned, projected gradients, and the set they keep",
    text=r"""
On the set $\{1^\top a^{(k)} = 1,\; 1^\top V = 1^\top,\; V\mu = \mu\}$, with $P' = P - \mu 1^\top$,

$$
\begin{aligned}
G_V &= \nabla_V\ell\, D^{-1}(I - \mu 1^\top) \\
&= \lVert A\rVert_\mu^2\,(V - \mu 1^\top) - \langle Q, A\rangle_\mu\, P',
\end{aligned}
$$ (eq-projected-v)

$$
\begin{aligned}
G_{a^{(k)}} &= \tfrac{1}{\mu_k}\left(I - \tfrac1T 11^\top\right)\nabla_{a^{(k)}}\ell \\
&= \left(\lVert V\rVert_\mu^2 - \lVert\mu\rVert^2\right)\left(a^{(k)} - \tfrac1T\right) \\
&\quad - \left(\langle V, P\rangle_\mu - \lVert\mu\rVert^2\right)\left(q^{(k)} - \tfrac1T\right),
\end{aligned}
$$ (eq-projected-a)

and a step along either stays in the set.
""",
    assumptions=routes.ON_SET,
    scope="Proved for every $N$ and $T$, on the set. Of it $G_V$'s form needs only $V\\mu = \\mu$, and "
    "$G_{a^{(k)}}$'s only $V\\mu = \\mu$ and $1^\\top a^{(k)} = 1$; without these the sides differ in general.",
    nature="theorem",
    chapter="population_gradient",
    rests_on=("G3", "G4"),
    statement=statement,
    routes=(
        Route("symbolic", f"{routes.ALL_SIZES}, invariance of the set included", derived),
        routes.enumeration(by_enumeration, admissible=True),
        routes.numeric(
            "automatic differentiation of G2, projected, and the package, N = 7, T = 60", by_differentiation
        ),
        routes.monte_carlo("projected minibatch gradients", by_sampling),
    ),
    controls=(
        Control("V not centred by μ1'", V_not_centred),
        Control("‖μ‖² not subtracted", mean_not_subtracted),
        Control("the 1/T of uniform attention dropped", not_averaged),
        Control("⟨Q,A⟩ for ‖A‖²", overlap_for_square),
    ),
)
