"""Histories of training: recorded, saved, resumed to the very bits, and refused when they belong elsewhere."""

import contextlib

import numpy as np
import pytest

import scbtheory as scb
from scbtheory import sweeps, training
from scbtheory.errors import InvalidArgument, ShapeMismatch
from scbtheory.training import Boost, Descent, History, Learner, Proximal, Refit, Round, _run

pytestmark = pytest.mark.filterwarnings("ignore::scbtheory.training.NoSupport")  # a few steps find none


@pytest.fixture(scope="module")
def task():
    return scb.SCB.random(3, 200, 2, seed=0)


@pytest.fixture(scope="module")
def run(task):
    return training.train(task, training.algorithm(task, tolerance=5e-4), seed=1)


def same_bits(first, second):
    assert first.rows == second.rows
    assert first.boundaries == second.boundaries
    assert first.status == second.status
    np.testing.assert_array_equal(first.theta.A, second.theta.A)
    np.testing.assert_array_equal(first.theta.V, second.theta.V)


STAGES = (Boost(300, max_steps=4), Proximal(80, max_steps=6), Round(), Refit(40, tolerance=1e-9, max_steps=70))


@pytest.mark.parametrize("options", [{"packed": False}, {"mu": "estimated"}, {"packed": True}], ids=str)
@pytest.mark.parametrize("pauses", [(900,), (1250, 1300, 1700, 2000, 4000)])
def test_a_resumed_run_ends_with_the_same_bits(task, tmp_path, options, pauses):
    path = tmp_path / "run.npz"
    expected = training.train(task, STAGES, seed=7, **options)
    for limit in (*pauses, None):
        found = training.train(task, STAGES, seed=7, **options, max_samples=limit, checkpoint=path)
        if limit:
            assert found.status == "paused"
            assert found.samples[-1] <= limit
    same_bits(found, expected)
    same_bits(History.load(path), expected)
    same_bits(training.train(task, STAGES, seed=7, **options, checkpoint=path), expected)  # finished: nothing to do


@pytest.mark.parametrize("stages", [training.adam(0.01, batch_size=32), scb.softmax.SoftmaxDescent(32)])
def test_stages_with_a_memory_resume_too(task, tmp_path, stages):
    stages = stages if isinstance(stages, tuple) else (stages,)
    expected = training.train(task, stages, seed=7, max_samples=1600)
    for limit in (500, 1600):
        found = training.train(task, stages, seed=7, max_samples=limit, checkpoint=tmp_path / "run.npz")
    same_bits(found, expected)


def test_a_killed_run_goes_on_from_its_checkpoint(task, tmp_path, monkeypatch):
    path, expected = tmp_path / "run.npz", training.train(task, STAGES, seed=7)
    calls, real = [], Learner.gradient

    def dies(self, *args, **options):
        calls.append(0)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return real(self, *args, **options)

    monkeypatch.setattr(Learner, "gradient", dies)
    with pytest.raises(KeyboardInterrupt):
        training.train(task, STAGES, seed=7, checkpoint=path)
    monkeypatch.undo()
    same_bits(training.train(task, STAGES, seed=7, checkpoint=path), expected)


def test_an_interrupted_save_leaves_the_old_file_whole(run, tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    run.save(path)
    before = path.read_bytes()
    monkeypatch.setattr(np, "savez", lambda file, **arrays: file.write(b"half"))
    monkeypatch.setattr("os.fsync", lambda fd: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        run.save(path)
    assert path.read_bytes() == before


def test_a_checkpoint_of_another_run_is_refused(task, tmp_path):
    path = tmp_path / "run.npz"
    training.train(task, STAGES, seed=7, max_samples=600, checkpoint=path)
    other = scb.SCB.random(3, 200, 2, seed=1)
    for arguments, word in (
        ((task, STAGES, {"seed": 8}), "seed"),
        ((task, STAGES[:2], {"seed": 7}), "stages"),
        ((other, STAGES, {"seed": 7}), "task"),
        ((task, STAGES, {"seed": 7, "mu": "estimated"}), "mu"),
        ((task, STAGES, {"seed": 7, "packed": False}), "packed"),
    ):
        with pytest.raises(InvalidArgument, match=f"another run: its {word}"):
            training.train(*arguments[:2], checkpoint=path, **arguments[2])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"text"])
def test_a_file_that_is_no_history_is_refused(tmp_path, content):
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    with pytest.raises(InvalidArgument, match="not a saved history"):
        History.load(path)
    with pytest.raises(InvalidArgument, match="not a saved history"):
        History.load(tmp_path / "absent.npz")


def test_a_history_says_what_it_records(run, tmp_path):
    with pytest.raises(AttributeError, match="distance_A"):
        _ = run.distance
    with pytest.raises(InvalidArgument, match="does not exist"):
        run.save(tmp_path / "absent" / "x.npz")
    assert len(run) == len(run.loss)


