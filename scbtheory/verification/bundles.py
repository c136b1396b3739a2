"""What a statement may ask of its bundle ``s``: the names are those of the theory, the values are its caller's.

The same statement is evaluated on several bundles: SymPy matrices of symbolic size (the module
:mod:`scbtheory.derivations.symbols` is such a bundle), exact fractions and floats
(:class:`scbtheory.verification.instances.Numbers`), or plain scalars of a library (``math``, ``mpmath``, SymPy).
So a statement uses arithmetic and what its bundle offers, and nothing else.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

__all__ = [
    "Finetuning", "Logits", "Matrices", "Plane", "Positions", "Pretrained", "Rising", "Scalars", "Timed",
]  # fmt: skip


@runtime_checkable
class Scalars(Protocol):
    """Positive numbers of the reduced flow, with the functions of the library that they belong to."""

    K_P: Any
    K_Q: Any
    T: Any

    def sqrt(self, x: Any) -> Any: ...
    def log(self, x: Any) -> Any: ...
    def exp(self, x: Any) -> Any: ...
    def sinh(self, x: Any) -> Any: ...
    def cosh(self, x: Any) -> Any: ...
    def acosh(self, x: Any) -> Any: ...


class Timed(Scalars, Protocol):
    r"""The flow's numbers, a time, the level :math:`\rho` of the linear stage's end, steps and their size."""

    t: Any
    rho: Any
    n: Any
    eta: Any


class Rising(Scalars, Protocol):
    r"""The flow's numbers at a point :math:`(\alpha, \beta)`, the constant c of its invariant, and :math:`\omega`."""

    alpha: Any
    beta: Any
    c: Any
    omega: Any


@runtime_checkable
class Matrices(Protocol):
    """A task and parameters as matrices, seen from one trigger k: vectors are columns, (N, 1) or (T, 1).

    Attributes
    ----------
    P, mu : (N, N) and (N, 1), the transition matrix and its stationary law.
    q, a, b, e : (T, 1), the trigger's positions, its attention, another attention, and a unit vector.
    V, M : (N, N), the value matrix and an arbitrary one.
    D, W, C : (N, N), diag(μ), its inverse, and D − μμᵀ.
    X, output : (N, T) and (N, 1), one sample's context and output, one-hot.
    mu_k : the trigger's frequency. N, T : the sizes.
    one_N, one_T, I_N, I_T : vectors of ones and identities.
    """

    N: Any
    T: Any
    P: Any
    mu: Any
    q: Any
    a: Any
    b: Any
    e: Any
    V: Any
    M: Any
    D: Any
    W: Any
    C: Any
    X: Any
    output: Any
    mu_k: Any
    one_N: Any
    one_T: Any
    I_N: Any
    I_T: Any

    def tr(self, matrix: Any) -> Any:
        """Return the trace, also of a 1 × 1 product."""

    def dot(self, u: Any, v: Any) -> Any:
        """Return uᵀv."""


class Finetuning(Scalars, Protocol):
    r"""Constants of finetuning: :math:`\theta`, :math:`K_{\hat P}` and :math:`K_\times` beside those of the task."""

    theta: Any
    K_hat: Any
    K_cross: Any


class Pretrained(Protocol):
    r"""A point :math:`(\alpha, \beta, \gamma)` of T1's space, and the constants of its flow."""

    alpha: Any
    beta: Any
    gamma: Any
    K_P: Any
    K_Q: Any
    K_hat: Any
    K_cross: Any
    T: Any


class Plane(Protocol):
    r"""A point :math:`(\alpha, \beta)` of R1's plane, and the constants of its flow."""

    alpha: Any
    beta: Any
    K_P: Any
    K_Q: Any
    T: Any


class Logits(Protocol):
    """What softmax at w = 0 needs: T, its identity and its vector of ones."""

    I_T: Any
    one_T: Any
    T: Any


class Positions(Protocol):
    """X4's slow flow: attention a on the first position, u = 1/y, and the weights of both positions."""

    a: Any
    u: Any
    q_1: Any
    q_2: Any
    K_Q: Any

    def log(self, x: Any) -> Any: ...
