"""What the claims about two numbers share: bundles of scalars, lengths to fit slopes over, one task's matrix flow."""

from __future__ import annotations

import math
from functools import cache
from types import SimpleNamespace

import mpmath as mp
import numpy as np
import sympy as sp

import scbtheory as scb
from scbtheory.derivations import reduction
from scbtheory.verification.claim import Route
from scbtheory.verification.routes import named

LENGTHS = tuple(10**n for n in range(2, 9))
DIGITS = 20
FITTED = f"T = 10², 10³, …, 10⁸ to {DIGITS} digits"
CONSTANTS = {"K_P": 0.2, "K_Q": 0.5}
OTHERS = {"K_P": 0.6, "K_Q": 0.15}  # the other way round, and further apart
AT = "at K_P = 0.2, K_Q = 0.5"
AT_BOTH = f"{AT}, and at 0.6, 0.15"
SCRATCH = "population gradients of G5 from the start; K_P, K_Q > 0"
RATES = "proof for all positive K_P, K_Q, T"


def bundle(functions, **values):
    """Scalars by name, with the functions of a library (sympy, math, mpmath) beside them."""
    names = ("sqrt", "log", "exp", "sinh", "cosh", "acosh")
    return SimpleNamespace(**{name: getattr(functions, name) for name in names}, **values)


def changed(s, **values):
    """The same bundle with some of its names replaced."""
    return SimpleNamespace(**{**vars(s), **values})


def symbols(**values):
    """SymPy's bundle: K_P, K_Q and T positive symbols."""
    return bundle(sp, K_P=reduction.K_P, K_Q=reduction.K_Q, T=reduction.T, **values)


def floats(K_P, K_Q, T, **values):
    return bundle(math, K_P=K_P, K_Q=K_Q, T=T, **values)


def digits(T, *, K_P=CONSTANTS["K_P"], K_Q=CONSTANTS["K_Q"], **values):
    """mpmath's bundle; to be used inside ``mp.workdps(DIGITS)``."""
    return bundle(mp, K_P=mp.mpf(K_P), K_Q=mp.mpf(K_Q), T=mp.mpf(T), **values)


def growth(s):
    r"""The rate :math:`\omega = \sqrt{K_PK_Q}` of equal steps."""
    return s.sqrt(s.K_P * s.K_Q)


def slope(errors, lengths=LENGTHS) -> float:
    """The least-squares slope of log |error| against log T; 0 where an error vanishes, which no power law does."""
    logs = [float(mp.log10(abs(x))) if x else 0.0 for x in errors]
    return float(np.polyfit(np.log10(np.array(lengths, dtype=float)), logs, 1)[0])


def slopes(scope, distances, limit=0.05) -> Route:
    """A numeric route whose residuals are how far fitted slopes are from the stated orders."""
    return Route(
        "numeric",
        scope,
        lambda statement: named(distances(statement), "distance of a slope from its order"),
        limit,
        margin=3.0,
    )


@cache
def half_times(balanced: bool = False, other: bool = False):
    """S3's truth at each length, at one pair of constants or the other."""
    constants = OTHERS if other else CONSTANTS
    return [scb.dynamics.high_precision_half_time(T=T, balanced=balanced, digits=DIGITS, **constants) for T in LENGTHS]


@cache
def matrix_path(T: int, last: float, balanced: bool = False, count: int = 81):
    """A random task (N = 3) and its matrix flow from scratch, projected on the plane: (task, times, alpha, beta)."""
    task = scb.SCB.random(3, T, 2, seed=17)
    times = np.linspace(0.0, last, count)
    path = scb.dynamics.matrix_flow(task, scb.Parameters.initial(task), times, balanced=balanced)
    alpha, beta, _ = np.array([scb.dynamics.reduce(task, theta) for theta in path]).T
    return task, times, alpha, beta


def task_floats(task, **values):
    return floats(task.K_P, task.K_Q, task.context_length, **values)
