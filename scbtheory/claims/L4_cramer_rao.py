"""L4. The last stage's limit: the Cramér–Rao bound once the supports are known, and least squares' own error."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from itertools import product

import autograd.numpy as anp
import numpy as np
import sympy as sp
from autograd import hessian

import scbtheory as scb
from scbtheory.claims._information import Mixture, inverse
from scbtheory.derivations import limits_information as derivation
from scbtheory.verification import routes
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import Numbers, World, exact, gap, relative_gap, worse, z_score

NAMES = ("information", "A, μ unknown", "V, μ unknown", "A, μ known", "V, μ known", "A, squares", "V, squares")


def statement(s: Mixture):
    """The information of a sample; n times both errors: bounds without and with μ, and least squares with μ."""
    return (information(s), *bound(s, False), *bound(s, True), *sandwich(s))


def information(s: Mixture):
    return sum(w * (g.T @ (g / p[:, None])) for w, p, g in s.cells())


def bound(s: Mixture, known, found=None, sums=True):
    U = s.basis(known=known, sums=sums)
    middle = U.T @ (information(s) if found is None else found) @ U
    return s.errors(U @ inverse(middle) @ U.T)


def curvature(s: Mixture):
    return sum(w * (g.T @ g) for w, _, g in s.cells())


def sandwich(s: Mixture):
    U = s.basis(known=True)
    back = U @ inverse(U.T @ curvature(s) @ U) @ U.T
    noise = sum(w * (g.T @ (p[:, None] * g) - np.outer(p @ g, p @ g)) for w, p, g in s.cells())
    return s.errors(back @ noise @ back)


# --- routes --------------------------------------------------------------------------------------

simplified = cache(sp.simplify)  # most controls state the same information


def derived(statement):
    """The information for all two-token laws on two positions; the bounds at a rational point."""
    general = Mixture(np.array(derivation.P.tolist()), derivation.MU, [np.array(q) for q in derivation.WEIGHTS])
    found, *_ = statement_at(statement, general, only_information=True)
    moves = np.array(derivation.directions(False).tolist())
    stated = sp.Matrix(moves.T @ found @ moves)
    values = derivation.VALUES
    # Where a difference is not 0 at a point it need not be simplified.
    wrong = sum(x.subs(values) != 0 or simplified(x) != 0 for x in derivation.information() - stated)
    point = Mixture(
        np.array(derivation.P.subs(values).tolist()),
        [sp.nsimplify(x.subs(values)) for x in derivation.MU],
        [np.array([x.subs(values) for x in q]) for q in derivation.WEIGHTS],
    )
    _, *numbers = statement(point)
    truths = (*derivation.bounds(False), *derivation.bounds(True), *derivation.least_squares(True))
    differ = [int(sp.nsimplify(a - b) != 0) for a, b in zip(numbers, truths, strict=True)]
    return {"terms of the information": wrong} | dict(zip(NAMES[1:], differ, strict=True))


def statement_at(statement, s, only_information):
    """A statement whose bounds would need the inverse of a symbolic matrix is asked for its information alone."""
    return statement(Shallow(s.P, s.mu, s.weights) if only_information else s)


class Shallow(Mixture):
    """A mixture without parameters to bound: matrices of no columns are inverted at no cost."""

    def basis(self, **_):
        return self.zeros(self.size, 0)


@cache
def enumerated():
    """Tasks in fractions: information in all entries by exact differences of the enumerated laws, and the errors."""
    found = []
    for N, T, seed in ((2, 2, 3), (2, 3, 5), (3, 2, 11)):
        numbers = exact(N, T, seed=seed)
        mu, Q = numbers.mu[:, 0], numbers.Q
        on = [(t, k) for k in range(N) for t in range(T) if Q[t, k] > 0]
        s = Mixture(numbers.P, list(mu), [np.array([Q[t, k] for t in range(T) if Q[t, k] > 0]) for k in range(N)])
        cells = list(differences(numbers, on))
        found.append((s, truths(cells, constrained(on, mu, True), constrained(on, mu, False), on, mu)))
    return found


def differences(numbers, on):
    """Yield (probability, law, derivatives) of each trigger and context; laws are linear in each entry."""
    N, world = numbers.N, World(numbers)
    moved = []
    for t, k in on:
        Q = numbers.Q.copy()
        Q[t, k] += 1
        moved.append(World(Numbers(numbers.P, Q, *others(numbers))))
    for n, m in product(range(N), repeat=2):
        P = numbers.P.copy()
        P[n, m] += 1
        moved.append(World(Numbers(P, numbers.Q, *others(numbers))))
    for x, chance in world.contexts:
        for k in range(N):
            law = world.law(x, k)
            yield chance * numbers.mu[k, 0], law, np.stack([w.law(x, k) - law for w in moved], axis=1)


def others(numbers):
    return numbers.mu, numbers.A, numbers.V, numbers.B, numbers.M


def constrained(on, mu, known):
    """A basis of {columns of A and V sum to 0; Vμ = 0 if known}: the null space of the constraints."""
    N, rows = len(mu), []
    size = len(on) + N * N
    for k in range(N):
        rows.append([int(j == k) for _, j in on] + [0] * N * N)
        rows.append([0] * len(on) + [int(m == k) for _ in range(N) for m in range(N)])
        if known:
            rows.append([0] * len(on) + [rational(mu[m]) * int(n == k) for n in range(N) for m in range(N)])
    null = sp.Matrix(rows).nullspace()
    return np.array([[Fraction(int(v[i].p), int(v[i].q)) for v in null] for i in range(size)])


def rational(x):
    return sp.Rational(x.numerator, x.denominator)


def truths(cells, known, unknown, on, mu):
    """The seven quantities of the statement from laws and their derivatives."""
    scores = sum(w * (g.T @ (g / p[:, None])) for w, p, g in cells)
    curved = sum(w * (g.T @ g) for w, _, g in cells)
    noise = 0
    for w, p, g in cells:
        for n, chance in enumerate(p):  # the loss's gradient is ∇pᵀ(p - e_n)
            slope = g.T @ (p - np.array([Fraction(int(i == n)) for i in range(len(p))]))
            noise = noise + w * chance * np.outer(slope, slope)
    weights = [mu[k] for _, k in on] + [mu[m] for _ in range(len(mu)) for m in range(len(mu))]

    def errors(covariance):
        terms = [f * covariance[i, i] for i, f in enumerate(weights)]
        return sum(terms[: len(on)]), sum(terms[len(on) :])

    found = [scores]
    for U in (unknown, known):
        found += errors(U @ inverse(U.T @ scores @ U) @ U.T)
    back = known @ inverse(known.T @ curved @ known) @ known.T
    return (*found, *errors(back @ noise @ back))


def by_enumeration(statement):
    worst = dict.fromkeys(NAMES, Fraction(0))
    for s, truth in enumerated():
        for name, found, stated in zip(NAMES, truth, statement(s), strict=True):
            worst[name] = worse(worst[name], gap(found, stated))
    return worst


@cache
def differentiated():
    """A task of N = 4, s = 3: the Hessian of the expected log-likelihood by automatic differentiation, and errors."""
    task = scb.SCB.random(4, 20, 3, seed=6)
    P, mu, Q = task.P, task.mu, task.Q
    weights = [Q[Q[:, k] > 0, k] for k in range(4)]
    tokens = np.indices((4, 4, 4)).reshape(3, -1).T
    chances = mu[tokens].prod(axis=1)

    def laws(z):
        """Laws (trigger, row, output) with the last entry of each column fixed by the sum."""
        free, value = anp.reshape(z[:8], (4, 2)), anp.reshape(z[8:], (3, 4))
        q = anp.concatenate([free, 1 - anp.sum(free, axis=1, keepdims=True)], axis=1)
        V = anp.concatenate([value, 1 - anp.sum(value, axis=0, keepdims=True)], axis=0)
        return anp.einsum("kj,nmj->kmn", q, V[:, tokens])

    at = np.concatenate([np.ravel([w[:2] for w in weights]), P[:3].ravel()])
    truth = laws(at)
    scale = mu[:, None, None] * chances[None, :, None]
    information = -hessian(lambda z: anp.sum(scale * truth * anp.log(laws(z))))(at)
    moves = np.zeros((12 + 16, 20))
    for k in range(4):
        for j in range(2):
            moves[3 * k + j, 2 * k + j], moves[3 * k + 2, 2 * k + j] = 1, -1
    for n in range(3):
        for m in range(4):
            moves[12 + 4 * n + m, 8 + 4 * n + m], moves[12 + 12 + m, 8 + 4 * n + m] = 1, -1
    return task, weights, information, moves


def by_differentiation(statement):
    task, weights, truth, moves = differentiated()
    stated, *numbers = statement(Mixture(task.P, task.mu, weights))
    covariance = moves @ np.linalg.inv(truth) @ moves.T
    own = np.repeat(task.mu, 3)
    unknown = own @ np.diag(covariance)[:12], np.tile(task.mu, 4) @ np.diag(covariance)[12:]
    package = (*scb.limits.cramer_rao(task), *scb.limits.cramer_rao(task, "known"))
    package += tuple(scb.limits.least_squares_error(task))
    return {
        "information by differentiation": relative_gap(truth, moves.T @ stated @ moves),
        "bounds by differentiation": max(map(relative_gap, unknown, numbers)),
        "the package's information": relative_gap(scb.limits.fisher_information(task), stated),
        "the package's errors": max(map(relative_gap, package, numbers)),
    }


@cache
def sampled_moments():
    """Per block of samples: means of score products, of ∇f∇f' and of the loss's gradient products."""
    instance, batches = routes.sampled()
    task = instance.task
    P, Q, N = task.P, task.Q, task.vocab_size
    supports = [np.flatnonzero(Q[:, k]) for k in range(N)]
    begins = np.cumsum([0, *map(len, supports)])
    blocks = []
    for batch in batches:
        G = np.zeros((len(batch), N, begins[-1] + N * N))
        for b, (tokens, k) in enumerate(zip(batch.tokens, batch.trigger, strict=True)):
            for j, t in enumerate(supports[k]):
                G[b, :, begins[k] + j] = P[:, tokens[t]]
                G[b, np.arange(N), begins[-1] + np.arange(N) * N + tokens[t]] += Q[t, k]
        z = G[:, 0, begins[-1] : begins[-1] + N]  # the weight of each token
        p = z @ P.T
        rows = np.arange(len(batch))
        score = G[rows, batch.output] / p[rows, batch.output][:, None]
        residual = p - np.eye(N)[batch.output]
        slope = np.einsum("bnd,bn->bd", G, residual)
        curved = np.einsum("bnd,bne->de", G, G, optimize=True)
        blocks.append(np.stack([score.T @ score, curved, slope.T @ slope]) / len(batch))
    return Mixture(P, task.mu, [Q[t, k] for k, t in enumerate(supports)]), np.array(blocks)


def by_sampling(statement):
    """Means over all samples against the stated information; errors made of them, with the jackknife's spread."""
    s, blocks = sampled_moments()
    stated, *numbers = statement(s)
    U = s.basis(known=False)
    project = np.einsum("di,bde,ej->bij", U, blocks[:, 0], U, optimize=True)
    scores = {"largest |z| of the information": z_score(project, U.T @ stated @ U)}
    total, size = blocks.sum(axis=0), len(blocks)
    whole = errors_of(s, total / size)
    left = np.array([errors_of(s, (total - block) / (size - 1)) for block in blocks])
    error = np.sqrt((size - 1) * ((left - left.mean(axis=0)) ** 2).mean(axis=0))
    better = size * whole - (size - 1) * left.mean(axis=0)  # the jackknife's correction of the bias
    scores["largest |z| of the errors"] = np.max(np.abs(better - np.array(numbers, dtype=float)) / error)
    return scores


