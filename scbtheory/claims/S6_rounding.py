r"""S6. Rounding: a threshold keeps the support, and the background's removal gives back Q."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import sympy as sp

import scbtheory as scb
from scbtheory.claims._reduction import SMALL, points
from scbtheory.derivations import reduction, stages
from scbtheory.verification import routes
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import case, gap, worse


def statement(s):
    """Both ends of the thresholds that keep the support; attention above the background, and its sum."""
    low = background(s)
    return low, low + s.alpha * s.q_min, attention(s) - background(s) * s.one_T, s.alpha


def background(s):
    return (1 - s.alpha) / s.T


def attention(s):
    return s.uniform + s.alpha * (s.attended - s.uniform)


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    q_min = sp.Symbol("q_min", positive=True)
    s = SimpleNamespace(
        alpha=reduction.alpha, T=reduction.T, q_min=q_min, attended=reduction.attended,
        one_T=stages.s.one_T, uniform=reduction.uniform,
    )  # fmt: skip
    return {"equations that fail": sum(x != 0 for x in stages.rounding_residuals(*statement(s), q_min))}


def column(q, T, alpha, one_T):
    return SimpleNamespace(alpha=alpha, T=T, q_min=q[q > 0].min(), attended=q, one_T=one_T, uniform=one_T / T)


def by_enumeration(statement):
    """The ends as the largest attention off the support and the least on it, for alpha below, at and above 1."""
    found = dict.fromkeys(("largest off the support", "least on the support", "what is left"), 0)
    for s in points():
        for k in range(s.N):
            q = s.seen_from(k).q
            for alpha in (s.alpha, s.alpha / s.alpha, 2 * s.alpha):
                a = s.uniform + alpha * (q - s.uniform)
                low, high, signal, total = statement(column(q, s.T, alpha, s.one_T))
                off = gap(a[q == 0].max(), low) if (q == 0).any() else 0
                here = off, gap(a[q > 0].min(), high), gap(signal, total * q)
                found = {name: worse(old, new) for (name, old), new in zip(found.items(), here, strict=True)}
    return found


def by_package(statement):
    """The package's rounding on all columns: thresholds inside keep the support, those outside do not; Q comes back."""
    task = case(5, 400, seed=13, sparsity=3).task
    found = dict.fromkeys(("interval", "column", "thresholds that misjudge", "the package's Q"), 0.0)
    for alpha in (0.05, 0.7, 1.3):
        A = scb.dynamics.lift(task, alpha, 0.5).A
        for k in range(task.vocab_size):
            q = task.Q[:, [k]]
            low, high, signal, total = statement(column(q, 400, alpha, np.ones((400, 1))))
            package = scb.dynamics.rounding_interval(alpha=alpha, q_min=q[q > 0].min(), T=400)
            misjudged = 0
            for share, keeps in ((-0.01, False), (0.01, True), (0.5, True), (0.99, True), (1.01, False)):
                kept = scb.dynamics.support(A[:, [k]], low + share * (high - low))
                misjudged += np.array_equal(kept, q > 0) != keeps
            found["interval"] = max(found["interval"], gap(package, (low, high)))
            found["column"] = max(found["column"], gap(signal / total, q))
            found["thresholds that misjudge"] += misjudged
        smallest = scb.dynamics.rounding_interval(alpha=alpha, q_min=task.Q[task.Q > 0].min(), T=400)
        recovered = scb.dynamics.recover(task, A, sum(smallest) / 2)
        found["the package's Q"] = max(found["the package's Q"], gap(recovered, task.Q))
    return found


# --- controls ------------------------------------------------------------------------------------


def background_of_the_start(s):
    low = 1 / s.T
    return low, low + s.alpha * s.q_min, attention(s) - background(s) * s.one_T, s.alpha


def width_without_alpha(s):
    low = background(s)
    return low, low + s.q_min, attention(s) - background(s) * s.one_T, s.alpha


def background_left_in(s):
    low = background(s)
    return low, low + s.alpha * s.q_min, attention(s), s.alpha


def not_normalised(s):
    low = background(s)
    return low, low + s.alpha * s.q_min, attention(s) - background(s) * s.one_T, 1


CLAIM = Claim(
    id="S6",
    title="Rounding: a threshold keeps the support, and the background's removal gives back Q",
    text=r"""
For $\alpha > 0$ and any threshold in

$$
\left(\frac{1-\alpha}{T},\ \frac{1-\alpha}{T} + \alpha\,q_{\min}\right),
$$ (eq-interval)

where $q_{\min}$ is the smallest positive entry of $q^{(k)}$, thresholding $a^{(k)}$ keeps exactly the support of
$q^{(k)}$. Subtracting the background $(1-\alpha)/T$ leaves $\alpha q^{(k)}$, and normalising that gives $q^{(k)}$.
""",
    assumptions="on the plane; alpha > 0, above 1 as well",
    scope=r"Proved for every $N$, $T$ and $\alpha > 0$ on the plane.",
    nature="theorem",
    chapter="rounding",
    rests_on=("R1",),
    statement=statement,
    routes=(
        Route("symbolic", routes.ALL_SIZES, derived),
        Route(
            "exact",
            "every column of small tasks in fractions, (N, T) = "
            + ", ".join(f"{N}×{T}" for N, T in SMALL)
            + ", α = 2/3, 1, 4/3",
            by_enumeration,
        ),
        Route(
            "numeric",
            "the package at thresholds inside and outside, N = 5, T = 400, α = 0.05, 0.7, 1.3",
            by_package,
            {"interval": 1e-10, "column": 1e-10, "thresholds that misjudge": 0, "the package's Q": 1e-10},
            margin=1e4,
        ),
    ),
    controls=(
        Control("the background 1/T, as at the start", background_of_the_start),
        Control("width q_min without alpha", width_without_alpha),
        Control("normalising with the background left in", background_left_in),
        Control("background removed, but not normalised", not_normalised),
    ),
)
