"""Figures of noise and learning draw what was measured beside what was predicted; the two agree where they should."""

import numpy as np
import pytest

import scbtheory as scb
from scbtheory import plots, sweeps, training


@pytest.fixture(scope="module")
def task():
    return scb.SCB.random(3, 60, 2, seed=3)


def test_the_noise_scale_is_drawn_centred_and_not_with_samples_on_the_lines():
    centred, plain = plots.noise_scale((50, 200), points=3, batches=200).figure.axes
    for ax in (centred, plain):
        lines, points = ax.lines[0:4:2], ax.lines[1:4:2]
        for line, dots in zip(lines, points, strict=True):
            predicted = np.exp(np.interp(dots.get_xdata(), line.get_xdata(), np.log(line.get_ydata())))
            np.testing.assert_allclose(np.log(dots.get_ydata() / predicted), 0, atol=0.45)
    assert plain.lines[0].get_ydata()[0] > 5 * centred.lines[0].get_ydata()[0]


def test_signs_are_drawn_with_their_intervals_on_the_curve():
    ax = plots.sign_collapse((50,), (0.5, 4.0), runs=40).figure.axes[0]
    curve = ax.lines[0]
    bars = [c for c in ax.containers if len(c) == 3]
    assert len(bars) == 2
    for bar in bars:
        (segment,) = bar[2][0].get_segments()
        x, low, high = segment[0][0], segment[0][1], segment[1][1]
        assert low - 0.1 < np.interp(np.log(x), np.log(curve.get_xdata()), curve.get_ydata()) < high + 0.1


def test_the_proximal_step_removes_the_noise_and_keeps_the_support(task):
    plain, sparse = plots.thresholded_column(task, 0.0, 0.2, batch_size=4000, c=1.5).figure.axes
    off, on = sparse.lines[0].get_ydata(), sparse.lines[1].get_ydata()
    assert np.ptp(off) < 1e-12 < np.ptp(plain.lines[0].get_ydata())
    assert on.min() > off.max()


def test_the_batch_for_all_positions_grows_like_T_and_a_threshold_needs_less():
    ax = plots.support_batches((100, 1000), trials=4).figure.axes[0]
    every, measured, formula, found = (line.get_ydata() for line in ax.lines[:4])
    assert every[1] / every[0] == pytest.approx(10, rel=0.1)
    np.testing.assert_allclose(measured, every, rtol=0.2)
    assert formula[1] / formula[0] < 1.5
    assert np.all(found <= 2 * formula)


def test_a_course_is_drawn_over_its_prediction(task):
    stages = training.projected_sgd(task, 0.1, batch_size=4000)
    runs = [training.train(task, stages, seed=0, max_samples=60 * 4000, record=1 + 1e-9)]
    ax = plots.course(task, runs, step_size=0.1).figure.axes[0]
    predicted, trained = ax.lines[0].get_ydata(), ax.lines[2]
    np.testing.assert_allclose(np.interp(np.arange(61), *trained.get_xydata().T), predicted[:61], atol=0.15)


def test_the_algorithm_is_drawn_with_the_stages_it_ended(task):
    runs = [training.train(task, training.algorithm(task, tolerance=1e-3), seed=0)]
    left, right = plots.algorithm(runs).figure.axes
    np.testing.assert_array_equal(left.lines[0].get_ydata(), runs[0].distance_A[1:])
    np.testing.assert_array_equal(right.lines[0].get_ydata(), runs[0].distance_V[1:])
    assert [t.get_text() for t in left.get_legend().get_texts()] == ["boost", "proximal", "refit"]


def test_methods_are_compared_at_their_best_with_bands(task):
    methods = {
        "small": [training.sgd(0.02, batch_size=64)],
        "both": [training.sgd(s, batch_size=64) for s in (0.001, 0.05)],
    }
    found = sweeps.compare(task, methods, seeds=(0, 1), max_samples=4000, jobs=1)
    ax = plots.comparison(found).figure.axes[0]
    assert [line.get_label() for line in ax.lines] == ["small", "both"]
    assert len(ax.collections) == 2
    best = found.band("both", "distance_A", [4000], (0.5,), variant=found.best("both"))[0, 0]
    assert ax.lines[1].get_ydata()[-1] == pytest.approx(best, rel=0.05)


