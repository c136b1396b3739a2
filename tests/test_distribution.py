"""The wheel and the sdist: what is in them, installed outside the checkout, and what they say that they cannot do."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import scbtheory

ROOT = Path(__file__).parents[1]
UV = Path(sys.executable).with_name("uv")


def run(*command, cwd, **variables):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | variables
    return subprocess.run([*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with both, made without a network."""
    folder = tmp_path_factory.mktemp("dist")
    done = run(sys.executable, "-m", "hatchling", "build", "-d", folder, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return folder


def installed(archive, folder):
    """Install an archive into a folder, and return how its command is called from elsewhere."""
    command = [UV, "pip", "install", "--quiet", "--offline", "--no-deps", "--no-build-isolation"]
    done = run(*command, "--python", sys.executable, "--target", folder, archive, cwd=folder.parent)
    assert done.returncode == 0, done.stderr

    def call(*words, code="from scbtheory.cli import main; sys.exit(main(sys.argv[1:]))"):
        return run(sys.executable, "-c", f"import sys; {code}", *words, cwd=folder.parent, PYTHONPATH=str(folder))

    return call


def sources(*folders):
    """The files that Git follows there."""
    listed = run("git", "ls-files", *folders, cwd=ROOT).stdout.split()
    if not listed:
        pytest.skip("no checkout to compare with")
    return set(listed)


def test_a_wheel_holds_the_package_and_nothing_else(built):
    [wheel] = built.glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held >= sources("scbtheory")
    assert all(name.startswith("scbtheory/") for name in held)


def test_an_sdist_holds_all_that_make_needs(built):
    [sdist] = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    needed = sources("scbtheory", "book", "tests", "benchmarks", "*.yml", "*.md", "*.toml", "*.lock", "Makefile")
    assert {name for name in needed - held if not name.startswith(".")} == set()


@pytest.mark.slow
@pytest.mark.skipif(not UV.exists(), reason="no uv beside this Python to install with")
@pytest.mark.parametrize("kind", ["*.whl", "*.tar.gz"])
def test_outside_a_checkout_claims_are_verified_and_the_book_is_said_to_be_missing(built, tmp_path, kind):
    [archive] = built.glob(kind)
    call = installed(archive, tmp_path / "site")
    where = call(code="import scbtheory; print(scbtheory.__file__)")
    assert where.stdout.strip() == str(tmp_path / "site" / "scbtheory" / "__init__.py")
    assert call("--version").stdout == f"scbtheory {scbtheory.__version__}\n"
    if kind == "*.whl":
        verified = call("verify", "R1")
        assert verified.returncode == 0, verified.stderr
        assert "R1" in verified.stdout
    said = call("refresh")
    assert said.returncode == 2
    assert said.stderr.count("\n") == 1
    assert "no book here" in said.stderr
    assert "an installed package has none" in said.stderr
    code = "sys.modules['nbformat'] = None; from scbtheory.cli import main; sys.exit(main(['refresh']))"
    without = call(code=code)
    assert without.returncode == 2
    assert without.stderr == "scbtheory: nbformat is not installed: pip install 'scbtheory[book]'\n"
