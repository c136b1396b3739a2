"""Run stages on a task: one loop for the algorithm and for everything it is compared with."""

from __future__ import annotations

import hashlib
import math
import warnings
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import numpy as np

from scbtheory import population
from scbtheory.checks import below, count, flag, real, several
from scbtheory.dynamics import reduce
from scbtheory.errors import InvalidArgument
from scbtheory.model import Model, Parameters, forward
from scbtheory.task import SCB
from scbtheory.training._history import Divergence, History, NoSupport, StageEnd
from scbtheory.training._learner import Draws, Learner
from scbtheory.training._stages import BOUND, Stage


def train(
    task: SCB,
    stages,
    *,
    seed: int = 0,
    start: Model | None = None,
    max_samples: int | None = None,
    mu: str = "known",
    packed: bool | None = None,
    record: float = 1.05,
    checkpoint=None,
    progress: bool = False,
    draws: Draws | None = None,
) -> History:
    r"""Run ``stages`` one after another and return the :class:`History`.

    Parameters
    ----------
    task : the task; its backend computes, at its precision.
    stages : a sequence of stages, as :func:`algorithm` or :func:`sgd` return them.
    seed : names the stream of samples; every method with this seed reads the same samples in the same order.
    start : the model to begin with; by default the linear one at :math:`A = 11^\top/T`, :math:`V = \mu 1^\top`.
    max_samples : pause before the step that would use more.
    mu : ``"known"``, or ``"estimated"`` from the tokens of the same samples.
    packed : draw several tokens at a time where a byte holds them, several times faster for few tokens. The samples
        have the same law, but are others, and methods share them only while their batches have equal sizes. By
        default wherever :math:`\mu` is known; the history's description says which.
    record : a row is recorded whenever samples have grown by this factor, and at every boundary.
    checkpoint : a file to save to at each recorded row and to resume from if it exists. A resumed run ends with
        the very bits of one that was never interrupted.
    progress : show a progress bar on the terminal.
    draws : samples that further runs on the task share, where they are not packed; results are those without.

    Returns
    -------
    History
        Finished, paused or diverged, as its ``status`` says.

    Raises
    ------
    InvalidArgument : an option is out of range, or the checkpoint belongs to another run or has no folder; ``start`` is
        no model; ``stages`` are none, do not fit ``start`` or each other, or would never end; or the task's K_P or K_Q
        is 0.
    MixedBackends : ``start`` is of another array library, device or precision than the task.
    ShapeMismatch : ``start`` has other sizes than the task.

    Warns
    -----
    NoSupport : a stage that looks for supports ended without one.
    """
    stages = several("stages", stages)
    if mu not in ("known", "estimated"):
        raise InvalidArgument(f"mu is {mu!r}; expected 'known' or 'estimated'")
    packed = mu == "known" if packed is None else flag("packed", packed)
    if packed and mu != "known":
        raise InvalidArgument(f"mu is {mu!r} and packed is True; packed samples are not counted: mu must be 'known'")
    if not real("record", record) > 1:
        raise InvalidArgument(f"record is {record!r}; expected a factor above 1")
    if draws is not None and draws.task is not task:
        raise InvalidArgument("draws holds samples of another task; expected training.Draws(task) of this very task")
    seed = below("seed", seed, 2**64)
    record, max_samples = float(record), None if max_samples is None else count("max_samples", max_samples)
    if not stages:
        raise InvalidArgument("stages is empty; expected at least one, such as those of training.algorithm(task)")
    for stage in stages:
        if not isinstance(stage, Stage):
            raise InvalidArgument(f"stages has {stage!r}; expected stages such as those of training.algorithm(task)")
        if max_samples is None and stage.endless:
            raise InvalidArgument(
                f"the stage {stage.name!r} ends by no rule of its own and max_samples is None: training would never "
                "end; give max_samples, or the stage max_steps"
            )
    start = Parameters.initial(task) if start is None else start
    linear, pull_back = forward(task, start)
    pull_back(0 * linear)  # refused now, if it returns something else than start's gradients
    narrow = [stage.name for stage in stages if not stage.any_model]
    if narrow and not isinstance(start, Parameters):
        raise InvalidArgument(f"start is a {type(start).__name__}, but the stages {narrow} train the linear model only")
    description = {
        "task": _fingerprint(task, start), "seed": seed, "mu": mu, "packed": packed,
        "record": record,
        "dtype": str(task.backend.dtype).rpartition(".")[2].rstrip("'>"), "stages": [_describe(s) for s in stages],
    }  # fmt: skip
    if checkpoint is not None and Path(checkpoint).exists():
        history = History.load(checkpoint)
        learner = _restore(task, history, description, stages, start)
        if max_samples is not None and learner.samples > max_samples:
            raise InvalidArgument(
                f"max_samples is {max_samples}, but the run in {checkpoint} has used {learner.samples} already; "
                "give at least as many, or another checkpoint"
            )
    else:
        learner = Learner(task, seed, start, task.mu, packed=packed)
        if mu == "estimated":
            xp, N = task.backend.xp, task.vocab_size
            learner.counts = xp.zeros((N,), dtype=xp.int64, device=task.backend.device)
            learner.mu = xp.full((N,), 1 / N, dtype=task.backend.dtype, device=task.backend.device)
        history = History(tuple(s.name for s in stages), theta=learner.linear, model=start, description=description)
        history.state = {"stage": 0, "steps": 0, "step": 0, "next": 0.0, "begun": 0, "provisional": 0}
    learner.draws = draws
    with _bar(flag("progress", progress), max_samples) as show:
        _loop(stages, learner, history, max_samples, record, checkpoint, show)
    return history


