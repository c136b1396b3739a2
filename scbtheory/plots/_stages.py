"""Figures of the chapters on the reduction and on the stages."""

from __future__ import annotations

import numpy as np
from matplotlib.collections import LineCollection

import scbtheory as scb
from scbtheory import dynamics
from scbtheory.checks import below, real, some
from scbtheory.errors import InvalidArgument
from scbtheory.plots._style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SEQUENTIAL,
    Picture,
    canvas,
    legend,
    panel_letters,
)


def phase_portrait(*, K_P: float, K_Q: float, T: float, starts=((0.0, 0.0),), balanced: bool = False) -> Picture:
    """Draw the (alpha, beta) plane: nullclines, fixed points, slow manifold, trajectories coloured by time.

    Parameters
    ----------
    K_P, K_Q, T : of the task.
    starts : pairs (alpha, beta), at least one, where trajectories begin.
    balanced : whether step sizes are S4's balanced ones; else they are equal.

    Returns
    -------
    Picture
        Both numbers from -1.15 to 1.9, directions of the flow as arrows.

    Raises
    ------
    InvalidArgument : a number is outside its range, T is too small for a first stage, or there is no start.
    """
    system, starts = {"K_P": K_P, "K_Q": K_Q, "T": T, "balanced": balanced}, some("starts", starts)
    low, high = -1.15, 1.9
    grid = np.linspace(low, high, 400)
    with canvas(size=(5.8, 5.4)) as (picture, ax):
        X, Y = np.meshgrid(np.linspace(low, high, 25), np.linspace(low, high, 25))
        d_alpha, d_beta = dynamics.velocity(X, Y, **system)
        speed = np.hypot(d_alpha, d_beta) + 1e-12
        ax.quiver(X, Y, d_alpha / speed, d_beta / speed, color="#b0b0b0", scale=42, width=0.0022)
        ax.axhline(0, color=PURPLE, lw=1.2, ls=":", label=r"$\dot\alpha = 0$: $\beta = 0$ and $\alpha\beta = 1$")
        for side in (grid[grid > 0.3], grid[grid < -0.3]):
            ax.plot(side, 1 / side, color=PURPLE, lw=1.2, ls=":")
        X, Y = np.meshgrid(grid, grid)
        ax.contour(
            X, Y, dynamics.velocity(X, Y, **system)[1], levels=[0], colors=[GREEN], linewidths=1.2, linestyles="--"
        )
        ax.plot([], [], color=GREEN, lw=1.2, ls="--", label=r"$\dot\beta = 0$")
        beta = np.linspace(0.55, high, 200)
        manifold = dynamics.slow_manifold(beta, **system)
        ax.plot(manifold, beta, color=BLACK, lw=1, zorder=4, label="slow manifold")  # over the trajectories it ends
        end = _end_time(system)
        for start in starts:
            t = np.concatenate([np.linspace(0, end, 500), np.geomspace(end, 40 * T, 200)[1:]])
            alpha, beta = dynamics.flow(t=t, start=start, **system)
            lines = _coloured(ax, alpha, beta, np.minimum(t / end, 1.0))
        picture.figure.colorbar(lines, ax=ax, label="time, as a share of 1.5 half times", shrink=0.8)
        node, saddle = dynamics.fixed_points(**system)
        ax.plot(node.alpha, node.beta, "o", color=BLACK, ms=8, label="(1, 1), stable")
        ax.plot(saddle.alpha, saddle.beta, "o", mfc="white", mec=BLACK, ms=8, label="saddle")
        ax.plot(0, 0, "x", color=RED, ms=8, mew=2.2, label="start from scratch")
        ax.set(xlabel=r"$\alpha$ (attention)", ylabel=r"$\beta$ (value)", xlim=(low, high), ylim=(low, high))
        legend(ax, ncols=3, outside=True)
        return picture


def _end_time(system):
    return 1.5 * dynamics.half_time(**system)


