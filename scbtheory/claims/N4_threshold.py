r"""N4. A threshold that grows like :math:`\sqrt{\log T}` keeps out the noise of T coordinates."""

from __future__ import annotations

import math
from functools import cache
from types import SimpleNamespace

import mpmath as mp
import numpy as np
import sympy as sp
from scipy.optimize import brentq, minimize_scalar
from scipy.special import ndtr

import scbtheory as scb
from scbtheory.claims._scalars import changed
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import relative_gap, worse, z_score
from scbtheory.verification.routes import replaced


def statement(s):
    """The threshold; how many of M = TN pass it, and as what power of M; the step's map; the batch it needs."""
    return at_height(s, s.sqrt(2 * s.log(s.M)), s.sigma)


def at_height(s, height, sigma):
    cut = s.c * sigma * height / s.sqrt(s.B)
    step = s.sign(s.x) * s.maximum(abs(s.x) - s.cut, 0)
    return cut, 2 * s.M * s.tail(s.c * height), 1 - s.c**2, step, ((1 + s.c) * sigma * height / s.signal) ** 2


# --- routes --------------------------------------------------------------------------------------

PACKAGE = tuple(
    f"{name}, relative"
    for name in ("threshold and batch", "the package's count", "the package's step", "minimiser", "root of the batch")
)


def bundle(library, **values):
    names = ("sqrt", "log", "sign", "maximum", "tail")
    return SimpleNamespace(**dict(zip(names, library, strict=True)), **values)


SYMPY = (sp.sqrt, sp.log, sp.sign, sp.Max, lambda x: sp.erfc(x / sp.sqrt(2)) / 2)
FLOATS = (math.sqrt, math.log, np.sign, np.maximum, lambda x: float(ndtr(-x)))


def derived(statement):
    c, sigma, B, L, cut, signal, more = sp.symbols("c sigma B L cut signal more", positive=True)
    M, size = sp.exp(L), sp.Symbol("size", positive=True)
    names = {"c": c, "sigma": sigma, "M": M, "cut": cut, "signal": signal}
    stated, count, exponent, *_ = statement(bundle(SYMPY, B=B, x=more, **names))
    height = sp.simplify(stated * sp.sqrt(B) / sigma)  # in standard deviations of a coordinate
    mills = sp.limit(SYMPY[-1](size) * size * sp.exp(size**2 / 2) * sp.sqrt(2 * sp.pi), size, sp.oo)
    # By Mills' ratio the log of the count is L - height²/2 - log(height), up to a constant.
    power = sp.limit((L - height**2 / 2 - sp.log(height)) / L, L, sp.oo)
    # The minimiser u of (u - x)²/2 + cut |u|: x - cut beyond it, x + cut below -cut, 0 between.
    part = cut / (1 + more)
    ends = ((cut + more, more), (-cut - more, -more), (part, 0), (-part, 0), (cut, 0))
    steps = [statement(bundle(SYMPY, B=B, x=x, **names))[3] - u for x, u in ends]
    # At the stated batch the signal is the threshold and one more height of noise.
    batch = statement(bundle(SYMPY, B=B, x=more, **names))[4]
    at_batch = statement(bundle(SYMPY, B=batch, x=more, **names))[0]

    def failing(*residuals):
        return sum(sp.simplify(e) != 0 for e in residuals)

    return {
        "terms of the count": failing(mills - 1, count - 2 * M * SYMPY[-1](height)),
        "terms of its power": failing(power - exponent),
        "terms of the step": failing(*steps),
        "terms of the batch": failing(signal - at_batch * (1 + 1 / c)),
    }


@cache
def instance():
    """A task on the plane, in stage 2, with its own σ, and 40 minibatch gradients."""
    task = scb.SCB.random(3, 1000, 2, seed=6)
    theta = scb.dynamics.lift(task, 0.5, 0.5)
    sigma = scb.noise.attention_noise_variance(task, theta) ** 0.5
    batches = (task.sample(3000, seed=44, step=i) for i in range(40))
    steps = [scb.model.minibatch_gradient(task, theta, b, projected=True).A for b in batches]
    return task, theta, sigma, steps


def at_trigger(task, k, sigma, **values):
    """The bundle at one trigger; its signal is the smallest on the support."""
    q = task.Q[:, k]
    signal = 0.5 * task.K_P * 0.75 * (q[q > 0].min() - 1 / task.context_length)
    return bundle(FLOATS, M=task.context_length * task.vocab_size, sigma=float(sigma[k]), signal=signal, **values)


def by_quadrature(statement):
    found: dict[str, float] = {}

    def keep(name, value):
        found[name] = worse(found.get(name, 0.0), float(value))

    with mp.workdps(30):
        for power, c_ in ((60, mp.mpf(1) / 2), (90, mp.mpf(4) / 5)):
            s = bundle(
                (mp.sqrt, mp.log, mp.sign, max, lambda x: mp.erfc(x / mp.sqrt(2)) / 2),
                M=mp.mpf(10) ** power, c=c_, sigma=mp.mpf(3), B=mp.mpf(7), x=mp.mpf(1), cut=mp.mpf(1), signal=mp.mpf(1),
            )  # fmt: skip
            cut, count, exponent, *_ = statement(s)
            height = cut * mp.sqrt(s.B) / s.sigma
            tail = mp.quad(mp.npdf, [height, height + 2, height + 20])
            keep("count, relative", abs(2 * s.M * tail / count - 1))
            keep("power", abs(mp.log(2 * s.M * tail * height * mp.sqrt(mp.pi / 2)) / mp.log(s.M) - exponent))
    return found | by_package(statement)


def by_package(statement):
    """The package's threshold, batch, count and step at N = 3, T = 1000; the step's objective and the batch's root."""
    task, theta, sigma, steps = instance()
    found, c, B = dict.fromkeys(PACKAGE, 0.0), 0.5, 3000
    package = scb.noise.threshold(task, theta, batch_size=B, c=c), scb.noise.support_batch(task, 0.5, 0.5, c=c)
    moved = scb.noise.proximal_step(task, theta.A, steps[0], step_size=2.0, threshold=package[0])
    for k in range(3):
        s = at_trigger(task, k, sigma, c=c, B=B, cut=2 * package[0][k], x=0.0)
        s.x = theta.A[:, k] - 2 * steps[0][:, k] - 1 / 1000
        cut, count, _, step, batch = statement(s)
        least = 0.0
        for i in range(0, 1000, 333):  # the map minimises its objective
            best = minimize_scalar(lambda u, i=i, s=s: (u - s.x[i]) ** 2 / 2 + s.cut * abs(u), options={"xtol": 1e-12})
            least = max(least, abs(best.x - step[i]) / s.cut)

        def gap(logarithm, s=s):
            return s.signal - statement(changed(s, B=math.exp(logarithm)))[0] * (1 + 1 / s.c)

        here = (
            relative_gap([package[0][k], package[1][k]], [cut, batch]),
            relative_gap([scb.noise.passing(task, c=c)], [count]),
            relative_gap(moved[:, k] - 1 / 1000, step - step.mean()),
            least,
            abs(math.exp(brentq(gap, -20, 60)) / batch - 1),
        )
        found = {name: worse(old, new) for (name, old), new in zip(found.items(), here, strict=True)}
    return found


