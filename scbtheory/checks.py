"""Numbers, flags and sequences that come from outside: accepted, or refused with what came in (``InvalidArgument``)."""

from __future__ import annotations

import math
import operator

import numpy as np

from scbtheory.errors import InvalidArgument

__all__ = [
    "below",
    "chance",
    "correlation",
    "count",
    "flag",
    "integer",
    "pair",
    "positive",
    "real",
    "reals",
    "rounding",
    "several",
    "some",
    "whole",
]

BOOL = (bool, np.bool_)  # the second is an index for NumPy 2.0, with a warning
NOT_REAL = (*BOOL, str, bytes, bytearray, complex, np.complexfloating)  # of which float() makes a number, or a part


def integer(name, value) -> int:
    """Return a whole number, or refuse what is not one (a bool is not)."""
    try:
        if isinstance(value, BOOL):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise InvalidArgument(f"{name} is {value!r}; expected a whole number") from None


def flag(name, value) -> bool:
    """Return True or False, or refuse what is neither: the text ``"no"`` would count as True."""
    if not isinstance(value, BOOL):
        raise InvalidArgument(f"{name} is {value!r}; expected True or False")
    return bool(value)


def whole(name, value) -> int:
    """Return a whole number of at least 0, or refuse it."""
    if integer(name, value) < 0:
        raise InvalidArgument(f"{name} is {value}; expected a whole number, at least 0")
    return operator.index(value)


def below(name, value, limit) -> int:
    """Return a whole number from 0 to below ``limit``, or refuse it."""
    if not 0 <= integer(name, value) < limit:
        raise InvalidArgument(f"{name} is {value}; expected a whole number, at least 0 and below {limit}")
    return operator.index(value)


def count(name, value) -> int:
    """Return a whole number of at least 1, or refuse it."""
    if integer(name, value) < 1:
        raise InvalidArgument(f"{name} is {value}; expected a whole number, at least 1")
    return operator.index(value)


def real(name, value) -> float:
    """Return a finite number as a float, or refuse what is none (a bool is not, nor a text that reads like one)."""
    try:
        if isinstance(value[()] if isinstance(value, np.ndarray) else value, NOT_REAL):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError):
        raise InvalidArgument(f"{name} is {value!r}; expected a real number") from None
    except OverflowError:
        raise InvalidArgument(f"{name} is a whole number beyond every float; expected a finite number") from None
    if not math.isfinite(number):
        raise InvalidArgument(f"{name} is {number}; expected a finite number")
    return number


def reals(name, value):
    """Return finite numbers as an array of float64, and one as a float; refuse what are none.

    NumPy's small integers would wrap around, and a list cannot be reckoned with.
    """
    if not (isinstance(value, (list, tuple)) or hasattr(value, "ndim")) or isinstance(value, np.generic):
        number = real(name, value)
        return value if isinstance(value, float) else number
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):  # ragged, or on a device
        raise InvalidArgument(f"{name} is {value!r}; expected an array of real numbers on the host") from None
    if array.dtype.kind not in "fiu":
        raise InvalidArgument(f"{name} has entries of type {array.dtype}; expected real numbers")
    array = array.astype(np.float64, copy=False)
    if not np.all(np.isfinite(array)):
        raise InvalidArgument(f"{name} has entries that are not finite; expected finite numbers")
    return array


def positive(name, value) -> float:
    """Return a finite number above 0 as a float, or refuse it."""
    if not real(name, value) > 0:
        raise InvalidArgument(f"{name} is {value}; expected a number above 0")
    return float(value)


def chance(name, value) -> float:
    """Return a number between 0 and 1 as a float, or refuse it."""
    if not 0 < real(name, value) < 1:
        raise InvalidArgument(f"{name} is {value!r}; expected a chance between 0 and 1")
    return float(value)


def pair(name, value) -> tuple[float, float]:
    """Return two finite numbers as floats, or refuse what is no such pair."""
    try:
        alpha, beta = value
    except (TypeError, ValueError):
        raise InvalidArgument(f"{name} is {value!r}; expected two numbers, (alpha, beta)") from None
    return real(name, alpha), real(name, beta)


def several(name, value) -> tuple:
    """Return a sequence as a tuple, or refuse what is none, such as one of the things that it should hold."""
    try:
        return tuple(value)
    except TypeError:
        raise InvalidArgument(f"{name} is {value!r}; expected a sequence, such as a tuple") from None


def some(name, value) -> tuple:
    """Return a sequence that is not empty as a tuple, or refuse it."""
    found = several(name, value)
    if not found:
        raise InvalidArgument(f"{name} is empty; expected at least one")
    return found


def rounding(task) -> float:
    """The relative size below which a difference of terms is rounding, at a task's precision."""
    return 64 * float(task.backend.xp.finfo(task.backend.dtype).eps)


def correlation(task, name) -> float:
    """Return ``K_P`` or ``K_Q`` of a task, or refuse one that is rounding alone."""
    number = getattr(task, name)
    if not number > rounding(task) ** 2:
        raise InvalidArgument(f"{name} is {number:g} for this task: there is no correlation to learn")
    return number