def _coloured(ax, x, y, values):
    """A line whose colour follows ``values`` from 0 to 1."""
    points = np.stack([x, y], axis=1)[:, None, :]

    lines = LineCollection(np.concatenate([points[:-1], points[1:]], axis=1), cmap=SEQUENTIAL, lw=3.2, zorder=3)
    lines.set_array(values[1:])
    lines.set_clim(0, 1)
    ax.add_collection(lines)
    return lines


def linearisation(*, K_P: float, K_Q: float, T: float) -> Picture:
    """Draw stage 1: the flow between S1's solution and its proven lower bound, and where S1 is trusted.

    Parameters
    ----------
    K_P, K_Q, T : of the task.

    Returns
    -------
    Picture
        (a) alpha and beta against time in units of 1/η, (b) S1's relative error and its bound.

    Raises
    ------
    InvalidArgument : a constant is outside its range.
    """
    system = {"K_P": K_P, "K_Q": K_Q, "T": T}
    until = dynamics.linearised_until(**system)
    t = np.linspace(0, 1.25 * until, 300)[1:]
    with canvas(columns=2, size=(7.4, 3.1)) as (picture, axes):
        flows = dynamics.flow(t=t, **system)
        inside = t[t <= until]
        linear = dynamics.linearised(t=inside, **system)
        error = dynamics.linearised_error(t=inside, **system)
        for curve, upper, colour, name in zip(flows, linear, (BLUE, ORANGE), (r"$\alpha$", r"$\beta$"), strict=True):
            axes[0].semilogy(t, curve, color=colour, label=f"{name}, flow")
            axes[0].semilogy(inside, upper, color=BLACK, lw=1, ls="--")
            axes[0].fill_between(inside, upper * (1 - error), upper, color=colour, alpha=0.3, lw=0)
        axes[0].plot([], [], color=BLACK, lw=1, ls="--", label="S1")
        axes[0].axvline(until, color=RED, lw=1, label="S1 trusted until")
        axes[0].set(xlabel=r"time, in units of $1/\eta$", ylabel=r"$\alpha$, $\beta$")
        legend(axes[0])
        measured = 1 - dynamics.flow(t=inside, **system)[1] / linear[1]
        axes[1].semilogy(inside, error, color=BLACK, ls="--", lw=1, label=r"bound $\rho(t)$")
        axes[1].semilogy(inside, measured, color=ORANGE, label=r"error of S1's $\beta$")
        axes[1].set(xlabel=r"time, in units of $1/\eta$", ylabel="relative error", ylim=(error[0] / 10, 1))
        legend(axes[1])
        panel_letters(axes)
        return picture


def rise(lengths, *, K_P: float, K_Q: float, balanced: bool = False) -> Picture:
    """Draw alpha and beta against time for several T, half times predicted; and all collapsed by shifting.

    Parameters
    ----------
    lengths : context lengths, powers of ten as the legend rounds them; only the first five are drawn.
    K_P, K_Q : of the task.
    balanced : whether step sizes are S4's balanced ones; else they are equal.

    Returns
    -------
    Picture
        (a) Both against time in units of 1/η; (b) αβ against time after the half time, on a logistic curve.

    Raises
    ------
    InvalidArgument : a constant is outside its range, a length is too small for a first stage, or there is none.
    """
    lengths = some("lengths", lengths)
    with canvas(columns=2, size=(7.6, 3.3)) as (picture, axes):
        shades = [RED, ORANGE, GREEN, BLUE, BLACK]
        for T, colour in zip(lengths, shades, strict=False):
            system = {"K_P": K_P, "K_Q": K_Q, "T": T, "balanced": balanced}
            half = dynamics.half_time(order=2, **system)
            t = np.linspace(0, half + 8 / dynamics.System(**system).omega, 500)
            axes[0].axvline(half, color=colour, lw=1, ls=":")  # the prediction stands before the curve is drawn
            alpha, beta = dynamics.flow(t=t, **system)
            axes[0].plot(t, beta, color=colour, ls="--", lw=1.4)
            axes[0].plot(t, alpha, color=colour, label=f"$T = 10^{{{round(np.log10(T))}}}$")
            width = 6 - 1.3 * lengths.index(T)  # all on one curve: the earlier ones stay visible behind
            axes[1].plot(t - half, alpha * beta, color=colour, lw=width)
        axes[0].plot([], [], color=GREY, label=r"$\alpha$")
        axes[0].plot([], [], color=GREY, ls="--", label=r"$\beta$")
        axes[0].plot([], [], color=GREY, ls=":", label="predicted half time")
        omega = dynamics.System(**system).omega
        shift = np.linspace(-12, 8, 300) / omega
        axes[1].plot(
            shift,
            1 / (1 + np.exp(-2 * omega * shift)),
            color=PURPLE,
            lw=9,
            alpha=0.5,
            zorder=0,
            label=r"logistic, rate $2\omega$",
        )
        axes[0].set(xlabel=r"time, in units of $1/\eta$", ylabel=r"$\alpha$, $\beta$")
        axes[1].set(
            xlabel="time after the predicted half time", ylabel=r"$u = \alpha\beta$", xlim=(shift[0], shift[-1])
        )
        axes[0].set_ylim(0, None)
        legend(axes[0], ncols=2, outside=True)  # no room between the predictions
        legend(axes[1])
        panel_letters(axes)
        return picture


