r"""G4. The gradient in the attention, for arbitrary A and V."""

from __future__ import annotations

import scbtheory as scb
from scbtheory.claims._gradients import autodiff, sampled_gradient
from scbtheory.derivations import gradients
from scbtheory.derivations import symbols as sym
from scbtheory.verification import routes
from scbtheory.verification.bundles import Matrices
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import gap, relative_gap


def statement(s: Matrices):
    """∇ of the loss in the trigger's attention, (T, 1)."""
    return (s.mu_k * (varying(s, s.C, s.q) + constant(s)),)


def varying(s, covariance, target):
    return s.tr(s.V.T @ s.V @ covariance) * s.a - s.tr(s.V.T @ s.P @ covariance) * target


def constant(s):
    own = s.tr(s.mu.T @ s.V.T @ s.V @ s.mu) * s.dot(s.one_T, s.a) * s.one_T
    return own - s.tr(s.mu.T @ s.V.T @ s.P @ s.mu) * s.one_T


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    left = gradients.unexplained(sym.mu_k * gradients.SAMPLE_GRADIENT_A, statement(sym)[0])
    return {"terms that do not cancel": left}


def by_enumeration(world, statement):
    return gap(world.gradient[0], world.numbers.columns(statement))


def by_differentiation(statement):
    instance = routes.medium()
    stated = instance.numbers.columns(statement)
    return {
        "automatic differentiation, relative": relative_gap(autodiff()[0], stated),
        "the package, relative": relative_gap(scb.population.gradient(instance.task, instance.theta).A, stated),
    }


def by_sampling(statement):
    return sampled_gradient("A", routes.sampled()[0].numbers.columns(statement))


# --- controls ------------------------------------------------------------------------------------


def unweighted(s):
    return (varying(s, s.C, s.q) + constant(s),)


def without_frequency(s):
    return (s.mu_k * (varying(s, s.C, s.q) - s.tr(s.mu.T @ s.V.T @ s.P @ s.mu) * s.one_T),)


def not_centred(s):
    return (s.mu_k * (varying(s, s.D, s.q) + constant(s)),)


def pulled_to_itself(s):
    return (s.mu_k * (varying(s, s.C, s.a) + constant(s)),)


CLAIM = Claim(
    id="G4",
    title="Gradient in the attention",
    text=r"""
For arbitrary $A$ and $V$,

$$
\begin{aligned}
\nabla_{a^{(k)}}\ell = \mu_k\big[&\operatorname{tr}(V^\top V C)\, a + \lVert V\mu\rVert^2 (1^\top a)\, 1 \\
&- \operatorname{tr}(V^\top P C)\, q - (\mu^\top V^\top P\mu)\, 1\big].
\end{aligned}
$$ (eq-grad-a)
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
        Control("the weight μ_k dropped", unweighted),
        Control("the constant-frequency term ‖Vμ‖² (1'a) 1 dropped", without_frequency),
        Control("diag(μ) for C", not_centred),
        Control("attention pulled to itself, not to q", pulled_to_itself),
    ),
)
