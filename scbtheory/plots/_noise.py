"""Figures of the chapters on noise: its scale, the sign of the correlation, thresholding."""

from __future__ import annotations

import operator
import warnings

import numpy as np
from scipy.special import ndtr
from scipy.stats import binomtest

import scbtheory as scb
from scbtheory import dynamics, noise
from scbtheory.checks import below, count, positive, several, some
from scbtheory.errors import InvalidArgument
from scbtheory.model import check
from scbtheory.plots._style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, RED, Picture, canvas, legend, panel_letters

SHADES = (BLUE, ORANGE, GREEN, RED, PURPLE)


def noise_scale(lengths, *, vocab_size=3, sparsity=2, seed=0, points=6, batches=300, size=16) -> Picture:
    """Draw the value gradient's noise scale along the flow from scratch: closed form as lines, samples as points.

    Parameters
    ----------
    lengths : context lengths; only the first five are drawn.
    vocab_size, sparsity, seed : of the random tasks; the samples' seeds follow from this one.
    points : how many on each line.
    batches, size : of each point.

    Returns
    -------
    Picture
        The noise scale, in samples, against time in half times: (a) of gradients centred by μ, (b) of others.

    Raises
    ------
    InvalidArgument : a number is out of range, or T is too small for a first stage.
    """
    lengths, points = some("lengths", lengths), count("points", points)
    batches, size = count("batches", batches), count("size", size)
    with canvas(columns=2, size=(7.6, 3.3), sharey=True) as (picture, axes):
        for T, colour in zip(lengths, SHADES, strict=False):
            task = scb.SCB.random(vocab_size, T, sparsity, seed=seed)
            system = {"K_P": task.K_P, "K_Q": task.K_Q, "T": T, "balanced": True}
            half = dynamics.half_time(**system)
            path = [dynamics.lift(task, a, b) for a, b in _path(system, np.linspace(0, 1.6, 60) * half)]
            for ax, centred in zip(axes, (True, False), strict=True):
                scales = [noise.noise_scale(task, theta, centred=centred) for theta in path]
                ax.semilogy(np.linspace(0, 1.6, 60), scales, color=colour, label=f"$T = {T}$")
            at = np.linspace(0.05, 1.5, points)
            thetas = [dynamics.lift(task, a, b) for a, b in _path(system, at * half)]
            found = [_sampled_scale(task, theta, batches, size, seed=seed + 7 + i) for i, theta in enumerate(thetas)]
            for ax, column in zip(axes, np.transpose(found), strict=True):
                ax.semilogy(at, column, "o", ms=4, color=colour)
        for ax in axes:
            ax.axvline(1, color=BLACK, lw=0.8, ls=":")
            ax.set(xlabel="time, in half times")
        axes[0].set_ylabel("noise scale, in samples")
        legend(axes[0])
        panel_letters(axes, ("centred by $\\mu$", "not centred"))
        return picture


def _path(system, t):
    return np.transpose(dynamics.flow(t=t, **system))


def _sampled_scale(task, theta, batches, size, *, seed):
    """The noise scale from many small batches, centred and not: spread over the exact mean's square."""
    exact, start = scb.population.projected_gradient(task, theta).V, np.zeros(2)
    for step in range(batches):
        batch = task.sample(size, seed=seed, step=step)
        plain = scb.model.minibatch_gradient(task, theta, batch).V / task.mu[None, :]
        centred = scb.model.minibatch_gradient(task, theta, batch, projected=True).V
        start += [task.inner(g - exact, g - exact) for g in (centred, plain)]
    return start * size / batches / task.inner(exact, exact)


