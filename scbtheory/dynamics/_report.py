r"""Every boundary of a system in one table, with its error and trust region, and ``scbtheory stages``."""

from __future__ import annotations

import argparse
import math
import warnings
from dataclasses import dataclass

from scbtheory.checks import real
from scbtheory.dynamics import _creep
from scbtheory.dynamics import _stages as closed
from scbtheory.dynamics._matrix import rounding_interval
from scbtheory.dynamics._reduced import fixed_points
from scbtheory.dynamics._system import OutsideTrustRegion, System
from scbtheory.errors import InvalidArgument
from scbtheory.task import SCB

NEAR = 0.01  # a deviation from (1, 1) or from αβ = 1 at which a stage is called over


@dataclass(frozen=True)
class Boundary:
    r"""One line: ``time`` in units of :math:`1/\eta`, the claim it comes from, and how far it is to be trusted.

    Parameters
    ----------
    name : what ends or begins, in words.
    time : when, from the start, or how long where the name says that it lasts.
    claim : its id, such as ``"S3"``.
    trust : the error, or where the formula holds, in words.
    """

    name: str
    time: float
    claim: str
    trust: str


@dataclass(frozen=True)
class Stages:
    """The stages of one system from scratch; times run from the start, durations from their stage's own beginning.

    Parameters
    ----------
    system : the constants.
    linear_end : S1 is right to 10 % until then.
    half_time, half_time_error : S3's second-order time of αβ = ½, and its distance from the first-order one.
    rise_end : αβ = 0.99 by S2's logistic curve.
    end : (alpha, beta) at the end of stage 2 (S4).
    creep : duration from there to within 1 % of beta = 1 (S5); 0 where nothing is left to creep.
    refit : duration from beta = 0 to within 1 % of 1 with attention held at Q (S7).
    warnings : what left its trust region.
    """

    system: System
    linear_end: float
    half_time: float
    half_time_error: float
    rise_end: float
    end: tuple[float, float]
    creep: float
    refit: float
    warnings: tuple[str, ...]

    @property
    def boundaries(self) -> tuple[Boundary, ...]:
        """The times as lines of a table."""
        s = self.system
        return (
            Boundary("start of stage 1", 0.0, "R4", f"the start is {s.d / s.q:.2g} from the saddle in alpha"),
            Boundary(
                "stage 1 is linear until", self.linear_end, "S1", "an upper bound of alpha and beta, at most 10 % high"
            ),
            Boundary(
                "half time, αβ = 1/2", self.half_time, "S3", f"second order; first: {self.half_time_error:.1g} off"
            ),
            Boundary(
                "end of stage 2, αβ = 0.99", self.rise_end, "S2",
                f"while well below the creep's {-1 / _creep.rate_of(s):.2g}",
            ),
            Boundary(
                "creep, lasting", self.creep, "S5", f"along αβ = 1 to beta within 1 % of 1; up to about {s.d:.1g} of it"
            ),
            Boundary("or rounding and refit, lasting", self.refit, "S7", "exact: beta from 0 to 0.99 with A = Q held"),
        )  # fmt: skip


