"""What a chapter can be run with: its cell of parameters, which says beside each value what else may stand there.

    context_length = 24  # sparsity to 60
    seed = 2  # 0 or more
    K_P = 0.2  # between 0 and 1
    backend = "numpy"  # "numpy" or "cupy"

The type is that of the value that stands there. A bound is a number or another parameter; ``to`` and ``or more``
include it, ``between`` does not. A range may end in an exception, ``between 0 and 1, not K_Q``.
"""

from __future__ import annotations

import ast
import io
import json
import math
import re
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scbtheory.backend import get_backend
from scbtheory.errors import SCBError, nearest
from scbtheory.publishing.source import BookError, InvalidParameter, UnknownParameter

__all__ = ["Parameter", "check", "read", "stated"]

KINDS = {int: "a whole number", float: "a number", str: "a word"}
_BOUND = r"([\w.+-]+)"
_RANGES = {
    "to": re.compile(rf"{_BOUND} to {_BOUND}\b"),
    "between": re.compile(rf"between {_BOUND} and {_BOUND}\b"),
    "or more": re.compile(rf"{_BOUND} or more\b"),
}
_EXCEPTION = re.compile(rf".*, not {_BOUND}")
_WORDS = re.compile(r'"\w+"(?: or "\w+")*')


@dataclass(frozen=True)
class Parameter:
    """A name, the value that the chapter gives it, and the comment with its range, empty where there is none."""

    name: str
    default: Any
    range: str = ""


def read(notebook: Path) -> dict[str, Parameter]:
    """Return a chapter's parameters by name, in their order; none where no cell is tagged ``parameters``.

    Raises
    ------
    BookError : the file is no notebook, or the cell holds something other than plain assignments.
    """
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", ())]
        return stated("\n".join("".join(cell["source"]) for cell in tagged))
    except OSError as error:
        raise BookError(f"{notebook} cannot be read: {error.strerror}") from error
    except (ValueError, LookupError, TypeError, AttributeError, SyntaxError) as error:
        raise BookError(f"{notebook} has no readable cell of parameters: {error}") from error


def stated(source: str) -> dict[str, Parameter]:
    """Return the parameters that a cell's source assigns.

    Raises
    ------
    ValueError, SyntaxError : it holds something other than assignments of literals to names.
    """
    body = ast.parse(source).body
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    found = {}
    for node in body:
        if not (isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)):
            raise ValueError(f"line {node.lineno} is no plain assignment")
        name = node.targets[0].id
        found[name] = Parameter(name, ast.literal_eval(node.value), comments.get(node.end_lineno or node.lineno, ""))
    return found


def check(notebook: Path, given: Mapping[str, object]) -> dict[str, Any]:
    """Return the value of each of a chapter's parameters, those that are given in place of its own.

    Raises
    ------
    UnknownParameter : the chapter has no such parameter; the message names the nearest.
    InvalidParameter : a value is of another type or out of its range, or what they name cannot run here.
    """
    known = read(notebook)
    for name in given:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise UnknownParameter(
                f"{notebook.name} has no parameter {name!r}{nearest(name, known)} (its parameters: {listed})"
            )
    values = {name: parameter.default for name, parameter in known.items()}
    values |= {name: _typed(known[name], value, notebook) for name, value in given.items()}
    for parameter in sorted(known.values(), key=lambda parameter: parameter.name not in given):
        if not _inside(parameter.range, values[parameter.name], values):
            name, value = parameter.name, values[parameter.name]
            bounds = [f"{n} is {values[n]}" for n in known if n != name and re.search(rf"\b{n}\b", parameter.range)]
            here = f" ({', '.join(bounds)})" if bounds else ""
            raise InvalidParameter(f"{notebook.name}: {name} is {value!r}; expected {parameter.range}{here}")
    if "backend" in values:
        try:
            get_backend(values["backend"], values.get("dtype"))
        except SCBError as error:
            raise InvalidParameter(f"{notebook.name}: {error}") from error
    return values


def _typed(parameter: Parameter, value: object, notebook: Path) -> object:
    """The value as one of the default's type: 1e4 is a whole number, 3 serves for 3.0, and True is no number."""
    kind = type(parameter.default)
    if kind is float and type(value) is int:
        value = float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not kind or (isinstance(value, float) and not math.isfinite(value)):
        expected = f"{KINDS.get(kind, f'a {kind.__name__}')} such as {parameter.default!r}"
        raise InvalidParameter(f"{notebook.name}: {parameter.name} is {value!r}; expected {expected}")
    return value


def _inside(text: str, value: Any, values: Mapping[str, Any]) -> bool:
    """Whether a comment allows a value; one that states no range allows all.

    Raises
    ------
    BookError : a bound is neither a number nor a parameter.
    """
    if words := _WORDS.match(text):
        return value in re.findall(r"\w+", words[0].replace('" or "', " "))
    for way, pattern in _RANGES.items():
        if found := pattern.match(text):
            low, high = [_bound(word, values) for word in found.groups()] + [math.inf] * (way == "or more")
            inside = low < value < high if way == "between" else low <= value <= high
            without = _EXCEPTION.match(text)
            return inside and not (without and value == _bound(without[1], values))
    return True


def _bound(word: str, values: Mapping[str, Any]) -> float:
    if word in values:
        return values[word]
    try:
        return float(word)
    except ValueError:
        raise BookError(f"a range ends at {word!r}; expected a number or one of {', '.join(values)}") from None
