r"""Claims M1, M2, M3 and G6: the data model, its Bayes predictor, and the minibatch estimators."""

from __future__ import annotations

from functools import cache, partial
from itertools import product

import numpy as np
from scipy.optimize import minimize

import scbtheory as scb
from scbtheory.claims._legacy import Claim, Control, Route, register
from scbtheory.claims.gradients import projected_statement
from scbtheory.derivations import gradients, model, moments
from scbtheory.derivations import symbols as sym
from scbtheory.derivations.algebra import normal
from scbtheory.verification import routes
from scbtheory.verification.instances import World, case, exact, gap, relative_gap, z_score

MODEL = "tokens and trigger i.i.d. from μ, position from q, output from P"


@cache
def observed(size: int = 200_000):
    """A task small enough to list its contexts, with one large sample: (numbers, one-hot contexts, codes, batch)."""
    instance = case(3, 4, seed=21)
    batch = instance.task.sample(size, seed=22)
    contexts = [np.eye(3)[:, list(x)] for x in product(range(3), repeat=4)]
    return instance.numbers, contexts, batch.tokens.astype(int) @ 3 ** np.arange(3, -1, -1), batch


def law_z_score(law) -> float:
    """Largest |z| of the output against a stated law ``law(s)`` (N, 1), for every trigger, position and token there.

    The mean of (one-hot output - law) vanishes among the samples with trigger k and token m at
    position t, for every (k, t, m), just when the law is right about each position.
    """
    s, contexts, codes, batch = observed()
    laws = np.array([[law(s.seen_from(k, X=X))[:, 0] for k in range(s.N)] for X in contexts])
    surprise = np.eye(s.N)[batch.output] - laws[codes, batch.trigger]
    worst = 0.0
    for k, t, m in product(range(s.N), range(s.T), range(s.N)):
        worst = max(
            worst,
            z_score(surprise[(batch.trigger == k) & (batch.tokens[:, t] == m)], np.zeros(s.N)),
        )
    return worst


def sampler_route(scope, discrepancy) -> Route:
    return Route(
        "monte carlo",
        scope + ", 200 000 samples at N = 3, T = 4",
        discrepancy,
        limit=5.0,
        unit="largest |z|",
    )


# --- M1: the law of the output -------------------------------------------------------------------


def law_statement(s, marginal=lambda s: s.mu):
    return s.P @ s.X @ s.q, marginal(s)


def _law_symbolic(statement):
    law, marginal = statement(sym)
    return (not moments.same(model.stated_law(law), model.law())) + gradients.unexplained(sym.output, marginal)


def _law_exact(world, statement):
    s, worst, marginal = world.numbers, 0, 0
    for (x, p), k in product(world.contexts, range(s.N)):
        law, stated_marginal = statement(s.seen_from(k, X=world.one_hot(x)))
        worst = max(worst, gap(world.laws[x, k], law[:, 0]))
        marginal = marginal + p * s.mu[k, 0] * world.laws[x, k]
    return max(worst, gap(marginal, stated_marginal[:, 0]))


def _law_sampled(statement):
    s, contexts, _, batch = observed()
    marginal = statement(s.seen_from(0, X=contexts[0]))[1]
    return max(law_z_score(lambda s: statement(s)[0]), z_score(np.eye(s.N)[batch.output], marginal[:, 0]))


register(
    Claim(
        "M1",
        "The law of the next token",
        r"\Pr(x_o = n \mid X, k) = (P X q^{(k)})_n, \qquad x_o \sim \mu \text{ marginally}",
        MODEL,
        law_statement,
        (
            Route(
                "symbolic",
                f"{routes.ALL_SIZES}: total probability over the position",
                _law_symbolic,
            ),
            routes.enumeration(_law_exact),
            sampler_route("the package's sampler, by trigger, position and token", _law_sampled),
        ),
        (
            Control(
                "rows of P taken as the distributions",
                routes.replaced(law_statement, 0, lambda s: s.P.T @ s.X @ s.q),
            ),
            Control(
                "the token copied without a transition",
                routes.replaced(law_statement, 0, lambda s: s.X @ s.q),
            ),
            Control(
                "positions weighed uniformly",
                routes.replaced(law_statement, 0, lambda s: s.P @ s.X @ s.one_T / s.T),
            ),
            Control("a uniform marginal", partial(law_statement, marginal=lambda s: s.one_N / s.N)),
        ),
    )
)