def test_a_correlation_rises_first_and_a_negative_one_falls():
    ax = plots.bypass(K_P=0.25, K_Q=0.5, T=1e4, K_hat=0.2, correlations=(0.15, 0.0, -0.05)).figure.axes[0]
    scratch, bypassed, uncorrelated, wrong = (line.get_ydata() for line in ax.lines[:4])
    middle = len(scratch) // 4
    assert bypassed[middle] > 0.3 > scratch[middle] > uncorrelated[middle] > 0 > wrong[middle]


def test_least_batches_are_drawn_on_the_stated_ones():
    class Experiment:
        along = staticmethod(lambda sizes: [size[2] for size in sizes])
        setting = staticmethod(lambda *size: size)
        statement = staticmethod(lambda size: (0.1 * size[2], 400.0))
        searched = staticmethod(lambda kind, sizes: np.array([[n + 1, n + 2] for n in range(len(sizes))]))

    sizes = [(0, 3, 100, 2), (0, 3, 1000, 2)]
    families = [("from scratch, over T", "scratch", sizes), ("pretrained, over T", "transfer", sizes)]
    ax = plots.least_batches(families, Experiment).figure.axes[0]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [10, 100])
    np.testing.assert_allclose(ax.lines[1].get_ydata(), [1, 2])
    np.testing.assert_allclose(ax.lines[3].get_ydata(), [400, 400])


def test_final_errors_are_drawn_against_step_sizes_and_divergence_at_the_top(task):
    tried = [training.sgd(step, batch_size=16) for step in (1.0, 0.1, 1e3)]
    found = sweeps.compare(task, {"sgd": tried}, seeds=(1, 2), max_samples=2000, jobs=1)
    ax = plots.step_sizes(found, ("sgd",)).figure.axes[0]
    steps, medians = ax.lines[0].get_data()
    np.testing.assert_array_equal(steps, [0.1, 1.0, 1e3])
    assert medians[0] == pytest.approx(np.median(found.final("sgd", variant=1)))
    assert medians[2] == medians.max() == ax.lines[-1].get_ydata()[0]


def test_patterns_and_courses_of_both_models_are_drawn(task):
    truth = scb.Parameters.truth(task)
    axes = plots.attention_patterns(task, {"linear": truth}).figure.axes
    np.testing.assert_allclose(axes[0].images[0].get_array(), axes[1].images[0].get_array())
    history = training.train(task, training.projected_sgd(task), max_samples=2000)
    left, right = plots.side_by_side([(history, history)]).figure.axes
    np.testing.assert_array_equal(left.lines[0].get_ydata(), history.alpha * history.beta)
    np.testing.assert_array_equal(right.lines[0].get_ydata(), history.loss)


def test_softmax_follows_the_linear_model_only_when_it_is_sped_up():
    ax = plots.softmax_flow(K_P=0.25, K_Q=0.48, T=50).figure.axes[0]
    linear, slow, start, peak = (line.get_ydata() for line in ax.lines[:4])
    early = len(linear) // 10
    assert slow[-1] < 0.01
    assert peak[early] == pytest.approx(linear[early], rel=0.2)
    assert start.max() > linear.max()


def test_the_second_position_is_found_where_it_was_predicted():
    axes = plots.positions(first=0.6, second=0.4, T=300, lengths=(100, 300)).figure.axes
    found, linear, line = axes[1].get_lines()
    assert np.allclose(np.log(found.get_ydata() / line.get_ydata()), 0, atol=0.4)
    assert np.all(found.get_ydata() > 4 * linear.get_ydata())
    assert axes[0].get_lines()[-1].get_xdata()[0] == pytest.approx(300 * scb.softmax.second_position(0.6, 0.4))
