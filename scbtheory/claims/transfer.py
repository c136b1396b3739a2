r"""Claims T1 and T2: the three-number flow of finetuning, and its bypass of stage 1."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache, partial
from types import SimpleNamespace

import numpy as np
import sympy as sp
from scipy.integrate import solve_ivp

import scbtheory as scb
from scbtheory.claims._legacy import Claim, Control, Route, register
from scbtheory.claims._scalars import bundle
from scbtheory.derivations import transfer as sym
from scbtheory.verification import routes
from scbtheory.verification.instances import Numbers, World, case, exact, gap, relative_gap, z_score

SMALL = ((2, 2), (2, 3), (3, 2))
ENUMERATED = "every context, trigger and output in fractions, (N, T) = " + ", ".join(f"{N}×{T}" for N, T in SMALL)
ANY_HAT = "every task and every column-stochastic P̂; population gradients of G5"


@dataclass(frozen=True)
class Finetuned(Numbers):
    r"""Numbers with a pretrained matrix H and coordinates; its constants by their definitions."""

    H: np.ndarray = None  # (N, N)
    alpha: float = 0
    beta: float = 0
    gamma: float = 0

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


# --- T1: three numbers ---------------------------------------------------------------------------


def flow_statement(s, power=True, decays=True, cross=lambda s: s.K_cross, drift=True):
    """The velocities of alpha, beta and gamma."""
    hat = s.gamma**2 * s.K_hat if power else 0
    spread = s.beta**2 * s.K_P + 2 * s.beta * s.gamma * s.K_cross + hat
    norm = 1 / s.T + s.alpha**2 * s.K_Q
    return (
        s.beta * s.K_P + s.gamma * cross(s) - spread * s.alpha,
        (1 / s.T if drift else 0) + s.alpha * s.K_Q - norm * s.beta,
        -norm * s.gamma if decays else 0 * s.gamma,
    )


@cache
def _pretrained_points() -> tuple[Finetuned, ...]:
    """Small exact tasks with a random P̂, whose stationary law is another, at arbitrary coordinates."""
    found = []
    for N, T in SMALL:
        fields = vars(exact(N, T, seed=5 * N + T))
        numbers = {name: fields[name] for name in Numbers.__dataclass_fields__}
        H = exact(N, T, seed=50 * N + T).P
        found.append(Finetuned(**numbers, H=H, alpha=Fraction(2, 3), beta=Fraction(-1, 4), gamma=Fraction(3, 5)))
    return tuple(found)


def _flow_exact(s, statement):
    A, V = s.parameters
    plain_A, plain_V = World(replace(s, A=A, V=V)).gradient
    G_V = plain_V @ s.W @ (s.I_N - s.mu @ s.one_N.T)
    G_A = (plain_A - plain_A.sum(axis=0) / s.T) / s.mu[:, 0]
    names = ("K_P", "K_Q", "K_hat", "K_cross", "alpha", "beta", "gamma")
    at = SimpleNamespace(**{name: getattr(s, name) for name in names}, T=Fraction(s.T))
    d_alpha, d_beta, d_gamma = statement(at)
    return max(gap(G_V, -(d_beta * s.prime + d_gamma * s.hat)), gap(G_A, -d_alpha * (s.Q - s.one_T / s.T @ s.one_N.T)))


@cache
def _package_point(T=40, N=4, admissible_seed=3):
    """A package task, a pretrained P̂ of another law, and the same as numbers."""
    instance = case(N, T, seed=admissible_seed)
    hat = scb.transfer.pretrained(instance.task, 0.6 * instance.task.K_P, seed=1)
    other = scb.transfer.shifted(instance.task, hat, 0.3, seed=2)
    return instance.task, other, Finetuned(**vars(instance.numbers), H=other, alpha=0.0, beta=0.0, gamma=1.0)


@cache
def _matrix_path():
    task, hat, _ = _package_point()
    times = np.linspace(0.0, 25.0, 26)
    return times, scb.dynamics.matrix_flow(task, scb.transfer.start(task, hat), times)


def _flow_numeric(statement):
    """The stated field integrated against the flow of all matrices, and against the package's field."""
    task, hat, s = _package_point()
    times, path = _matrix_path()
    constants = SimpleNamespace(K_P=s.K_P, K_Q=s.K_Q, K_hat=s.K_hat, K_cross=s.K_cross, T=s.T)

    def field(_, y):
        return statement(SimpleNamespace(**vars(constants), **dict(zip(("alpha", "beta", "gamma"), y, strict=True))))

    flow = solve_ivp(field, (0.0, times[-1]), (0.0, 0.0, 1.0), method="DOP853", t_eval=times, rtol=1e-11, atol=1e-12)
    lifted = [scb.transfer.lift(task, hat, *y) for y in flow.y.T]
    worst = max(max(gap(x.A, y.A), gap(x.V, y.V)) for x, y in zip(path, lifted, strict=True))
    names = {"K_hat": s.K_hat, "K_cross": s.K_cross, "K_P": s.K_P, "K_Q": s.K_Q, "T": s.T}
    return max(worst, relative_gap(scb.transfer.velocity(0.3, 0.2, 0.9, **names), field(0, (0.3, 0.2, 0.9))))


