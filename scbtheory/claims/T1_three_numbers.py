"""T1. Finetuning is a flow of three numbers, whatever the stationary law of the pretrained matrix."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import sympy as sp
from scipy.integrate import solve_ivp

import scbtheory as scb
from scbtheory.claims._transfer import ANY_HAT
from scbtheory.derivations import transfer as sym
from scbtheory.verification import routes
from scbtheory.verification.bundles import Pretrained
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import Numbers, World, case, exact, gap, relative_gap, worst, z_score

SMALL = ((2, 2), (2, 3), (3, 2))
ENUMERATED = "every context, trigger and output in fractions, (N, T) = " + ", ".join(f"{N}×{T}" for N, T in SMALL)
COORDINATES = ("alpha", "beta", "gamma")
POINT = (0.3, 0.2, 0.9)  # where the package's field is asked


def statement(s: Pretrained):
    """The velocities of alpha, beta and gamma."""
    own = s.gamma**2 * s.K_hat
    return overlap(s) - (spread(s) + own) * s.alpha, 1 / s.T + chase(s), -norm(s) * s.gamma


def overlap(s: Pretrained):
    return s.beta * s.K_P + s.gamma * s.K_cross


def spread(s: Pretrained):
    return s.beta**2 * s.K_P + 2 * s.beta * s.gamma * s.K_cross


def norm(s: Pretrained):
    return 1 / s.T + s.alpha**2 * s.K_Q


def chase(s: Pretrained):
    return s.alpha * s.K_Q - norm(s) * s.beta


# --- routes --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Finetuned(Numbers):
    r"""Numbers with a pretrained matrix H and coordinates; its constants by their definitions."""

    H: np.ndarray  # (N, N)
    alpha: Any  # a fraction or a float, as the rest
    beta: Any
    gamma: Any

    prime = property(lambda s: s.P - s.mu @ s.one_N.T)
    hat = property(lambda s: s.H - s.H @ s.mu @ s.one_N.T)
    K_P = property(lambda s: s.tr(s.prime @ s.D @ s.prime.T))
    K_hat = property(lambda s: s.tr(s.hat @ s.D @ s.hat.T))
    K_cross = property(lambda s: s.tr(s.hat @ s.D @ s.prime.T))
    K_Q = property(lambda s: (((s.Q - s.one_T / s.T) ** 2).sum(axis=0) * s.mu[:, 0]).sum())

    @property
    def parameters(self):
        """``(A, V)`` at the coordinates."""
        flat = self.one_T / self.T @ self.one_N.T
        V = self.mu @ self.one_N.T + self.beta * self.prime + self.gamma * self.hat
        return flat + self.alpha * (self.Q - flat), V


def derived(statement):
    return {"terms that do not cancel": sym.residual_terms(*statement(sym), shift=sp.Symbol("z"))}


@cache
def enumerated_points() -> tuple[Finetuned, ...]:
    """Small exact tasks with a random P̂, whose stationary law is another, at arbitrary coordinates."""
    found = []
    for N, T in SMALL:
        fields = vars(exact(N, T, seed=5 * N + T))
        numbers = {name: fields[name] for name in Numbers.__dataclass_fields__}
        H = exact(N, T, seed=50 * N + T).P
        found.append(Finetuned(**numbers, H=H, alpha=Fraction(2, 3), beta=Fraction(-1, 4), gamma=Fraction(3, 5)))
    return tuple(found)


def enumerated(statement):
    return worst(_enumerated(s, statement) for s in enumerated_points())


def _enumerated(s, statement):
    A, V = s.parameters
    plain_A, plain_V = World(replace(s, A=A, V=V)).gradient
    G_V = plain_V @ s.W @ (s.I_N - s.mu @ s.one_N.T)
    G_A = (plain_A - plain_A.sum(axis=0) / s.T) / s.mu[:, 0]
    names = ("K_P", "K_Q", "K_hat", "K_cross", *COORDINATES)
    at = SimpleNamespace(**{name: getattr(s, name) for name in names}, T=Fraction(s.T))
    d_alpha, d_beta, d_gamma = statement(at)
    return {
        "difference of G_A": gap(G_A, -d_alpha * (s.Q - s.one_T / s.T @ s.one_N.T)),
        "difference of G_V": gap(G_V, -(d_beta * s.prime + d_gamma * s.hat)),
    }


@cache
def package_point(T=40, N=4):
    """A package task, a pretrained P̂ of another law, and the same as numbers."""
    instance = case(N, T, seed=3)
    hat = scb.transfer.pretrained(instance.task, 0.6 * instance.task.K_P, seed=1)
    other = scb.transfer.shifted(instance.task, hat, 0.3, seed=2)
    return instance.task, other, Finetuned(**vars(instance.numbers), H=other, alpha=0.0, beta=0.0, gamma=1.0)


@cache
def matrix_path():
    task, hat, _ = package_point()
    times = np.linspace(0.0, 25.0, 26)
    return times, scb.dynamics.matrix_flow(task, scb.transfer.start(task, hat), times)


def integrated(statement):
    """The stated field integrated against the flow of all matrices, and against the package's field."""
    task, hat, s = package_point()
    times, path = matrix_path()
    constants = {"K_hat": s.K_hat, "K_cross": s.K_cross, "K_P": s.K_P, "K_Q": s.K_Q, "T": s.T}

    def field(_, y):
        return statement(SimpleNamespace(**constants, **dict(zip(COORDINATES, y, strict=True))))

    flow = solve_ivp(field, (0.0, times[-1]), (0.0, 0.0, 1.0), method="DOP853", t_eval=times, rtol=1e-11, atol=1e-12)
    lifted = [scb.transfer.lift(task, hat, *y) for y in flow.y.T]
    return {
        "difference from the flow of all matrices": max(
            max(gap(x.A, y.A), gap(x.V, y.V)) for x, y in zip(path, lifted, strict=True)
        ),
        "relative difference from the package's field": relative_gap(
            scb.transfer.velocity(*POINT, **constants), field(0, POINT)
        ),
    }


