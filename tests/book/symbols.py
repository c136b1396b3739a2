"""The symbols of a text's formulas, for the test of the notation."""

import re

GREEK = """
alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta kappa lambda mu nu xi pi rho sigma varsigma tau
phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell
"""
LETTERS = GREEK.split()
FORMULA = re.compile(r"\$\$(.+?)\$\$|(?<!\\)\$([^$]+?)(?<!\\)\$", re.DOTALL)
CODE = re.compile(r"^(`{3,}|~{3,}).*?^\1|``.+?``|`[^`]*`", re.DOTALL | re.MULTILINE)
WORDS = re.compile(
    r"\\begin\{array\}\{\w+\}|\\(?:text|mathrm|operatorname\*?|begin|end)\s*\{[^{}]*\}|\\[,;:! ]|\\tfrac(?=\d)"
)
SUBSCRIPT = r"(?:_(?:\{((?:[^{}]|\{[^{}]*\})*)\}|(\\[A-Za-z]+|[^\\\s])))?"
SYMBOL = re.compile(
    r"(?:\\(hat|bar|tilde|mathcal|mathbb)\s*\{?\s*)?(?:\\("
    + "|".join(LETTERS)
    + r")(?![a-zA-Z])|(?<![\\A-Za-z])([A-Za-z]))"
    r"\}?('*)" + SUBSCRIPT
)


def formulas(text):
    """Yield every formula of a Markdown text."""
    for match in FORMULA.finditer(CODE.sub(" ", text)):
        yield match[1] or match[2]


def symbols(formula):
    """Return pairs (symbol, symbol with its subscript): ``("K", "K_P")``, ``("hat P'", "hat P'")``.

    A subscript's own letters are symbols, too; which are indices and which a part of a name, the table knows.
    """
    found, rest = [], re.sub(r"\\([a-zA-Z]+)", _kept, WORDS.sub(" ", formula))
    for match in SYMBOL.finditer(rest):
        base = (f"{match[1]} " if match[1] else "") + (match[2] or match[3]) + match[4]
        below = re.sub(r"\^(\{[^{}]*\}|.)", "", match[5] or match[6] or "").strip()
        found.append((base, f"{base}_{below}" if below else base))
    return found


def _kept(match):
    """A command that is a letter, an accent or the sign ×; any other is a blank."""
    known = (*LETTERS, "hat", "bar", "tilde", "mathcal", "mathbb", "times", "min", "max")
    return match[0] if match[1] in known else " "
