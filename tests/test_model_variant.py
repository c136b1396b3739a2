"""The protocol of a model, on the one that CONTRIBUTING.md adds: attention that is normalised by its sum."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from recipes import recipe

import scbtheory as scb
from scbtheory import sweeps, training
from scbtheory.errors import InvalidArgument, MixedBackends, ShapeMismatch

RECIPE = {}
exec(recipe("Add a model variant"), RECIPE)
SumNormalised, train = RECIPE["SumNormalised"], RECIPE["learn"]


@dataclass(frozen=True, eq=False)
class Scaled(scb.model.Model):
    """Attention times a number of its own: a parameter of no dimension."""

    W: Any
    V: Any
    g: Any

    def forward(self, task):
        def pull_back(G):
            return Scaled(self.g * G.A, G.V, task.backend.xp.sum(self.W * G.A))

        return scb.Parameters(self.g * self.W, self.V), pull_back

    @classmethod
    def start(cls, task):
        scratch = scb.Parameters.initial(task)
        return cls(scratch.A, scratch.V, task.backend.asarray(1.0))


@pytest.fixture
def task():
    return scb.SCB.random(3, 20, 2, seed=0)


@pytest.fixture
def start(task):
    return RECIPE["start"](task)


def test_it_learns_the_task(task):
    run = train(task, 1024 * 1000)
    assert run.status == "paused"
    assert run.distance_A[-1] < 0.05 * run.distance_A[0]
    assert run.distance_V[-1] < 0.05 * run.distance_V[0]
    assert isinstance(run.model, SumNormalised)
    np.testing.assert_array_equal(run.theta.A, run.model.W / run.model.W.sum(axis=0))


@pytest.mark.parametrize("packed", [False, True])
def test_a_run_goes_on_from_its_file_to_the_same_bits(task, tmp_path, packed):
    at_once = train(task, 1024 * 30, packed=packed)
    train(task, 1024 * 11, packed=packed, checkpoint=tmp_path / "run.npz")
    resumed = train(task, 1024 * 30, packed=packed, checkpoint=tmp_path / "run.npz")
    for name in ("W", "V"):
        np.testing.assert_array_equal(getattr(resumed.model, name), getattr(at_once.model, name))
    assert resumed.rows == at_once.rows


def test_a_finished_run_keeps_its_model(task, start, tmp_path):
    step = training.Descent(64, 0.1, projected=True, max_steps=3)
    runs = [training.train(task, (step,), start=start, checkpoint=tmp_path / "run.npz") for _ in range(2)]
    assert [run.status for run in runs] == ["finished"] * 2
    np.testing.assert_array_equal(*(run.model.W for run in runs))


@pytest.mark.parametrize("name", ["W", "V"])
def test_its_gradients_are_the_slopes_of_its_losses(task, name):
    rng = np.random.default_rng(0)
    theta = SumNormalised(rng.uniform(0.5, 1.5, (20, 3)), scb.Parameters.random(task, seed=2).V)
    batch, direction = task.sample(50, seed=3), rng.normal(size=getattr(theta, name).shape)
    losses = {
        scb.population.loss: scb.population.gradient(task, theta),
        lambda task, theta: scb.model.minibatch_loss(task, theta, batch): scb.model.minibatch_gradient(
            task, theta, batch
        ),
    }
    for loss, gradient in losses.items():
        up, down = (loss(task, replace(theta, **{name: getattr(theta, name) + h * direction})) for h in (1e-5, -1e-5))
        assert np.sum(getattr(gradient, name) * direction) == pytest.approx((up - down) / 2e-5, rel=1e-6)


def test_every_gradient_is_the_linear_one_pulled_back(task, start):
    linear, pull_back = start.forward(task)
    batch = task.sample(60, seed=5)
    for projected in (False, True):
        options = {"projected": projected}
        pairs = [
            (f(task, start, *rest, **o), pull_back(f(task, linear, *rest, **o)))
            for f, rest, o in (
                (scb.model.minibatch_gradient, (batch,), options),
                (scb.streaming.gradient, (60,), options | {"seed": 5}),
                (scb.streaming.gradient, (60,), options | {"seed": 5, "packed": True}),
                (scb.population.projected_gradient if projected else scb.population.gradient, (), {}),
            )
        ]
        for found, expected in pairs:
            assert isinstance(found, SumNormalised)
            np.testing.assert_array_equal(found.W, expected.W)
            np.testing.assert_array_equal(found.V, expected.V)


def test_a_linear_stage_refuses_it(task, start):
    with pytest.raises(InvalidArgument, match=r"SumNormalised.*\['boost', 'proximal', 'round', 'refit'\]"):
        training.train(task, training.algorithm(task), start=start)


def test_adam_and_estimated_frequencies_take_it(task, start):
    run = training.train(task, training.adam(0.01), start=start, max_samples=256 * 20, mu="estimated")
    assert run.loss[-1] < run.loss[0]
    assert isinstance(run.model, SumNormalised)


def test_a_model_is_a_vector_space_that_moves_at_two_speeds(start):
    twice = 2 * start
    np.testing.assert_array_equal((twice - start).W, start.W)
    np.testing.assert_array_equal((start + start).V, twice.V)
    moved = start.moved(start, attention=0.5, value=0.25)
    np.testing.assert_array_equal(moved.W, 0.5 * start.W)
    np.testing.assert_array_equal(moved.V, 0.75 * start.V)


def test_runs_of_signs_take_the_steps_of_single_models(task):
    """Several runs go through one assembly together; each moves as it would alone."""
    from scbtheory.noise._sign_runs import _Runs

    runs, B = _Runs(task, 3, 0.3, 0.2), 7
    single = [scb.Parameters.initial(task)] * 3
    for step in range(3):
        batch = task.sample(3 * B, seed=4, step=step)
        runs.step(B, seed=4, step=step)
        for r in range(3):
            own = slice(r * B, (r + 1) * B)
            part = scb.task.Batch(batch.tokens[own], batch.trigger[own], batch.output[own], batch.position[own])
            gradient = scb.model.minibatch_gradient(task, single[r], part, projected=True)
            single[r] = single[r].moved(gradient, attention=0.2, value=0.3)
    for r in range(3):
        np.testing.assert_allclose(runs.A[:, 3 * r : 3 * r + 3], single[r].A, rtol=0, atol=1e-14)
        np.testing.assert_allclose(runs.V[r], single[r].V, rtol=0, atol=1e-14)


@pytest.mark.parametrize("stages", [training.sgd(0.1, batch_size=8), training.adam(0.01, batch_size=8)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_parameter_of_no_dimension_is_kept_as_an_array(task, tmp_path, stages, dtype):
    """NumPy's arithmetic makes a scalar of it, which is no array."""
    task = task.on(dtype=dtype)
    start = Scaled.start(task)
    at_once = training.train(task, stages, start=start, max_samples=80)
    assert isinstance(at_once.model.g, np.ndarray)
    assert at_once.model.g.dtype == dtype
    assert scb.population.loss(task, at_once.model) == at_once.loss[-1]
    for samples in (24, 80):
        resumed = training.train(task, stages, start=start, max_samples=samples, checkpoint=tmp_path / "run.npz")
    assert resumed.model == at_once.model
    assert resumed.rows == at_once.rows
    for moved in (start + start, start - 2 * start, start.moved(start, attention=0.5, value=0.25)):
        assert isinstance(moved.g, np.ndarray)


