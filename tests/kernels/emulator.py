"""CUDA sources on the CPU: compiled as C++, each thread a fibre (see ``emulator.h``)."""

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import pytest

HEADER = Path(__file__).with_name("emulator.h")
POOL = 8 << 15  # bytes


class Emulator:
    """Compiled kernels; ``kernel`` stands in for a function that returns one of CuPy's.

    ``launches`` lists what was launched: names, blocks, threads and bytes of fast memory.
    """

    def __init__(self, folder, source, kernels, record):
        compiler = shutil.which("c++")
        if compiler is None:
            pytest.skip("no C++ compiler to read the CUDA source with")
        lines = [f'#include "{HEADER}"', source]
        for expression in kernels:
            lines.append(f"LAUNCH({symbol(expression)}, {record}{argument(expression)}, {expression})")
        (folder / "kernels.cpp").write_text("\n".join(lines) + "\n")
        options = ["-std=c++17", "-O1", "-ffp-contract=off", "-shared", "-fPIC"]
        subprocess.run([compiler, *options, "kernels.cpp", "-o", "kernels.so"], cwd=folder, check=True)
        self.library = ctypes.CDLL(str(folder / "kernels.so"))
        self.launches, self.order = [], 0

    def kernel(self, expression, shared=0):
        function = getattr(self.library, f"run_{symbol(expression)}")
        function.argtypes = [ctypes.c_uint, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.c_long]

        def launch(blocks, threads, record, shared_mem):
            assert shared_mem == shared <= POOL
            assert 0 < blocks < 2**31
            assert threads % 32 == 0
            self.launches.append((expression, blocks, threads, shared))
            where = ctypes.cast(record.pointer, ctypes.POINTER(ctypes.c_void_p))[0]  # as the driver finds it
            function(blocks, threads, self.order, where, record.words.nbytes)

        return launch


def symbol(expression):
    return re.sub(r"\W+", "_", expression).strip("_")


def argument(expression):
    """The template argument of a kernel's record: its floats."""
    found = re.search("<([a-z]+)", expression)
    return f"<{found[1]}>" if found else ""


def compiled_by_nvcc(folder, source, kernels, record):
    """Compile for an H100 or H200 with nvcc; return its notes on registers, or skip where it is not installed."""
    compiler = shutil.which("nvcc")
    if compiler is None:
        pytest.skip("no nvcc to compile the CUDA source with")
    templates = [k for k in kernels if "<" in k]
    lines = [source, *(f"template __global__ void {k}({record}{argument(k)});" for k in templates)]
    (folder / "kernels.cu").write_text("\n".join(lines) + "\n")
    command = [compiler, "-std=c++17", "--fmad=false", "-arch=sm_90", "-Xptxas", "-v", "-cubin", "kernels.cu"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr
