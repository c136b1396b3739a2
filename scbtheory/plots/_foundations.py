"""Figures of the chapters on the model and on the population gradient."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_hex

import scbtheory as scb
from scbtheory.checks import below, count, some
from scbtheory.errors import InvalidArgument
from scbtheory.plots._style import (
    BLACK,
    BLUE,
    CYCLE,
    GREEN,
    ORANGE,
    RED,
    SEQUENTIAL,
    Picture,
    canvas,
    legend,
    panel_letters,
)


def task(task: scb.SCB, batch: scb.Batch, sample: int = 0) -> Picture:
    """Draw P, the columns of Q, and one sampled context with the positions that its trigger may choose.

    Parameters
    ----------
    task : a task; each trigger has a colour of its own.
    batch : samples of it.
    sample : the index in the batch of the one that is drawn.

    Returns
    -------
    Picture
        (a) P as an image, (b) the columns of Q as stems, (c) the context, its trigger and its output in a row.

    Raises
    ------
    InvalidArgument : the batch has no such sample.
    """
    to, sample = task.backend.to_numpy, below("sample", sample, len(batch))
    P, Q, tokens = to(task.P), to(task.Q), to(batch.tokens)[sample]
    k, o, position = (int(to(x)[sample]) for x in (batch.trigger, batch.output, batch.position))
    N, T = task.vocab_size, task.context_length
    many = len(CYCLE) < N
    colours = CYCLE if not many else [to_hex(c) for c in mpl.colormaps[SEQUENTIAL](np.linspace(0, 0.95, N))]
    with canvas(size=(7.2, 4.6 if many else 4.0)) as (picture, unused):
        unused.remove()
        grid = picture.figure.add_gridspec(2, 2, width_ratios=(1, 2.2), height_ratios=(2.6, 1))
        left, right = picture.figure.add_subplot(grid[0, 0]), picture.figure.add_subplot(grid[0, 1])
        strip = picture.figure.add_subplot(grid[1, :])
        image = left.imshow(P, cmap=SEQUENTIAL, vmin=0, vmax=1)
        picture.figure.colorbar(image, ax=left, shrink=0.8)
        left.set(xlabel="copied token $m$", ylabel="next token $n$", xticks=range(N), yticks=range(N))
        left.set_title("(a)  $P_{nm}$", loc="left", fontsize=10)
        for n in range(N):
            rows = np.flatnonzero(Q[:, n])
            stems = right.stem(rows + (n - N / 2) * 0.12, Q[rows, n], linefmt=colours[n], markerfmt="o", basefmt=" ")
            stems.set_label(str(n) if many else f"trigger {n}")
        right.set(xlabel="position $t$", ylabel="$q_t^{(k)}$", xlim=(-0.7, T - 0.3), ylim=(0, 1.4 * Q.max()))
        if many:
            legend(right, ncols=8, title="trigger", columnspacing=0.8, handletextpad=0.1)
            left.tick_params(labelsize=6)
        else:
            legend(right, ncols=2)
        right.set_title("(b)  columns of $Q$", loc="left", fontsize=10)
        _context(strip, tokens, k, o, position, np.flatnonzero(Q[:, k]), colours[k])
        return picture


def _context(ax, tokens, k, o, position, support, colour):
    """One sample as a row of boxes: the context, the trigger, and the output copied through P."""
    T = len(tokens)
    for t, token in [*enumerate(tokens), (T + 0.5, k), (T + 2.5, o)]:
        chosen = t in support
        face = colour if chosen or t == T + 0.5 else "#e8e8e8"
        ax.add_patch(
            _box(t, face, edge=BLACK if t in (position, T + 2.5) else "none"),
        )
        ax.text(t, 0, str(token), ha="center", va="center", color="white" if face == colour else BLACK, fontsize=9)
    ax.annotate(
        "", (T + 2.5, 0.6), (position, 0.6), arrowprops={"arrowstyle": "->", "connectionstyle": "arc3,rad=-0.12"}
    )
    for x, label in ((T + 0.5, "trigger"), (T + 2.5, "output")):
        ax.text(x, -0.75, label, ha="center", va="top", fontsize=9)
    ax.set(xlim=(-1, T + 4), ylim=(-1.3, 1.5))
    ax.set_axis_off()
    ax.set_title("(c)  one sample: the trigger's positions in colour, the copied one framed", loc="left", fontsize=10)


def _box(x, face, edge):
    from matplotlib.patches import FancyBboxPatch

    return FancyBboxPatch((x - 0.36, -0.36), 0.72, 0.72, boxstyle="round,pad=0.06", fc=face, ec=edge, lw=1.6)


def convergence(task: scb.SCB, theta: scb.Parameters, sizes, *, repeats: int = 24, seed: int = 0) -> Picture:
    r"""Draw how far minibatch gradients are from the population's, in the μ-norm, against the batch size.

    Points: root mean square over ``repeats`` batches, with two standard errors. Lines: :math:`\sqrt{v/B}` with the
    one-sample variance v measured once, on a batch of its own, so that the lines are predictions.

    Parameters
    ----------
    task : a task.
    theta : ``A`` (T, N) and ``V`` (N, N), where the gradients are taken.
    sizes : batch sizes.
    repeats : batches at each size, at least 2.
    seed : of the points' samples; the lines' have the next one.

    Returns
    -------
    Picture
        Points and lines for :math:`\hat G_V` and :math:`\hat G_A`, both axes logarithmic.

    Raises
    ------
    InvalidArgument : a size, ``repeats`` or the seed is out of range, or there is no size.
    ShapeMismatch, MixedBackends : ``theta`` does not belong to the task.
    """
    sizes = some("sizes", sizes)
    if count("repeats", repeats) < 2:
        raise InvalidArgument(f"repeats is {repeats}; expected at least 2, for a deviation")
    with canvas() as (picture, ax):
        exact = scb.population.projected_gradient(task, theta)
        for name, colour in (("V", BLUE), ("A", ORANGE)):
            variance = _one_sample_variance(task, theta, exact, name, seed=seed + 1)
            ax.loglog(sizes, np.sqrt(variance / np.asarray(sizes)), color=colour, label=rf"$\sqrt{{v_{name}/B}}$")
        for i, size in enumerate(sizes):
            errors = [_squared_errors(task, theta, exact, size, seed, step=1000 * i + r) for r in range(repeats)]
            for (name, colour), squared in zip((("V", BLUE), ("A", ORANGE)), np.transpose(errors), strict=True):
                mean, spread = squared.mean(), 2 * squared.std(ddof=1) / repeats**0.5
                low, high = np.sqrt(max(mean - spread, mean / 4)), np.sqrt(mean + spread)
                bars = [[np.sqrt(mean) - low], [high - np.sqrt(mean)]]
                label = rf"$\hat G_{name}$, {repeats} batches" if i == 0 else None
                ax.errorbar(size, np.sqrt(mean), bars, fmt="o", ms=4, color=colour, label=label, capsize=2)
        ax.set(xlabel="batch size $B$", ylabel=r"$\|\hat G - G\|_\mu$")
        legend(ax, ncols=2)
        return picture


def _squared_errors(task, theta, exact, size, seed, step):
    batch = task.sample(size, seed=seed, step=step)
    difference = scb.model.minibatch_gradient(task, theta, batch, projected=True) - exact
    return task.inner(difference.V, difference.V), task.inner(difference.A, difference.A)


def _one_sample_variance(task, theta, exact, name, *, seed, batches=500, size=16):
    """Mean squared distance of one sample's gradient from its mean, from many small batches."""
    index = "VA".index(name)
    return size * np.mean([_squared_errors(task, theta, exact, size, seed, step)[index] for step in range(batches)])


