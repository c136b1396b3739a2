"""The figures of the chapter on scaling show the counts, the lines and the costs that they were given."""

import json
from pathlib import Path

import numpy as np
import pytest

from scbtheory import plots, sweeps

STORED = Path(__file__).parents[1] / "benchmarks" / "results_sweep.json"


@pytest.fixture(scope="module")
def found():
    """Made-up counts around the line of a real task: sure ones below and above it, and one that says nothing."""
    point = sweeps.SignPoint(50, 1, 100, 0.1, 3, 2, 0)
    right = np.array([[55, 91, 100], [50, 60, 90]])
    runs, tokens = np.full((2, 3), 100), np.array([[4, 9, 40], [16, 35, 160]]) * 10**5
    return sweeps.PhaseDiagram((50, 100), (1, 4, 16), right, runs, tokens, tokens / 1e8, point)


def test_the_phase_diagram_marks_every_point_by_its_interval(found):
    axes = plots.phase_diagram(found, 0.9).figure.axes[0]
    drawn = [c for c in axes.collections if len(c.get_offsets()) and c.get_array() is not None]
    places = {tuple(at): share for c in drawn for at, share in zip(c.get_offsets(), c.get_array(), strict=True)}
    expected = {
        (T, B): found.right[i, j] / 100 for i, T in enumerate(found.lengths) for j, B in enumerate(found.batches)
    }
    assert places == expected
    assert sorted(len(c.get_offsets()) for c in drawn) == [1, 2, 3]
    training, limit, least = (line for line in axes.lines if len(line.get_xdata()) > 2)
    for line, at in ((training, found.training_batch), (least, found.least_batch)):
        x, y = line.get_data()
        np.testing.assert_allclose(y[[0, -1]], [at(int(t), 0.9) for t in x[[0, -1]]])
    assert np.all(least.get_ydata() < limit.get_ydata())


def test_costs_are_the_stored_ones_and_the_forecast(found):
    costs = plots.SweepCosts(STORED)
    stored = json.loads(STORED.read_text())["points"]
    assert costs.rate == stored[-1]["tokens"] / stored[-1]["seconds"]
    forecast, measured, *_ = costs.picture(found, longest=10**5).figure.axes[0].lines
    np.testing.assert_allclose(measured.get_ydata(), [p["seconds"] / p["runs"] for p in stored])
    assert forecast.get_ydata()[-1] == pytest.approx(found.forecast(10**5).tokens / costs.rate)


def test_the_forecast_from_short_runs_is_what_long_ones_drew():
    """Of the stored points, the tokens of longer runs from the steps counted at T = 1000: not a fit.

    The noise that decides the sign moves the steps of one run by about a tenth; three of that are allowed.
    """
    stored = {p["T"]: p for p in json.loads(STORED.read_text())["points"]}
    short = stored[1000]
    point = sweeps.SignPoint(1000, short["B"], short["runs"], 0.1, 3, 2, 1)
    one = {k: np.array([[short[k]]]) for k in ("runs", "tokens", "seconds")}
    found = sweeps.PhaseDiagram((1000,), (short["B"],), one["runs"], one["runs"], one["tokens"], one["seconds"], point)
    for T, long in stored.items():
        if T > 1000:
            tokens = long["tokens"] / long["runs"]
            assert tokens == pytest.approx(found.forecast(T).tokens, rel=0.3 / long["runs"] ** 0.5)
