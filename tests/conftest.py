"""One fixture over array libraries, devices and precisions, and one way to compare across them."""

import contextlib
import dataclasses

import numpy as np
import pytest
from hypothesis import settings

from scbtheory.backend import Backend, from_namespace, get_backend
from scbtheory.errors import BackendUnavailable

settings.register_profile("same", derandomize=True, deadline=None)  # a run finds what the run before found
settings.load_profile("same")


class ReadOnly(Backend):
    """NumPy, but what it makes cannot be written to: an in-place change of an input raises."""

    def asarray(self, values, dtype=None):
        array = super().asarray(values, dtype).view()
        array.flags.writeable = False
        return array


def read_only():
    numpy = get_backend("numpy")
    return ReadOnly(**{f.name: getattr(numpy, f.name) for f in dataclasses.fields(Backend)})


def strict_device1():
    """A GPU's stand-in: no memory in common with the host, nothing beyond the standard."""
    array_api_strict = pytest.importorskip("array_api_strict")
    device = array_api_strict.Device("device1")
    return from_namespace("array_api_strict", array_api_strict, device=device)


BACKENDS = {
    "numpy": get_backend,
    "numpy-float32": lambda: get_backend("numpy", "float32"),
    "numpy-read-only": read_only,
    "strict-device1": strict_device1,
}
with contextlib.suppress(BackendUnavailable):  # tests/test_backend.py skips one test with the reason
    get_backend("cupy")
    BACKENDS["cupy"] = lambda: get_backend("cupy")


@pytest.fixture(params=[pytest.param(k, marks=pytest.mark.gpu) if k == "cupy" else k for k in BACKENDS])
def backend(request):
    """Every backend that this machine can run."""
    return BACKENDS[request.param]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter):
    """Say at the very end what was not looked at: a skipped page is easily overlooked among thousands of tests."""
    yield
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if "Chromium" in str(report.longrepr)]
    if skipped:
        number = "1 browser check was" if len(skipped) == 1 else f"{len(skipped)} browser checks were"
        terminalreporter.write_line(f"{number} skipped for want of Chromium: apt-get install chromium")


@pytest.fixture
def strict():
    return strict_device1()


@pytest.fixture
def agree():
    """``agree(backend, actual, desired)``: close for its precision, and of its library and device."""

    def assert_agrees(backend, actual, desired):
        desired = np.asarray(desired, dtype=np.float64)
        if not isinstance(actual, float):
            made = backend.asarray(np.zeros(1))
            assert type(actual) is type(made)
            assert actual.device == made.device
            assert actual.dtype == made.dtype
            actual = backend.to_numpy(actual)
        single = backend.dtype == backend.xp.float32
        tolerance = (5e-6 if single else 1e-13) * max(1.0, np.abs(desired).max())
        assert np.shape(actual) == desired.shape
        np.testing.assert_allclose(actual, desired, rtol=0, atol=tolerance)

    return assert_agrees
