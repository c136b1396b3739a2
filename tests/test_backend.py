import sys
from types import SimpleNamespace

import numpy as np
import pytest

import scbtheory as scb
from scbtheory.errors import BackendUnavailable, InvalidArgument, SCBError, UnknownBackend


def cupy_that(count):
    """A module that looks like CuPy up to its first question to CUDA."""
    return SimpleNamespace(cuda=SimpleNamespace(runtime=SimpleNamespace(getDeviceCount=count)))


def raises(message):
    def count():
        raise RuntimeError(message)

    return count


NOT_INSTALLED = None
NO_DRIVER = cupy_that(raises("cudaErrorInsufficientDriver: CUDA driver version is insufficient"))
NO_DEVICE = cupy_that(raises("cudaErrorNoDevice: no CUDA-capable device is detected"))
ZERO_DEVICES = cupy_that(lambda: 0)

CUPY_FAILURES = pytest.mark.parametrize(
    ("module", "says", "advises"),
    [
        pytest.param(NOT_INSTALLED, "CuPy is not installed", "pip install", id="not-installed"),
        pytest.param(NO_DRIVER, "InsufficientDriver", "update the NVIDIA driver", id="no-driver"),
        pytest.param(NO_DEVICE, "shows no GPU", "CUDA_VISIBLE_DEVICES", id="no-device-error"),
        pytest.param(ZERO_DEVICES, "shows no GPU", "CUDA_VISIBLE_DEVICES", id="zero-devices"),
    ],
)


@pytest.mark.parametrize(("name", "suggestion"), [("nunpy", "'numpy'"), ("CuPy", "'cupy'"), ("cuppy", "'cupy'")])
def test_unknown_backend_restates_the_name_and_suggests_one(name, suggestion):
    with pytest.raises(UnknownBackend, match=f"'{name}'.*numpy, cupy; did you mean {suggestion}"):
        scb.get_backend(name)


@pytest.mark.parametrize("name", [None, 3, "zzz"])
def test_a_name_like_no_backend_gets_the_list_without_a_guess(name):
    with pytest.raises(UnknownBackend, match=rf"{name!r}.*numpy, cupy$"):
        scb.get_backend(name)


@CUPY_FAILURES
def test_each_cupy_failure_says_which_it_is_and_what_to_do(monkeypatch, module, says, advises):
    monkeypatch.setitem(sys.modules, "cupy", module)
    with pytest.raises(BackendUnavailable, match="'cupy' was asked for") as caught:
        scb.get_backend("cupy")
    message = str(caught.value)
    assert says in message
    assert advises in message
    others = {"pip install", "update the NVIDIA driver", "CUDA_VISIBLE_DEVICES"} - {advises}
    assert not any(other in message for other in others)


@CUPY_FAILURES
def test_a_task_that_asks_for_cupy_never_falls_back(monkeypatch, module, says, advises):
    monkeypatch.setitem(sys.modules, "cupy", module)
    with pytest.raises(BackendUnavailable):
        scb.SCB.random(3, 5, 2, backend="cupy")
    with pytest.raises(BackendUnavailable):
        scb.SCB.random(3, 5, 2).on("cupy")


@pytest.mark.gpu
def test_cupy_computes_where_it_is_usable():
    try:
        backend = scb.get_backend("cupy")
    except BackendUnavailable as error:
        pytest.skip(str(error))
    assert backend.name == "cupy"
    assert float(scb.SCB.random(3, 5, 2, backend=backend).mu.sum()) == pytest.approx(1)


@pytest.mark.parametrize("dtype", ["float16", "int64", "complex128", "", 64, np.float64])
@pytest.mark.parametrize("name", ["numpy", "cupy", scb.get_backend("numpy")])
def test_other_dtypes_are_refused_by_name(name, dtype):
    with pytest.raises(InvalidArgument, match="expected one of float64, float32") as caught:
        scb.get_backend(name, dtype)
    assert repr(dtype) in str(caught.value)


@pytest.mark.parametrize("dtype", [np.dtype("float64"), np.dtype("float32")])
def test_a_dtype_object_is_refused_as_such(dtype):
    with pytest.raises(InvalidArgument, match=r"dtype\('float"):
        scb.get_backend("numpy", dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_precision_asked_for_is_the_precision_of_every_array(dtype):
    backend = scb.get_backend("numpy", dtype)
    task = scb.SCB.random(3, 5, 2, backend=backend)
    for array in (backend.asarray([1, 2]), task.P, task.Q, task.mu, task.C):
        assert array.dtype == np.dtype(dtype)


def test_the_default_is_numpy_at_double_precision():
    backend = scb.get_backend()
    assert (backend.name, backend.dtype) == ("numpy", np.float64)


def test_a_backend_passes_through_and_keeps_its_precision():
    backend = scb.get_backend("numpy", "float32")
    assert scb.get_backend(backend) is backend


def test_a_precision_asked_for_beside_a_backend_is_not_ignored(strict):
    single = scb.get_backend(strict, "float32")
    assert (single.dtype, single.device) == (strict.xp.float32, strict.device)
    assert scb.SCB.random(3, 5, 2, backend=strict, dtype="float32").P.dtype == strict.xp.float32


def test_another_precision_of_a_task_stays_on_its_backend_and_device(strict):
    task = scb.SCB.random(3, 5, 2, backend=strict).on(dtype="float32")
    assert task.backend.name == "array_api_strict"
    assert task.P.device == strict.device
    assert task.P.dtype == strict.xp.float32
    assert task.on().P.dtype == strict.xp.float32
    assert task.on("numpy").P.dtype == np.float64


def test_arrays_make_the_round_trip_through_the_device(backend):
    values = np.arange(6.0).reshape(2, 3) / 4
    array = backend.asarray(values)
    assert array.dtype == backend.dtype
    assert backend.device is None or array.device == backend.device
    back = backend.to_numpy(array)
    assert type(back) is np.ndarray
    np.testing.assert_array_equal(back, values, strict=backend.dtype == backend.xp.float64)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int64"])
def test_integers_keep_the_type_that_was_asked_for(backend, dtype):
    array = backend.asarray([1, 200], dtype=getattr(backend.xp, dtype))
    assert array.dtype == getattr(backend.xp, dtype)
    np.testing.assert_array_equal(backend.to_numpy(array), np.array([1, 200], dtype), strict=True)


def test_every_failure_is_caught_by_the_base_class(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    for arguments in [("tpu",), ("cupy",), ("numpy", "float16")]:
        with pytest.raises(SCBError):
            scb.get_backend(*arguments)