def errors_of(s, moments):
    scores, curved, noise = moments
    known = s.basis(known=True)
    back = known @ np.linalg.inv(known.T @ curved @ known) @ known.T
    return np.array([*bound(s, False, scores), *bound(s, True, scores), *s.errors(back @ noise @ back)])


# --- controls ------------------------------------------------------------------------------------


def free_sums(s):
    found = information(s)
    return (found, *bound(s, False, sums=False), *bound(s, True, sums=False), *sandwich(s))


def without_probability(s):
    found = curvature(s)
    return (found, *bound(s, False, found), *bound(s, True, found), *sandwich(s))


def white_noise(s):
    """Least squares as if the residual's covariance were the identity."""
    return (*statement(s)[:5], *bound(s, True, curvature(s)))


def law_ignored(s):
    parts = statement(s)
    return (*parts[:3], *parts[1:3], *parts[5:])


CLAIM = Claim(
    id="L4",
    title="The limit of the last stage: Cramér–Rao once the supports are known",
    text=r"""
Given the supports, $\Pr(x_o = n \mid c, k) = p_n = \sum_j q_jP_{nc_j}$ with the copied tokens $c_j$. One sample holds
the information

$$
\mathcal I = \sum_k \mu_k\,E_c \sum_n \frac{\nabla p_n \nabla p_n^\top}{p_n}
$$ (eq-information)

about all entries, and with U spanning what the constraints leave (columns of $A$ and $V$ sum to 1; $V\mu=\mu$ if $\mu$
is known) no estimator from the outputs of $n$ samples that is unbiased given their contexts and triggers has a smaller
covariance than $\frac1n U(U^\top\mathcal I\,U)^{-1}U^\top$:

$$
n\,E\lVert\hat A - Q\rVert_\mu^2 + n\,E\lVert\hat V - P\rVert_\mu^2
\;\ge\; \operatorname{tr}\,\Xi\,U(U^\top\mathcal I\,U)^{-1}U^\top ,
$$ (eq-cramer-rao)

where the diagonal $\Xi$ holds the $\mu_k$ that weighs an entry in the norms. Least squares has
$U\mathcal H^{-1}\mathcal M\mathcal H^{-1}U^\top$ instead, $\mathcal H = U^\top E[\nabla p^\top\nabla p]\,U$ and
$\mathcal M = U^\top E[\nabla p^\top(\operatorname{diag} p - pp^\top)\nabla p]\,U$.
""",
    assumptions="known supports; all entries of P positive; estimators unbiased given contexts and triggers (the "
    "bound), n → ∞ (least squares); what tokens themselves tell about an unknown μ is not counted: in long contexts "
    "they reveal it, and what remains is the bound for a known μ",
    scope="The information and the bounds are derived for all laws of two tokens on two positions (bounds at a "
    "rational point), and enumerated in fractions for others; the formula is the same sum for every $N$, $s$ and $T$.",
    nature="theorem",
    chapter="limits",
    rests_on=("M1",),
    statement=statement,
    routes=(
        Route("symbolic", "all laws of N = 2, s = 2: the log-likelihood and the loss differentiated twice", derived),
        Route("exact", "every context, trigger and output in fractions, (N, T) = 2×2, 2×3, 3×2", by_enumeration),
        routes.numeric("automatic differentiation at N = 4, s = 3, and the package", by_differentiation, limit=1e-8),
        routes.monte_carlo("score and gradient products", by_sampling),
    ),
    controls=(
        Control("the weights' sums left free", free_sums),
        Control("no division by p: the curvature of the squared loss", without_probability),
        Control("least squares as if its noise were white", white_noise),
        Control("the constraint Vμ = μ ignored", law_ignored),
    ),
)
