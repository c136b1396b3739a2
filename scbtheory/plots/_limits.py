"""Figures of the chapter on limits: the moment statistic, samples against T, the last stage against its bound."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.patches import Patch
from scipy.special import ndtri
from scipy.stats import chi2

import scbtheory as scb
from scbtheory import dynamics, limits, noise, training
from scbtheory.checks import correlation, count, several, some
from scbtheory.errors import InvalidArgument
from scbtheory.plots._noise import _recovers, _smallest
from scbtheory.plots._style import BLACK, BLUE, GREEN, GREY, ORANGE, RED, Picture, canvas, legend, panel_letters

MOST = 5e7  # tokens of a run that is measured
LEVEL = 1.25  # of N4's threshold after transfer: at 1 it lets noise pass too often for nine runs in ten


def moment_search(task: scb.SCB, *, samples: int, seed: int = 0) -> Picture:
    r"""Draw L1's statistic of every position, and how its values off the supports are distributed.

    Parameters
    ----------
    task : a task.
    samples : how many are drawn, of all triggers together.
    seed : of the samples.

    Returns
    -------
    Picture
        (a) Trigger 0's statistic by position, with L2's threshold for a false alarm of 0.1; (b) the share above x
        off the supports of all triggers, on the :math:`\chi^2` law.

    Raises
    ------
    InvalidArgument : ``samples`` or ``seed`` is out of range, or there is no position off the supports.
    """
    N, T, on = task.vocab_size, task.context_length, task.backend.to_numpy(task.Q) > 0
    if np.all(on):
        raise InvalidArgument("Q has no entry 0; expected positions off the supports")
    X, _ = limits.moment_statistic(task, samples, seed=seed)
    cut = limits.detection_threshold(N=N, T=T, false_alarm=0.1)
    with canvas(columns=2, size=(7.6, 3.2)) as (picture, axes):
        ax = axes[0]
        ax.semilogy(np.flatnonzero(~on[:, 0]), X[~on[:, 0], 0], ".", ms=2.5, color=GREY, label="off the support")
        ax.plot(np.flatnonzero(on[:, 0]), X[on[:, 0], 0], "o", color=BLUE, label="support")
        ax.axhline(cut, color=RED, lw=1.2, label="threshold")
        ax.set(xlabel="position $t$", ylabel="$X_t$ of one trigger", ylim=(1e-2, 100 * X[:, 0].max()))
        legend(ax, ncols=2)
        ax, values = axes[1], np.sort(X[~on])[::-1]
        grid = np.linspace(0, max(cut, values[0]) * 1.1, 300)
        ax.semilogy(grid, chi2.sf(grid, (N - 1) ** 2), color=BLACK, lw=1.2, label=r"$\chi^2$, $(N-1)^2$ degrees")
        ax.semilogy(values, np.arange(1, len(values) + 1) / len(values), ".", ms=3, color=GREY, label="drawn")
        ax.axvline(cut, color=RED, lw=1.2)
        ax.set(xlabel="$x$", ylabel=r"share with $X_t > x$", ylim=(0.1 / (T * N), 2))
        legend(ax)
        panel_letters(axes, ("one trigger", "off the supports, all triggers"))
        return picture


def samples_against_length(lengths, *, tried=(), vocab_size=3, sparsity=2, seed=0, runs=40, transferred=0.7) -> Picture:
    """Draw the samples with which nine of ten runs find every support or, boosting, the right sign; predicted as lines.

    Points are measured, at ``tried`` lengths where a run has at most 5·10⁷ tokens. From scratch by boosting (N5:
    the sign alone, to the half time), after transfer by one step (N4, at ``transferred`` of P'), from scratch by
    moments (L2); and Fano's bound, below which nobody finds supports (L3).

    Parameters
    ----------
    lengths, tried : context lengths of the lines, and of the points.
    vocab_size, sparsity, seed : of the random tasks.
    runs : of each batch size that is tried for a point.
    transferred : β of the pretrained value matrix, not 0.

    Returns
    -------
    Picture
        Samples against T, both axes logarithmic.

    Raises
    ------
    InvalidArgument : a number is out of range, there are more than 40 tokens, or a weight is not above 1/T.
    """
    tasks = {T: scb.SCB.random(vocab_size, T, sparsity, seed=seed) for T in sorted({*lengths, *tried})}
    ways = (
        ("boosting, from scratch: the sign", RED, "s", _by_boosting),
        ("moments, from scratch: supports", BLUE, "o", _by_moments),
        ("one step, after transfer: supports", GREEN, "D", _by_transfer),
    )
    points: list[Any] = []
    with canvas(size=(6.0, 3.9)) as (picture, ax):
        for name, colour, marker, way in ways:
            ax.loglog(lengths, [way(tasks[T], transferred, None) for T in lengths], color=colour, label=name)
            short = [T for T in tried if way(tasks[T], transferred, None) * T <= MOST]
            points += ax.loglog(short, [way(tasks[T], transferred, runs) for T in short], marker, color=colour, ms=5)
        bound = [limits.fano_samples(tasks[T], error=0.1) for T in lengths]
        ax.loglog(lengths, bound, color=BLACK, lw=1.2, ls="--", label="nobody, below (Fano)")
        ax.set(xlabel="context length $T$", ylabel="samples")
        legend(ax, [(tuple(points), "measured")])
        return picture


def _by_boosting(task, _, runs, step=0.1):
    """Samples to the half time, at the least batch whose sign is right in nine of ten runs."""
    T, K_Q = task.context_length, task.K_Q
    steps = math.log(2 * T * K_Q) / math.log1p(step)
    predicted = 0.5 * ndtri(0.9) ** 2 * step * noise.sign_noise(task) * T
    if runs is None:
        return predicted * steps
    speed = {"step_size": step / K_Q, "attention_step_size": step / task.K_P}

    def right(size):
        return float(np.mean(noise.train_signs(task, runs=runs, batch_size=size, seed=17, **speed).Y > 0))

    return _smallest(predicted, right) * steps


def _by_moments(task, _, runs):
    predicted = limits.samples_for_support(task, false_alarm=0.02, miss=0.08)
    if runs is None:
        return predicted
    on = task.backend.to_numpy(task.Q) > 0

    def found(size):
        X = (limits.moment_statistic(task, size, seed=19, step=run)[0] for run in range(runs))
        return float(np.mean([np.array_equal(limits.support_by_moments(x, false_alarm=0.02), on) for x in X]))

    return _smallest(predicted, found)


def _by_transfer(task, beta, runs):
    predicted = noise.support_batch(task, 0.0, beta, c=LEVEL).max()
    if runs is None:
        return predicted
    theta = dynamics.lift(task, 0.0, beta)
    return _smallest(predicted, lambda size: _recovers(task, theta, size, LEVEL, 23, runs))


def efficiency(task: scb.SCB, *, samples, runs: int = 40, steps=(0.2, 0.1, 0.05), batch_size: int = 100) -> Picture:
    r"""Draw n times the error of the last stage over the Cramér–Rao bound against n: likelihood, and refits.

    Parameters
    ----------
    task : a task with positive P, :math:`K_P, K_Q > 0`, few enough tokens and positions for the bound.
    samples : values of n, at least ``batch_size``.
    runs : of each point, at least 2, with the seeds from 0 on.
    steps : three step sizes of the refits.
    batch_size : of the refits.

    Returns
    -------
    Picture
        Means with two standard errors, both axes logarithmic; lines at the bound and where averaged refits tend.

    Raises
    ------
    InvalidArgument : the bound does not exist for the task, or a number is out of range.
    """
    weights = {"eta_V": 1 / correlation(task, "K_Q"), "eta_A": 1 / correlation(task, "K_P")}
    speed: dict[str, Any] = {"tolerance": 0.0, **weights}
    samples, steps = some("samples", samples), several("steps", steps)
    if min(count("samples", n) for n in samples) < count("batch_size", batch_size):
        raise InvalidArgument(f"samples is {min(samples)}; expected at least the batch of {batch_size}")
    if count("runs", runs) < 2:
        raise InvalidArgument(f"runs is {runs}; expected at least 2, for a deviation")
    if len(steps) != 3:
        raise InvalidArgument(f"steps is {steps}; expected three step sizes")
    bound = sum(limits.cramer_rao(task, "known"))
    stated = 1.5 * sum(limits.least_squares_error(task, "known")) / bound
    with canvas(size=(6.0, 4.0)) as (picture, ax):
        for step, colour, marker in zip(steps, (RED, ORANGE, GREEN), "sD^", strict=True):
            curves = [
                _errors(task, training.Refit(batch_size, step_size=step, max_steps=n // batch_size, **speed), runs)
                for n in samples
            ]
            _band(ax, samples, np.array(curves) / bound, colour, marker, f"refit, step {step:g}")
        curves = [_errors(task, training.Likelihood(n, tolerance=0.0, max_steps=1), runs) for n in samples]
        _band(ax, samples, np.array(curves) / bound, BLUE, "o", "maximum likelihood")
        ax.axhline(1, color=BLACK, lw=1.2, ls="--", label="Cramér–Rao")
        ax.axhline(stated, color=BLACK, lw=1.2, ls=":", label="averaged over two thirds, small steps")
        ax.set(xscale="log", yscale="log", xlabel="samples $n$", ylabel="$n$ × error / bound")
        ax.yaxis.set_major_formatter("{x:g}")
        legend(ax)
        return picture


def _errors(task, stage, runs):
    """n times both errors together, one for each run; at the start only the supports are known."""
    on = task.Q > 0
    start = scb.Parameters(on / on.sum(axis=0), scb.Parameters.initial(task).V)
    found = []
    for seed in range(runs):
        history = training.train(task, (stage,), start=start, seed=seed, record=1e9)
        away = history.theta - scb.Parameters.truth(task)
        found.append(history.samples[-1] * (task.inner(away.A, away.A) + task.inner(away.V, away.V)))
    return found


def _band(ax, samples, values, colour, marker, label):
    """Means with two standard errors."""
    spread = 2 * values.std(axis=1, ddof=1) / values.shape[1] ** 0.5
    ax.errorbar(samples, values.mean(axis=1), spread, color=colour, marker=marker, ms=5, lw=1.2, capsize=2, label=label)


def sticky_search(task: scb.SCB, stickiness: float, *, samples: int, reach: int = 12, seed: int = 0) -> Picture:
    r"""Draw each position's weight about a support of a sticky chain, from moments, before and after L7's inverse.

    Parameters
    ----------
    task : a task on NumPy; the column of trigger 0 is drawn.
    stickiness : :math:`\varsigma`, at least 0 and below 1.
    samples : how many, of all triggers together.
    reach : positions shown on either side of the largest weight.
    seed : of the samples.

    Returns
    -------
    Picture
        Measured weights on (a) :math:`\Lambda q` and, less their neighbours, on (b) q.

    Raises
    ------
    InvalidArgument : a number is out of range, or the task is not on NumPy.
    """
    batch = limits.chain_batch(task, samples, stickiness, seed=seed)
    here, prime = batch.trigger == 0, task.P - task.mu[:, None]
    y, out = (np.eye(task.vocab_size)[x[here]] - task.mu for x in (batch.tokens, batch.output))
    weights = np.einsum("bo,btn,on->t", out, y, prime @ task.C) / here.sum() / np.sum((prime @ task.C) ** 2)
    q = task.Q[:, 0]
    peak = int(np.argmax(q))
    at = np.arange(max(0, peak - reach), min(len(q), peak + reach + 1))
    stated = limits.correlate(q, stickiness)
    with canvas(columns=2, size=(7.6, 3.0), sharey=True) as (picture, axes):
        pairs = ((weights, stated, r"$\Lambda q$"), (limits.decorrelate(weights, stickiness), q, "$q$"))
        for ax, (found, law, name) in zip(axes, pairs, strict=True):
            ax.vlines(at, 0, law[at], color=BLACK, lw=1.2, label=name)
            ax.plot(at, found[at], "o", ms=4, color=BLUE, label="measured")
            ax.set(xlabel="position $t$")
            legend(ax)
        axes[0].set_ylabel("weight")
        panel_letters(axes, ("from each token", "less its neighbours"))
        return picture


def budgets(epsilon: float, *, vocab_size=3, context_length=1000, sparsity=2, seed=0) -> Picture:
    r"""Draw each stage's share of the samples of three ways to an error (L6), over T, N and s; totals stand above.

    Parameters
    ----------
    epsilon : the error :math:`\|A-Q\|_\mu^2 + \|V-P\|_\mu^2`, above 0.
    vocab_size, context_length, sparsity : of the tasks, each where it does not vary itself: T from 100 on, N from 3 to
        12 and s from 1 to 4, so that T is at least 4 and s at most 100.
    seed : of the tasks' P.

    Returns
    -------
    Picture
        A panel for each of T, N and s; three bars a size: by boosting, by moments, and after pretraining.

    Raises
    ------
    InvalidArgument : a number is out of range, or a weight of a support is not above 1/T.
    """
    vocab_size, sparsity = count("vocab_size", vocab_size), count("sparsity", sparsity)
    context_length = count("context_length", context_length)
    sizes = (
        ("context length $T$", [(vocab_size, T, sparsity) for T in (100, 1000, 10_000, 100_000)], 1),
        ("vocabulary size $N$", [(N, context_length, sparsity) for N in (3, 6, 12)], 0),
        ("sparsity $s$", [(vocab_size, context_length, s) for s in (1, 2, 4)], 2),
    )
    for T, s in ((T, s) for _, of, _ in sizes for _, T, s in of):
        if s > T:
            raise InvalidArgument(f"sparsity is {s}, context_length is {T}; sparsity must be at most the length")
    colours = {"boost": RED, "moments": BLUE, "step": GREEN, "last stage": GREY}
    with canvas(columns=3, size=(8.2, 3.4)) as (picture, axes):
        for ax, (label, of, along) in zip(axes, sizes, strict=True):
            for i, (N, T, s) in enumerate(of):
                task = scb.SCB(scb.SCB.random(N, N, 1, seed=seed).P, _even(N, T, s))
                for j, stages in enumerate(limits.budget(task, epsilon).ways.values()):
                    x, total, low = i + 0.3 * (j - 1), sum(stages.values()), 0.0
                    for stage, samples in stages.items():
                        ax.bar(x, samples / total, 0.26, bottom=low, color=colours[stage], lw=0)
                        low += samples / total
                    ax.text(x, 1.03, f"{float(f'{total:.2g}'):,.0f}", rotation=90, ha="center",
                            va="bottom", fontsize=9)  # fmt: skip
            ax.set(ylim=(0, 1.45), yticks=(0, 0.5, 1), xlabel=label, xticks=range(len(of)))
            ax.set_xticklabels([f"{size[along]:,}".replace(",", "\u202f") for size in of])
        axes[0].set_ylabel("share of the samples")
        handles = [Patch(color=colour, label=name) for name, colour in colours.items()]
        picture.figure.legend(handles=handles, loc="outside lower center", ncols=4)
        panel_letters(axes, ("over T", "over N", "over s"))
        return picture


def coverage(task: scb.SCB, *, epsilon=0.05, delta=0.1, transferred=0.7, runs: int = 50, seed: int = 0) -> Picture:
    """Draw how often each phase of T5 and L8 succeeds with a part of the samples that are certainly enough.

    Parameters
    ----------
    task : a task on NumPy.
    epsilon : the error allowed to L8's estimate, above 0.
    delta : the chance of a failure, in (0, 1).
    transferred : β of the pretrained value matrix, above 0.
    runs : of each point.
    seed : of the samples.

    Returns
    -------
    Picture
        The share of runs that succeed, with 1 down to 1/512 of the samples, but no fewer than 20.

    Raises
    ------
    InvalidArgument : a number is out of range, or the estimate's samples lack a trigger.
    """
    prime = task.P - task.mu[:, None]
    start = scb.Parameters(scb.Parameters.initial(task).A, task.mu[:, None] + transferred * prime)
    batch, enough, on = noise.recovery_batch(task, start, delta=delta), limits.samples(task, epsilon, delta), task.Q > 0

    def step(sample):
        move = -scb.model.minibatch_gradient(task, start, sample, projected=True).A
        return np.all(np.where(on, move, np.inf).min(axis=0) > np.where(on, -np.inf, move).max(axis=0))

    def search(sample):
        return np.array_equal(limits.support_by_entries(task, sample, enough.level), on)

    def estimate(sample):
        away = limits.estimate_by_moments(task, sample, on) - scb.Parameters.truth(task)
        return task.inner(away.A, away.A) + task.inner(away.V, away.V) <= epsilon

    parts = 2.0 ** -np.arange(10)
    with canvas(size=(5.8, 3.6)) as (picture, ax):
        for name, colour, marker, phase, stated in (
            ("T5: one step after transfer", GREEN, "D", step, batch),
            ("L8: search", BLUE, "o", search, enough.search),
            ("L8: estimate", RED, "s", estimate, enough.estimate),
        ):
            found = [
                np.mean([phase(task.sample(max(20, round(part * stated)), seed=seed, step=i)) for i in range(runs)])
                for part in parts
            ]
            ax.semilogx(parts, found, marker=marker, ms=5, color=colour, label=f"{name}, of {stated}")
        ax.plot(1, 1 - delta, "_", color=BLACK, ms=14, mew=2, label=f"promised: {1 - delta:g}")
        ax.set(xlabel="part of the samples that are certainly enough", ylabel="runs that succeed", ylim=(-0.05, 1.1))
        legend(ax)
        return picture


def _even(N, T, s):
    """Equal weights on s positions of each trigger."""
    Q, apart = np.zeros((T, N)), 7 if T % 7 else 1
    for k in range(N):
        Q[(np.arange(s) * apart + 3 * k) % T, k] = 1 / s
    return Q
