"""Every error the package raises on purpose; each message restates what came in and what was expected."""

__all__ = [
    "BackendUnavailable",
    "InvalidArgument",
    "InvalidTask",
    "MixedBackends",
    "NotADistribution",
    "ReducibleChain",
    "SCBError",
    "ShapeMismatch",
    "UnknownBackend",
    "UnknownClaim",
    "nearest",
]


class SCBError(Exception):
    """Base class: catch it to catch everything that scbtheory raises on purpose."""


class InvalidTask(SCBError, ValueError):
    """``P`` or ``Q`` does not define a Sparse Contextual Bigram."""


class NotADistribution(InvalidTask):
    """A column that must be a probability distribution is not one."""


class ReducibleChain(InvalidTask):
    """``P`` has no unique stationary distribution with positive entries."""


class ShapeMismatch(SCBError, ValueError):
    """An array has another shape than the task asks for."""


class InvalidArgument(SCBError, ValueError):
    """A number or an option is outside what the function accepts."""


class UnknownClaim(SCBError, LookupError):
    """No claim has this id."""


class UnknownBackend(SCBError, LookupError):
    """No backend has this name."""


class BackendUnavailable(SCBError, RuntimeError):
    """The backend exists, but this machine cannot run it."""


class MixedBackends(SCBError, TypeError):
    """Arrays of two array libraries, devices or precisions met in one call."""


def nearest(word, known):
    """Return ``"; did you mean 'x'?"`` for the entry of ``known`` closest to ``word``, or ``""``.

    Parameters
    ----------
    word : what was asked for; upper and lower case are the same.
    known : the entries that exist, in any order; compared as text.

    Returns
    -------
    str
        To be put at the end of a message.
    """
    import difflib

    known = [str(k) for k in known]
    folded = {k.lower(): k for k in known}
    close = difflib.get_close_matches(str(word).lower(), list(folded), n=1, cutoff=0.4)
    return f"; did you mean {folded[close[0]]!r}?" if close else ""