def _loop(stages, learner, history, max_samples, record, checkpoint, show):
    """Step until the last stage ends, the samples are used up, or the parameters leave every bound."""
    at = history.state
    if history.status != "paused":
        return
    if at["provisional"]:  # a row that only the pause made: an uninterrupted run would not have it
        history.rows.pop()
    if not history.rows:
        _row(history, learner)
    while at["stage"] < len(stages):
        here = at["stage"]
        stage = stages[here]
        if max_samples is not None and learner.samples + stage.size(at["steps"]) > max_samples:
            break
        if not at["begun"]:
            stage.begin(learner)
            at["begun"] = 1
        with np.errstate(all="ignore"):  # whatever the caller's: a run that leaves every bound says so itself
            done, size = stage.advance(learner, _until_due(stage, learner, at, max_samples))
        at["steps"], at["step"] = at["steps"] + done, at["step"] + done
        if not size <= BOUND:  # also when it is not a number
            size = size if size == size else np.inf
            history.divergence = Divergence(stage.name, learner.samples, at["step"], size)
            history.status = "diverged"
            break
        reason = stage.verdict(learner, at["steps"])
        if reason is not None:
            stage.end(learner)
            history.boundaries.append(StageEnd(stage.name, learner.samples, at["step"], reason))
            if not reason.startswith(stage.goal):
                warnings.warn(
                    f"stage {stage.name} ended without a support after {learner.samples} samples: {reason}; what "
                    "follows may settle on a wrong one. Larger batches or more steps may help",
                    NoSupport,
                    stacklevel=3,
                )
            at.update(stage=here + 1, steps=0, begun=0)
        if reason is not None or learner.samples >= at["next"]:
            at["next"] = record * learner.samples
            _row(history, learner, here)
            if checkpoint is not None:
                _keep(history, learner)
                history.save(checkpoint)
            show(stage.name, learner.samples, history.rows[-1])
    else:
        history.status = "finished"
    last = min(at["stage"], len(stages) - 1)
    at["provisional"] = int(history.rows[-1][1] != at["step"] and history.status == "paused")
    if at["provisional"]:
        _row(history, learner, last)
    _keep(history, learner)
    if checkpoint is not None:
        history.save(checkpoint)


