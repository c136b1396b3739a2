"""Which array library computes, on which device, at which precision.

A backend is chosen once, by name, and travels with the task; nothing is global and nothing falls
back silently. The rest of the package is written against the array API standard and asks the
backend only for its namespace ``xp``, its float ``dtype`` and its token loops (``kernels``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np

from scbtheory import memory
from scbtheory.errors import BackendUnavailable, InvalidArgument, UnknownBackend, nearest

__all__ = ["NAMES", "Backend", "column_medians", "from_namespace", "get_backend", "same"]

NAMES = ("numpy", "cupy")
FLOATS = ("float64", "float32")
_NO_GPU = (
    "backend 'cupy' was asked for, and CuPy and the driver work, but this machine shows no "
    "GPU; attach one (see CUDA_VISIBLE_DEVICES), or use backend 'numpy'"
)


@dataclass(frozen=True)
class Backend:
    """An array namespace with its device, float precision and token loops.

    Parameters
    ----------
    name : ``"numpy"``, ``"cupy"``, or the name of another array-API namespace.
    xp : the array-API namespace.
    device : where new arrays live (``None``: the namespace's default).
    dtype : the float type of parameters, losses and gradients.
    """

    name: str
    xp: ModuleType
    device: Any
    dtype: Any

    @cached_property
    def kernels(self) -> ModuleType:
        """The module with the token loops (see :mod:`scbtheory.kernels`), compiled ones where they exist."""
        from scbtheory.kernels import loops_for

        return loops_for(self.name)

    @property
    def known(self) -> bool:
        """Whether its name alone gives it again, as :func:`get_backend` does."""
        return self.name in NAMES

    @property
    def on_host(self) -> bool:
        """Whether its arrays are NumPy's."""
        return self.xp.__name__.endswith("numpy")

    def free_memory(self) -> int | None:
        """Bytes free on the device; ``None`` where the system does not tell."""
        return self.xp.cuda.runtime.memGetInfo()[0] if self.name == "cupy" else memory.available()

    def asarray(self, values, dtype=None):
        """Return host values as an array on the device (shared, not copied, where it is the host)."""
        values = np.asarray(values)
        if dtype is None:
            dtype = self.dtype
        return self.xp.asarray(values.tolist() if self._opaque else values, dtype=dtype, device=self.device)

    def to_numpy(self, array):
        """Return an array of this backend as a NumPy array in host memory (NumPy's own as they are)."""
        if isinstance(array, np.ndarray):
            return array
        if hasattr(array, "get"):  # CuPy
            return array.get()
        return np.from_dlpack(self.xp.asarray(array, device=_host_device(self.xp)))

    @property
    def _opaque(self) -> bool:
        """True for namespaces that do not read NumPy arrays directly."""
        return self.xp.__name__.startswith("array_api_strict")


def column_medians(xp, values):
    """The median of each column, (N,), which the array API has not.

    Parameters
    ----------
    xp : the array namespace.
    values : (T, N), T at least 1.

    Returns
    -------
    array
        (N,); the mean of the middle two where T is even.
    """
    # A stable sort, the default, takes NumPy fifteen times as long.
    ordered, size = xp.sort(values, axis=0, stable=False), values.shape[0]
    return (ordered[(size - 1) // 2, :] + ordered[size // 2, :]) / 2


def same(a, b) -> bool:
    """Whether two arrays are of one library, type and shape, and equal in every entry.

    Parameters
    ----------
    a, b : arrays of any library.

    Returns
    -------
    bool
        False as well for arrays on two devices, and where an entry is not a number.
    """
    if type(a) is not type(b) or a.shape != b.shape or a.dtype != b.dtype or a.device != b.device:
        return False
    return bool((a == b).all()) if hasattr(a, "all") else bool(a.__array_namespace__().all(a == b))


def _host_device(xp):
    return xp.Device("CPU_DEVICE") if hasattr(xp, "Device") else None


def get_backend(name: str | Backend = "numpy", dtype: str | None = None) -> Backend:
    """Return the backend called ``name`` ("numpy" or "cupy") at precision ``dtype``.

    Without ``dtype``, a name means float64 and a :class:`Backend` keeps its own precision.

    Parameters
    ----------
    name : ``"numpy"``, ``"cupy"``, or a backend, which is returned as it is or at another precision.
    dtype : ``"float64"``, ``"float32"`` or ``None``.

    Returns
    -------
    Backend
        On the library's default device if it was named.

    Raises
    ------
    UnknownBackend : no such name.
    BackendUnavailable : CuPy is not installed; or is installed without a usable driver; or sees no GPU.
    InvalidArgument : ``dtype`` is neither "float64" nor "float32".
    """
    if dtype is not None and not (isinstance(dtype, str) and dtype in FLOATS):
        raise InvalidArgument(f"dtype is {dtype!r}; expected one of {', '.join(FLOATS)}")
    if isinstance(name, Backend):
        return name if dtype is None else replace(name, dtype=getattr(name.xp, dtype))
    dtype = dtype or "float64"
    if name == "numpy":
        return from_namespace("numpy", np, dtype=dtype)
    if name == "cupy":
        return from_namespace("cupy", _usable_cupy(), dtype=dtype)
    raise UnknownBackend(f"backend {name!r} is not known; expected one of {', '.join(NAMES)}{nearest(name, NAMES)}")


def from_namespace(name: str, module: ModuleType, *, device=None, dtype: str = "float64") -> Backend:
    """Wrap any array-API namespace as a backend that uses the readable reference loops.

    Parameters
    ----------
    name : what to call the backend; ``"numpy"`` and ``"cupy"`` have loops of their own, and get those.
    module : the namespace.
    device : where new arrays live, as the namespace names it; ``None`` for its default.
    dtype : the name of a float type of the namespace.

    Returns
    -------
    Backend
        Not :attr:`~Backend.known` by any other name: tasks on it stay in this process.

    Raises
    ------
    AttributeError : the namespace has no type called ``dtype``.
    """
    from array_api_compat import array_namespace

    xp = array_namespace(module.zeros(1)) if name in NAMES else module
    return Backend(name, xp, device, getattr(xp, dtype))


def _usable_cupy() -> ModuleType:
    """Import CuPy, or say which of the three things is missing."""
    try:
        import cupy
    except ImportError as error:
        raise BackendUnavailable(
            f"backend 'cupy' was asked for, but CuPy is not installed ({error}); "
            "install it with: pip install 'scbtheory[gpu]'"
        ) from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # CUDARuntimeError exists only where CuPy could load CUDA
        if "cudaErrorNoDevice" in str(error):  # how CUDA itself reports a count of zero
            raise BackendUnavailable(_NO_GPU) from error
        raise BackendUnavailable(
            "backend 'cupy' was asked for and CuPy is installed, but CUDA gives no usable device "
            f"({error}); install or update the NVIDIA driver, or use backend 'numpy'"
        ) from error
    if count == 0:
        raise BackendUnavailable(_NO_GPU)
    return cupy
