"""X1. At the start, softmax moves attention in the linear model's direction, T² times slower."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

import autograd.numpy as anp
import numpy as np
import sympy as sp
from autograd import grad, jacobian

import scbtheory as scb
from scbtheory.derivations import reduction, softmax
from scbtheory.derivations import symbols as sym
from scbtheory.verification.bundles import Logits
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import case, relative_gap, worst, z_score


def statement(s: Logits, g):
    r"""J at :math:`w = 0`; for a gradient g in attention, the gradient in the logits and the velocity of attention."""
    return scaled(centring(s), g, s.T)


def centring(s: Logits):
    return s.I_T - (s.one_T @ s.one_T.T) / s.T


def scaled(direction, g, factor):
    return direction / factor, (direction @ g) / factor, -(direction @ g) / factor**2


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    s = SimpleNamespace(I_T=sym.I_T, one_T=sym.one_T, T=reduction.T)
    return {"terms that do not cancel": softmax.unexplained(*statement(s, sym.b))}


def explicit(statement):
    """SymPy differentiates each entry of an explicit softmax, T = 2 to 5, and multiplies fractions."""
    return worst(_explicit(T, statement) for T in (2, 3, 4, 5))


def _explicit(T, statement):
    w = sp.symbols(f"w0:{T}", real=True)
    total = sum(sp.exp(x) for x in w)
    J = sp.Matrix([sp.exp(x) / total for x in w]).jacobian(w).subs(dict.fromkeys(w, 0))
    g = sp.Matrix([sp.Rational((3 * i * i + 1) % 7, i + 2) for i in range(T)])
    stated = statement(SimpleNamespace(I_T=sp.eye(T), one_T=sp.ones(T, 1), T=sp.Integer(T)), g)
    names = "difference of J", "difference of the gradient", "difference of the velocity"
    return {
        name: max(abs(x) for x in found - right)
        for name, found, right in zip(names, (J, J * g, -J * J * g), stated, strict=True)
    }


@cache
def started():
    """A package task at w = 0 with an arbitrary V, and its linear gradient there."""
    instance = case(3, 30, seed=12)
    theta = scb.softmax.SoftmaxParameters(0 * instance.theta.A, instance.theta.V)
    return instance.task, theta, scb.population.gradient(instance.task, theta.linear(instance.task))


@cache
def differentiated():
    """Automatic differentiation of softmax, and of G2's loss through it, at w = 0: (J, gradient in the logits)."""
    task, theta, _ = started()
    mu, P, Q, V, C = task.mu, task.P, task.Q, theta.V, task.C

    def attention(w):
        e = anp.exp(w)
        return e / anp.sum(e, axis=0)

    def loss(w):
        a = attention(w)
        p11, p20 = anp.sum(a * Q, axis=0), anp.sum(a * a, axis=0)
        return 0.5 * anp.sum(mu * (p20 * anp.trace(V.T @ V @ C) - 2 * p11 * anp.trace(V.T @ P @ C)))

    return jacobian(attention)(np.zeros(task.context_length)), grad(loss)(theta.W)


def arrays(T):
    return SimpleNamespace(I_T=np.eye(T), one_T=np.ones((T, 1)), T=T)


def automatic(statement):
    task, theta, linear = started()
    J, into, velocity = statement(arrays(task.context_length), linear.A)
    found_J, found = differentiated()
    package = scb.population.gradient(task, theta).W
    step = 1e-6  # a short step down the package's gradient, as it moves attention
    moved = scb.softmax.softmax(np, theta.W - step * package) - 1 / task.context_length
    return {
        "relative difference of J": relative_gap(found_J, J),
        "relative difference of the gradient": relative_gap(found, into),
        "relative difference of the package's gradient": relative_gap(package, into),
        "relative difference of the velocity, by a finite step": relative_gap(moved / step, velocity),
    }


@cache
def sampled_gradients():
    task, theta, _ = started()
    found = [scb.model.minibatch_gradient(task, theta, task.sample(2000, seed=31, step=i)).W for i in range(60)]
    return np.array(found)


def sampled(statement):
    """Each sample's gradient, and the velocity that the projection over T, by hand, makes of it."""
    task, _, linear = started()
    length = task.context_length
    _, into, velocity = statement(arrays(length), linear.A)
    gradients = sampled_gradients()
    return {
        "largest |z| of the gradient": z_score(gradients, into),
        "largest |z| of the velocity": z_score((gradients.mean(axis=1, keepdims=True) - gradients) / length, velocity),
        # The sum over positions vanishes in every sample, and not only on average.
        "|z| of its sum over positions": z_score(gradients.sum(axis=1), into.sum(axis=0)),
    }


# --- controls ------------------------------------------------------------------------------------


def sum_forgotten(s: Logits, g):
    return scaled(s.I_T, g, s.T)


def logits_for_attention(s: Logits, g):
    return scaled(centring(s), g, 1)


def T_squared(s: Logits, g):
    return scaled(centring(s), g, s.T**2)


CLAIM = Claim(
    id="X1",
    title="At the start, softmax moves attention in the linear model's direction, T² times slower",
    text=r"""
The Jacobian of softmax at $w = 0$ is

$$
\frac{\partial a}{\partial w} = \frac1T\left(I - \tfrac1T 11^\top\right).
$$ (eq-softmax-jacobian)

Hence $\nabla_w = \frac{\partial a}{\partial w}\nabla_a = \tfrac1T\left(I - \tfrac1T11^\top\right)\nabla_a$, the
projected gradient of the linear model over $T$, and under gradient flow

$$
\dot a = -\frac{1}{T^2}\left(I - \tfrac1T 11^\top\right)\nabla_a :
$$ (eq-softmax-start)

the same direction as the linear model with projection, $T^2$ times slower.
""",
    assumptions="w = 0, that is a = 1/T; every V and every gradient ∇_a",
    scope="Proved for every $T$, for every gradient.",
    nature="theorem",
    chapter="softmax",
    statement=statement,
    routes=(
        Route("symbolic", "proof for every T: the quotient rule entry by entry with Kronecker deltas", derived),
        Route("exact", "explicit softmax, T = 2 to 5, in fractions", explicit),
        Route(
            "numeric",
            "automatic differentiation, and the package's gradient, N = 3, T = 30",
            automatic,
            {
                "relative difference of J": 1e-10,
                "relative difference of the gradient": 1e-10,
                "relative difference of the package's gradient": 1e-10,
                "relative difference of the velocity, by a finite step": 1e-5,
            },
            margin=1e4,
        ),
        Route(
            "monte carlo",
            "softmax minibatch gradients, 120 000 samples at N = 3, T = 30",
            sampled,
            {
                "largest |z| of the gradient": 5.0,
                "largest |z| of the velocity": 5.0,
                "|z| of its sum over positions": 5.0,
            },
        ),
    ),
    controls=(
        Control("J = I/T: the sum to 1 forgotten", sum_forgotten),
        Control("no factor 1/T: logits taken for attention", logits_for_attention),
        Control("1/T² in the gradient, 1/T⁴ in the velocity", T_squared),
    ),
)