# --- M2: the Bayes predictor ---------------------------------------------------------------------


def bayes_statement(s, half=True, mean=True, q2=lambda s: s.dot(s.q, s.q), predictor=lambda s: s.P @ s.X @ s.q):
    """The least loss given the trigger, and the predictor that reaches it."""
    mu_mu = s.tr(s.mu.T @ s.mu)
    K_P = s.tr(s.P @ s.D @ s.P.T) - (mu_mu if mean else 0)
    loss = 1 - mu_mu - q2(s) * K_P
    return (loss / 2 if half else loss), predictor(s)


def _bayes_symbolic(statement):
    loss, predictor = statement(sym)
    optimum = normal(sym.output - predictor, sym.ALWAYS, gradients.given_context)
    return (normal(model.least_loss() - loss, sym.ALWAYS) != 0) + len(optimum)


def _bayes_exact(world, statement):
    s, worst, total = world.numbers, 0, 0
    for (x, p), k in product(world.contexts, range(s.N)):
        law = world.laws[x, k]
        stated = statement(s.seen_from(k, X=world.one_hot(x)))[1]
        worst = max(worst, gap(law, stated[:, 0]))
        # The conditional mean is the best predictor; its loss is half the conditional variance.
        total += p * s.mu[k, 0] * (1 - law @ law) / 2
    return max(worst, gap(total, s.average(lambda s: statement(replace_context(s)))))


def replace_context(s):
    """Give the statement some context: the loss does not look at it."""
    return s if s.X is not None else s.seen_from(s.k, X=np.concatenate([s.mu] * s.T, axis=1))


def _bayes_numeric(statement):
    """BFGS on the package's loss from three random starts, N = 3, T = 8; and the package's predictions."""
    instance = case(3, 8, seed=31)
    task, s = instance.task, instance.numbers
    split = task.context_length * task.vocab_size

    def parameters(flat):
        return scb.Parameters(flat[:split].reshape(-1, s.N), flat[split:].reshape(s.N, s.N))

    def objective(flat):
        slope = scb.population.gradient(task, parameters(flat))
        return scb.population.loss(task, parameters(flat)), np.concatenate([slope.A.ravel(), slope.V.ravel()])

    stated = s.average(lambda s: statement(replace_context(s)))
    found = [scb.population.bayes_loss(task)]
    for seed in range(3):
        start = scb.Parameters.random(task, seed=seed)
        flat = np.concatenate([start.A.ravel(), start.V.ravel()])
        found.append(minimize(objective, flat, jac=True, method="BFGS", options={"gtol": 1e-9}).fun)
    batch = task.sample(32, seed=32)
    predictions = scb.model.predict(task, scb.Parameters.truth(task), batch)
    contexts = [np.eye(s.N)[:, row] for row in batch.tokens]
    wanted = [statement(s.seen_from(int(k), X=X))[1][:, 0] for k, X in zip(batch.trigger, contexts, strict=True)]
    return max(relative_gap(found, np.full(4, stated)), relative_gap(predictions, wanted))


def _bayes_sampled(statement):
    s, *_, batch = observed()
    task = case(3, 4, seed=21).task
    predictions = scb.model.predict(task, scb.Parameters.truth(task), batch)
    losses = 0.5 * ((np.eye(s.N)[batch.output] - predictions) ** 2).sum(axis=1)
    loss = z_score(losses, s.average(lambda s: statement(replace_context(s))))
    return max(loss, law_z_score(lambda s: statement(s)[1]))