def test_and_so_it_is_in_a_sweep(task, tmp_path):
    run = sweeps.Run.of(task, training.adam(0.01, batch_size=8), 0, start=Scaled.start(task), max_samples=24)
    fresh, again = (sweeps.run_all([run], jobs=1, cache=tmp_path)[0] for _ in range(2))
    assert len(list(tmp_path.iterdir())) == 1
    assert fresh.model == again.model


def linear_of(theta):
    return scb.Parameters(theta.W, theta.V)


@pytest.mark.parametrize(
    ("forward", "error", "message"),
    [
        (linear_of, InvalidArgument, "Wrong.forward returns is of type Parameters; expected two: Parameters and the"),
        (lambda theta: (linear_of(theta), theta), InvalidArgument, "returns is of type tuple; expected two"),
        (lambda theta: (linear_of(theta), lambda g: g), InvalidArgument,
         "pull-back of Wrong returns is of type Parameters; expected a Wrong"),
        (lambda theta: (linear_of(theta), lambda g: None), InvalidArgument, "returns is None; expected a Wrong"),
        (lambda theta: (linear_of(theta), lambda g: type(theta)(g.A[:1], g.V)), ShapeMismatch,
         r"the pull-back's W has shape \(1, 3\); this task expects \(20, 3\)"),
        (lambda theta: (linear_of(theta), lambda g: type(theta)(g.A, g.V.tolist())), MixedBackends,
         r"the pull-back's V is a builtins.list"),
    ],
)  # fmt: skip
def test_a_pull_back_of_another_type_or_shape_is_refused(task, start, forward, error, message):
    class Wrong(SumNormalised):
        def forward(self, task):
            return forward(self)

    wrong = Wrong(start.W, start.V)
    for use in (
        lambda: scb.population.gradient(task, wrong),
        lambda: training.train(task, training.sgd(0.1, batch_size=4), start=wrong, max_samples=8),
        lambda: training.train(task, training.adam(0.1, batch_size=4), start=wrong, max_samples=8),
    ):
        with pytest.raises(error, match=message):
            use()