def _until_due(stage, learner, at, max_samples) -> int:
    """How many steps of a stage lie before its next verdict, the next record and the end of the samples."""
    count, size = stage.ahead(learner, at["steps"]), stage.size(at["steps"])
    if count > 1:
        count = min(count, max(1, math.ceil((at["next"] - learner.samples) / size)))
        if max_samples is not None:
            count = min(count, (max_samples - learner.samples) // size)
    return count


def _row(history, learner, stage=0):
    """Record where the learner is: the only place that looks at the truth."""
    task, theta = learner.near
    away = theta - Parameters.truth(task)
    place = reduce(task, theta)
    distances = task.inner(away.A, away.A), task.inner(away.V, away.V)
    loss = population.loss(task, theta)
    history.rows.append((learner.samples, history.state["step"], stage, *place, *distances, loss))


def _keep(history, learner):
    """Copy into the history what resuming needs."""
    history.theta, history.model = learner.linear, learner.theta
    at = {k: v for k, v in history.state.items() if not k.startswith(("learner/", "memory/", "model/"))}
    at["learner/samples"], at["learner/mu"] = learner.samples, learner.mu
    if learner.counts is not None:
        at["learner/counts"] = learner.counts
    history.state.clear()
    at |= {f"memory/{k}": v for k, v in learner.memory.items()}
    if not isinstance(learner.theta, Parameters):
        at |= {f"model/{k}": v for k, v in learner.theta.arrays().items()}
    history.state.update(at)


def _restore(task, history, description, stages, start) -> Learner:
    """The learner that a saved history belongs to."""
    for name, value in description.items():
        if history.description.get(name) != value:
            raise InvalidArgument(
                f"the checkpoint belongs to another run: its {name} is {history.description.get(name)!r}, "
                f"this run's {value!r}"
            )
    backend = task.backend

    def array(values):
        kinds = {"b": backend.xp.bool, "i": backend.xp.int64, "f": backend.dtype}
        return backend.asarray(values, kinds[values.dtype.kind])

    history.theta = history.model = Parameters(array(history.theta.A), array(history.theta.V))
    state = {k: array(v) if hasattr(v, "shape") else v for k, v in history.state.items()}
    history.state = state
    own = {k.removeprefix("model/"): v for k, v in state.items() if k.startswith("model/")}
    if own:
        last = stages[min(history.state["stage"], len(stages) - 1)]  # a finished run is past its last stage
        history.model = last.model_type(type(start))(**own)
    learner = Learner(task, description["seed"], history.model, state["learner/mu"], state.get("learner/counts"))
    learner.samples, learner.packed = state["learner/samples"], description["packed"]
    learner.memory = {k.removeprefix("memory/"): v for k, v in state.items() if k.startswith("memory/")}
    return learner


def _describe(stage) -> dict:
    return {"stage": type(stage).__name__} | asdict(stage)


def _fingerprint(task, start) -> str:
    digest = hashlib.sha256()
    for matrix in (task._host_P, task._host_Q, *map(task.backend.to_numpy, start.arrays().values())):
        digest.update(np.ascontiguousarray(matrix).tobytes() + str(matrix.shape).encode())
    return digest.hexdigest()[:16]


def _bar(progress, total):
    """A context that yields ``show(stage, samples, row)``."""
    if not progress:
        return nullcontext(lambda *_: None)
    return _Bar(total)


class _Bar:
    """A progress bar in samples, with the stage and both distances."""

    def __init__(self, total):
        self.total = total

    def __enter__(self):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self.bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self.bar.start()
        self.id = self.bar.add_task("training", total=self.total)
        return self.show

    def show(self, stage, samples, row):
        text = f"{stage}: {samples} samples, ‖A-Q‖² {row[6]:.2g}, ‖V-P‖² {row[7]:.2g}"
        self.bar.update(self.id, completed=samples, description=text)

    def __exit__(self, *_):
        self.bar.stop()
