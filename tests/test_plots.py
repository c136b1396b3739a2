"""Figures draw what they claim to draw, the same bytes each time, and leave no global state behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

import scbtheory as scb
from scbtheory import plots
from scbtheory.errors import InvalidArgument, ShapeMismatch
from scbtheory.plots._limits import _even
from scbtheory.plots._style import canvas


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


def test_a_users_matplotlibrc_changes_no_figure(tmp_path):
    """In processes of their own: Matplotlib reads the file when it is imported."""
    (tmp_path / "matplotlibrc").write_text(
        "font.size: 33\nlines.linewidth: 9\nxtick.labelsize: 30\nsvg.fonttype: none\n"
    )
    code = "from scbtheory import plots; print(plots.rise([100.0], K_P=0.2, K_Q=0.5)._repr_svg_())"
    drawn = [
        subprocess.run([sys.executable, "-c", code], env=os.environ | more, capture_output=True, text=True, check=True)
        for more in ({}, {"MATPLOTLIBRC": str(tmp_path)})
    ]
    assert drawn[0].stdout == drawn[1].stdout


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


SYSTEM = {"K_P": 0.2, "K_Q": 0.5}


def test_the_portrait_marks_both_fixed_points_and_the_start():
    ax = plots.phase_portrait(T=50, **SYSTEM).figure.axes[0]
    points = {
        (float(x), float(y)) for line in ax.lines if len(line.get_xdata()) == 1 for x, y in [line.get_xydata()[0]]
    }
    node, saddle = scb.dynamics.fixed_points(T=50, **SYSTEM)
    assert points == {(1.0, 1.0), (saddle.alpha, saddle.beta), (0.0, 0.0)}
    assert node.kind == "stable node"


def test_the_measured_error_of_the_linearisation_stays_below_its_bound():
    ax = plots.linearisation(T=1e3, **SYSTEM).figure.axes[1]
    bound, measured = (line.get_ydata() for line in ax.lines)
    assert np.all(measured <= bound * (1 + 1e-6))


def test_shifted_by_their_half_times_the_rises_collapse():
    ax = plots.rise([1e3, 1e5], **SYSTEM).figure.axes[1]
    first, second = ax.lines[:2]
    grid = np.linspace(-5, 5, 50)
    np.testing.assert_allclose(
        *(np.interp(grid, line.get_xdata(), line.get_ydata()) for line in (first, second)), atol=0.02
    )
    assert np.interp(0.0, second.get_xdata(), second.get_ydata()) == pytest.approx(0.5, abs=1e-3)


def test_the_errors_of_the_half_time_follow_the_stated_shapes():
    ax = plots.half_time_errors([100, 1000, 10_000], **SYSTEM).figure.axes[0]
    for points, shape in zip(ax.lines[::2], ax.lines[1::2], strict=True):
        np.testing.assert_allclose(points.get_ydata(), shape.get_ydata(), rtol=0.35)


def test_the_creep_collapses_on_its_prediction():
    ax = plots.creep([1e3, 1e4], **SYSTEM).figure.axes[1]
    flow, predicted = ax.lines[1], ax.lines[2]
    times, levels = predicted.get_xdata(), predicted.get_ydata()
    np.testing.assert_allclose(np.interp(times[5:], flow.get_xdata(), flow.get_ydata()), levels[5:], atol=2e-3)


def test_rounding_keeps_the_support_only_inside_the_interval(task):
    ax = plots.rounding(task, 0.8).figure.axes[1]
    support, background = ax.lines[:2]
    inside = (support.get_ydata() == 1) & (background.get_ydata() == 0)
    (low, high) = scb.dynamics.rounding_interval(
        alpha=0.8, q_min=task.Q[:, 0][task.Q[:, 0] > 0].min(), T=task.context_length
    )
    thresholds = support.get_xdata()
    np.testing.assert_array_equal(inside, (thresholds > low) & (thresholds < high))


def test_the_performance_page_shows_every_stored_peer_beside_this_package():
    results = plots.Results(Path(__file__).parents[1] / "benchmarks" / "results.json")
    stored = {run["peer"] for run in results.stored["steps"]}
    assert set(results.peers) == stored
    assert results.ratio("scbtheory", results.sizes[0]) == 1
    size = results.sizes[1]
    ours, theirs = (results.found[peer, size]["ms"] for peer in ("scbtheory", "torch_one_hot"))
    assert results.ratio("torch_one_hot", size) == pytest.approx(theirs / ours)
    assert f"{theirs / ours:.3g} ×" in results._repr_html_()
    left, right = results.picture().figure.axes
    assert len(left.containers) == len(stored)
    assert len(right.lines) == 3


def test_the_performance_page_splits_a_step_into_parts_that_sum_to_its_threads_time():
    results = plots.SplitResults(Path(__file__).parents[1] / "benchmarks" / "results.json")
    run = results.splits[1]
    size = tuple(run["size"])
    parts = results.nanoseconds(run)
    assert sum(parts.values()) * run["packs"] * size[1] / 1e6 == pytest.approx(
        run["busy"] * (run["ms"] - run["interpreter"]) + run["interpreter"], rel=0.1
    )
    ours, limit = (results.found[peer, size]["ms"] for peer in ("scbtheory", "limit_looked_up"))
    assert results.over("limit_looked_up", size) == pytest.approx(ours / limit)
    assert f"<td>{ours / limit:.1f} ×</td>" in results._repr_html_()
    axis = results.picture().figure.axes[0]
    assert len(axis.containers) == len(parts)
    top = sum(bars[1].get_height() for bars in axis.containers)
    assert top == pytest.approx(sum(max(ns, 0) for ns in parts.values()))


def test_the_performance_page_shows_each_gpu_step_with_its_kernels_limit_and_peers():
    results = plots.DeviceResults(Path(__file__).parents[1] / "benchmarks" / "results_gpu.json")
    size = results.sizes[0]
    ours, theirs = (results.steps[peer, size]["ms"] for peer in ("scbtheory", "torch_gather"))
    assert results.ratio("torch_gather", size) == pytest.approx(theirs / ours)
    assert results.over_limit(size) == pytest.approx(ours / results.runs[size]["limit_codes"])
    html = results._repr_html_()
    assert html.count("<tr>") == 1 + len(results.sizes)
    assert f"{theirs / ours:.3g} ×" in html
    axis = results.picture().figure.axes[0]
    assert len(axis.containers) == 1 + len(results.KERNELS)
    tops = [sum(bars[place].get_height() for bars in axis.containers) for place in range(len(results.sizes))]
    whole = [results.steps["scbtheory", size]["ms"] for size in results.sizes]
    spent = [results.steps["scbtheory", size]["breakdown"] for size in results.sizes]
    kernels = [sum(steps.values()) - steps["launches"] for steps in spent]
    np.testing.assert_allclose(tops, np.maximum(whole, kernels))


def test_the_performance_page_shows_whole_runs_and_those_that_did_not_arrive(tmp_path):
    runs = [
        {"method": "boosting", "T": 1000, "seconds": 0.5, "samples": [10, 2_000_000], "error": 1e-5},
        {"method": "boosting", "T": 10_000, "seconds": 8.0, "samples": [10, 3_000_000], "error": 1e-5},
        {"method": "sgd", "T": 1000, "seconds": 4.0, "samples": [5_000_000], "error": 1e-5},
        {"method": "sgd", "T": 10_000, "seconds": None, "expected": 900.0},
    ]
    stored = {
        "machine": {"processor": "P", "cores": 2}, "limit_s": 600, "level": 5e-5, "runs": runs,
        "predicted": {"1000": 0.4, "10000": 7.0},
    }  # fmt: skip
    path = tmp_path / "runs.json"
    path.write_text(json.dumps(stored))
    results = plots.RunResults(path)
    assert results.seconds("boosting") == ([1000, 10_000], [0.5, 8.0])
    assert (results.given_up("boosting"), results.given_up("sgd")) == (None, 10_000)
    html = results._repr_html_()
    assert "<td>8<br>3 M<br>1.0e-05</td>" in html
    assert "<td>over 600</td>" in html
    [axis] = results.picture().figure.axes
    drawn = {line.get_label(): line.get_xydata().tolist() for line in axis.lines}
    assert drawn["scbtheory, boosting"] == [[1000, 0.5], [10_000, 8.0]]
    assert drawn["boosting, predicted from its tokens"] == [[1000, 0.4], [10_000, 7.0]]
    assert [[10_000, 600]] in [line.get_xydata().tolist() for line in axis.lines]


def test_the_stored_runs_are_of_every_method():
    results = plots.RunResults(Path(__file__).parents[1] / "benchmarks" / "results_runs.json")
    assert {"boosting", "moments", "sgd", "adam", "torch_table"} == set(results.methods)
    assert results.lengths == [10**3, 10**4, 10**5, 10**6]


ONE = scb.SCB.random(3, 1, 1, seed=0)
SMALL = scb.SCB.random(3, 6, 2, seed=0)
START = scb.Parameters.initial(SMALL)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots.moment_search(scb.SCB.random(3, 4, 4, seed=0), samples=200), "Q has no entry 0; expected pos"),
        (lambda: plots.budgets(0.1, sparsity=0), "sparsity is 0; expected a whole number, at least 1"),
        (lambda: plots.budgets(0.1, context_length=0), "context_length is 0; expected a whole number, at least 1"),
        (lambda: plots.budgets(0.1, context_length=3), "sparsity is 4, context_length is 3; sparsity must be at most"),
        (lambda: plots.budgets(0.1, sparsity=2000), "sparsity is 2000, context_length is 100; sparsity must be at"),
        (lambda: plots.convergence(SMALL, START, [10], repeats=1), "repeats is 1; expected at least 2"),
        (lambda: plots.convergence(SMALL, START, [10], repeats=0), "repeats is 0; expected a whole number, at least"),
        (lambda: plots.convergence(SMALL, START, 10), "sizes is 10; expected a sequence"),
        (lambda: plots.convergence(SMALL, START, [], repeats=2), "sizes is empty; expected at least one"),
        (lambda: plots.efficiency(ONE, samples=[100]), "K_Q is 0 for this task"),
        (lambda: plots.efficiency(SMALL, samples=[100], runs=1), "runs is 1; expected at least 2"),
        (lambda: plots.efficiency(SMALL, samples=[50, 100]), "samples is 50; expected at least the batch of 100"),
        (lambda: plots.efficiency(SMALL, samples=[]), "samples is empty; expected at least one"),
        (lambda: plots.efficiency(SMALL, samples=[100], steps=(0.1,)), r"steps is \(0.1,\); expected three step sizes"),
    ],
)
def test_what_no_figure_shows_is_refused_by_name(draw, message):
    with pytest.raises(InvalidArgument, match=message):
        draw()


def test_runs_on_another_task_are_no_branches():
    run = scb.training.train(SMALL, scb.training.sgd(0.1, batch_size=4), seed=0, max_samples=40)
    with pytest.raises(ShapeMismatch, match=r"A has shape \(6, 3\); this task expects \(20, 3\)"):
        plots.branches(scb.SCB.random(3, 20, 2, seed=0), [run])


@pytest.mark.parametrize("T", [7, 100, 700])
def test_budgets_are_of_as_many_positions_as_they_say(T):
    """Also where T is a multiple of the distance between two of them."""
    for s in (1, 2, 4, 7):
        assert np.all((_even(3, T, s) > 0).sum(axis=0) == s)
    assert np.all(np.flatnonzero(_even(3, 100, 2)[:, 1]) == [3, 10])
