"""The phase diagram: its points, counts, lines and forecast."""

import numpy as np
import pytest
from scipy.stats import binomtest

import scbtheory as scb
from scbtheory import noise, sweeps
from scbtheory.errors import InvalidArgument

SIZES = {"lengths": (100, 50), "batches": (16, 2), "runs": 30}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("points")


@pytest.fixture(scope="module")
def diagram(folder):
    return sweeps.phase_diagram(**SIZES, blocks=2, jobs=1, cache=folder)


def test_counts_are_those_of_training(diagram):
    task = scb.SCB.random(3, 50, 2, seed=0)
    speed = {"step_size": 0.1 / task.K_Q, "attention_step_size": 0.1 / task.K_P}
    seeds = [int(np.random.SeedSequence([0, 50, 2, b]).generate_state(1, np.uint64)[0]) for b in (0, 1)]
    ended = [noise.train_signs(task, runs=30, batch_size=2, seed=seed, **speed) for seed in seeds]
    assert diagram.right[1, 1] == sum((e.Y > 0).sum() for e in ended)
    assert diagram.runs[1, 1] == 60
    assert diagram.tokens[1, 1] == sum(e.steps.sum() for e in ended) * 2 * 50
    assert np.all(diagram.seconds > 0)
    assert diagram.tokens_per_second == diagram.tokens[0, 0] / diagram.seconds[0, 0]


def test_a_larger_diagram_goes_on_from_a_smaller_one(diagram, folder):
    kept = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(kept) == 8
    larger = sweeps.phase_diagram((50, 100, 60), (2, 16), runs=30, blocks=2, jobs=1, cache=folder)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(list(folder.iterdir())) == 12
    np.testing.assert_array_equal(larger.right[:2], diagram.right[::-1, ::-1])
    np.testing.assert_array_equal(larger.seconds[:2], diagram.seconds[::-1, ::-1])


def test_verdicts_are_what_the_intervals_allow(diagram):
    low, high = diagram.interval()
    for i, j in np.ndindex(2, 2):
        expected = binomtest(int(diagram.right[i, j]), 60).proportion_ci(method="wilson")
        assert (low[i, j], high[i, j]) == (expected.low, expected.high)
    assert diagram.verdict(0.8).tolist() == [[1, -1], [1, 0]]


def test_lines_are_N5s_and_N6s(diagram):
    task = scb.SCB.random(3, 400, 2, seed=0)
    speed = {"step_size": 0.1 / task.K_Q, "attention_step_size": 0.1 / task.K_P}
    for corrected in (False, True):
        batch = diagram.training_batch(400, 0.8, corrected=corrected)
        assert noise.sign_probability(task, batch_size=batch, corrected=corrected, **speed) == pytest.approx(0.8)
    least = diagram.least_batch(400, 0.8)
    assert least * noise.sign_steps(task, **speed) == pytest.approx(noise.sign_samples(task, 0.2))
    assert least < batch


def test_a_forecast_counts_the_tokens_of_training(diagram):
    T = 300
    found = diagram.forecast(T)
    assert found.batch_size == pytest.approx(diagram.training_batch(T, corrected=False))
    assert found.tokens == pytest.approx(found.batch_size * found.steps * T)
    task = diagram.at(T).task()
    steps = noise.sign_steps(task, **diagram.at(T).speed())
    assert found.steps == pytest.approx(diagram.slowness() * steps, rel=1e-9)
    counted = sweeps.SignPoint(T, round(found.batch_size), 40, 0.1, 3, 2, 0)()
    assert counted.tokens / 40 == pytest.approx(found.tokens, rel=0.1)
    assert diagram.forecast(10**7).tokens > 1e15


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"lengths": ()}, r"lengths is \(\); expected one or more"),
        ({"batches": (2, 2)}, r"batches is \(2, 2\); expected one or more, all different"),
        ({"batches": (2.5,)}, "batches is 2.5; expected a whole number"),
        ({"blocks": 0}, "blocks is 0"),
        ({"runs": 0}, "runs is 0"),
        ({"lengths": (1,)}, "sparsity"),
        ({"seed": -1}, "seed"),
    ],
)
def test_what_has_no_diagram_is_refused(changed, message):
    with pytest.raises(InvalidArgument, match=message):
        sweeps.phase_diagram(**SIZES | changed)


@pytest.mark.parametrize("share", [7, None, "1", 0.0, 1.0])
def test_a_share_is_between_0_and_1(diagram, share):
    for ask in (
        lambda: diagram.verdict(share),
        lambda: diagram.contradictions(lambda T: 1.0, share),
        lambda: diagram.training_batch(50, share),
        lambda: diagram.least_batch(50, share),
        lambda: diagram.forecast(50, share),
    ):
        with pytest.raises(InvalidArgument, match=r"(share|probability) is .*; expected a "):
            ask()


def test_numbers_of_any_type_name_the_same_points():
    numbers = {"step_size": np.array(0.1), "vocab_size": np.int64(3), "sparsity": np.array(2), "seed": np.uint8(0)}
    found = sweeps.phase_diagram([20], [4], runs=2, jobs=1, **numbers)
    assert found.point == sweeps.SignPoint(20, 4, 2, 0.1, 3, 2, 0)


@pytest.mark.parametrize("T", [0, 1, 1.5])
def test_a_forecast_needs_a_context_to_attend_to(diagram, T):
    with pytest.raises(InvalidArgument, match=rf"T is {T}; expected"):
        diagram.forecast(T)
    assert diagram.forecast(2).steps > 0


def test_diagrams_can_be_compared_by_what_they_are(diagram):
    assert diagram == diagram
    assert diagram != sweeps.PhaseDiagram(**vars(diagram))
