"""The command line: what it prints, and the exit codes that scripts rely on."""

import json
import os
import runpy
import subprocess
import sys

import pytest

from scbtheory import __version__, cli
from scbtheory.errors import SCBError
from scbtheory.publishing import book


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A book with one empty chapter, as the current folder."""
    (tmp_path / "book").mkdir()
    for name in ("_config.yml", "_toc.yml"):
        (tmp_path / name).write_text("")
    empty = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "book" / "moments.ipynb").write_text(json.dumps(empty))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"scbtheory {__version__}\n"


def test_the_package_is_a_command_of_python(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["scbtheory", "--version"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_module("scbtheory", run_name="__main__")
    assert capsys.readouterr().out == f"scbtheory {__version__}\n"


def test_an_expected_error_is_one_line_and_exit_code_2(project, capsys):
    assert cli.main(["refresh", "momens"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "no chapter 'momens'; did you mean 'moments'?" in err


def test_a_folder_without_a_book_says_what_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["book"]) == 2
    assert "_config.yml" in capsys.readouterr().err


def test_interrupting_is_exit_code_130(project, monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(book, "build", interrupt)
    assert cli.main(["book"]) == 130
    assert capsys.readouterr().err == "scbtheory: interrupted\n"  # what changed until then is not known here


@pytest.mark.parametrize(("words", "line"), [(["Unable to allocate"], ": Unable to allocate"), ([], "")])
def test_what_does_not_fit_the_memory_is_one_line_and_exit_code_2(project, monkeypatch, capsys, words, line):
    def fill(*_, **__):
        raise MemoryError(*words)

    monkeypatch.setattr(book, "build", fill)
    assert cli.main(["book"]) == 2
    assert capsys.readouterr().err == f"scbtheory: out of memory{line}\n"


@pytest.mark.parametrize(("flags", "runs"), [([], True), (["--no-execute"], False)])
def test_book_prints_the_page_to_open(project, monkeypatch, capsys, flags, runs):
    seen = {}

    def build(root, **options):
        seen.update(options, root=root)
        return root / "_build" / "html" / "index.html"

    monkeypatch.setattr(book, "build", build)
    assert cli.main(["book", "--jobs", "1", *flags]) == 0
    assert seen == {"root": project, "run": runs, "jobs": 1}
    assert capsys.readouterr().out == "The book is at _build/html/index.html\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [("n=3", 3), ("n=1e-3", 1e-3), ("n=[1, 2]", [1, 2]), ("n=cupy", "cupy"), ("n=", "")],
)
def test_a_parameter_is_a_literal_or_a_word(project, monkeypatch, text, value):
    seen = []
    monkeypatch.setattr(book, "run", lambda chapters, folder, parameters, **_: seen.append(parameters) or [])
    assert cli.main(["run", "moments", "-p", text, "--output", "others"]) == 0
    assert seen == [{"n": value}]


def test_run_takes_what_most_chapters_have_as_options(project, monkeypatch, capsys):
    seen = {}

    def run(chapters, folder, parameters, **options):
        seen.update(options, parameters=parameters, folder=str(folder), chapters=[path.stem for path in chapters])
        return [project / folder / "moments.ipynb"]

    monkeypatch.setattr(book, "run", run)
    options = ["--seed", "7", "--backend", "cupy", "--dtype", "float32", "--profile", "full", "--jobs", "3"]
    assert cli.main(["run", "moments", "moments.ipynb", "-p", "n=2", *options, "--output", "others"]) == 0
    assert seen == {
        "chapters": ["moments"], "folder": "others", "jobs": 3, "profile": "full",
        "parameters": {"n": 2, "seed": 7, "backend": "cupy", "dtype": "float32"},
    }  # fmt: skip
    assert "wrote others/moments.ipynb\n" in capsys.readouterr().out


@pytest.mark.parametrize("options", [["-p", "seed=1", "--seed", "2"], ["-p", "seed=1", "-p", "seed=2"]])
def test_a_parameter_given_twice_has_one_value(project, monkeypatch, capsys, options):
    monkeypatch.setattr(book, "run", lambda *_, **__: [])
    assert cli.main(["run", "moments", *options, "--output", "others"]) == 2
    assert capsys.readouterr().err == "scbtheory: seed=1 and seed=2 contradict each other\n"
    assert cli.main(["run", "moments", *[option.replace("2", "1") for option in options], "--output", "others"]) == 0


def test_refresh_says_which_chapters_the_contents_leave_out(project, monkeypatch, capsys):
    monkeypatch.setattr(book, "refresh", lambda notebooks, **_: notebooks)
    assert cli.main(["refresh"]) == 0
    assert capsys.readouterr().err == "scbtheory: _toc.yml does not list book/moments, which is on no page\n"
    (project / "_toc.yml").write_text("chapters:\n  - file: book/moments_two\n  - file: book/moments\n")
    assert cli.main(["refresh"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "moments", "-p", "n", "--output", "others"],
        ["run", "moments", "-p", "2n=1", "--output", "others"],
        ["run", "moments"],
        ["run", "moments", "--output", ""],
        ["render", "--from", ""],
        ["run", "--output", "others"],
        ["run", "moments", "--profile", "huge", "--output", "others"],
        ["render"],
        ["book", "--jobs", "0"],
        ["book", "--jobs", "00"],
        ["book", "--jobs", "²"],
        ["publish"],
        [],
    ],
)
def test_a_wrong_command_line_shows_the_usage(project, capsys, arguments):
    with pytest.raises(SystemExit, match="2"):
        cli.main(arguments)
    assert "usage: scbtheory" in capsys.readouterr().err


def test_normalise_reports_what_it_changed_as_a_commit_hook_must(project, capsys):
    assert cli.main(["normalise", "book/moments.ipynb"]) == 1
    assert cli.main(["normalise", "book/moments.ipynb"]) == 0
    assert capsys.readouterr().out == "normalised book/moments.ipynb\n"


def test_normalise_refuses_what_is_not_a_notebook(project, capsys):
    (project / "notes.txt").write_text("no notebook")
    assert cli.main(["normalise", "notes.txt"]) == 2
    assert "notes.txt is not a notebook" in capsys.readouterr().err


def test_verify_passes_on_ids_and_exit_code(monkeypatch, tmp_path):
    claims = pytest.importorskip("scbtheory.verification.terminal")
    seen = []
    monkeypatch.setattr(claims, "run", lambda *arguments: seen.append(arguments) or 1)
    assert cli.main(["verify", "G3", "--json", str(tmp_path / "r.json")]) == 1
    assert seen == [(["G3"], tmp_path / "r.json")]


def test_verify_turns_a_known_error_into_exit_code_2(monkeypatch):
    claims = pytest.importorskip("scbtheory.verification.terminal")

    def refuse(*_):
        raise SCBError("no claim 'Z9'")

    monkeypatch.setattr(claims, "run", refuse)
    assert cli.main(["verify", "Z9"]) == 2


def test_verify_full_sets_the_profile_that_the_experiments_read(monkeypatch):
    from scbtheory.verification import profiles
    from scbtheory.verification import terminal as claims_cli

    monkeypatch.setenv("SCB_PROFILE", "quick")
    seen = []
    monkeypatch.setattr(claims_cli, "run", lambda ids, path: seen.append(profiles.sized("quick", "full")) or 0)
    assert cli.main(["verify", "E1"]) == cli.main(["verify", "E1", "--full"]) == 0
    assert seen == ["quick", "full"]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize("command", ["verify G7", "stages --context-length 1e4 --K-P .2 --K-Q .5", "where S3"])
def test_a_terminal_without_greek_letters_is_no_obstacle(command, encoding):
    done = subprocess.run(
        [sys.executable, "-m", "scbtheory.cli", *command.split()], env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr.decode(encoding).strip()) == (0, "")
    assert done.stdout.decode(encoding).strip()


def test_a_reader_who_leaves_is_no_error():
    stages = f"{sys.executable} -m scbtheory.cli stages --context-length 1e4 --K-P .2 --K-Q .5"
    command = f"{stages} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("0\n", "")
