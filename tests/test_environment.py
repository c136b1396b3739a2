"""pyproject.toml, requirements.lock and environment.yml describe one environment."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()
EXTRAS = PROJECT["optional-dependencies"]
SUPPORTED = ("3.11", "3.12", "3.13")


def locked() -> dict[str, list[Version]]:
    """Every version in the lock by name: a universal lock may hold two, told apart by a marker."""
    versions: dict[str, list[Version]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([^\s;\\]+)", LOCK, flags=re.MULTILINE):
        versions.setdefault(canonicalize_name(name), []).append(Version(version))
    return versions


def requirements(*groups: str) -> list[str]:
    texts = PROJECT["dependencies"] if "core" in groups else []
    return texts + [text for group in groups if group != "core" for text in EXTRAS[group]]


@pytest.mark.parametrize("text", requirements("core", "book", "test", "dev"))
def test_each_dependency_is_locked_within_its_bounds(text):
    requirement = Requirement(text)
    versions = locked().get(canonicalize_name(requirement.name), [])
    assert versions, f"{requirement.name} is not in requirements.lock: run `make lock`"
    outside = [str(v) for v in versions if v not in requirement.specifier]
    assert not outside, f"locked at {outside}, but pyproject.toml says {text!r}: run `make lock`"


def test_each_dependency_has_a_lower_bound():
    unbounded = [
        text
        for text in requirements("core", *EXTRAS)
        if not any(part.operator in (">=", "==") for part in Requirement(text).specifier)
    ]
    assert unbounded == []


@pytest.mark.parametrize("name", ["jupyter-book", "matplotlib", "nbval", "numpy", "papermill", "sympy"])
def test_the_tools_the_book_is_made_of_are_locked(name):
    assert name in locked()


def test_cupy_is_an_extra_and_never_locked():
    assert [Requirement(text).name for text in EXTRAS["gpu"]] == ["cupy-cuda12x"]
    assert [name for name in locked() if name.startswith("cupy")] == []


def test_the_lock_names_no_server_and_no_folder():
    tied = [line for line in LOCK.splitlines() if re.search(r"://|file:|^--|^-e| @ ", line)]
    assert tied == []


def test_the_lock_has_a_hash_for_everything():
    entries = re.split(r"\n(?=[\w.-]+==)", LOCK.strip())
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_supported_pythons():
    allowed = SpecifierSet(PROJECT["requires-python"])
    assert all(version in allowed for version in SUPPORTED)
    prefix = "Programming Language :: Python :: 3."
    declared = [text for text in PROJECT["classifiers"] if text.startswith(prefix)]
    assert [text.rpartition(" ")[2] for text in declared] == list(SUPPORTED)


def test_environment_yml_installs_the_lock_on_a_supported_python():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == PROJECT["name"]
    plain = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    [python] = [entry.partition("=")[2] for entry in plain if entry.startswith("python=")]
    assert python in SUPPORTED
    [pip] = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip == ["--requirement requirements.lock"], "one source of versions, and it has hashes"


def test_environment_yml_names_the_gpu_extra_as_pyproject_does():
    [cupy] = EXTRAS["gpu"]
    assert f"'{cupy}'" in (ROOT / "environment.yml").read_text()
