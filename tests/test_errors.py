import pytest

from scbtheory import errors


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("InvalidTask", ValueError),
        ("NotADistribution", ValueError),
        ("ReducibleChain", ValueError),
        ("ShapeMismatch", ValueError),
        ("InvalidArgument", ValueError),
        ("UnknownClaim", LookupError),
        ("UnknownBackend", LookupError),
        ("BackendUnavailable", RuntimeError),
        ("MixedBackends", TypeError),
    ],
)
def test_every_error_is_an_SCBError_and_the_builtin_a_caller_would_expect(name, builtin):
    assert issubclass(getattr(errors, name), errors.SCBError)
    assert issubclass(getattr(errors, name), builtin)


def test_nothing_that_is_raised_escapes_SCBError():
    raised = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, Exception)]
    assert len(raised) >= 10
    assert all(issubclass(e, errors.SCBError) for e in raised)


def test_bad_distributions_and_reducible_chains_are_invalid_tasks():
    assert issubclass(errors.NotADistribution, errors.InvalidTask)
    assert issubclass(errors.ReducibleChain, errors.InvalidTask)


@pytest.mark.parametrize(
    ("word", "suggestion"),
    [
        ("nunpy", "; did you mean 'numpy'?"),
        ("NUMPY", "; did you mean 'numpy'?"),
        ("g5", "; did you mean 'G5'?"),
        ("xyz", ""),
        (None, ""),
    ],
)
def test_nearest_suggests_the_closest_word_or_nothing(word, suggestion):
    assert errors.nearest(word, ["cupy", "numpy", "G5"]) == suggestion
