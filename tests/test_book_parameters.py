"""Chapters with other parameters: what is refused before anything runs, and what a run leaves behind."""

from io import StringIO
from pathlib import Path

import nbformat
import pytest
from nbformat import v4
from rich.console import Console

from scbtheory.publishing import book, notebooks, parameters, progress, record, source
from scbtheory.publishing.extension.parameters import formatted

BOOK = Path(__file__).parents[1] / "book"
CELL = """\
vocab_size = 4  # 2 to 26
context_length = 24  # sparsity to 60
sparsity = 3  # 1 to context_length
seed = 2  # 0 or more
K_P = 0.2  # between 0 and 1, not K_Q
K_Q = 0.5  # between 0 and 1
backend = "numpy"  # "numpy" or "cupy"
dtype = "float64"  # "float64" or "float32"
note = "free"
"""


def write(path, *sources, cell=CELL, text="# A chapter"):
    cells = [v4.new_markdown_cell(text, id="title")]
    cells.append(v4.new_code_cell(cell, id="parameters", metadata={"tags": ["parameters"]}))
    cells += [v4.new_code_cell(source, id=f"c{i}") for i, source in enumerate(sources)]
    nbformat.write(v4.new_notebook(cells=cells), path)
    notebooks.normalise_file(path)
    return path


@pytest.fixture
def chapter(tmp_path):
    return write(tmp_path / "model.ipynb")


# --- checked before anything runs ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ({"vocab_size": 26}, 26),
        ({"context_length": 3}, 3),
        ({"context_length": 2e1}, 20),
        ({"sparsity": 24}, 24),
        ({"seed": 10**30}, 10**30),
        ({"K_P": 1e-9}, 1e-9),
        ({"dtype": "float32"}, "float32"),
        ({"note": "whatever"}, "whatever"),
    ],
)
def test_a_value_inside_its_range_is_taken(chapter, given, value):
    [name] = given
    found = parameters.check(chapter, given)
    assert found[name] == value
    assert type(found[name]) is type(value)
    assert len(found) == 9


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"vocab_sise": 4}, "no parameter 'vocab_sise'; did you mean 'vocab_size'"),
        ({"vocab_size": 1}, "vocab_size is 1; expected 2 to 26"),
        ({"vocab_size": 27}, "vocab_size is 27; expected 2 to 26"),
        ({"vocab_size": 2.5}, "vocab_size is 2.5; expected a whole number such as 4"),
        ({"vocab_size": True}, "vocab_size is True; expected a whole number"),
        ({"vocab_size": "two"}, "vocab_size is 'two'; expected a whole number"),
        ({"sparsity": 25}, r"sparsity is 25; expected 1 to context_length \(context_length is 24\)"),
        ({"context_length": 2}, r"context_length is 2; expected sparsity to 60 \(sparsity is 3\)"),
        ({"seed": -1}, "seed is -1; expected 0 or more"),
        ({"K_P": 0}, "K_P is 0.0; expected between 0 and 1"),
        ({"K_P": 1}, "K_P is 1.0; expected between 0 and 1"),
        ({"K_P": 0.5}, r"K_P is 0.5; expected between 0 and 1, not K_Q \(K_Q is 0.5\)"),
        ({"K_Q": 0.2}, r"K_P is 0.2; expected between 0 and 1, not K_Q \(K_Q is 0.2\)"),
        ({"K_P": float("nan")}, "K_P is nan; expected a number"),
        ({"K_P": float("inf")}, "K_P is inf; expected a number"),
        ({"backend": "torch"}, 'backend is \'torch\'; expected "numpy" or "cupy"'),
        ({"dtype": "float16"}, "dtype is 'float16'"),
    ],
)
def test_others_are_refused_in_a_line(chapter, given, message):
    with pytest.raises(source.BookError, match=message) as caught:
        parameters.check(chapter, given)
    assert "\n" not in str(caught.value)


def test_a_backend_that_this_machine_lacks_is_refused_before_anything_runs(tmp_path):
    try:
        import cupy

        if cupy.cuda.is_available():
            pytest.skip("this machine has one")
    except ImportError:
        pass
    chapter = write(tmp_path / "model.ipynb", "open('ran', 'w')")
    with pytest.raises(source.InvalidParameter, match="backend 'cupy' was asked for"):
        book.run([chapter], tmp_path / "out", {"backend": "cupy"})
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("cell", ["n = 1 + x", "n: int = 3", "import os", "n = [", "a = b = 1"])
def test_a_cell_of_anything_but_assignments_is_an_error(tmp_path, cell):
    with pytest.raises(source.BookError, match="no readable cell of parameters"):
        parameters.read(write(tmp_path / "model.ipynb", cell=cell))