register(
    Claim(
        "M2",
        "The linear transformer at (Q, P) is the Bayes predictor",
        r"\min_f \ell = \ell(Q, P) = \tfrac12\left(1 - \|\mu\|^2 - \|Q\|_\mu^2 K_P\right)",
        "every task; squared loss; every predictor f(X, k)",
        bayes_statement,
        (
            Route(
                "symbolic",
                f"{routes.ALL_SIZES}: loss at (Q, P), and the mean of the output given the context",
                _bayes_symbolic,
            ),
            routes.enumeration(_bayes_exact),
            Route(
                "numeric",
                "BFGS on the package's loss from three starts, N = 3, T = 8",
                _bayes_numeric,
                limit=1e-8,
                margin=1e4,
                unit="relative difference",
            ),
            sampler_route("losses and predictions at (Q, P)", _bayes_sampled),
        ),
        (
            Control("K_P without the −‖μ‖²", partial(bayes_statement, mean=False)),
            Control("the factor ½ dropped", partial(bayes_statement, half=False)),
            Control("‖q‖² = 1, as if one position were always chosen", partial(bayes_statement, q2=lambda s: 1)),
            Control("predicting the copied token itself", partial(bayes_statement, predictor=lambda s: s.X @ s.q)),
        ),
    )
)

# --- M3: bigrams ---------------------------------------------------------------------------------


def bigram_statement(s, mean=True, shape=lambda s: s.dot(s.q - s.e, s.q - s.e)):
    K_P = s.tr(s.P @ s.D @ s.P.T) - (s.tr(s.mu.T @ s.mu) if mean else 0)
    return (shape(s) * K_P,)


def _bigram_symbolic(statement):
    return normal(model.distance_to_bigram() - statement(sym)[0], sym.ALWAYS + sym.POSITION) != 0


def _bigram_exact(world, statement):
    s, worst = world.numbers, 0
    for k in range(s.N):
        distance = 0
        for x, p in world.contexts:
            error = world.laws[x, k] - s.P[:, x[0]]
            distance += p * (error @ error)
        worst = max(worst, gap(distance, statement(s.seen_from(k))[0]))
    return worst


def _bigram_vanishes(statement):
    """Enumerate tasks whose triggers all choose the first position: the law is the bigram's there, and only there."""
    worst = 0
    for N, T in routes.SIZES:
        s = exact(N, T, seed=N + 10 * T)
        bigram = World(type(s)(s.P, s.e @ s.one_N.T, s.mu, s.A, s.V, s.B, s.M))
        worst = max(
            worst,
            _bigram_exact(bigram, statement),
            *(gap(bigram.laws[x, k], s.P[:, x[0]]) for x, k in bigram.laws),
        )
        other = World(type(s)(s.P, s.I_T[:, [1] + [0] * (N - 1)], s.mu, s.A, s.V, s.B, s.M))
        worst = max(worst, _bigram_exact(other, statement))
    return worst


def _bigram_sampled(statement):
    s, contexts, codes, _ = observed()
    worst = 0.0
    for k in range(s.N):
        errors = np.array([((s.P @ X @ (s.seen_from(k).q - s.e)) ** 2).sum() for X in contexts])
        worst = max(worst, z_score(errors[codes], statement(s.seen_from(k))[0]))
    return worst


register(
    Claim(
        "M3",
        "A bigram is the case in which every trigger chooses the same single position e",
        r"E\|PXq^{(k)} - PXe\|^2 = \|q^{(k)} - e\|^2 K_P,\quad "
        r"\text{zero exactly when } q^{(k)} = e \text{ (for } K_P > 0)",
        "every task; e a unit vector",
        bigram_statement,
        (
            Route("symbolic", routes.ALL_SIZES, _bigram_symbolic),
            routes.enumeration(_bigram_exact),
            Route(
                "exact",
                "the same for tasks whose every q is e, or all but one: zero exactly there",
                _bigram_vanishes,
                unit="difference",
            ),
            sampler_route("squared distances between laws", _bigram_sampled),
        ),
        (
            Control("K_P without the −‖μ‖²", partial(bigram_statement, mean=False)),
            Control(
                "‖q‖² + ‖e‖², as if the two never chose the same position",
                partial(bigram_statement, shape=lambda s: s.dot(s.q, s.q) + 1),
            ),
            Control(
                "1 − ‖q‖², zero for any single position", partial(bigram_statement, shape=lambda s: 1 - s.dot(s.q, s.q))
            ),
        ),
    )
)

