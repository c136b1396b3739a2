"""Figures of the chapter on transfer: the flow after pretraining, and the samples that it saves."""

from __future__ import annotations

import numpy as np

import scbtheory as scb
from scbtheory import dynamics, noise, transfer
from scbtheory.plots._limits import LEVEL, _by_boosting
from scbtheory.plots._noise import _recovers, _smallest
from scbtheory.plots._style import BLACK, BLUE, GREEN, ORANGE, PURPLE, RED, Picture, canvas, legend

TOKENS = 1e7  # of a batch that is measured


def bypass(*, K_P: float, K_Q: float, T: float, K_hat: float, correlations) -> Picture:
    r"""Draw attention against time after pretraining, for several correlations, beside training from scratch.

    Parameters
    ----------
    K_P, K_Q, T : of the task.
    K_hat : :math:`\|\hat P'\|_\mu^2` of the pretrained matrix.
    correlations : values of :math:`K_\times`; only the first five are drawn.

    Returns
    -------
    Picture
        α against time in units of 1/η, until 1.7 half times from scratch.

    Raises
    ------
    InvalidArgument : a constant is out of range, T too small for a first stage, or :math:`K_\times^2 > K_{\hat P}K_P`.
    """
    system = {"K_P": K_P, "K_Q": K_Q, "T": T}
    t = np.linspace(0, 1.7 * dynamics.half_time(**system), 400)
    with canvas(size=(6.6, 3.4)) as (picture, ax):
        ax.plot(t, dynamics.flow(t=t, **system)[0], color=BLACK, lw=2.2, ls="--", label="from scratch")
        for K_cross, colour in zip(correlations, (BLUE, GREEN, ORANGE, PURPLE, RED), strict=False):
            alpha = transfer.flow(t=t, K_hat=K_hat, K_cross=K_cross, **system)[0]
            ax.plot(t, alpha, color=colour, label=rf"$K_\times = {K_cross:g}$")
        ax.axhline(0, color=BLACK, lw=0.6)
        ax.set(xlabel=r"time, in units of $1/\eta$", ylabel=r"attention $\alpha$", ylim=(-1.35, None))
        legend(ax, ncols=2)
        return picture


def least_batches(families, experiment) -> Picture:
    """Draw E3's least batches against T, every search a point, over the batches stated for the same sizes.

    Parameters
    ----------
    families : two of (name, kind, sizes): kind ``"scratch"`` or ``"transfer"``, a size what ``setting`` takes.
    experiment : E3's module, or what has its functions ``along``, ``setting``, ``statement`` and ``searched``.

    Returns
    -------
    Picture
        A line and points for each family, both axes logarithmic.
    """
    with canvas(size=(6.4, 3.5)) as (picture, ax):
        for (name, kind, sizes), colour, marker in zip(families, (RED, BLUE), "so", strict=True):
            lengths = experiment.along(sizes)
            stated = [experiment.statement(experiment.setting(*size))[kind == "transfer"] for size in sizes]
            ax.loglog(lengths, stated, color=colour, lw=1.4, label=name.removesuffix(", over T"))
            for T, row in zip(lengths, experiment.searched(kind, tuple(sizes)), strict=True):
                ax.loglog(T * 1.05 ** (np.arange(len(row)) - (len(row) - 1) / 2), row, marker, color=colour, ms=4.5)
        ax.set(xlabel="context length $T$", ylabel="least batch")
        legend(ax)
        return picture


def savings(lengths, shares, *, vocab_size=3, sparsity=2, seed=0, runs=20) -> Picture:
    r"""Draw samples until every support is found after pretraining, against the correlation, beside scratch's sign.

    Curves: N4's batch for one step from :math:`\hat P`, largest over triggers, which goes like
    :math:`\sigma^2 K_\times^{-2}\log T`, σ² the noise that :math:`\hat P` brings along. Dashes: N5's samples for the
    sign from scratch, which grow like T. Left of where they cross, that step costs more than the sign.

    Parameters
    ----------
    lengths : context lengths; only the first four are drawn, and only the first one is measured.
    shares : values of :math:`K_\times/K_P`, above 0; points are measured where a batch has at most 10⁷ tokens.
    vocab_size, sparsity, seed : of the random tasks; the samples' seeds follow from this one.
    runs : of each batch that is tried for a point; nine of ten must find every support.

    Returns
    -------
    Picture
        Samples against :math:`K_\times/K_P`, both axes logarithmic.

    Raises
    ------
    InvalidArgument : a number is out of range, or no :math:`\hat P` has such a correlation.
    """
    points: list = []
    with canvas(size=(5.8, 3.9)) as (picture, ax):
        for T, colour in zip(lengths, (BLUE, RED, GREEN, PURPLE), strict=False):
            task = scb.SCB.random(vocab_size, T, sparsity, seed=seed)
            hats = [transfer.pretrained(task, share * task.K_P, seed=seed + 1) for share in shares]
            starts = [transfer.start(task, hat) for hat in hats]
            stated = [_one_step(task, start, share * task.K_P) for start, share in zip(starts, shares, strict=True)]
            ax.loglog(shares, stated, color=colour, label=f"pretrained, $T$ = {T}")
            scratch = np.full(len(shares), _by_boosting(task, None, None))
            ax.loglog(shares, scratch, color=colour, lw=1.2, ls="--", label=f"sign from scratch, $T$ = {T}")
            if not points:
                tried = [n for n, size in enumerate(stated) if size * T <= TOKENS]
                found = [_least(task, starts[n], stated[n], seed + 3, runs) for n in tried]
                points = ax.loglog([shares[n] for n in tried], found, "o", color=colour, ms=5)
        ax.minorticks_off()
        ax.set_xticks(shares, [f"{share:g}" for share in shares])
        ax.set(xlabel=r"correlation $K_\times/K_P$", ylabel="samples")
        legend(ax, [(points[0], "measured")], ncols=2, outside=True)
        return picture


def _least(task, start, guess, seed, runs):
    return _smallest(guess, lambda size: _recovers(task, start, size, LEVEL, seed, runs))


def _one_step(task, start, K_cross) -> float:
    """N4's batch at the start of finetuning, where the signal is K_× (q - 1/T)."""
    Q = task.backend.to_numpy(task.Q)
    least = np.where(Q > 0, Q, np.inf).min(axis=0) - 1 / task.context_length
    variance = task.backend.to_numpy(noise.attention_noise_variance(task, start))
    reach = noise.universal_threshold(task, 1.0, c=LEVEL) * (1 + 1 / LEVEL)
    return float((variance * reach**2 / (K_cross * least) ** 2).max())
