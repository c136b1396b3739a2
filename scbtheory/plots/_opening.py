"""Figures of the front page: the story of training on one time axis, and the model as a picture."""

from __future__ import annotations

import numpy as np
from matplotlib.patches import FancyArrowPatch, Rectangle

from scbtheory import dynamics, transfer
from scbtheory.plots._style import BLACK, BLUE, GREEN, ORANGE, RED, SKY, YELLOW, Picture, canvas

SHADES = (SKY, YELLOW, GREEN)  # of the three stages


def story(*, K_P: float = 0.2, K_Q: float = 0.5, T: float = 1e4, theta: float = 1.0, share: float = 0.6) -> Picture:
    r"""Draw :math:`\alpha\beta` from scratch and after pretraining, balanced steps; boundaries stand before the curves.

    The pretrained matrix has :math:`K_{\hat P} = K_P` and the correlation :math:`K_\times` = ``share`` · K_P.

    Parameters
    ----------
    K_P, K_Q, T : of the task.
    theta : the pretrained part's weight at the start.
    share : from -1 to 1.

    Returns
    -------
    Picture
        Agreement with the truth against time in units of 1/η, the three stages shaded.

    Raises
    ------
    InvalidArgument : a number is out of range, or T is too small for a first stage.
    """
    system = {"K_P": K_P, "K_Q": K_Q, "T": T, "balanced": True}
    found = dynamics.stages(**system)
    end = found.rise_end + found.refit
    edges = (0.0, found.linear_end, found.rise_end, end)
    t = np.linspace(0, end, 600)
    with canvas(size=(7.6, 3.5)) as (picture, ax):
        names = ("1  from zero", "2  rise", "3  round and refit")
        for left, right, shade, name in zip(edges, edges[1:], SHADES, names, strict=False):
            ax.axvspan(left, right, color=shade, alpha=0.16, lw=0)
            ax.text((left + right) / 2, 1.13, name, ha="center", va="center", fontsize=10)
        ax.axvline(found.half_time, color=BLUE, lw=1, ls=":")
        ax.annotate(
            r"half time, predicted: $\log(2TK_Q)$", (found.half_time, 0.5), (1.06 * found.half_time, 0.3), fontsize=10,
            color=BLUE, arrowprops={"arrowstyle": "-", "color": BLUE, "lw": 0.8},
        )  # fmt: skip
        alpha, beta = dynamics.flow(t=t, **system)
        ax.plot(t, alpha * beta, color=BLUE, lw=2.6)
        alpha, beta, gamma = transfer.flow(t=t, K_hat=K_P, K_cross=share * K_P, theta=theta, **system)
        tuned = alpha * (beta + gamma * share)  # ⟨V', P'⟩/K_P is β + γ K_×/K_P
        ax.plot(t, tuned, color=RED, lw=2.6, ls="--")
        ax.text(3.0, 0.72, "pretrained: no stage 1", color=RED, fontsize=10, ha="left")
        ax.text(found.half_time * 0.62, 0.13, "from scratch", color=BLUE, fontsize=10, ha="center")
        ax.set(
            xlabel=r"training time, in units of $1/\eta$", ylabel="agreement with the truth",
            xlim=(0, end), ylim=(-0.02, 1.22), yticks=(0, 0.5, 1),
        )  # fmt: skip
        return picture


def model() -> Picture:
    """Draw how one token is made and how the transformer copies that: trigger, position, transition; A, V.

    Returns
    -------
    Picture
        A context of eight tokens, its trigger and the next token, with arrows between; nothing is computed.
    """
    tokens, picked, trigger = ["b", "a", "c", "b", "c", "a", "c", "b"], (1, 4), "c"
    weights = [0.02, 0.62, 0.02, 0.02, 0.28, 0.02, 0.01, 0.01]
    with canvas(size=(7.6, 2.9)) as (picture, ax):
        for n, token in enumerate(tokens):
            chosen = n in picked
            colour = ORANGE if n == picked[0] else SKY if chosen else "white"
            _box(ax, n, 1.0, token, colour)
            ax.add_patch(Rectangle((n + 0.12, 2.0), 0.56, 1.5 * weights[n], color=BLUE, lw=0))
        ax.plot([0, 8], [2.0, 2.0], color=BLACK, lw=0.8)
        _box(ax, 8.7, 1.0, trigger, GREEN)
        _box(ax, 10.6, 1.0, "b", RED)
        ax.text(5.0, 0.62, r"context $X$: $T$ tokens, drawn from $\mu$", ha="center", va="center", fontsize=10)
        ax.text(9.1, 0.62, "trigger $k$", ha="center", va="center", fontsize=10)
        ax.text(11.0, 2.1, "next token", ha="center", va="center", fontsize=10)
        ax.text(5.4, 3.08, r"column $k$ of $Q$, learned by $A$:", ha="left", va="center", fontsize=10)
        ax.text(5.4, 2.74, "the few positions that $k$ looks at", ha="left", va="center", fontsize=10)
        _arrow(ax, (9.1, 1.85), (8.1, 2.35), GREEN)
        ax.plot([1.4, 1.4, 11.0], [0.98, 0.2, 0.2], color=ORANGE, lw=2)
        ax.annotate("", (11.0, 1.0), (11.0, 0.18), arrowprops={"arrowstyle": "-|>", "color": ORANGE, "lw": 2})
        ax.text(6.2, -0.1, r"copied through column $x_t$ of $P$, learned by $V$", ha="center", va="center", fontsize=10)
        ax.set(xlim=(-0.2, 11.7), ylim=(-0.3, 3.3))
        ax.set_axis_off()
        return picture


def _box(ax, x, y, text, colour):
    ax.add_patch(Rectangle((x, y), 0.8, 0.8, facecolor=colour, edgecolor=BLACK, lw=1, alpha=0.85))
    ax.text(x + 0.4, y + 0.38, text, ha="center", va="center", fontsize=12)


def _arrow(ax, start, end, colour):
    shape = {"connectionstyle": "arc3,rad=0.25", "arrowstyle": "-|>", "mutation_scale": 12}
    ax.add_patch(FancyArrowPatch(start, end, color=colour, lw=2, **shape))