@cache
def _sampled_velocities():
    """Minibatch estimates of the three velocities at one point: (numbers, (batches, 3))."""
    task, hat, s = _package_point(T=12, N=3)
    at = replace(s, alpha=0.4, beta=0.2, gamma=0.9)
    theta = scb.transfer.lift(task, hat, 0.4, 0.2, 0.9)
    grams = np.array([[s.K_P, s.K_cross], [s.K_cross, s.K_hat]])
    rows = []
    for step in range(100):
        found = scb.model.minibatch_gradient(task, theta, task.sample(4000, seed=21, step=step), projected=True)
        along = np.linalg.solve(grams, [task.inner(found.V, s.prime), task.inner(found.V, s.hat)])
        rows.append([-task.inner(found.A, s.Q - 1 / s.T) / s.K_Q, *-along])
    return at, rows


def _flow_sampled(statement):
    at, rows = _sampled_velocities()
    return z_score(rows, statement(at))


register(
    Claim(
        "T1",
        "Finetuning on three numbers",
        r"\dot\alpha = (\beta K_P + \gamma K_\times) - (\beta^2K_P + 2\beta\gamma K_\times + \gamma^2K_{\hat P})\alpha,"
        r"\quad \dot\beta = (\tfrac1T + \alpha K_Q) - (\tfrac1T + \alpha^2K_Q)\beta,"
        r"\quad \dot\gamma = -(\tfrac1T + \alpha^2K_Q)\gamma",
        f"{ANY_HAT}; P̂' = P̂(I - μ1'), which is P̂ - μ1' where P̂μ = μ",
        flow_statement,
        (
            Route(
                "symbolic",
                f"{routes.ALL_SIZES}; P̂ with any stationary law, V moved by z(P̂μ - μ)1' for every z",
                lambda statement: sym.residual_terms(*statement(sym), shift=sp.Symbol("z")),
            ),
            Route(
                "exact",
                f"{ENUMERATED}; P̂ with another stationary law",
                lambda statement: max(_flow_exact(s, statement) for s in _pretrained_points()),
                unit="difference",
            ),
            Route(
                "numeric",
                "the flow of all matrices to t = 25, N = 4, T = 40, and the package's field",
                _flow_numeric,
                limit=1e-9,
                margin=1e4,
                unit="difference",
            ),
            Route(
                "monte carlo",
                "minibatch gradients resolved along P', P̂' and Q', 400 000 samples at N = 3, T = 12",
                _flow_sampled,
                limit=5.0,
                unit="largest |z|",
            ),
        ),
        (
            Control("K_P̂ forgotten: P̂' taken to have no power of its own", partial(flow_statement, power=False)),
            Control("P̂' never forgotten: γ constant", partial(flow_statement, decays=False)),
            Control("K_P for K_×: P̂ taken to be P", partial(flow_statement, cross=lambda s: s.K_P)),
            Control("the drift 1/T left out", partial(flow_statement, drift=False)),
        ),
    )
)

# --- T2: the bypass ------------------------------------------------------------------------------

LENGTHS = (10**3, 10**4, 10**5, 10**6)
CONSTANTS = {"K_P": 0.25, "K_Q": 0.5, "K_hat": 0.2}
THETA = 0.8
LEVEL = 0.25


def bypass_statement(s, pull=lambda s: s.theta * s.K_cross, transfer=0, scratch=1):
    """The initial velocities; what a unit of log T adds to the time to a given alpha, finetuned and from scratch."""
    return pull(s), 1 / s.T, -s.theta / s.T, transfer, scratch / s.sqrt(s.K_P * s.K_Q)


def _bypass_symbolic(statement):
    constants = {"K_P": sym.k_P, "K_Q": sym.k_Q, "K_hat": sym.k_hat, "K_cross": sym.k_cross}
    stated = statement(bundle(sp, **constants, T=sym.T, theta=sym.theta))
    found = (*sym.start_velocity(), sym.time_growth(True), sym.time_growth(False))
    return sum(sp.simplify(x - y) != 0 for x, y in zip(found, stated, strict=True)) + (not sym.field_is_derived())


def _slope(times):
    return float(np.polyfit(np.log(LENGTHS), times, 1)[0])


@cache
def arrival_slopes(K_cross):
    """What a unit of log T adds to the time at which the flow reaches alpha = ¼: finetuned, and from scratch."""
    return tuple(
        _slope([scb.transfer.time_to(LEVEL, theta=theta, K_cross=cross, T=T, **CONSTANTS) for T in LENGTHS])
        for theta, cross in ((THETA, K_cross), (0.0, 0.0))
    )


