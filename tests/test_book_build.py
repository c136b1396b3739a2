"""Executing, normalising and rendering, on books of a few lines made for the purpose."""

import json
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import v4
from toy_book import make, printed, write

from scbtheory.publishing import book, execution, notebooks, rendering, source


@pytest.fixture
def root(tmp_path):
    return make(tmp_path)


# --- execute ------------------------------------------------------------------------------------


def test_refresh_stores_what_ran_and_leaves_what_failed(root, capfd):
    good = write(root / "book" / "good.ipynb", "print('one')", "print('two')\n{1: 'x'}")
    bad = write(root / "book" / "bad.ipynb", "print('before')", "1 / 0")
    before = bad.read_bytes()

    with pytest.raises(source.BookError, match="1 of 2 chapters failed: bad"):
        book.refresh([good, bad])

    assert printed(good) == "one\ntwo\n"
    assert bad.read_bytes() == before
    assert sorted(path.name for path in good.parent.iterdir()) == [
        "bad.ipynb", "good.ipynb", "intro.md",
    ]  # fmt: skip
    message = capfd.readouterr().err
    assert "bad.ipynb, In [2]: 1 / 0" in message
    assert "ZeroDivisionError: division by zero" in message

    assert book.refresh([good]) == [], "the same cells must give the same bytes"


def test_run_uses_this_interpreter_and_writes_elsewhere(root, monkeypatch):
    spec = root / "shadow" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"argv": ["false"], "display_name": "x", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(root / "shadow"))

    code = "import sys, os\nprint(size, sys.executable, os.environ['OMP_NUM_THREADS'])"
    chapter = write(root / "book" / "model.ipynb", code, parameters="size = 3")
    before = chapter.read_bytes()
    assert book.run([chapter], root / "other", {"size": 7}, jobs=1) == [root / "other" / "model.ipynb"]

    executable = sys.executable.replace(f"{root}/", "")
    assert printed(root / "other" / "model.ipynb") == f"7 {executable} 1\n"
    assert chapter.read_bytes() == before
    with pytest.raises(source.BookError, match="name another folder"):
        book.run([chapter], root / "book" / ".." / "book", {"size": 7})


def test_an_unknown_parameter_is_refused_before_anything_runs(root):
    chapter = write(root / "book" / "model.ipynb", "1 / 0", parameters="size = 3\nseed = 0")
    with pytest.raises(source.UnknownParameter, match="no parameter 'sized'; did you mean 'size'") as e:
        execution.execute([chapter], root / "out", {"sized": 7})
    assert "its parameters: size, seed" in str(e.value)
    assert not (root / "out").exists()

    bare = write(root / "book" / "bare.ipynb", "1")
    with pytest.raises(source.UnknownParameter, match="its parameters: none"):
        execution.execute([bare], root / "out", {"size": 7})


# --- normalise ----------------------------------------------------------------------------------


def test_normalise_removes_what_passes_and_keeps_the_rest(tmp_path):
    def stream(text):
        return v4.new_output("stream", name="stdout", text=text)

    code = v4.new_code_cell("x", id="keep", execution_count=4, outputs=[stream("a\n"), stream("b")])
    code.outputs.append(v4.new_output("display_data", {"text/plain": f"{tmp_path}/src/a.py"}))
    code.metadata = nbformat.from_dict(
        {
            "papermill": {"start_time": "2024-01-01T00:00:00"},
            "execution": {"iopub.status.idle": "2024-01-01T00:00:00Z"},
            "mystnb": {"image": {"alt": "A line"}},
            "tags": [],
        }
    )
    injected = v4.new_code_cell("size = 7", metadata={"tags": ["injected-parameters"]})
    notebook = v4.new_notebook(cells=[code, injected], metadata={"papermill": {"duration": 1.0}})
    notebook.metadata["language_info"] = {"name": "python", "version": "3.11.7"}

    notebooks.normalise(notebook, tmp_path)

    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    first, second = notebook.cells
    assert (first.id, first.execution_count) == ("keep", 4)
    assert first.metadata == {"mystnb": {"image": {"alt": "A line"}}}
    assert [output.get("text") for output in first.outputs] == ["a\nb", None]
    assert first.outputs[1].data["text/plain"] == "src/a.py"
    assert second.id == "injected-parameters"
    nbformat.validate(notebook)

    once = nbformat.writes(notebook)
    assert nbformat.writes(notebooks.normalise(notebook, tmp_path)) == once


