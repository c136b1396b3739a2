r"""The symbols of the theory, at symbolic sizes, and what is assumed about them.

Everything is for one trigger k: :math:`a = a^{(k)}`, :math:`q = q^{(k)}`. Sums over k with weights
:math:`\mu_k` are linear and stay outside.
"""

from __future__ import annotations

import sympy as sp

from scbtheory.derivations.algebra import N, Rules, T

__all__ = ["dot", "tr"]

mu = sp.MatrixSymbol(r"\mu", N, 1)
one_N = sp.MatrixSymbol(r"\mathbf{1}", N, 1)
one_T = sp.MatrixSymbol(r"\mathbf{1}_T", T, 1)
a, b, q, e = (sp.MatrixSymbol(name, T, 1) for name in "abqe")
P, V, M, C, D = (sp.MatrixSymbol(name, N, N) for name in "PVMCD")
W = sp.MatrixSymbol("W", N, N)  # the inverse of D
X = sp.MatrixSymbol("X", N, T)
output = sp.MatrixSymbol("x_o", N, 1)
mu_k = sp.Symbol(r"\mu_k", positive=True)
I_N, I_T = sp.Identity(N), sp.Identity(T)

ALWAYS = Rules(
    (C, D - mu * mu.T),
    (D * W, I_N),
    (W * D, I_N),
    (W * mu, one_N),
    (D * one_N, mu),
    (one_N.T * mu, 1),
    (one_N.T * P, one_N.T),
    (P * mu, mu),
    (one_T.T * q, 1),
    (one_T.T * one_T, T),
)
r"""What a task guarantees: P is column-stochastic with :math:`P\mu = \mu`, q sums to 1, D = diag(μ) = W⁻¹."""

ADMISSIBLE = Rules((V * mu, mu), (one_N.T * V, one_N.T), (one_T.T * a, 1))
r"""The set :math:`\{1^\top a = 1, 1^\top V = 1^\top, V\mu = \mu\}`."""

POSITION = Rules((e.T * e, 1), (one_T.T * e, 1))
r"""e is a unit vector: one position."""


def tr(matrix):
    """The trace, also of a 1 x 1 product (a number)."""
    return sp.Trace(matrix)


def dot(u, v):
    r"""The inner product :math:`u^\top v`."""
    return sp.Trace(u.T * v)