def sign_collapse(lengths, ratios, *, runs=100, step_size=0.1, vocab_size=3, sparsity=2, seed=0) -> Picture:
    """Draw the share of runs that learn the right sign against B/(ηT), with binomial intervals, on N5's curve.

    Parameters
    ----------
    lengths : context lengths; only the first five are drawn.
    ratios : values of B/(ηT), above 0; batches are rounded to whole ones.
    runs : of each point.
    step_size : η of the balanced steps, above 0.
    vocab_size, sparsity, seed : of the random tasks; the runs' seeds follow from this one.

    Returns
    -------
    Picture
        Points for each length, N5's curve, and one for each length with the noise that attention adds.

    Raises
    ------
    InvalidArgument : a number is out of range, or there are no lengths or no ratios.
    """
    lengths, ratios = some("lengths", lengths), [positive("ratios", ratio) for ratio in some("ratios", ratios)]
    runs, step_size = count("runs", runs), positive("step_size", step_size)
    with canvas(size=(5.8, 3.8)) as (picture, ax):
        top = max(ratios) * 1.6
        first = scb.SCB.random(vocab_size, lengths[0], sparsity, seed=seed)
        grid = np.geomspace(min(ratios) / 1.6, top, 200)
        curve = ndtr(np.sqrt(2 * grid / noise.sign_noise(first)))
        ax.semilogx(grid, curve, color=BLACK, lw=1.4, label=r"$\Phi(\sqrt{2B/(\eta wT)})$")
        ax.plot([], [], color=GREY, lw=1, ls="--", label="with the noise that attention adds")
        ax.axhline(0.5, color=BLACK, lw=0.8, ls=":")
        for i, (T, colour, marker) in enumerate(zip(lengths, SHADES, "osD^v", strict=False)):
            task = scb.SCB.random(vocab_size, T, sparsity, seed=seed)
            steps = {"step_size": step_size / task.K_Q, "attention_step_size": step_size / task.K_P}
            sizes = grid * step_size * T
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", noise.BatchTooSmall)  # the lines show just where it is too small
                refined = [noise.sign_probability(task, batch_size=B, corrected=True, **steps) for B in sizes]
            ax.semilogx(grid, refined, color=colour, lw=1, ls="--")
            for j, ratio in enumerate(ratios):
                size = max(1, round(ratio * step_size * T))
                signs = noise.train_signs(task, runs=runs, batch_size=size, seed=seed + 1 + 97 * i + j, **steps).Y > 0
                interval = binomtest(int(signs.sum()), runs).proportion_ci(method="wilson")
                share = signs.mean()
                bars = [[share - interval.low], [interval.high - share]]
                label = f"$T = {T}$, {runs} runs a point" if j == 0 else None
                x = (
                    size / (step_size * T) * 1.05 ** (i - len(lengths) / 2)
                )  # beside each other, so that bars can be told apart
                ax.errorbar(x, share, bars, fmt=marker, ms=5, color=colour, capsize=2, label=label)
        ax.set(xlabel=r"$B/(\eta T)$", ylabel="share of runs with the right sign", ylim=(0.4, 1.03))
        legend(ax, outside=True)
        return picture


def branches(task: scb.SCB, runs, *, trigger: int = 0) -> Picture:
    r"""Draw runs from scratch that took either branch, and the attention that a run on each has learned.

    Parameters
    ----------
    task : the task that was trained on.
    runs : a :class:`scbtheory.training.History` each; the sign of its last :math:`\alpha` is its branch.
    trigger : whose column of the first run on each branch is drawn.

    Returns
    -------
    Picture
        (a) :math:`\alpha` against the step; (b) attention above uniform, as a share of its largest size, by position.
        Only one colour where all runs took the same branch.

    Raises
    ------
    InvalidArgument : there is no run, or no such trigger.
    ShapeMismatch, MixedBackends : a run was on another task.
    """
    runs, trigger = several("runs", runs), below("trigger", trigger, task.vocab_size)
    for run in runs:
        check(task, run.theta)
    right, wrong = ([run for run in runs if (run.alpha[-1] > 0) == side] for side in (True, False))
    if not right and not wrong:
        raise InvalidArgument("runs is empty; expected at least one")
    Q = task.backend.to_numpy(task.Q)[:, trigger]
    with canvas(columns=2, size=(7.6, 3.2)) as (picture, axes):
        pairs = ((right, BLUE, "o", "-", "right branch"), (wrong, RED, "s", "--", "wrong branch"))
        for some, colour, marker, style, name in filter(operator.itemgetter(0), pairs):
            for i, run in enumerate(some):
                axes[0].plot(run.step, run.alpha, style, color=colour, lw=1.2, label=name if i == 0 else None)
            column = task.backend.to_numpy(some[0].theta.A)[:, trigger] - 1 / task.context_length
            column = column / np.abs(column).max()
            axes[1].plot(np.flatnonzero(Q == 0), column[Q == 0], marker, color=colour, ms=1.5, alpha=0.5)
            axes[1].plot(np.flatnonzero(Q), column[Q > 0], marker, color=colour, label=f"support, {name}")
        axes[0].axhline(0, color=BLACK, lw=0.6)
        axes[1].axhline(0, color=BLACK, lw=0.6)
        axes[0].set(xlabel="step", ylabel=r"$\alpha$")
        axes[1].set(xlabel="position $t$", ylabel="attention above uniform", ylim=(-1.15, 1.15))
        for ax in axes:
            legend(ax)
        panel_letters(axes)
        return picture


