"""Figures of the chapters on learning: a run and its prediction, methods compared, transfer, softmax."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

import scbtheory as scb
from scbtheory import dynamics, sweeps
from scbtheory.checks import correlation, positive, some
from scbtheory.plots._style import (
    BLACK,
    BLUE,
    CYCLE,
    GREEN,
    ORANGE,
    PURPLE,
    RED,
    SEQUENTIAL,
    Picture,
    canvas,
    legend,
    panel_letters,
)

DISTANCES = (("distance_A", r"$\|A - Q\|_\mu^2$"), ("distance_V", r"$\|V - P\|_\mu^2$"))


def course(task: scb.SCB, runs, *, step_size: float) -> Picture:
    """Draw runs from scratch with balanced steps over the reduced descent, boundaries predicted before they ran.

    Parameters
    ----------
    task : the task that was trained on; its constants make the prediction.
    runs : a :class:`scbtheory.training.History` each.
    step_size : of the runs, above 0.

    Returns
    -------
    Picture
        α and β against the step, trained and predicted; shaded until α = 0.1 and on to αβ = ½.

    Raises
    ------
    InvalidArgument : there are no runs, the step size is not above 0, or the task's :math:`K_Q` is 0.
    """
    runs, step_size = some("runs", runs), positive("step_size", step_size)
    correlation(task, "K_Q")
    T, steps = task.context_length, int(max(run.step[-1] for run in runs))
    system = {"K_P": task.K_P, "K_Q": task.K_Q, "T": T, "balanced": True}
    growth = math.log(1 + step_size)
    first = math.acosh(1 + 0.1 * T * task.K_Q) / growth
    half = math.log(2 * T * task.K_Q) / growth
    with canvas(size=(6.0, 3.6)) as (picture, ax):
        ax.axvspan(0, first, color=ORANGE, alpha=0.12, lw=0)
        ax.axvspan(first, half, color=GREEN, alpha=0.12, lw=0)
        ax.text(first / 2, 1.12, r"stage 1: $\alpha < 0.1$", ha="center", fontsize=9)
        ax.text((first + half) / 2, 1.12, r"to $\alpha\beta = \frac{1}{2}$", ha="center", fontsize=9)
        alpha, beta = dynamics.descend(steps=steps, step_size=step_size, **system)
        ax.plot(alpha, color=BLACK, lw=1.2, ls="--", label="predicted: two numbers")
        ax.plot(beta, color=BLACK, lw=1.2, ls="--")
        for i, run in enumerate(runs):
            ax.plot(run.step, run.alpha, color=BLUE, lw=1.2, alpha=0.6, label=r"$\alpha$, trained" if i == 0 else None)
            ax.plot(run.step, run.beta, color=ORANGE, lw=1.2, alpha=0.6, label=r"$\beta$, trained" if i == 0 else None)
        ax.set(xlabel="step", ylabel=r"$\alpha$, $\beta$", ylim=(-0.05, 1.25), xlim=(0, steps))
        legend(ax)
        return picture


def algorithm(runs) -> Picture:
    r"""Draw the algorithm's distances to the truth against samples, with the stages it ended by itself.

    Parameters
    ----------
    runs : a :class:`scbtheory.training.History` each, all with the same stages ended, at least two records.

    Returns
    -------
    Picture
        (a) :math:`\|A-Q\|_\mu^2` and (b) :math:`\|V-P\|_\mu^2`, both logarithmic; shades end at medians over runs.

    Raises
    ------
    InvalidArgument : there is no run.
    """
    runs = some("runs", runs)
    with canvas(columns=2, size=(7.6, 3.2)) as (picture, axes):
        for ax, (column, label) in zip(axes, DISTANCES, strict=True):
            edges = [
                0.0,
                *(np.median([run.boundaries[i].samples for run in runs]) for i in range(len(runs[0].boundaries))),
            ]
            for i, (low, high) in enumerate(pairwise(edges)):
                name = runs[0].boundaries[i].stage
                if name != "round":
                    shade = {"label": name} if ax is axes[0] else {}
                    ax.axvspan(max(low, runs[0].samples[1] / 2), high, color=CYCLE[i], alpha=0.13, lw=0, **shade)
            for run in runs:
                ax.loglog(run.samples[1:], getattr(run, column)[1:], color=BLACK, lw=1, alpha=0.5)
            ax.set(xlabel="samples", ylabel=label, xlim=(runs[0].samples[1] / 2, None))
        legend(axes[0], title="stage", outside=True, ncols=3)  # on the shades its colours would be mixed
        panel_letters(axes)
        return picture


def comparison(found: sweeps.Comparison, names=None) -> Picture:
    r"""Draw each method at its best against samples: medians over seeds, bands from the 10 % to the 90 % quantile.

    Parameters
    ----------
    found : what :func:`scbtheory.sweeps.compare` returned.
    names : the methods to draw, all by default; only the first five are.

    Returns
    -------
    Picture
        (a) :math:`\|A-Q\|_\mu^2` and (b) :math:`\|V-P\|_\mu^2`, both logarithmic; each panel has its own best variants.
    """
    grid = np.unique(np.geomspace(found.budget / 400, found.budget, 120).astype(int))
    with canvas(columns=2, size=(7.6, 3.4)) as (picture, axes):
        for ax, (column, label) in zip(axes, DISTANCES, strict=True):
            for (name, _), colour, style in zip(
                [(n, None) for n in names or found.histories],
                (BLUE, RED, ORANGE, GREEN, PURPLE),
                ("-", "--", "-.", ":", "-"),
                strict=False,
            ):
                variant = found.best(name, column)
                low, middle, high = found.band(name, column, grid, variant=variant)
                ax.loglog(grid, middle, style, color=colour, label=name)
                ax.fill_between(grid, low, high, color=colour, alpha=0.18, lw=0)
            ax.set(xlabel="samples", ylabel=label)
        legend(axes[0])
        panel_letters(axes)
        return picture


def step_sizes(found: sweeps.Comparison, names, column: str = "distance_A") -> Picture:
    """Draw each baseline's final error against its step size: every seed a point, a line through the medians.

    Parameters
    ----------
    found : what :func:`scbtheory.sweeps.compare` returned.
    names : baselines whose first stage has a ``step_size``; only the first four are drawn.
    column : ``"distance_A"`` or ``"distance_V"``.

    Returns
    -------
    Picture
        Both axes logarithmic; runs that diverged lie on a line at three times the largest error.

    Raises
    ------
    InvalidArgument : there are no names.
    """
    names = some("names", names)
    with canvas(size=(5.8, 3.5)) as (picture, ax):
        curves = {name: _by_step(found, name, column) for name in names}
        top = 3 * max(v[np.isfinite(v)].max() for _, values in curves.values() for v in values if np.isfinite(v).any())
        for (name, (steps, values)), colour, marker in zip(
            curves.items(), (RED, BLUE, GREEN, PURPLE), "soD^", strict=False
        ):
            shown = [np.where(np.isfinite(v), v, top) for v in values]
            ax.loglog(steps, [np.median(v) for v in shown], color=colour, lw=1.4, label=name)
            for step, v in zip(steps, shown, strict=True):
                ax.loglog(step * 1.03 ** (np.arange(len(v)) - len(v) / 2), v, marker, color=colour, ms=3.5, alpha=0.7)
        ax.axhline(top, color=BLACK, lw=0.8, ls=":")
        ax.annotate("diverged", (1, top), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=9)
        ax.set(xlabel="step size", ylabel=f"final {dict(DISTANCES)[column]}")
        legend(ax)
        return picture


def _by_step(found, name, column):
    """Step sizes in increasing order, and the final errors of all seeds at each."""
    tried = sorted((stages[0].step_size, v) for v, stages in enumerate(found.variants[name]))
    return [step for step, _ in tried], [found.final(name, column, v) for _, v in tried]


def attention_patterns(task: scb.SCB, models: dict[str, scb.Parameters]) -> Picture:
    """Draw attention (above uniform, as a share of its largest) and value matrix of several models beside the truth.

    Parameters
    ----------
    task : the task that the models were trained on.
    models : ``A`` (T, N) and ``V`` (N, N) by the name that stands above.

    Returns
    -------
    Picture
        Attention in the first row, (trigger, position), values in the second; a column a model, the truth first.

    Raises
    ------
    InvalidArgument : there are no models.
    """
    some("models", models)
    to, shown = task.backend.to_numpy, {"truth": scb.Parameters.truth(task), **models}
    with canvas(rows=2, columns=len(shown), size=(7.4, 5.0), height_ratios=(2, 1)) as (picture, axes):
        for column, (name, theta) in enumerate(shown.items()):
            A = to(theta.A) - 1 / task.context_length
            image = axes[0, column].imshow(
                (A / A.max()).T, aspect="auto", cmap=SEQUENTIAL, vmin=0, vmax=1, interpolation="none"
            )
            axes[0, column].set(title=name, xlabel="position $t$", yticks=range(task.vocab_size))
            V = to(theta.V)
            values = axes[1, column].imshow(V, cmap=SEQUENTIAL, vmin=0, vmax=1)
            axes[1, column].set(xlabel="copied token", xticks=range(task.vocab_size), yticks=range(task.vocab_size))
        axes[0, 0].set_ylabel("trigger $k$")
        axes[1, 0].set_ylabel("next token")
        picture.figure.colorbar(image, ax=axes[0, :], shrink=0.8, label="attention above uniform")
        picture.figure.colorbar(values, ax=axes[1, :], shrink=0.8, label="value")
        return picture


def side_by_side(pairs) -> Picture:
    """Draw the rise of alpha beta and the loss of linear and softmax models trained on the same samples.

    Parameters
    ----------
    pairs : of a linear and a softmax :class:`scbtheory.training.History`.

    Returns
    -------
    Picture
        (a) αβ and (b) the population loss against the step.
    """
    with canvas(columns=2, size=(7.6, 3.2)) as (picture, axes):
        for i, (linear, soft) in enumerate(pairs):
            for history, colour, style, name in ((linear, BLUE, "-", "linear"), (soft, RED, "--", "softmax")):
                label = name if i == 0 else None
                axes[0].plot(
                    history.step, history.alpha * history.beta, style, color=colour, lw=1.1, alpha=0.7, label=label
                )
                axes[1].plot(history.step, history.loss, style, color=colour, lw=1.1, alpha=0.7)
        axes[0].set(xlabel="step", ylabel=r"$\alpha\beta$")
        axes[1].set(xlabel="step", ylabel="population loss")
        legend(axes[0])
        panel_letters(axes)
        return picture


def softmax_flow(*, K_P: float, K_Q: float, T: float) -> Picture:
    """Draw X2: the softmax flow of two numbers at its own speed, at T² times that, and the linear model's.

    Parameters
    ----------
    K_P, K_Q, T : of the task.

    Returns
    -------
    Picture
        α against time in units of 1/η, until 2.2 half times of the linear model; sped up by its peak too.

    Raises
    ------
    InvalidArgument : a constant is outside its range, or T is too small for a first stage.
    """
    system = {"K_P": K_P, "K_Q": K_Q, "T": T}
    t = np.linspace(0, 2.2 * dynamics.half_time(**system), 400)
    with canvas(size=(5.8, 3.3)) as (picture, ax):
        ax.plot(t, dynamics.flow(t=t, **system)[0], color=BLACK, ls="--", label="linear")
        for scale, colour, label in (
            ("none", PURPLE, "softmax, as it is"),
            ("start", ORANGE, r"softmax, logits $T^2$ times faster"),
            ("peak", BLUE, r"softmax, logits $(\max_t a_t)^{-2}$ times faster"),
        ):
            ax.plot(t, scb.softmax.flow(t=t, scale=scale, **system)[0], color=colour, label=label)
        ax.set(xlabel=r"time, in units of $1/\eta$", ylabel=r"attention $\alpha$")
        ax.set_ylim(-0.03, 1.45)
        legend(ax)
        return picture


def positions(*, first: float, second: float, T: float, lengths=(100, 300, 1000, 3000, 10_000)) -> Picture:
    """Draw X4: attention on both positions of a column, linear and softmax, and when the second one is found.

    Parameters
    ----------
    first, second : weights of the two positions, the larger one first; they sum to 1.
    T : context length of the first panel, at least 3.
    lengths : context lengths of the second one, at least 3; one has no point for softmax where the second position is
        never behind.

    Returns
    -------
    Picture
        (a) Attention against time in units of 1/η, with the predicted cT; (b) arrivals against T, on the line cT.

    Raises
    ------
    InvalidArgument : the weights are not two such, or T or a length is below 3.
    """
    c, K_Q = scb.softmax.second_position(first, second), first**2 + second**2 - 1 / T
    with canvas(columns=2, size=(7.8, 3.3)) as (picture, axes):
        t = np.geomspace(1, 3 * c * T, 3000)
        alpha, _ = dynamics.flow(t=t, K_P=0.5, K_Q=K_Q, T=T, balanced=True)
        a, b, _ = scb.softmax.positions_flow(t=t, first=first, second=second, T=T)
        for q, learned, colour in ((first, a, BLUE), (second, b, ORANGE)):
            axes[0].semilogx(t, 1 / T + alpha * (q - 1 / T), color=colour, ls="--", lw=1.2)
            axes[0].semilogx(t, learned, color=colour, label=f"$q = {q:g}$")
        axes[0].plot([], [], color=BLACK, ls="--", lw=1.2, label="linear")
        axes[0].axvline(c * T, color=BLACK, lw=0.8, ls=":", label="$cT$, predicted")
        axes[0].set(xlabel=r"time, in units of $1/\eta$", ylabel="attention on the position", ylim=(-0.02, 0.92))
        legend(axes[0])
        for n, times in enumerate((_arrivals(lengths, first, second), _linear_arrivals(lengths, first, second))):
            style = {"marker": "os"[n], "ls": "none", "color": (ORANGE, BLACK)[n], "label": ("softmax", "linear")[n]}
            axes[1].loglog(lengths, times, **style)
        axes[1].loglog(lengths, c * np.array(lengths), color=ORANGE, lw=1, label=f"$cT$, $c = {c:.3f}$")
        axes[1].set(xlabel="context length $T$", ylabel="time until the second is found")
        legend(axes[1])
        panel_letters(axes)
        return picture


def _arrivals(lengths, first, second):
    """When attention on the second position last rises above half of its share, at each length."""
    found = []
    for T in lengths:
        t = np.linspace(0, scb.softmax.second_position(first, second) * T * 1.3 + 40, 8000)
        a, b, _ = scb.softmax.positions_flow(t=t, first=first, second=second, T=T)
        behind = np.flatnonzero(b[:-1] / a[:-1] < second / first / 2)
        found.append(t[behind[-1] + 1] if len(behind) else np.nan)
    return found


def _linear_arrivals(lengths, first, second):
    """The same for the linear model, whose positions share one coordinate: its half time.

    By the flow itself: S3's expansion is not for short contexts.
    """
    system = ({"K_P": 0.5, "K_Q": first**2 + second**2 - 1 / T, "T": T, "balanced": True} for T in lengths)
    return [float(dynamics.high_precision_half_time(digits=12, **s)) for s in system]
