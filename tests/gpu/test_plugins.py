"""Plugins that warn when they are set up must not end a run in which warnings are errors."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WARNINGS = [  # what pytest-benchmark says under xdist, and pytest-asyncio always
    "Benchmarks are automatically disabled because xdist plugin is active.",
    'The configuration option "asyncio_default_fixture_loop_scope" is unset.',
]


@pytest.mark.parametrize("text", [*WARNINGS, "something else"])
def test_a_plugins_warning(tmp_path, text):
    """Those two are shown; any other still ends the run."""
    (tmp_path / "noisy.py").write_text(f"import warnings\ndef pytest_configure():\n    warnings.warn({text!r})\n")
    command = [sys.executable, "-m", "pytest", "-p", "noisy", "-q", "--collect-only", "tests/kernels/test_packing.py"]
    done = subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": f"{tmp_path}:{ROOT}"}, capture_output=True, text=True)
    assert (done.returncode == 0) == (text in WARNINGS), done.stdout + done.stderr