def thresholded_column(task: scb.SCB, alpha: float, beta: float, *, batch_size: int, c: float = 1.0, seed=0) -> Picture:
    """Draw one attention column after one step from the plane: as it comes, and after the proximal step.

    Parameters
    ----------
    task : a task; the column of trigger 0 is drawn.
    alpha, beta : where on the plane the step starts; its size is :math:`1/K_P`.
    batch_size : samples of the step.
    c : of the threshold, above 0.
    seed : of the samples.

    Returns
    -------
    Picture
        The column's entries by position, (a) with the threshold shaded and (b) after it.

    Raises
    ------
    InvalidArgument : a number is out of range or not finite.
    """
    theta = dynamics.lift(task, alpha, beta)
    gradient = scb.model.minibatch_gradient(task, theta, task.sample(batch_size, seed=seed), projected=True).A
    step = 1 / task.K_P
    level = noise.universal_threshold(task, noise.measured_noise(task, gradient), c=c)
    plain = theta.A - step * gradient
    sparse = noise.proximal_step(task, theta.A, gradient, step_size=step, threshold=level)
    support = task.backend.to_numpy(task.Q)[:, 0] > 0
    with canvas(columns=2, size=(7.6, 3.1), sharey=True) as (picture, axes):
        for ax, A in zip(axes, (plain, sparse), strict=True):
            column = task.backend.to_numpy(A)[:, 0]
            ax.plot(np.flatnonzero(~support), column[~support], ".", ms=2.5, color=GREY, label="off the support")
            ax.plot(np.flatnonzero(support), column[support], "o", color=BLUE, label="support")
            ax.set(xlabel="position $t$")
        cut = float(level[0]) * step
        axes[0].axhspan(-cut, cut, color=GREEN, alpha=0.18, lw=0, label="threshold")
        axes[0].set_ylabel("attention $a_t^{(0)}$")
        legend(axes[0])
        panel_letters(axes, ("plain step", "proximal step"))
        return picture


def support_batches(lengths, *, alpha=0.0, beta=0.2, c=1.25, vocab_size=3, sparsity=2, seed=0, trials=20) -> Picture:
    r"""Draw the batch that one step needs against T: to show the support through a threshold, and to be right in all.

    Parameters
    ----------
    lengths : context lengths.
    alpha, beta, c : where on the plane the step starts, and N4's threshold.
    vocab_size, sparsity, seed : of the random tasks; the samples' seeds follow from this one.
    trials : batches of each size that is tried; nine of ten have to show every support.

    Returns
    -------
    Picture
        Closed forms as lines and measurements as points, both axes logarithmic.

    Raises
    ------
    InvalidArgument : a number is out of range, :math:`\beta(1-\alpha\beta) = 0`, or a weight is not above 1/T.
    """
    lengths, trials = some("lengths", lengths), count("trials", trials)
    formula, flat, found, found_flat = [], [], [], []
    for T in lengths:
        task = scb.SCB.random(vocab_size, T, sparsity, seed=seed)
        formula.append(noise.support_batch(task, alpha, beta, c=c).max())
        flat.append(noise.unthresholded_batch(task, alpha, beta).max())
        theta = dynamics.lift(task, alpha, beta)
        found.append(
            _smallest(formula[-1], lambda B, task=task, theta=theta: _recovers(task, theta, B, c, seed, trials))
        )
        found_flat.append(_measured_noise_batch(task, theta, seed))
    with canvas(size=(5.8, 3.5)) as (picture, ax):
        ax.loglog(lengths, flat, color=RED, label="noise of all $T$ positions below the signal")
        squares = ax.loglog(lengths, found_flat, "s", color=RED, ms=5)
        ax.loglog(lengths, formula, color=BLUE, label=r"support through a threshold: $\propto \log(TN)$")
        dots = ax.loglog(lengths, found, "o", color=BLUE, ms=5)
        ax.set(xlabel="context length $T$", ylabel="batch size for one step")
        legend(ax, [((*squares, *dots), "measured")])
        return picture


def _recovers(task, theta, size, c, seed, trials):
    """How often one batch's gradient, thresholded, has exactly the supports of Q."""
    Q, hits = task.backend.to_numpy(task.Q), 0
    for trial in range(trials):
        batch = task.sample(size, seed=seed + 11, step=trial)
        gradient = scb.model.minibatch_gradient(task, theta, batch, projected=True).A
        level = noise.universal_threshold(task, noise.measured_noise(task, gradient), c=c)
        hits += np.array_equal(task.backend.to_numpy(-gradient > level[None, :]), Q > 0)
    return hits / trials


def _smallest(guess, success, target=0.9):
    """The smallest batch on a grid of factors 2^(1/2) around ``guess`` from which success is at least ``target``."""
    best = guess * 4
    for power in range(2, -9, -1):
        size = max(1, round(guess * 2 ** (power / 2)))
        if success(size) < target:
            return best
        best = size
    return best


def _measured_noise_batch(task, theta, seed, batches=20, size=64):
    """The batch at which the attention gradient's noise, measured on other batches, equals its signal."""
    exact = scb.population.projected_gradient(task, theta).A
    errors = [
        scb.model.minibatch_gradient(task, theta, task.sample(size, seed=seed + 13, step=i), projected=True).A - exact
        for i in range(batches)
    ]
    spread = np.mean([task.backend.to_numpy(e) ** 2 for e in errors], axis=0).sum(axis=0) * size
    return float((spread / (task.backend.to_numpy(exact) ** 2).sum(axis=0)).max())