# --- G6: minibatch estimators --------------------------------------------------------------------


def estimator_statement(s, precondition=True, weight=True, project=True, value=True):
    """One sample's contribution to Ĝ_V, and to the column of its own trigger in Ĝ_A."""
    residual = s.V @ s.X @ s.a - s.output
    G_V = residual @ (s.X @ s.a - s.mu).T
    G_a = ((s.V @ s.X) if value else s.X).T @ residual
    if project:
        G_a = G_a - s.one_T @ (s.one_T.T @ G_a) / s.T
    return (G_V @ s.W if precondition else G_V), (G_a / s.mu_k if weight else G_a)


def _estimator_symbolic(statement):
    rules = sym.ALWAYS + sym.ADMISSIBLE
    (G_V, G_a), (value, attention) = statement(sym), projected_statement(sym)
    return gradients.unexplained(G_V, value, rules) + gradients.unexplained(sym.mu_k * G_a, attention, rules)


def _estimator_exact(world, statement):
    s, worst, mean_V = world.numbers, 0, 0
    plain_A, plain_V = world.gradient
    for k in range(s.N):
        at_k = s.seen_from(k)
        both = world.mean_given(
            k, lambda X, o, k=k: np.concatenate(statement(s.seen_from(k, X=X, output=o)), axis=None)
        )
        mean_V = mean_V + at_k.mu_k * both[: s.N**2].reshape(s.N, s.N)
        wanted = (plain_A[:, k] - plain_A[:, k].sum() / s.T) / at_k.mu_k
        worst = max(worst, gap(wanted, at_k.mu_k * both[s.N**2 :]))
    return max(worst, gap(plain_V @ s.W @ (s.I_N - s.mu @ s.one_N.T), mean_V))


def _estimator_numeric(statement):
    instance = case(4, 9, seed=41, admissible=True)
    s, batch = instance.numbers, instance.task.sample(64, seed=42)
    G_V, G_A = np.zeros((s.N, s.N)), np.zeros((s.T, s.N))
    for row, k, n in zip(batch.tokens, batch.trigger, batch.output, strict=True):
        value, column = statement(s.seen_from(int(k), X=np.eye(s.N)[:, row], output=np.eye(s.N)[:, [int(n)]]))
        G_V += value / 64
        G_A[:, k] += column[:, 0] / 64
    package = scb.model.minibatch_gradient(instance.task, instance.theta, batch, projected=True)
    return max(relative_gap(package.V, G_V), relative_gap(package.A, G_A))


register(
    Claim(
        "G6",
        "The minibatch estimators are unbiased",
        r"E\,\overline{r_b (z_b - \mu)^\top} D^{-1} = G_V,\qquad "
        r"E\,\overline{1\{k_b = k\}\,\mu_k^{-1}(I - \tfrac1T 11^\top)(VX_b)^\top r_b} = G_{a^{(k)}}",
        routes.ON_SET,
        estimator_statement,
        (
            Route("symbolic", routes.ALL_SIZES, _estimator_symbolic),
            routes.enumeration(_estimator_exact, admissible=True),
            routes.numeric("the package's estimator on a batch, N = 4, T = 9", _estimator_numeric),
        ),
        (
            Control("D⁻¹ dropped", partial(estimator_statement, precondition=False)),
            Control("the weight 1/μ_k dropped", partial(estimator_statement, weight=False)),
            Control("the projection I − 11'/T dropped", partial(estimator_statement, project=False)),
            Control("X for VX", partial(estimator_statement, value=False)),
        ),
    )
)