def stages(**system) -> Stages:
    """Compute every boundary of a system (claims R4, S1 to S5, S7).

    Parameters
    ----------
    **system : the numbers of a System, such as K_P, K_Q, T.

    Returns
    -------
    Stages
        Times in units of 1/η; warnings of formulas are kept there, not issued.

    Raises
    ------
    InvalidArgument : a constant is outside its range, or there is no first stage (T too small, K_Q near 0).
    """
    s = System(**system)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", OutsideTrustRegion)
        first, second = closed.half_time(**system), closed.half_time(order=2, **system)
    alpha, beta = closed.stage_two_end(**system)
    target = 1 + math.copysign(NEAR, beta - 1)
    creeping = abs(beta - 1) > NEAR
    refit = math.log(1 / NEAR) / _creep.attention_held_rate(K_Q=s.K_Q, T=s.T, eta_V=s.q / s.K_Q)
    return Stages(
        system=s,
        linear_end=closed.linearised_until(**system),
        half_time=second,
        half_time_error=abs(second - first),
        rise_end=second + math.log(1 / NEAR - 1) / (2 * s.omega),
        end=(alpha, beta),
        creep=_creep.creep_time(beta, target, **system) if creeping else 0.0,
        refit=refit,
        warnings=tuple(dict.fromkeys(str(w.message) for w in caught)),
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``scbtheory stages``: a random task, or its constants.

    Parameters
    ----------
    parser : gets the options.
    """
    parser.add_argument("--context-length", type=float, required=True, metavar="T")
    task = parser.add_argument_group("for a random task")
    task.add_argument("--vocab-size", type=int, metavar="N")
    task.add_argument("--sparsity", type=int, metavar="S", help="positions that one trigger chooses (default 2)")
    task.add_argument("--seed", type=int, help="default 0")
    constants = parser.add_argument_group("or for given constants")
    constants.add_argument("--K-P", type=float, help="‖P‖² − ‖μ‖², in (0, 1)")
    constants.add_argument("--K-Q", type=float, help="‖Q‖² − 1/T, in (0, 1 − 1/T]")
    parser.add_argument("--balanced", action="store_true", help="step sizes η/K_Q for V and η/K_P for A")


def run_stages(arguments: argparse.Namespace) -> int:
    """Print the stages of a random task or of given constants; return 0.

    Parameters
    ----------
    arguments : as the parser of :func:`add_arguments` returns them.

    Returns
    -------
    int
        0, the exit status.

    Raises
    ------
    InvalidArgument : neither a task nor constants are given, or both are; a number is out of its range; or there is no
        first stage.
    """
    given = [x for x in (arguments.K_P, arguments.K_Q) if x is not None]
    random = [x for x in (arguments.vocab_size, arguments.sparsity, arguments.seed) if x is not None]
    q_min, T = None, real("--context-length", arguments.context_length)
    if len(given) == 2 and not random:
        K_P, K_Q = given
        heading = "given constants"
    elif not given and arguments.vocab_size is not None:
        if int(T) != T:
            raise InvalidArgument(f"--context-length is {T:g}; a task's is a whole number")
        sparsity = 2 if arguments.sparsity is None else arguments.sparsity
        seed = 0 if arguments.seed is None else arguments.seed
        task = SCB.random(arguments.vocab_size, int(T), sparsity, seed=seed)
        K_P, K_Q = task.K_P, task.K_Q
        entries = task.backend.to_numpy(task.Q)
        q_min = float(entries[entries > 0].min())
        heading = f"random task: N = {arguments.vocab_size}, s = {sparsity}, seed {seed}"
    else:
        raise InvalidArgument("give either --K-P and --K-Q, or --vocab-size (with --sparsity and --seed if wanted)")
    found = stages(K_P=K_P, K_Q=K_Q, T=T, balanced=arguments.balanced)
    print(f"{heading}\n{describe(found, q_min)}")
    return 0


def describe(found: Stages, q_min: float | None = None) -> str:
    """The stages as text: constants, one line a boundary, where stage 2 ends, and how to round.

    Parameters
    ----------
    found : as :func:`stages` returns it.
    q_min : the smallest positive entry of Q, in (0, 1]; None leaves out how to round.

    Returns
    -------
    str
        Several lines, the warnings last.

    Raises
    ------
    InvalidArgument : ``q_min`` is not in (0, 1].
    """
    s, (alpha, beta) = found.system, found.end
    steps = "balanced: η/K_Q for V, η/K_P for A" if s.balanced else "equal" if s.eta_V == s.eta_A == 1 else "weighted"
    node, saddle = fixed_points(K_P=s.K_P, K_Q=s.K_Q, T=s.T, eta_V=s.eta_V, eta_A=s.eta_A, balanced=s.balanced)
    lines = [
        f"K_P = {s.K_P:.4g}, K_Q = {s.K_Q:.4g}, T = {s.T:g}; steps {steps}; times in 1/η, rates in η",
        f"growth rate {saddle.eigenvalues[1]:.4g} at the saddle, slowest decay {-node.eigenvalues[1]:.4g} at (1, 1)",
        "",
        f"{'boundary':<32}{'time':>12}  {'claim':<6} trusted",
        *(f"{b.name:<32}{b.time:>12.4g}  {b.claim:<6} {b.trust}" for b in found.boundaries),
        "",
        f"stage 2 ends near alpha = {alpha:.4g}, beta = {beta:.4g}, up to order log T / T [S4]",
    ]
    if q_min is not None:
        low, high = rounding_interval(alpha=alpha, q_min=q_min, T=s.T)
        lines.append(f"there, thresholds between {low:.3g} and {high:.3g} keep exactly the support [S6]")
    return "\n".join([*lines, *(f"warning: {w}" for w in found.warnings)])
