r"""G6. The minibatch estimators are unbiased."""

from __future__ import annotations

import numpy as np

import scbtheory as scb
from scbtheory.claims._gradients import projected
from scbtheory.derivations import gradients
from scbtheory.derivations import symbols as sym
from scbtheory.verification import routes
from scbtheory.verification.bundles import Matrices
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import case, gap, relative_gap


def statement(s: Matrices):
    """One sample's contribution to Ĝ_V, and to the column of its own trigger in Ĝ_A."""
    return value(s) @ s.W, centred(s, attention(s)) / s.mu_k


def residual(s):
    return s.V @ s.X @ s.a - s.output


def value(s):
    return residual(s) @ (s.X @ s.a - s.mu).T


def attention(s):
    return (s.V @ s.X).T @ residual(s)


def centred(s, column):
    return column - s.one_T @ (s.one_T.T @ column) / s.T


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    rules = sym.ALWAYS + sym.ADMISSIBLE
    (G_V, G_a), (mean_V, mean_a) = statement(sym), projected(sym)
    return {
        "terms of the mean of Ĝ_V": gradients.unexplained(G_V, mean_V, rules),
        "terms of the mean of Ĝ_a": gradients.unexplained(sym.mu_k * G_a, mean_a, rules),
    }


def by_enumeration(world, statement):
    s, attention_gap, mean_V = world.numbers, 0, 0
    plain_A, plain_V = world.gradient
    for k in range(s.N):
        at_k = s.seen_from(k)
        both = world.mean_given(
            k, lambda X, o, k=k: np.concatenate(statement(s.seen_from(k, X=X, output=o)), axis=None)
        )
        mean_V = mean_V + at_k.mu_k * both[: s.N**2].reshape(s.N, s.N)
        wanted = (plain_A[:, k] - plain_A[:, k].sum() / s.T) / at_k.mu_k
        attention_gap = max(attention_gap, gap(wanted, at_k.mu_k * both[s.N**2 :]))
    return {"Ĝ_V": gap(plain_V @ s.W @ (s.I_N - s.mu @ s.one_N.T), mean_V), "Ĝ_a": attention_gap}


def by_package(statement):
    instance = case(4, 9, seed=41, admissible=True)
    s, batch = instance.numbers, instance.task.sample(64, seed=42)
    G_V, G_A = np.zeros((s.N, s.N)), np.zeros((s.T, s.N))
    for row, k, n in zip(batch.tokens, batch.trigger, batch.output, strict=True):
        into_V, column = statement(s.seen_from(int(k), X=np.eye(s.N)[:, row], output=np.eye(s.N)[:, [int(n)]]))
        G_V += into_V / 64
        G_A[:, k] += column[:, 0] / 64
    package = scb.model.minibatch_gradient(instance.task, instance.theta, batch, projected=True)
    return {"Ĝ_V, relative": relative_gap(package.V, G_V), "Ĝ_A, relative": relative_gap(package.A, G_A)}


# --- controls ------------------------------------------------------------------------------------


def not_preconditioned(s):
    return value(s)


def unweighted(s):
    return centred(s, attention(s))


def not_projected(s):
    return attention(s) / s.mu_k


def X_for_VX(s):
    return centred(s, s.X.T @ residual(s)) / s.mu_k


CLAIM = Claim(
    id="G6",
    title="The minibatch estimators are unbiased",
    text=r"""
With $z_b = X_b a^{(k_b)}$ and $r_b = Vz_b - x_{o,b}$, on the set of {claim}`G5`,

$$
\begin{aligned}
\hat G_V &= \frac1B\sum_b r_b (z_b - \mu)^\top D^{-1},\\
\hat G_{a^{(k)}} &= \frac1B\sum_b \frac{1\{k_b = k\}}{\mu_k}\left(I - \tfrac1T 11^\top\right)(VX_b)^\top r_b
\end{aligned}
$$ (eq-estimators)

have means $G_V$ and $G_{a^{(k)}}$.
""",
    assumptions=routes.ON_SET,
    scope="Proved for every $N$, $T$ and $B$ (the mean of a mean).",
    nature="theorem",
    chapter="population_gradient",
    rests_on=("G1", "G5"),
    statement=statement,
    routes=(
        Route("symbolic", routes.ALL_SIZES, derived),
        routes.enumeration(by_enumeration, admissible=True),
        routes.numeric("the package's estimator on a batch, N = 4, T = 9", by_package),
    ),
    controls=(
        Control("D⁻¹ dropped", routes.replaced(statement, 0, not_preconditioned)),
        Control("the weight 1/μ_k dropped", routes.replaced(statement, 1, unweighted)),
        Control("the projection I − 11'/T dropped", routes.replaced(statement, 1, not_projected)),
        Control("X for VX", routes.replaced(statement, 1, X_for_VX)),
    ),
)
