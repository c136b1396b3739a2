r"""The reduced system's constants, checked once, and the warning of a formula that has left its region."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field

from scbtheory.checks import flag, positive, real
from scbtheory.errors import InvalidArgument

ROUNDING = 1e-9  # by how much K_Q of a one-position task may exceed 1 - 1/T in floating point


class OutsideTrustRegion(UserWarning):
    """A closed form was evaluated where its stated error is no longer small; the value is returned all the same."""


def warn(message: str) -> None:
    """Warn the caller of a public function of this package."""
    warnings.warn(message, OutsideTrustRegion, stacklevel=3)


@dataclass(frozen=True, kw_only=True)
class System:
    r"""The constants of R2, with step sizes :math:`\eta\,\eta_V` for V and :math:`\eta\,\eta_A` for A.

    In the **rates** :math:`p = \eta_A K_P`, :math:`q = \eta_V K_Q`, :math:`d = \eta_V / T` the reduced flow is
    :math:`\dot\alpha = p\beta(1-\alpha\beta)`, :math:`\dot\beta = q\alpha(1-\alpha\beta) + d(1-\beta)`,
    so a closed form in p, q, d serves every choice of step sizes. Time is in units of :math:`1/\eta`.

    Parameters
    ----------
    K_P : in (0, 1), as every task with a dependence to learn has it.
    K_Q : in (0, 1 - 1/T].
    T : context length, at least 2; need not be whole.
    eta_V, eta_A : positive weights of the two step sizes.
    balanced : S4's weights :math:`\eta_V = 1/K_Q`, :math:`\eta_A = 1/K_P`, for which p = q = 1.

    Raises
    ------
    InvalidArgument : a constant is outside its range, or weights are given twice.
    """

    K_P: float
    K_Q: float
    T: float
    eta_V: float = 1.0
    eta_A: float = 1.0
    balanced: bool = False
    p: float = field(init=False)
    q: float = field(init=False)
    d: float = field(init=False)

    def __post_init__(self):
        T, K_P, K_Q = real("T", self.T), real("K_P", self.K_P), real("K_Q", self.K_Q)
        if T < 2:
            raise InvalidArgument(f"T is {T:g}; with fewer than two positions there is no attention to learn")
        if not 0 < K_P < 1:
            raise InvalidArgument(
                f"K_P is {K_P:g}; expected 0 < K_P < 1 (K_P = 0: the output does not depend on the copied token)"
            )
        if not 0 < K_Q <= 1 - 1 / T + ROUNDING:
            raise InvalidArgument(
                f"K_Q is {K_Q:g}; expected 0 < K_Q <= 1 - 1/T = {1 - 1 / T:g} (K_Q = 0: the truth is uniform attention)"
            )
        eta_V, eta_A = weights = positive("eta_V", self.eta_V), positive("eta_A", self.eta_A)
        if flag("balanced", self.balanced) and weights != (1, 1):
            raise InvalidArgument(f"balanced=True already chooses eta_V and eta_A; they are {weights}")
        # As floats: small integers wrap around, single precision rounds, and mpmath knows neither.
        for name, value in {"K_P": K_P, "K_Q": K_Q, "T": T, "eta_V": eta_V, "eta_A": eta_A}.items():
            object.__setattr__(self, name, value)
        for name, value in zip("pqd", self.rates(float), strict=True):
            object.__setattr__(self, name, value)

    def rates(self, number):
        """``(p, q, d)`` computed in the number type that ``number`` makes, such as ``mpmath.mpf``."""
        K_P, K_Q, T = number(self.K_P), number(self.K_Q), number(self.T)
        if self.balanced:
            return number(1), number(1), 1 / (T * K_Q)
        return number(self.eta_A) * K_P, number(self.eta_V) * K_Q, number(self.eta_V) / T

    @property
    def omega(self) -> float:
        r"""The growth rate :math:`\omega = \sqrt{pq}`; :math:`\sqrt{K_PK_Q}` for equal steps, 1 for balanced ones."""
        return math.sqrt(self.p * self.q)

    @property
    def skew(self) -> float:
        r""":math:`r = (p/q)^{1/4}`: stage 2 ends at :math:`(\alpha, \beta) = (r, 1/r)`."""
        return (self.p / self.q) ** 0.25
