r"""M2. The linear transformer at (Q, P) is the Bayes predictor."""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.optimize import minimize

import scbtheory as scb
from scbtheory.claims._sampler import law_z_score, observed, sampler_route
from scbtheory.derivations import gradients, model
from scbtheory.derivations import symbols as sym
from scbtheory.derivations.algebra import normal
from scbtheory.verification import routes
from scbtheory.verification.bundles import Matrices
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import case, gap, relative_gap, z_score


def statement(s: Matrices):
    """The least loss given the trigger, and the predictor that reaches it."""
    return (variance(s) - s.dot(s.q, s.q) * K_P(s)) / 2, s.P @ s.X @ s.q


def variance(s):
    return 1 - s.tr(s.mu.T @ s.mu)


def K_P(s):
    return s.tr(s.P @ s.D @ s.P.T) - s.tr(s.mu.T @ s.mu)


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    loss, predictor = statement(sym)
    optimum = normal(sym.output - predictor, sym.ALWAYS, gradients.given_context)
    return {
        "terms of the loss": int(normal(model.least_loss() - loss, sym.ALWAYS) != 0),
        "terms of the predictor": len(optimum),
    }


def by_enumeration(world, statement):
    s, predictor, total = world.numbers, 0, 0
    for (x, p), k in product(world.contexts, range(s.N)):
        law = world.laws[x, k]
        predictor = max(predictor, gap(law, statement(s.seen_from(k, X=world.one_hot(x)))[1][:, 0]))
        # The conditional mean is the best predictor; its loss is half the conditional variance.
        total += p * s.mu[k, 0] * (1 - law @ law) / 2
    return {"predictor": predictor, "loss": gap(total, s.average(lambda s: statement(with_context(s))))}


def with_context(s):
    """Give the statement some context: the loss does not look at it."""
    return s if s.X is not None else s.seen_from(s.k, X=np.concatenate([s.mu] * s.T, axis=1))


def by_minimisation(statement):
    """BFGS on the package's loss from three random starts, N = 3, T = 8; and the package's predictions."""
    instance = case(3, 8, seed=31)
    task, s = instance.task, instance.numbers
    split = task.context_length * task.vocab_size

    def parameters(flat):
        return scb.Parameters(flat[:split].reshape(-1, s.N), flat[split:].reshape(s.N, s.N))

    def objective(flat):
        slope = scb.population.gradient(task, parameters(flat))
        return scb.population.loss(task, parameters(flat)), np.concatenate([slope.A.ravel(), slope.V.ravel()])

    stated = s.average(lambda s: statement(with_context(s)))
    found = [scb.population.bayes_loss(task)]
    for seed in range(3):
        start = scb.Parameters.random(task, seed=seed)
        flat = np.concatenate([start.A.ravel(), start.V.ravel()])
        found.append(minimize(objective, flat, jac=True, method="BFGS", options={"gtol": 1e-9}).fun)
    batch = task.sample(32, seed=32)
    predictions = scb.model.predict(task, scb.Parameters.truth(task), batch)
    contexts = [np.eye(s.N)[:, row] for row in batch.tokens]
    wanted = [statement(s.seen_from(int(k), X=X))[1][:, 0] for k, X in zip(batch.trigger, contexts, strict=True)]
    return {
        "least loss, relative": relative_gap(found, np.full(4, stated)),
        "predictions, relative": relative_gap(predictions, wanted),
    }


def by_sampling(statement):
    s, *_, batch = observed()
    task = case(3, 4, seed=21).task
    predictions = scb.model.predict(task, scb.Parameters.truth(task), batch)
    losses = 0.5 * ((np.eye(s.N)[batch.output] - predictions) ** 2).sum(axis=1)
    return {
        "|z| of the loss": z_score(losses, s.average(lambda s: statement(with_context(s)))),
        "|z| of the predictor": law_z_score(lambda s: statement(s)[1]),
    }


# --- controls ------------------------------------------------------------------------------------


def not_centred(s):
    return (variance(s) - s.dot(s.q, s.q) * s.tr(s.P @ s.D @ s.P.T)) / 2


def without_half(s):
    return variance(s) - s.dot(s.q, s.q) * K_P(s)


def one_position(s):
    return (variance(s) - K_P(s)) / 2


CLAIM = Claim(
    id="M2",
    title="The linear transformer at (Q, P) is the Bayes predictor",
    text=r"""
Among **all** functions of $(X, k)$, the linear transformer at $(A, V) = (Q, P)$ has the least squared loss,

$$
\min_f \ell = \ell(Q, P) = \tfrac12\left(1 - \lVert\mu\rVert^2 - \lVert Q\rVert_\mu^2\, K_P\right),
$$ (eq-bayes)

where $K_P = \lVert P\rVert_\mu^2 - \lVert\mu\rVert^2$.
""",
    assumptions="every task; squared loss; every predictor f(X, k)",
    scope="Proved for every $N$ and $T$.",
    nature="theorem",
    chapter="model",
    rests_on=("M1", "G1"),
    statement=statement,
    routes=(
        Route("symbolic", f"{routes.ALL_SIZES}: loss at (Q, P), and the mean of the output given the context", derived),
        routes.enumeration(by_enumeration),
        Route(
            "numeric",
            "BFGS on the package's loss from three starts, N = 3, T = 8",
            by_minimisation,
            limit=1e-8,
            margin=1e4,
        ),
        sampler_route("losses and predictions at (Q, P)", by_sampling),
    ),
    controls=(
        Control("K_P without the −‖μ‖²", routes.replaced(statement, 0, not_centred)),
        Control("the factor ½ dropped", routes.replaced(statement, 0, without_half)),
        Control("‖q‖² = 1, as if one position were always chosen", routes.replaced(statement, 0, one_position)),
        Control("predicting the copied token itself", routes.replaced(statement, 1, lambda s: s.X @ s.q)),
    ),
)
