r"""G7. Why the projection matters: curvature in the attention grows with T."""

from __future__ import annotations

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

import scbtheory as scb
from scbtheory.derivations import gradients
from scbtheory.derivations import symbols as sym
from scbtheory.verification import routes
from scbtheory.verification.bundles import Matrices
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import case, gap, relative_gap, worse


def statement(s: Matrices):
    """The Hessian in a, its eigenvalue on directions that sum to zero, and the one along the constant."""
    return curvature(s, s.mu_k, s.C, s.T)


def curvature(s, weight, covariance, length):
    spread, mean = s.tr(s.V.T @ s.V @ covariance), s.tr(s.mu.T @ s.V.T @ s.V @ s.mu)
    hessian = weight * (spread * s.I_T + mean * (s.one_T @ s.one_T.T))
    return hessian, weight * spread, weight * (spread + length * mean)


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    hessian, bulk, top = statement(sym)
    found = sym.mu_k * gradients.hessian_A()
    rules = sym.ALWAYS + gradients.CENTRED
    # Each eigenvector's equation, H b = bulk b and H 1 = top 1, for a direction b that sums to zero.
    return {
        "terms of the Hessian": gradients.difference(found, hessian, sym.ALWAYS),
        "terms on directions that sum to zero": gradients.difference(found * sym.b, bulk * sym.b, rules),
        "terms along the constant": gradients.difference(found * sym.one_T, top * sym.one_T, rules),
    }


def by_enumeration(world, statement):
    s, worst = world.numbers, {"Hessian": 0, "along the constant": 0, "on the other directions": 0}
    for k in range(s.N):
        hessian, bulk, top = statement(s.seen_from(k))
        found = world.hessians[k]
        # bulk has multiplicity T - 1: the trace and the constant vector's eigenvalue determine it.
        along = found.sum() / s.T
        here = gap(found, hessian), gap(along, top), gap((found.trace() - along) / (s.T - 1), bulk)
        worst = {name: worse(old, new) for (name, old), new in zip(worst.items(), here, strict=True)}
    return worst


def by_lanczos(statement):
    """The largest eigenvalue that Lanczos finds through the package's gradient, at N = 4, T = 300."""
    instance = case(4, 300, seed=3)
    task, theta, size = instance.task, instance.theta, instance.task.context_length
    names = "Hessian along a direction", "Lanczos", "the package's top", "the package's bulk"
    worst = dict.fromkeys((f"{name}, relative" for name in names), 0.0)
    base = scb.population.gradient(task, theta).A
    for k in range(task.vocab_size):

        def along(u, k=k):
            A = theta.A.copy()
            A[:, k] += np.ravel(u)
            return (scb.population.gradient(task, scb.Parameters(A, theta.V)).A - base)[:, k]

        operator = LinearOperator((size, size), matvec=along, dtype=float)
        start = np.ones(size) + np.arange(size) / size
        largest = eigsh(operator, k=1, which="LM", v0=start, return_eigenvectors=False)[0]
        hessian, bulk, top = statement(instance.numbers.seen_from(k))
        package_bulk, package_top = scb.population.attention_curvature(task, theta.V)
        here = (
            relative_gap(along(start), hessian @ start),
            relative_gap([largest], [top]),
            relative_gap([package_top[k]], [top]),
            relative_gap([package_bulk[k]], [bulk]),
        )
        worst = {name: worse(old, new) for (name, old), new in zip(worst.items(), here, strict=True)}
    return worst


# --- controls ------------------------------------------------------------------------------------


def without_T(s):
    return curvature(s, s.mu_k, s.C, 1)


def T_squared(s):
    return curvature(s, s.mu_k, s.C, s.T**2)


def unweighted(s):
    return curvature(s, 1, s.C, s.T)


def not_centred(s):
    return curvature(s, s.mu_k, s.D, s.T)


CLAIM = Claim(
    id="G7",
    title="Why the projection matters: curvature in the attention grows with T",
    text=r"""
For arbitrary $V$,

$$
\nabla^2_{a^{(k)}}\ell = \mu_k\left[\operatorname{tr}(V^\top V C)\, I + \lVert V\mu\rVert^2\, 11^\top\right],
$$ (eq-curvature)

with eigenvalue $\mu_k\left(\operatorname{tr}(V^\top VC) + T\lVert V\mu\rVert^2\right)$ on the constant vector and
$\mu_k\operatorname{tr}(V^\top VC)$ on every direction that sums to zero. Gradient descent on $A$ with a step above
$2/\big(T\mu_k\lVert V\mu\rVert^2\big)$ therefore diverges from almost every start; on directions that sum to zero no
factor $T$ is left.
""",
    assumptions=routes.ANY,
    scope="Proved for every $N$ and $T$, $V$ held fixed.",
    nature="theorem",
    chapter="population_gradient",
    rests_on=("G4",),
    statement=statement,
    routes=(
        Route("symbolic", f"{routes.ALL_SIZES}: second derivative and both eigenvector equations", derived),
        routes.enumeration(by_enumeration),
        routes.numeric("Lanczos through the package's gradient, N = 4, T = 300", by_lanczos, limit=1e-8),
    ),
    controls=(
        Control("the factor T dropped from the top eigenvalue", without_T),
        Control("T² for T", T_squared),
        Control("the weight μ_k dropped", unweighted),
        Control("diag(μ) for C", not_centred),
    ),
)