def half_time_errors(lengths, *, K_P: float, K_Q: float, mistaken=None) -> Picture:
    """Draw the error of the half time's two orders against T, measured to 30 digits; a ``mistaken(T)`` beside them.

    Parameters
    ----------
    lengths : context lengths.
    K_P, K_Q : of the task; step sizes are equal.
    mistaken : a function from T to another half time, in units of 1/η; without it none is drawn.

    Returns
    -------
    Picture
        Errors as points, their orders' shapes as lines through the first ones; both axes logarithmic.

    Raises
    ------
    InvalidArgument : a constant is outside its range, a length is too small for a first stage, or there is none.
    """
    lengths = some("lengths", lengths)
    with canvas(size=(5.8, 3.3)) as (picture, ax):
        exact = [dynamics.high_precision_half_time(K_P=K_P, K_Q=K_Q, T=T) for T in lengths]
        for order, colour, marker, power in ((1, BLUE, "o", 1), (2, ORANGE, "s", 2)):
            found = [
                abs(dynamics.half_time(order=order, K_P=K_P, K_Q=K_Q, T=T) - e)
                for T, e in zip(lengths, exact, strict=True)
            ]
            ax.loglog(lengths, [float(x) for x in found], marker, color=colour, ms=5, label=f"order {order}")
            shape = np.log(lengths) / np.asarray(lengths, dtype=float) ** power
            ax.loglog(
                lengths,
                float(found[0]) * shape / shape[0],
                color=colour,
                lw=1,
                label=rf"$\log T/T{'^2' * (power == 2)}$",
            )
        if mistaken is not None:
            wrong = [abs(float(mistaken(T) - e)) for T, e in zip(lengths, exact, strict=True)]
            ax.loglog(lengths, wrong, "X-", color=RED, ms=6, lw=1, label="the mistake")
        ax.set(xlabel="context length $T$", ylabel=r"error of $t_{1/2}$, in units of $1/\eta$")
        legend(ax, ncols=2)
        return picture


