"""The page with sliders, in a browser: its numbers are the package's, and its pictures follow its sliders."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from browser import Browser, find_chromium

from scbtheory import dynamics, transfer
from scbtheory.claims import T4_branch
from scbtheory.publishing.extension import explore

SCRIPT = Path(explore.__file__).parent / "static" / "explore.js"
SYSTEMS = (
    {"K_P": 0.2, "K_Q": 0.5, "T": 1e4},
    {"K_P": 0.9, "K_Q": 0.05, "T": 1e6, "eta_A": 2.0, "eta_V": 0.5},
    {"K_P": 0.3, "K_Q": 0.7, "T": 100.0, "balanced": True},
)

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="no Chromium to move sliders in")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explore")
    page = folder / "page.html"
    page.write_text(f'<!doctype html><title>t</title><script src="{SCRIPT.as_uri()}"></script>{explore.markup()}')
    with Browser(find_chromium(), folder / "profile") as opened:
        assert opened.open(page).errors == []
        yield opened


def ask(browser, name, *arguments):
    """Call a function of the page; booleans and numbers read alike in both languages."""
    words = ", ".join(str(argument).replace("True", "true") for argument in arguments)
    return browser.evaluate(f"scbExplore.{name}({words})")


@pytest.mark.parametrize("system", SYSTEMS, ids=str)
def test_the_pages_flow_is_the_packages(browser, system):
    times = np.linspace(0, 1.5 * dynamics.half_time(**system), 40).tolist()
    found = np.array(ask(browser, "flow", system, times)).T
    np.testing.assert_allclose(found[:2], dynamics.flow(t=times, **system), rtol=1e-6, atol=1e-12)
    share, K_P = -0.4, system["K_P"]
    tuned = np.array(ask(browser, "flow", system, times, {"share": share, "theta": 1})).T
    expected = transfer.flow(t=times, K_hat=K_P, K_cross=share * K_P, **system)
    np.testing.assert_allclose(tuned, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("system", SYSTEMS, ids=str)
def test_the_pages_predictions_are_the_packages(browser, system):
    for order in (1, 2):
        assert ask(browser, "halfTime", system, order) == pytest.approx(dynamics.half_time(order=order, **system))
    assert ask(browser, "linearUntil", system) == pytest.approx(dynamics.linearised_until(**system))
    _, saddle = dynamics.fixed_points(**system)
    assert ask(browser, "growth", system) == pytest.approx(saddle.eigenvalues[1])


def test_the_wrong_branch_begins_where_T4_says(browser):
    system = SYSTEMS[0]
    bundle = SimpleNamespace(**system, theta=1.0, K_hat=system["K_P"], sqrt=np.sqrt)
    stated = T4_branch.threshold(bundle) / system["K_P"]
    assert ask(browser, "wrongBelow", system) == pytest.approx(stated)


def test_no_first_stage_is_no_number(browser):
    assert browser.evaluate("Number.isNaN(scbExplore.halfTime({K_P: 0.05, K_Q: 0.05, T: 3}))")


@pytest.mark.parametrize("name", [slider[0] for slider in explore.SLIDERS])
def test_a_slider_moves_the_pictures(browser, name):
    state = """[...document.querySelectorAll('#scb-course path, #scb-portrait path')].map(path =>
        path.getAttribute('d')).join() + document.getElementById('scb-readout').textContent"""
    before = browser.evaluate(state)
    shown = browser.evaluate(f"document.getElementById('scb-{name}-shown').textContent")
    browser.evaluate(f"""(() => {{
        const slider = document.getElementById('scb-{name}');
        slider.stepUp(3);
        slider.dispatchEvent(new Event('input', {{bubbles: true}}));
    }})()""")
    assert browser.evaluate(state) != before
    assert browser.evaluate(f"document.getElementById('scb-{name}-shown').textContent") != shown


def test_sliders_are_reached_and_moved_from_the_keyboard(browser):
    browser.evaluate("document.getElementById('scb-K_P').focus()")
    before = browser.evaluate("document.getElementById('scb-K_P').value")
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key="ArrowRight", code="ArrowRight", windowsVirtualKeyCode=39)
    assert browser.evaluate("document.getElementById('scb-K_P').value") > before
    browser.call("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
    assert browser.evaluate("document.activeElement.id") == "scb-K_Q"


def test_balanced_steps_end_at_the_truth(browser):
    browser.evaluate("document.getElementById('scb-balanced').click()")
    assert "α = 1, β = 1" in browser.evaluate("document.getElementById('scb-readout').textContent")
    assert browser.evaluate("document.getElementById('scb-ratio').disabled")


@pytest.mark.parametrize("share", [0.6, -0.6])
def test_the_red_curve_falls_where_pretraining_misleads(browser, share):
    """Its product with beta tends to 1 on either branch."""
    browser.evaluate(f"""(() => {{
        const slider = document.getElementById('scb-share');
        slider.value = {share};
        slider.dispatchEvent(new Event('input', {{bubbles: true}}));
    }})()""")
    points = browser.evaluate("document.querySelector('.scb-tuned').getAttribute('d').slice(1).split('L')")
    heights = [-float(point.split()[1]) for point in points]
    assert (heights[-1] > heights[0]) == (share > 0)