def by_sampling(statement):
    """Counts, kept deviations and signals of real minibatch gradients, off and on the support."""
    task, theta, sigma, steps = instance()
    mean = -scb.noise.attention_signal(task, theta)
    found = dict.fromkeys(("|z| of the count", "|z| of what is kept", "|z| of the weakest signal"), 0.0)
    for k in range(3):
        away = task.Q[:, k] == 0
        noise = np.array([(step - mean)[away, k] for step in steps])
        s = at_trigger(task, k, sigma, c=0.5, B=3000, cut=0.0, x=noise)
        s.cut, count, _, _, batch = statement(s)
        step, share = statement(s)[3], away.sum() / s.M
        scale = s.sigma / math.sqrt(s.B)
        x = 0.5 * math.sqrt(2 * math.log(s.M))
        kept = 2 * scale * (math.exp(-x * x / 2) / math.sqrt(2 * math.pi) - x * float(ndtr(-x)))
        # At the stated batch the weakest signal stands sqrt(2 log TN) deviations of noise above the threshold.
        weakest = np.where(away, np.inf, task.Q[:, k]).argmin()
        there = statement(changed(s, B=batch))[0]
        above = [(-step[weakest, k] - there) * math.sqrt(batch) / s.sigma for step in steps]
        here = (
            z_score((np.abs(noise) > s.cut).sum(axis=1), count * share),
            z_score(np.abs(step).mean(axis=1), kept),
            z_score(above, math.sqrt(2 * math.log(s.M))),
        )
        found = {name: worse(old, new) for (name, old), new in zip(found.items(), here, strict=True)}
    return found


# --- controls ------------------------------------------------------------------------------------


def without_logarithm(s):
    return at_height(s, s.sqrt(2), s.sigma)


def variance_for_deviation(s):
    return at_height(s, s.sqrt(2 * s.log(s.M)), s.sigma**2)


def hard(s):
    return s.x * ((1 + s.sign(abs(s.x) - s.cut)) / 2)


def one_tail(s):
    return statement(s)[1] / 2


def batch_like_T(s):
    return statement(s)[4] * s.M / s.log(s.M)


CLAIM = Claim(
    id="N4",
    title="Thresholding: the batch grows like log T",
    text=r"""
At the threshold

$$
h_k = c\,\sigma_k\sqrt{\frac{2\log(TN)}{B}},
$$ (eq-threshold)

of $TN$ coordinates that hold noise only, $2TN\,\Phi(-c\sqrt{2\log TN}) = (TN)^{1-c^2+o(1)}$ pass the
soft-thresholded step; on a support whose smallest signal is $g_k$ the batch

$$
B_k = 2\log(TN)\,\frac{\sigma_k^2\,(1+c)^2}{g_k^2}
$$ (eq-support-batch)

lifts every signal $\sqrt{2\log TN}$ of these deviations above the threshold. (A signal's own deviation is larger: a
position on the support carries more than noise.)
""",
    assumptions="Gaussian noise of standard deviation σ_k/√B in TN coordinates; c > 0",
    scope="Proved for Gaussian noise and all positive $c$, $\\sigma$, $B$ and $g_k$: the power as $TN \\to \\infty$, "
    "by Mills' ratio; the step as the minimiser of its objective; the batch. That a batch's noise is Gaussian so far "
    "out holds to leading order in the samples a trigger has.",
    nature="asymptotic",
    chapter="thresholding",
    rests_on=("N3",),
    statement=statement,
    routes=(
        Route(
            "symbolic",
            "proof for all positive c, σ, B, S: tails by Mills' ratio as TN → ∞, the step's minimiser, the batch",
            derived,
        ),
        Route(
            "numeric",
            "quadrature at TN = 10⁶⁰ and 10⁹⁰; minimisation, roots and the package at N = 3, T = 1000",
            by_quadrature,
            {"count, relative": 1e-6, "power": 3e-4} | dict.fromkeys(PACKAGE, 1e-10),
            margin=20.0,
        ),
        Route(
            "monte carlo",
            "40 minibatch gradients of B = 3000 at N = 3, T = 1000, c = ½",
            by_sampling,
            limit=4.0,
            blind="at one TN a tenth of the power is below the noise of 40 gradients",
        ),
    ),
    controls=(
        Control("the logarithm dropped: c√2 standard deviations", without_logarithm),
        Control("σ² for σ", variance_for_deviation),
        Control("hard thresholding", replaced(statement, 3, hard)),
        Control("one tail counted", replaced(statement, 1, one_tail)),
        Control("a batch that grows like T", replaced(statement, 4, batch_like_T)),
    ),
)