@cache
def sampled_velocities():
    """Minibatch estimates of the three velocities at one point: (numbers, (batches, 3))."""
    task, hat, s = package_point(T=12, N=3)
    at = replace(s, alpha=0.4, beta=0.2, gamma=0.9)
    theta = scb.transfer.lift(task, hat, 0.4, 0.2, 0.9)
    grams = np.array([[s.K_P, s.K_cross], [s.K_cross, s.K_hat]])
    rows = []
    for step in range(100):
        found = scb.model.minibatch_gradient(task, theta, task.sample(4000, seed=21, step=step), projected=True)
        along = np.linalg.solve(grams, [task.inner(found.V, s.prime), task.inner(found.V, s.hat)])
        rows.append([-task.inner(found.A, s.Q - 1 / s.T) / s.K_Q, *-along])
    return at, np.array(rows)


def sampled(statement):
    at, rows = sampled_velocities()
    stated = statement(at)
    return {f"|z| of the velocity of {name}": z_score(rows[:, i], stated[i]) for i, name in enumerate(COORDINATES)}


# --- controls ------------------------------------------------------------------------------------


def powerless(s: Pretrained):
    return routes.replaced(statement, 0, lambda s: overlap(s) - spread(s) * s.alpha)(s)


def never_forgotten(s: Pretrained):
    return routes.replaced(statement, 2, lambda s: 0 * s.gamma)(s)


def own_power_for_correlation(s: Pretrained):
    d_alpha, *others = statement(s)
    return d_alpha + s.gamma * (s.K_P - s.K_cross), *others


def without_drift(s: Pretrained):
    return routes.replaced(statement, 1, chase)(s)


CLAIM = Claim(
    id="T1",
    title="Finetuning on three numbers",
    text=r"""
The set $V = \mu 1^\top + \beta P' + \gamma\hat P'$, $A = 11^\top/T + \alpha Q'$ is invariant, with

$$
\begin{aligned}
\dot\alpha &= (\beta K_P + \gamma K_\times) \\
&\quad - (\beta^2K_P + 2\beta\gamma K_\times + \gamma^2K_{\hat P})\,\alpha, \\
\dot\beta &= \left(\tfrac1T + \alpha K_Q\right) - \left(\tfrac1T + \alpha^2K_Q\right)\beta, \\
\dot\gamma &= -\left(\tfrac1T + \alpha^2K_Q\right)\gamma .
\end{aligned}
$$ (eq-transfer)
""",
    assumptions=f"{ANY_HAT}; P̂' = P̂(I - μ1'), which is P̂ - μ1' where P̂μ = μ",
    scope=r"Proved for every $N$ and $T$, for every column-stochastic $\hat P$, whatever its stationary law, "
    r"with $\hat P' = \hat P(I - \mu 1^\top)$.",
    nature="theorem",
    chapter="transfer",
    rests_on=("G5",),
    statement=statement,
    routes=(
        Route(
            "symbolic",
            f"{routes.ALL_SIZES}; P̂ with any stationary law, V moved by z(P̂μ - μ)1' for every z",
            derived,
        ),
        Route("exact", f"{ENUMERATED}; P̂ with another stationary law", enumerated),
        routes.numeric("the flow of all matrices to t = 25, N = 4, T = 40, and the package's field", integrated, 1e-9),
        Route(
            "monte carlo",
            "minibatch gradients resolved along P', P̂' and Q', 400 000 samples at N = 3, T = 12",
            sampled,
            limit=5.0,
            blind="terms of which a tenth is below the noise of 400 000 samples",
        ),
    ),
    controls=(
        Control("K_P̂ forgotten: P̂' taken to have no power of its own", powerless),
        Control("P̂' never forgotten: γ constant", never_forgotten),
        Control("K_P for K_×: P̂ taken to be P", own_power_for_correlation),
        Control("the drift 1/T left out", without_drift),
    ),
)