def creep(lengths, *, K_P: float, K_Q: float) -> Picture:
    """Draw what follows stage 2: equal steps end beside (1, 1) and creep for a time of order T, balanced ones not.

    Parameters
    ----------
    lengths : context lengths, powers of ten as the legend rounds them; only the first three are drawn.
    K_P, K_Q : of the task, not equal.

    Returns
    -------
    Picture
        beta against (a) time in units of 1/η, with both choices of steps, and (b) time over T, on S5's curve.

    Raises
    ------
    InvalidArgument : a constant is outside its range, there is no length, or :math:`K_P = K_Q`, where nothing creeps.
    """
    lengths = some("lengths", lengths)
    with canvas(columns=2, size=(7.6, 3.2)) as (picture, axes):
        for T, colour in zip(lengths, (ORANGE, GREEN, BLUE), strict=False):
            system = {"K_P": K_P, "K_Q": K_Q, "T": T}
            t = np.geomspace(1, 30 * T, 500)
            axes[0].semilogx(
                t, dynamics.flow(t=t, **system)[1], color=colour, label=f"equal, $T = 10^{{{round(np.log10(T))}}}$"
            )
            axes[0].semilogx(t, dynamics.flow(t=t, balanced=True, **system)[1], color=colour, ls="--", lw=1.2)
            start = dynamics.stage_two_end(**system)[1]
            levels = np.linspace(start + 0.001 * np.sign(1 - start), 1 + 0.01 * np.sign(start - 1), 60)
            predicted = [dynamics.creep_time(levels[0], b, **system) / T for b in levels]
            late = np.linspace(0.02, 12, 400) * T
            axes[1].plot(late / T, dynamics.flow(t=late, **system)[1], color=colour, lw=1.6)
        axes[1].plot(predicted, levels, color=BLACK, lw=1, ls="--", label="S5, along $\\alpha\\beta = 1$")
        axes[0].plot([], [], color=GREY, ls="--", label="balanced steps")
        axes[0].axhline(start, color=PURPLE, lw=1, ls=":", label=r"$(K_Q/K_P)^{1/4}$")
        axes[0].set(xlabel=r"time, in units of $1/\eta$", ylabel=r"$\beta$")
        axes[1].set(xlabel="time divided by $T$", ylabel=r"$\beta$", xlim=(0, 12))
        for ax in axes:
            legend(ax)
        panel_letters(axes)
        return picture


def rounding(task: scb.SCB, alpha: float, *, trigger: int = 0) -> Picture:
    """Draw one attention column with S6's interval, and what each threshold keeps of the support and beside it.

    Parameters
    ----------
    task : a task.
    alpha : attention's coordinate on the plane, above 0 and below 1.
    trigger : whose column is drawn.

    Returns
    -------
    Picture
        (a) The column by position; (b) the shares of the support and of the background above each threshold.

    Raises
    ------
    InvalidArgument : ``alpha`` is not above 0 and below 1, where a background is left that a logarithm shows; or there
        is no such trigger, or its column has no position off the support.
    """
    if not 0 < real("alpha", alpha) < 1:
        raise InvalidArgument(f"alpha is {alpha:g}; expected above 0 and below 1: from 1 on no background is left")
    trigger = below("trigger", trigger, task.vocab_size)
    A = task.backend.to_numpy(dynamics.lift(task, alpha, 1.0).A)[:, trigger]
    q = task.backend.to_numpy(task.Q)[:, trigger]
    if np.all(q > 0):
        raise InvalidArgument(f"Q[:, {trigger}] has no entry 0; expected positions off the support")
    low, high = dynamics.rounding_interval(alpha=alpha, q_min=q[q > 0].min(), T=task.context_length)
    with canvas(columns=2, size=(7.6, 3.1)) as (picture, axes):
        for ax, span in ((axes[0], axes[0].axhspan), (axes[1], axes[1].axvspan)):
            span(low, high, color=GREEN, alpha=0.18, lw=0, label="S6's interval" if ax is axes[0] else None)
        axes[0].semilogy(np.flatnonzero(q == 0), A[q == 0], ".", ms=3, color=GREY, label="background")
        axes[0].semilogy(np.flatnonzero(q), A[q > 0], "o", color=BLUE, label="support")
        axes[0].set(xlabel="position $t$", ylabel=r"$a_t^{(k)}$", ylim=(low / 5, 1.5))
        legend(axes[0])
        thresholds = np.geomspace(low / 5, 1, 400)
        kept = [dynamics.support(A, x) for x in thresholds]
        axes[1].semilogx(
            thresholds, [(k & (q > 0)).sum() / (q > 0).sum() for k in kept], color=BLUE, label="of the support"
        )
        axes[1].semilogx(
            thresholds,
            [(k & (q == 0)).sum() / (q == 0).sum() for k in kept],
            color=RED,
            ls="--",
            label="of the background",
        )
        axes[1].set(xlabel="threshold", ylabel="share kept", ylim=(-0.05, 1.1))
        legend(axes[1])
        panel_letters(axes)
        return picture