def test_bad_options_are_refused(task):
    good = training.sgd(0.01)
    for stages, options, word in (
        ((), {}, "empty"),
        (good, {"mu": "guessed"}, "mu is"),
        (good, {"record": 1.0}, "record"),
        (("sgd",), {}, "stages has 'sgd'"),
        (good, {"seed": -1}, "seed"),
        (good, {"max_samples": 0}, "max_samples"),
        (good, {"max_samples": None}, "would never end"),
        (good, {"record": float("nan")}, "record"),
    ):
        with pytest.raises(InvalidArgument, match=word):
            training.train(task, stages, **{"max_samples": 100} | options)
    with pytest.raises(ShapeMismatch):
        training.train(task, good, max_samples=100, start=scb.Parameters(task.Q[:5], task.P))


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (lambda x: Descent(x, 0.1), (0, -1, 2.5, float("nan"), "many")),
        (lambda x: Descent(16, x), (0, -0.1, float("nan"), float("inf"), None)),
        (lambda x: training.Round(relative=x), (1.0, -0.1, float("nan"))),
        (lambda x: training.Proximal(16, c=x), (-1, float("nan"), float("inf"))),
        (lambda x: training.Proximal(16, mass=x), (0, float("nan"))),
        (lambda x: training.Proximal(16, patience=x), (0, 1.5)),
        (lambda x: training.Boost(16, standing_out=x), (0, float("nan"))),
        (lambda x: training.Refit(16, tolerance=x), (-1, float("nan"), float("inf"))),
        (lambda x: training.Likelihood(16, tolerance=x), (-1, float("nan"))),
        (lambda x: training.Likelihood(16, max_steps=x), (0, 2.5)),
        (lambda x: training.MomentStart(16, false_alarm=x), (0, 1, float("nan"))),
        (lambda x: training.Adam(16, 0.1, beta_1=x), (1, -0.1, float("nan"))),
        (lambda x: scb.softmax.SoftmaxDescent(16, eta_A=x), (0, float("nan"))),
        (lambda x: scb.softmax.SoftmaxDescent(16, scale=x), ("fast",)),
    ],
)
def test_a_stage_checks_its_numbers_when_it_is_made(make, wrong):
    for value in wrong:
        with pytest.raises(InvalidArgument):
            make(value)


def test_numpy_numbers_are_pythons_own_in_stages_and_checkpoints(task, tmp_path):
    plain = (Descent(32, 0.125, max_steps=9),)
    typed = (Descent(np.int64(32), np.float32(0.125), max_steps=np.uint8(9)),)
    assert plain == typed
    whole = training.train(task, plain, seed=3)
    options = {"seed": np.int64(3), "record": np.float32(1.5), "checkpoint": tmp_path / "run.npz"}
    training.train(task, typed, max_samples=np.int32(100), **options)
    same = training.train(task, typed, **options).theta
    assert same == whole.theta


def test_a_flag_of_numpy_is_one_and_a_stage_that_has_it_is_saved(task, tmp_path):
    stage = Descent(32, 0.1, projected=np.bool_(True))
    assert stage == Descent(32, 0.1, projected=True)
    training.train(task, (stage,), max_samples=64, checkpoint=tmp_path / "run.npz")


def test_a_run_that_left_every_bound_is_saved_as_it_is(task, tmp_path):
    path, stages = tmp_path / "run.npz", training.sgd(1e300, batch_size=4)
    found = training.train(task, stages, max_samples=400, checkpoint=path)
    assert found.divergence.size == np.inf
    for again in (History.load(path), training.train(task, stages, max_samples=400, checkpoint=path)):
        assert again.divergence == found.divergence
        same_bits(again, found)
    (kept,) = sweeps.run_all([sweeps.Run.of(task, stages, 0, max_samples=400)], cache=tmp_path)
    assert kept.status == "diverged"


def test_a_smaller_budget_than_was_used_is_refused(task, tmp_path):
    stages, where = (Descent(32, 0.1),), tmp_path / "run.npz"
    training.train(task, stages, max_samples=320, checkpoint=where)
    with pytest.raises(InvalidArgument, match=r"max_samples is 100, but the run in .* has used 320 already"):
        training.train(task, stages, max_samples=100, checkpoint=where)


def test_the_progress_bar_changes_nothing(task, capsys):
    quiet = training.train(task, STAGES, seed=7)
    assert capsys.readouterr() == ("", "")
    same_bits(training.train(task, STAGES, seed=7, progress=True), quiet)


def test_a_stage_repeated_is_recorded_as_itself(task):
    stage = Descent(32, 0.01, max_steps=3)
    found = training.train(task, (stage, stage, Descent(32, 0.02, max_steps=2), stage), seed=1, record=1 + 1e-9)
    assert found.stage.tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 3]


def test_a_file_of_another_format_is_refused(run, tmp_path, monkeypatch):
    from scbtheory.training import _history

    run.save(tmp_path / "run.npz")
    History.load(tmp_path / "run.npz")
    monkeypatch.setattr(_history, "FORMAT", _history.FORMAT + 1)
    with pytest.raises(InvalidArgument, match=f"its format is {_history.FORMAT - 1}, expected {_history.FORMAT}"):
        History.load(tmp_path / "run.npz")


def test_the_progress_bar_shows_each_row_when_it_is_written(task, monkeypatch):
    shown = []
    monkeypatch.setattr(_run, "_bar", lambda *_: contextlib.nullcontext(lambda *seen: shown.append(seen)))
    found = training.train(task, STAGES, seed=7, progress=True)
    rows = found.rows[1:]  # the first is the start's
    assert [row for *_, row in shown] == rows
    assert all(samples == row[0] for _, samples, row in shown)
    assert {stage for stage, *_ in shown} == {stage.name for stage in STAGES}


def test_histories_can_be_told_apart(task, run):
    other = training.train(task, STAGES, seed=7)
    assert run == run
    assert run != other
    assert run in [other, run]
