"""The front page's figures: boundaries are the package's, and the pretrained curve is ahead."""

import numpy as np
import pytest

from scbtheory import dynamics, plots


def test_the_story_shows_the_predicted_boundaries_and_both_curves():
    system = {"K_P": 0.3, "K_Q": 0.4, "T": 1e3, "balanced": True}
    [ax] = plots.story(K_P=0.3, K_Q=0.4, T=1e3).figure.axes
    half, scratch, tuned = (line.get_xydata() for line in ax.lines)
    found = dynamics.stages(**system)
    assert half[0, 0] == pytest.approx(found.half_time)
    edges = [patch.get_x() for patch in ax.patches]
    np.testing.assert_allclose(edges, [0, found.linear_end, found.rise_end])
    assert np.interp(found.half_time, *scratch.T) == pytest.approx(0.5, abs=0.01)
    assert np.interp(0.3 * found.half_time, *tuned.T) > 0.5
    assert tuned[-1, 1] == pytest.approx(1, abs=0.01)


def test_without_correlation_pretraining_brings_little():
    [ax] = plots.story(share=0.0).figure.axes
    half, _, tuned = (line.get_xydata() for line in ax.lines)
    assert np.interp(0.5 * half[0, 0], *tuned.T) < 0.01


def test_the_model_is_drawn():
    [ax] = plots.model().figure.axes
    assert {"trigger $k$", "next token"} <= {text.get_text() for text in ax.texts}
