"""Figures draw what they claim to draw, the same bytes each time, and leave no global state behind."""

import matplotlib as mpl
import numpy as np
import pytest

import scbtheory as scb
from scbtheory import plots
from scbtheory.plots.style import canvas


@pytest.fixture(scope="module")
def task():
    return scb.SCB.random(3, 40, 2, seed=0)


def test_pictures_are_dateless_svg_with_the_same_bytes_each_time(task):
    batch = task.sample(4, seed=0)
    first, second = (plots.task(task, batch)._repr_svg_() for _ in range(2))
    assert first == second
    assert "<svg" in first
    assert "<dc:date>" not in first


def test_style_stays_inside_the_canvas():
    before = mpl.rcParams["axes.spines.top"]
    with canvas() as (_, ax):
        assert mpl.rcParams["axes.spines.top"] is False
        ax.plot([0, 1])
    assert mpl.rcParams["axes.spines.top"] is before


def test_a_picture_saves_to_a_file(tmp_path, task):
    plots.task(task, task.sample(1, seed=0)).save(tmp_path / "f.png")
    assert (tmp_path / "f.png").stat().st_size > 1000


def test_the_task_figure_shows_P_and_every_column_of_Q(task):
    axes = plots.task(task, task.sample(1, seed=0)).figure.axes
    np.testing.assert_allclose(axes[0].images[0].get_array(), task.P)
    heights = sorted(y for line in axes[1].lines for y in line.get_ydata() if y > 0)
    drawn = np.unique(np.round(heights, 12))
    np.testing.assert_allclose(drawn, np.unique(np.round(task.Q[task.Q > 0], 12)))


def test_the_convergence_figure_predicts_a_slope_of_minus_one_half(task):
    theta = scb.Parameters.random(task, seed=1, admissible=True)
    ax = plots.convergence(task, theta, (16, 256), repeats=8).figure.axes[0]
    lines = [line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_linestyle() == "-"]
    for line in lines[:2]:
        (x0, x1), (y0, y1) = line.get_xdata(), line.get_ydata()
        assert np.log(y1 / y0) / np.log(x1 / x0) == pytest.approx(-0.5)


def test_descent_beyond_the_curvature_limit_diverges_and_below_it_converges():
    ax = plots.curvature((10, 100)).figure.axes[1]
    below, above = (line.get_ydata() for line in ax.lines[:2])
    assert below[-1] < below[0] < above[-1]