def test_normalise_gives_an_old_notebook_the_same_ids_each_time(tmp_path):
    old = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    old["cells"].append({"cell_type": "markdown", "metadata": {}, "source": "# T"})
    paths = [tmp_path / "a.ipynb", tmp_path / "b.ipynb"]
    for path in paths:
        path.write_text(json.dumps(old))
        assert notebooks.normalise_file(path)
        assert not notebooks.normalise_file(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize(
    ("shown", "stored"),
    [
        ("{root}/paper.pdf", "paper.pdf"),
        ("at '{root}/a.py', line 1:{root}/b.py", "at 'a.py', line 1:b.py"),
        ("https://example.org{root}/paper.pdf", None),
        ("/other{root}/paper.pdf", None),
        ("..{root}/paper.pdf", None),
        ("{root}", None),
    ],
)
def test_only_whole_paths_below_the_root_become_relative(shown, stored):
    root = Path("/tmp")
    cell = v4.new_code_cell(outputs=[v4.new_output("stream", text=shown.format(root=root))])
    notebooks.normalise(v4.new_notebook(cells=[cell]), root)
    assert cell.outputs[0].text == (shown.format(root=root) if stored is None else stored)


@pytest.mark.parametrize(
    "content", [None, "{}", "[]", "3", "not", '{"cells": 3}', '{"cells": [1]}', b"\xff\xfe{\x00}\x00"]
)
def test_what_is_no_notebook_is_refused_and_stays(tmp_path, content):
    path = tmp_path / "a.ipynb"
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(source.BookError, match=r"a\.ipynb (is not a notebook|cannot be read)"):
        notebooks.normalise_file(path)
    assert [p.name for p in tmp_path.iterdir()] == (["a.ipynb"] if content is not None else [])
    with pytest.raises(source.BookError, match="cannot be read: Is a directory"):
        notebooks.normalise_file(tmp_path)


def test_normalise_follows_links_and_keeps_modes(tmp_path):
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "a.ipynb", tmp_path / "a.ipynb"
    nbformat.write(v4.new_notebook(cells=[v4.new_code_cell("1", id="c", metadata={"collapsed": True})]), target)
    target.chmod(0o600)
    link.symlink_to(target)
    assert notebooks.normalise_file(link)
    assert link.is_symlink()
    assert "collapsed" not in target.read_text()
    assert target.stat().st_mode & 0o777 == 0o600


def test_ids_that_are_missing_follow_from_place_and_content(tmp_path):
    cells = [{"cell_type": "markdown", "metadata": {}, "source": text} for text in ("# T", "a", "a")]
    paths = tmp_path / "one.ipynb", tmp_path / "two.ipynb"
    for path in paths:
        path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
        notebooks.normalise_file(path)
    one, two = ([cell.id for cell in nbformat.read(path, as_version=4).cells] for path in paths)
    assert one == two
    assert len(set(one)) == 3


# --- the machine's own settings -----------------------------------------------------------------


FOLDERS = ["run{1}", "a{draft}b", "b{", "with space", "it's 100% é"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_book_in_a_folder_of_any_name_runs_and_renders(root, folder):
    there = root / folder
    there.mkdir()
    for name in ("book", "_toc.yml", "_config.yml"):
        (root / name).rename(there / name)
    chapter = write(there / "book" / "model.ipynb", "print(size)", parameters="size = 3")
    book.run([chapter], there / "out", {"size": 7})
    assert printed(there / "out" / "model.ipynb") == "7\n"
    assert book.refresh([chapter]) == [chapter]
    if folder == FOLDERS[0]:  # a build takes seconds
        (there / "_toc.yml").write_text("format: jb-book\nroot: book/intro\nchapters:\n  - file: book/model\n")
        assert book.build(there, run=False).is_file()


def test_a_users_configuration_of_ipython_changes_nothing(root, monkeypatch):
    profile = root / "home" / "profile_default"
    profile.mkdir(parents=True)
    (profile / "ipython_config.py").write_text("c.InteractiveShell.ast_node_interactivity = 'all'\n")
    monkeypatch.setenv("IPYTHONDIR", str(root / "home"))
    chapter = write(root / "book" / "model.ipynb", "'first'\n'second'")
    book.refresh([chapter])
    [output] = nbformat.read(chapter, as_version=4).cells[1].outputs
    assert output.data["text/plain"] == "'second'"


def test_output_may_not_be_a_file(root):
    chapter = write(root / "book" / "model.ipynb", "1 / 0")
    for name in ("_toc.yml", "other.ipynb"):
        with pytest.raises(source.BookError, match="is a file's name"):
            book.run([chapter], root / name, {})


def test_a_folder_that_cannot_be_made_is_refused_before_the_work(root):
    chapter = write(root / "book" / "model.ipynb", "1 / 0")  # had it run, that would have failed
    with pytest.raises(NotADirectoryError):
        book.run([chapter], root / "_toc.yml" / "mine", {})


# --- render -------------------------------------------------------------------------------------


def test_a_failed_render_leaves_the_last_good_book(root):
    html = root / "_build" / "html"
    page = rendering.render(root, html)
    assert page == html / "index.html"
    good = (html / "book" / "intro.html").read_text()
    assert "Text." in good

    (root / "book" / "intro.md").write_text("# Intro\n\nNew text, [](nowhere.md).\n")
    with pytest.raises(source.BookError, match=r"(?s)not rendered.*book/intro\.md.*nowhere"):
        rendering.render(root, html)

    assert (html / "book" / "intro.html").read_text() == good
    assert [path.name for path in html.parent.iterdir()] == ["html"], "no scaffolding stays"


def test_build_does_not_render_what_did_not_run(root, monkeypatch):
    write(root / "book" / "bad.ipynb", "1 / 0")
    monkeypatch.setattr(book, "render", lambda *_, **__: pytest.fail("rendered"))
    with pytest.raises(source.BookError, match="1 of 1 chapters failed: bad"):
        book.build(root)


# --- names --------------------------------------------------------------------------------------


def test_chapters_by_name_or_path(root):
    model = write(root / "book" / "model.ipynb", "1")
    moments = write(root / "book" / "moments.ipynb", "1")
    assert source.chapters(root) == [model, moments]
    assert source.chapters(root, ["book/moments.ipynb", "model", "moments"]) == [moments, model]
    with pytest.raises(source.UnknownChapter, match="no chapter 'modell'; did you mean 'model'"):
        source.chapters(root, ["modell"])


def test_the_root_is_found_from_within(root):
    assert source.find_root(root / "book") == root
