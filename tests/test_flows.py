"""The one integrator: known solutions, times of every kind, and refusals, the same for every flow of the package."""

import numpy as np
import pytest

import scbtheory as scb
from scbtheory import dynamics, flows, softmax, transfer
from scbtheory.errors import InvalidArgument

TASK = scb.SCB.random(3, 8, 2, seed=0)
SYSTEM = {"K_P": 0.25, "K_Q": 0.5, "T": 100}


def stacked(parameters):
    return np.array([np.concatenate([x.ravel() for x in vars(p).values()]) for p in parameters]).T


FLOWS = {
    "reduced": lambda t: np.array(dynamics.flow(t=t, **SYSTEM)),
    "matrix": lambda t: stacked(dynamics.matrix_flow(TASK, scb.Parameters.initial(TASK), t)),
    "transfer": lambda t: np.array(transfer.flow(t=t, K_hat=0.2, K_cross=0.1, **SYSTEM)),
    "softmax": lambda t: np.array(softmax.flow(t=t, start=(0.1, 0.2), **SYSTEM)),
    "softmax matrix": lambda t: stacked(softmax.matrix_flow(TASK, softmax.SoftmaxParameters.initial(TASK), t)),
    "positions": lambda t: np.array(softmax.positions_flow(t=t, first=0.6, second=0.4, T=50)),
}


def test_the_exponential_is_met():
    t = np.array([[0.0, 2.0], [1.0, 2.0]])
    found = flows.integrate(lambda y: -y, [1.0, 3.0], t, what="decay", rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found, np.exp(-t) * np.array([1.0, 3.0])[:, None, None], rtol=1e-8)


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_times_may_repeat_come_in_any_order_or_be_none(flow):
    ordered = flow([0.0, 1.0, 2.5])
    np.testing.assert_allclose(flow([2.5, 0.0, 1.0, 2.5]), ordered[:, [2, 0, 1, 2]], rtol=1e-12)
    assert flow([]).size == 0
    np.testing.assert_allclose(flow([0.0, 0.0]), ordered[:, [0, 0]], rtol=1e-14)


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
@pytest.mark.parametrize("t", [[-1.0], [np.nan], [np.inf], "late"])
def test_what_is_no_time_is_refused(flow, t):
    with pytest.raises(InvalidArgument, match=r"t has entries|expected times"):
        flow(t)


def test_a_flow_that_cannot_be_integrated_says_so():
    with pytest.raises(InvalidArgument, match=r"blow-up from .* could not be integrated|beyond"):
        flows.integrate(lambda y: y**2, [1.0], [2.0], what="blow-up", rtol=1e-8)
    with pytest.raises(InvalidArgument, match="eta_A is nan; expected a finite number"):
        softmax.matrix_flow(TASK, softmax.SoftmaxParameters.initial(TASK), [1.0], eta_A=np.nan)
    with pytest.raises(InvalidArgument, match="starts at"):
        flows.integrate(lambda y: y, [np.nan], [1.0], what="it")


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_the_callers_way_with_overflow_changes_nothing(flow):
    with np.errstate(all="raise"):
        found = flow([3.0])
    np.testing.assert_array_equal(found, flow([3.0]))


def test_a_level_just_below_the_peak_is_found():
    """Without correlation the wrong branch turns back; a step of the solver passes over its peak."""
    constants = {"K_P": 0.25, "K_Q": 0.5, "T": 1e4, "K_hat": 0.2, "K_cross": -1e-4, "theta": 0.8}
    t = np.linspace(0, 60, 6001)
    alpha = np.abs(transfer.flow(t=t, **constants)[0])
    turn = next(n for n in range(1, 6000) if alpha[n] > alpha[n - 1] and alpha[n] > alpha[n + 1])
    peak = alpha[turn - 2 : turn + 3].max()
    found = transfer.time_to(peak * (1 - 1e-9), **constants)
    assert abs(found - t[turn]) < 0.1


@pytest.mark.parametrize(
    "wrong",
    [{"level": 0.0}, {"level": -0.5}, {"level": np.nan}, {"K_cross": np.nan}, {"longest": 0}, {"theta": np.nan}],
)
def test_no_level_and_no_correlation_are_refused(wrong):
    options = {"level": 0.25, "K_hat": 0.2, "K_cross": 0.1} | SYSTEM | wrong
    with pytest.raises(InvalidArgument):
        transfer.time_to(options.pop("level"), **options)