def test_a_range_that_ends_at_no_number_is_an_error(tmp_path):
    with pytest.raises(source.BookError, match="a range ends at 'many'"):
        parameters.check(write(tmp_path / "model.ipynb", cell="n = 3  # 1 to many"), {"n": 4})


CHAPTERS = sorted(path for path in BOOK.glob("*.ipynb") if parameters.read(path))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_chapter_says_what_its_parameters_may_be_and_its_own_are_that(path):
    assert parameters.check(path, {})
    for name, parameter in parameters.read(path).items():
        words = parameter.range.startswith('"')  # a free word has no wrong value but one of another type
        wrong = "none" if words else 3 if isinstance(parameter.default, str) else -1
        with pytest.raises(source.InvalidParameter):
            parameters.check(path, {name: wrong})


# --- a run --------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "intro.md").write_text("# Intro\n\nText.\n")
    toc = "format: jb-book\nroot: book/intro\nchapters:\n  - file: book/one\n  - file: book/two\n"
    (tmp_path / "_toc.yml").write_text(toc)
    config = 'title: Tiny\nexecute:\n  execute_notebooks: "off"\nsphinx:\n  extra_extensions: ["{}"]\n'
    (tmp_path / "_config.yml").write_text(config.format("scbtheory.publishing.extension.parameters"))
    text = "# {}\n\nHere {{parameter}}`N = {{size}}, X^{{2}}` and {{parameter}}`T = {{length}}`."
    for name in ("one", "two"):
        code = "import os\nprint(size, os.environ['SCB_PROFILE'])"
        write(
            tmp_path / "book" / f"{name}.ipynb", code, text=text.format(name),
            cell="size = 3  # 1 to 9\nlength = 10_000  # 2 or more",
        )  # fmt: skip
    return tmp_path


def test_a_run_of_two_chapters_says_on_its_pages_what_it_was_run_with(root):
    chapters = source.chapters(root)
    written = book.run(chapters, root / "run", {"size": 7}, profile="full")
    assert [path.name for path in written] == ["one.ipynb", "two.ipynb"]
    for path in written:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        [output] = [o.text for cell in notebook.cells for o in cell.get("outputs", []) if o.output_type == "stream"]
        assert output == "7 full\n"
        found = record.read(path)
        assert found["parameters"] == {"size": 7, "length": 10_000}
        assert found["profile"] == "full"
        assert {"python", "scbtheory", "numpy"} <= set(found["versions"])
    assert record.read(chapters[0]) == {}

    pages = book.render_run(root, root / "run")
    assert pages == [root / "run" / "html" / "book" / f"{name}.html" for name in ("one", "two")]
    html = pages[1].read_text()
    assert "size = 7, length = 10000" in html
    assert f"numpy {found['versions']['numpy']}" in html
    assert "N = 7, X^{2}" in html
    assert "T = 10^{4}" in html


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (3, "3"), (1000, "1000"), (10_000, "10^{4}"), (60_000, r"6\cdot 10^{4}"), (12_345, r"12\,345"),
        (0.2, "0.2"), (1e-7, r"1\cdot 10^{-7}"), ("cupy", r"\text{cupy}"),
    ],
)  # fmt: skip
def test_a_value_in_a_formula(value, shown):
    assert formatted(value) == shown


def test_only_runs_are_rendered(root):
    (root / "run").mkdir()
    with pytest.raises(source.BookError, match="holds no notebook"):
        book.render_run(root, root / "run")
    stored = (root / "book" / "one.ipynb").read_text()
    (root / "run" / "one.ipynb").write_text(stored)
    with pytest.raises(source.BookError, match="does not say what it was run with"):
        book.render_run(root, root / "run")
    (root / "run" / "one.ipynb").rename(root / "run" / "ones.ipynb")
    with pytest.raises(source.UnknownChapter, match="no chapter 'ones'; did you mean 'one'"):
        book.render_run(root, root / "run")


def test_progress_is_shown_by_chapter_and_cell(root, monkeypatch):
    """And what fails leaves what was there."""
    path = write(root / "book" / "one.ipynb", "import time\ntime.sleep(1.2)", "1 / 0")
    (root / "run").mkdir()
    (root / "run" / "one.ipynb").write_text("what was there")
    seen = StringIO()
    console = Console(file=seen, force_terminal=True, width=120)
    monkeypatch.setattr(progress, "Console", lambda **_: console)
    with pytest.raises(source.BookError, match="1 of 1 chapters failed: one"):
        book.run([path], root / "run", {"seed": 1}, jobs=1)
    assert "executing one (cell 3 of 4)" in seen.getvalue()
    assert "FAILED one.ipynb, In [4]: 1 / 0" in seen.getvalue()
    assert [p.read_text() for p in (root / "run").iterdir()] == ["what was there"]