def _bypass_numeric(statement):
    K_cross, T = 0.15, 10**4
    constants = {"K_P": CONSTANTS["K_P"], "K_Q": CONSTANTS["K_Q"], "K_hat": CONSTANTS["K_hat"]}
    *stated, transfer, scratch = statement(bundle(math, **constants, K_cross=K_cross, T=T, theta=THETA))
    found = scb.transfer.velocity(0.0, 0.0, THETA, K_cross=K_cross, T=T, **constants)
    slopes = arrival_slopes(K_cross)
    scale = abs(found[0])
    return max(
        *(abs(x - y) / (scale if i == 0 else 1 / T) for i, (x, y) in enumerate(zip(found, stated, strict=True))),
        abs(slopes[0] - transfer) / slopes[1], abs(slopes[1] - scratch) / slopes[1],
    )  # fmt: skip


@cache
def _matrix_arrivals():
    """The same slopes and velocities from the flow of all matrices, at T = 50, 200, 800."""
    lengths, times, start = (50, 200, 800), {True: [], False: []}, None
    for T in lengths:
        task = scb.SCB(scb.SCB.random(3, T, 2, seed=25).P, with_two_equal(T))
        hat = scb.transfer.pretrained(task, 0.6 * task.K_P, seed=1)
        for finetuned in (True, False):
            theta = scb.transfer.start(task, hat, THETA) if finetuned else scb.Parameters.initial(task)
            moments = np.linspace(0.0, 60.0, 601)
            alpha = [scb.dynamics.reduce(task, x).alpha for x in scb.dynamics.matrix_flow(task, theta, moments)]
            n = int(np.argmax(np.array(alpha) >= LEVEL))
            times[finetuned].append(float(np.interp(LEVEL, alpha[n - 1 : n + 1], moments[n - 1 : n + 1])))
            if finetuned and T == 200:
                start = _start_velocity(task, hat, theta)
    slopes = [float(np.polyfit(np.log(lengths), times[f], 1)[0]) for f in (True, False)]
    return *start, *slopes


def with_two_equal(T, N=3):
    """Q with two equal positions a trigger, so that K_Q is ½ - 1/T at every length, (T, N)."""
    Q = np.zeros((T, N))
    for k in range(N):
        Q[[3 * k, 3 * k + 2], k] = 0.5
    return Q


def _start_velocity(task, hat, theta):
    """Coordinates of the package's projected gradient at the start, with the constants they depend on."""
    gradient, c = scb.population.projected_gradient(task, theta), scb.transfer.correlations(task, hat)
    prime, own = task.P - task.mu[:, None], scb.transfer.centred(task, hat)
    along = np.linalg.solve(
        [[task.K_P, c.K_cross], [c.K_cross, c.K_hat]], [task.inner(gradient.V, prime), task.inner(gradient.V, own)]
    )
    alpha = -task.inner(gradient.A, task.Q - 1 / task.context_length) / task.K_Q
    return task, c, (alpha, *-along)


def _bypass_matrices(statement):
    task, c, found, transfer, scratch = _matrix_arrivals()
    s = bundle(math, K_P=task.K_P, K_Q=0.5, K_hat=c.K_hat, K_cross=c.K_cross, T=200, theta=THETA)
    *stated, stated_transfer, stated_scratch = statement(s)
    weights = (abs(found[0]), 1 / 200, 1 / 200)
    return max(
        *(abs(x - y) / w for x, y, w in zip(found, stated, weights, strict=True)),
        abs(transfer - stated_transfer) / scratch, abs(scratch - stated_scratch) / scratch,
    )  # fmt: skip


register(
    Claim(
        "T2",
        "A nontrivial correlation bypasses stage 1",
        r"\dot\alpha(0) = \theta K_\times = O(1),\qquad "
        r"\frac{\partial t_\rho}{\partial\log T} \to 0\ \text{ against } \frac{1}{\omega}\ \text{ from scratch}",
        f"{ANY_HAT}; K_× > 0; t_ρ is the time to α = ρ",
        bypass_statement,
        (
            Route("symbolic", "proof for all positive constants, from T1 and S1; t_ρ for small ρ", _bypass_symbolic),
            Route(
                "numeric", "slopes of the flows' times to α = ¼ over T = 10³ … 10⁶", _bypass_numeric,
                limit=0.02, margin=3.0, unit="relative difference",
            ),
            Route(
                "numeric", "slopes of the times of all matrices over T = 50, 200, 800; N = 3", _bypass_matrices,
                limit=0.1, margin=2.5, unit="relative difference",
            ),
        ),
        (
            Control(
                "the start's pull of order 1/T, as from scratch",
                partial(bypass_statement, pull=lambda s: s.theta * s.K_cross / s.T),
            ),
            Control(
                "K_P̂ for K_×: power taken for correlation", partial(bypass_statement, pull=lambda s: s.theta * s.K_hat)
            ),
            Control("log T kept", lambda s: (*bypass_statement(s)[:3], *bypass_statement(s)[4:] * 2)),
            Control("scratch taken to lose its log T as well", partial(bypass_statement, scratch=0)),
        ),
    )
)  # fmt: skip
