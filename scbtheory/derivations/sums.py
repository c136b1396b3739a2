r"""Means of products of sums over i.i.d. tokens, for every N and T: partitions, cumulants, power sums.

A sample's gradient sees the context only through sums over its positions,

.. math:: \zeta = \sum_t a_t y_t,\quad \xi = \sum_t q_t y_t,\quad \epsilon = y_t,\quad \tau = \sum_t y_t,

with i.i.d. centred one-hots :math:`y_t = x_t - \mu`. The joint cumulants of such sums are power sums
times cumulants of one y (:func:`cumulant_of_sums`), and a moment is a sum over partitions of products of
cumulants (:func:`moment_of_sums`): so :func:`mean` takes the mean of any product of at most four sums, with N
and T symbols throughout. What stays open are averages over one token, :math:`E_y[(y^\top My)(y^\top Wy)]`;
they are named, not computed. Assumed: :math:`1^\top a = 1`, :math:`1^\top V = 1^\top`, :math:`V\mu = \mu`.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations, pairwise
from math import prod

import sympy as sp

from scbtheory.derivations import symbols as s
from scbtheory.derivations.algebra import N, Rules, T, expression, flip, rewrite, symbol_of, words

__all__ = [
    "SPREAD",
    "a_t",
    "cumulant_of_sums",
    "here",
    "mean",
    "moment_of_sums",
    "number",
    "one_token",
    "p",
    "pairings",
    "partitions",
    "power",
    "q_t",
    "reduced",
    "stated_cumulant",
    "token_cumulant",
    "total",
    "xi",
    "y",
    "zeta",
]

SIZES = {"N": N, "T": T, "1": sp.Integer(1)}

zeta, xi, here, total, y = (sp.MatrixSymbol(name, N, 1) for name in (r"\zeta", r"\xi", r"\epsilon", r"\tau", "y"))
SPREAD = sp.MatrixSymbol(r"\Delta", N, N)  # diag(P xi), and diag(P y) in an average over one token
WEIGHTS = {r"\zeta": "a", r"\xi": "q", r"\epsilon": "e", r"\tau": "", r"\Delta": "q"}
"""By what each sum weighs its positions: a, q, the unit vector of one position, or 1."""

CONTEXT = Rules(
    (s.X * s.a, s.mu + zeta),
    (s.X * s.q, s.mu + xi),
    (s.X * s.e, s.mu + here),
    (s.X * s.one_T, T * s.mu + total),
    *((s.one_N.T * vector, 0) for vector in (zeta, xi, here, total, y)),
)
r"""Contexts as sums of centred tokens, whose entries add up to 0."""

RULES = s.ALWAYS + s.ADMISSIBLE + s.POSITION + CONTEXT
(OUTPUT,) = next(iter(words(s.output)))


# --- sums over positions ---------------------------------------------------------------------------


def p(i: int, j: int):
    r"""The power sum :math:`p_{ij} = \sum_t a_t^i q_t^j`; three are known numbers."""
    return {(0, 0): T, (0, 1): sp.Integer(1), (1, 0): sp.Integer(1)}.get((i, j), sp.Symbol(f"p_{{{i}{j}}}"))


a_t, q_t = sp.symbols("a_t q_t")  # the weights of the position that the unit vector e marks


def power(weights: str):
    """The sum over positions of a product of weights, "aaq" for p_21; with an "e" only one position counts."""
    i, j = weights.count("a"), weights.count("q")
    return a_t**i * q_t**j if "e" in weights else p(i, j)


def partitions(items):
    """Yield every partition of a tuple into blocks."""
    if not items:
        yield ()
        return
    first, rest = items[0], items[1:]
    for size in range(len(rest) + 1):
        for others in combinations(rest, size):
            for tail in partitions(tuple(x for x in rest if x not in others)):
                yield ((first, *others), *tail)


def _multilinear(series, variables):
    """Drop every square of a variable: what remains decides the coefficient of their product."""
    return sum(
        term
        for term in sp.Add.make_args(sp.expand(series))
        if all(sp.degree(term, v) <= 1 for v in variables if term.has(v))
    )


def _composed(outer, inner, variables):
    """The multilinear part of ``sum_n outer(n) inner**n``, for ``inner`` without a constant term."""
    result, power_ = sp.Integer(0), sp.Integer(1)
    for n in range(1, len(variables) + 1):
        power_ = _multilinear(power_ * inner, variables)
        result += outer(n) * power_
    return sp.expand(result)


def _named(letter, members):
    return sp.Symbol(f"{letter}_{{{''.join(map(str, members))}}}")


def _subsets(n):
    return [c for size in range(2, n + 1) for c in combinations(range(n), size)]


def cumulant_of_sums(weights: str):
    r"""Return the joint cumulant of :math:`\sum_t w_{it}\, u_i^\top y_t`, from independence, for every T.

    ``weights`` such as "aaq" says which of a and q weighs each sum; the directions :math:`u_i` are arbitrary.
    The logarithm of a product over positions is a sum over t; its multilinear coefficient is taken under
    that sum. Returned in the moments ``m_{01…}`` of one token.
    """
    t = sp.Symbol("t", integer=True)
    own = [{"a": sp.IndexedBase("a"), "q": sp.IndexedBase("q")}[w][t] for w in weights]
    directions = sp.symbols(f"s:{len(weights)}")
    transform = sum(_named("m", c) * prod(own[i] * directions[i] for i in c) for c in _subsets(len(weights)))
    logarithm = _composed(lambda n: sp.Rational((-1) ** (n + 1), n), transform, directions)
    coefficient = logarithm.coeff(prod(directions))
    return sp.Sum(sp.factor(coefficient), (t, 0, T - 1))


def stated_cumulant(weights: str):
    """The power sum of ``weights`` times the cumulant of one token, as a sum over t."""
    t = sp.Symbol("t", integer=True)
    own = prod({"a": sp.IndexedBase("a"), "q": sp.IndexedBase("q")}[w][t] for w in weights)
    return sp.Sum(sp.factor(own * token_cumulant(tuple(range(len(weights))))), (t, 0, T - 1))


def token_cumulant(members):
    """The cumulant of one centred token along up to four directions: its moment, less the pairings of a fourth."""
    moment = _named("m", members)
    if len(members) < 4:
        return moment
    return moment - sum(prod(_named("m", b) for b in q) for q in pairings(members))


def moment_of_sums(n: int) -> bool:
    """Decide whether the exponential of a cumulant series is the sum over partitions without singletons."""
    directions = sp.symbols(f"s:{n}")
    series = sum(_named("k", c) * prod(directions[i] for i in c) for c in _subsets(n))
    found = _composed(lambda m: sp.Rational(1, sp.factorial(m)), series, directions).coeff(prod(directions))
    stated = sum(
        prod(_named("k", b) for b in blocks)
        for blocks in partitions(tuple(range(n)))
        if all(len(b) > 1 for b in blocks)
    )
    return sp.expand(found - stated) == 0


def pairings(members):
    """Return the partitions into pairs."""
    return [q for q in partitions(tuple(members)) if all(len(b) == 2 for b in q)]


# --- means of products of sums ---------------------------------------------------------------------


def mean(expr, rules: Rules = RULES):
    r"""Return the mean of a number made of traces of words in X and x_o, given the trigger.

    The output goes first: :math:`E[x_o \mid X] = \mu + P\xi` and :math:`x_o x_o^\top` has the mean
    :math:`D + \Delta`, :math:`\Delta = \mathrm{diag}(P\xi)`. Then cumulants. At most four sums may meet.
    """
    result = sp.Integer(0)
    for coefficient, pieces in _products(expr):
        for factor, final in _without_output(pieces, rules):
            result += coefficient * factor * _cumulants(final, rules)
    return number(result, rules)


def reduced(expr, rules: Rules = RULES, name=None):
    """Return a polynomial in traces with every word reduced; equal words meet and may cancel."""
    result = sp.Integer(0)
    for coefficient, pieces in _products(expr):
        for factor, closed in _all_reduced(pieces, rules):
            result += coefficient * factor * prod((name or _trace)(w) for w in closed)
    return sp.expand(result)


def number(expr, rules: Rules = RULES):
    """Return the normal form of a polynomial in traces: one in commuting symbols, for every N and T."""
    return reduced(expr, rules, lambda w: symbol_of(w, cyclic=w[0].shape[0] != "1"))


def one_token(expr, rules: Rules = RULES):
    r"""Name the average over one centred token y of a product of traces: a commuting symbol :math:`E[\cdots]`."""
    result = sp.Integer(0)
    for term in sp.Add.make_args(number(expr, rules)):
        random, constant = sp.Integer(1), sp.Integer(1)
        for factor in sp.Mul.make_args(term):
            if any("y" in symbol.name or SPREAD.name in symbol.name for symbol in factor.free_symbols):
                random *= factor
            else:
                constant *= factor
        result += constant * (sp.Symbol(f"E[{random}]") if random != 1 else 1)
    return result


def _products(expr):
    """Yield (coefficient, words) for each product of traces in an expanded number."""
    for term in sp.Add.make_args(sp.expand(expr)):
        expanded = [(sp.Integer(1), ())]
        for factor in sp.Mul.make_args(term):
            base, exponent = factor.as_base_exp()
            for _ in range(int(exponent) if isinstance(base, sp.Trace) else 1):
                choices = [(factor, ())]
                if isinstance(base, sp.Trace):  # the empty word is the identity, its trace the size
                    size = base.arg.shape[0]
                    choices = [(c, (w,)) if w else (c * size, ()) for w, c in words(base.arg).items()]
                expanded = [(c * d, u + v) for c, u in expanded for d, v in choices]
        yield from expanded


@cache  # the same few hundred words return all the time
def _reduced(word, rules):
    """Return (coefficient, inner products) pairs of a closed word under the rules, whichever letter comes first."""
    for turn in range(max(len(word), 1)):
        rewritten = rewrite(word[turn:] + word[:turn], rules, None)
        if rewritten is not None:
            # What vanishes altogether was a number, or the identity in a trace, which counts its size.
            gone = [(SIZES[word[turn].shape[0]], ())]
            parts = [(c, _reduced(new, rules) if new else gone) for new, c in rewritten.items()]
            return [(c * d, pieces) for c, part in parts for d, pieces in part]
    start = next((n for n, x in enumerate(word) if x.shape[0] == "1"), None)
    if start is None:  # a trace through matrices only
        return [(sp.Integer(1), (word,))]
    word = word[start:] + word[:start]
    cuts = [n for n, x in enumerate(word) if x.shape[0] == "1"] + [len(word)]
    return [(sp.Integer(1), tuple(word[i:j] for i, j in pairwise(cuts)))]


def _all_reduced(pieces, rules):
    """Yield (coefficient, inner products) of a product of closed words."""
    results = [(sp.Integer(1), ())]
    for word in pieces:
        results = [(c * d, u + v) for c, u in results for d, v in _reduced(word, rules)]
    yield from results


def _without_output(pieces, rules):
    """Yield (coefficient, inner products) once the output has been averaged given the context."""
    for coefficient, product in _all_reduced(pieces, rules):
        holding = [w for w in product if OUTPUT in w or OUTPUT.T in w]
        rest = tuple(w for w in product if w not in holding)
        # Each word is turned to end with the output.
        for c, new in _averaged([w if w[-1] == OUTPUT else flip(w) for w in holding]):
            for d, final in _all_reduced(new, rules):
                yield coefficient * c * d, rest + final


def _averaged(holding):
    """Yield (coefficient, words) whose mean is that of a product of words, each with x_o at its end."""
    if sum(x in (OUTPUT, OUTPUT.T) for w in holding for x in w) > 2:
        raise ValueError(f"the mean of {holding} given the context is not known")
    if not holding:
        yield sp.Integer(1), ()
    elif len(holding) == 1 and holding[0][0] != OUTPUT.T:
        for w, c in words(s.mu + s.P * xi).items():
            yield c, (holding[0][:-1] + w,)
    elif holding == [(OUTPUT.T, OUTPUT)]:
        yield sp.Integer(1), ()  # one-hot
    elif len(holding) == 1:  # x_o' M x_o = tr(M x_o x_o')
        for w, c in words(s.D + SPREAD).items():
            yield c, (holding[0][1:-1] + w,)
    else:
        left, right = holding
        for w, c in words(s.D + SPREAD).items():
            yield c, (left[:-1] + w + flip(right[:-1]),)


def _cumulants(pieces, rules):
    """Return the mean of a product of inner products of sums: its partitions, each a product of cumulants."""
    slots = [(n, m) for n, w in enumerate(pieces) for m, x in enumerate(w) if x.name in WEIGHTS]
    weights = {slot: WEIGHTS[pieces[slot[0]][slot[1]].name] for slot in slots}
    if len(slots) == 1:
        return sp.Integer(0)
    if len(slots) > 4 or (len(slots) != 3 and any(x.name == SPREAD.name for w in pieces for x in w)):
        raise ValueError(f"no mean is known of {pieces}")
    result = sp.Integer(0)
    matched = pairings(slots) if len(slots) in (0, 2, 4) else []
    for pairing in matched:
        scale = prod(power(weights[u] + weights[v]) for u, v in pairing)
        if len(slots) == 4:  # the pairings of one token leave its fourth moment: a cumulant remains
            scale -= power("".join(weights.values()))
        result += scale * _contracted(pieces, pairing)
    if len(slots) > 2:
        sums = {x for w in pieces for x in w if x.name in WEIGHTS and x.name != SPREAD.name}
        token = next(iter(words(y)))[0]
        alone = [tuple((token.T if x.transposed else token) if x in sums else x for x in w) for w in pieces]
        result += power("".join(weights.values())) * one_token(prod(_trace(w) for w in alone), rules)
    return result


def _contracted(pieces, pairing):
    """Join the pieces along the pairs, a covariance C at each: a product of traces."""
    partner = dict(pairing) | {v: u for u, v in pairing}
    (covariance,) = words(s.C)
    ends = {}  # a slot is the left or the right end of its piece
    for n, w in enumerate(pieces):
        left, right = ((n, i) if (n, i) in partner else None for i in (0, len(w) - 1))
        ends[n] = left, right, w[bool(left) : len(w) - bool(right)]
    open_first = sorted(ends, key=lambda n: None not in ends[n][:2])
    result, seen = sp.Integer(1), set()
    for n in open_first:
        if n in seen:
            continue
        left, right, word = ends[n]
        if right is None and left is not None:
            left, right, word = None, left, flip(word)
        seen.add(n)
        start = left
        while right is not None and partner[right] != start:
            m, _ = arrival = partner[right]
            near, far, core = ends[m]
            if arrival != near:
                near, far, core = far, near, flip(core)
            word, right = (*word, *covariance, *core), far
            seen.add(m)
        result *= _trace(word if right is None else (*word, *covariance))
    return result


def _trace(word):
    return sp.Trace(expression({word: sp.Integer(1)}, (SIZES[word[0].shape[0]], SIZES[word[-1].shape[1]])))
