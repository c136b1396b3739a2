"""Every public function says what it takes, returns and refuses, by numpydoc's own validator."""

import importlib
import inspect

import pytest
from numpydoc.validate import validate

ROOMS = (
    "backend", "dynamics", "errors", "flows", "landscape", "limits", "memory", "model", "noise", "plots", "population",
    "softmax", "streaming", "sweeps", "task", "training", "transfer",
)  # fmt: skip
LEFT = {
    "SA01", "EX01", "ES01",  # no See Also, example or long text where nothing needs one
    "PR04", "PR05", "PR07", "PR08", "PR09",  # a line each: name : shape or type, unit, meaning
    "RT02", "RT04", "RT05",
    "SS05",  # it takes every word in s, such as "Whether stages …", for a verb in the third person
}  # fmt: skip


def public():
    """Functions and classes that a room exports and this package wrote."""
    for room in ROOMS:
        module = importlib.import_module(f"scbtheory.{room}")
        for name in module.__all__:
            thing = getattr(module, name)
            written = inspect.isfunction(thing) or inspect.isclass(thing)
            if written and thing.__module__.startswith("scbtheory"):
                yield f"scbtheory.{room}.{name}"


@pytest.mark.parametrize("name", list(public()))
def test_a_docstring_has_its_sections(name):
    errors = [f"{code}: {text}" for code, text in validate(name)["errors"] if code not in LEFT]
    assert not errors, f"{name}: {errors}"