def curvature(lengths, *, vocab_size: int = 3, seed: int = 0, steps: int = 60) -> Picture:
    """Draw G7: the curvature of the attention problem against T, and descent on each side of its limit.

    Parameters
    ----------
    lengths : context lengths, at least 2; the last one is that of the descent.
    vocab_size, seed : of the random tasks, whose supports have two positions.
    steps : of the descent.

    Returns
    -------
    Picture
        (a) The largest curvatures, plain and projected; (b) how far attention's sums are from 1 at 0.95 and 1.05 times
        the limit.

    Raises
    ------
    InvalidArgument : a length or ``vocab_size`` is below 2, or the seed is out of range.
    """
    tops, bulks = [], []
    for T in lengths:
        task = scb.SCB.random(vocab_size, T, 2, seed=seed)
        bulk, top = scb.population.attention_curvature(task, task.P)
        bulks.append(bulk.max())
        tops.append(top.max())
    with canvas(columns=2, size=(7.4, 3.1)) as (picture, axes):
        axes[0].loglog(lengths, tops, "o-", color=RED, label="plain: along the constant vector")
        axes[0].loglog(lengths, bulks, "s-", color=GREEN, label="projected: what is left")
        axes[0].set(
            xlabel="context length $T$",
            ylabel=r"largest curvature in $a^{(k)}$",
            ylim=(None, 30 * max(tops)),
        )
        legend(axes[0])
        task = scb.SCB.random(vocab_size, lengths[-1], 2, seed=seed)
        limit = 2 / scb.population.attention_curvature(task, task.P)[1].max()
        for factor, colour, style in ((0.95, BLUE, "-"), (1.05, RED, "--")):
            axes[1].semilogy(_descend(task, factor * limit, steps), style, color=colour, label=f"{factor:g} × limit")
        axes[1].set(xlabel="step of gradient descent on $A$, at $V = P$", ylabel="sum of attention minus 1")
        legend(axes[1], title=f"step size, $T$ = {lengths[-1]}")
        panel_letters(axes)
        return picture


def _descend(task, step_size, steps):
    """Distance of the attention's column sums from 1 along plain gradient descent, from a slightly wrong sum."""
    theta = scb.Parameters(scb.Parameters.initial(task).A * 1.01, task.P)
    path = []
    for _ in range(steps):
        path.append(np.abs(theta.A.sum(axis=0) - 1).max())
        theta = scb.Parameters(theta.A - step_size * scb.population.gradient(task, theta).A, theta.V)
    return path
