"""Whatever goes wrong, the last good notebook and book stay whole, nothing stray stays, and one line says what."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from toy_book import alive, make, printed, wait_until, write

from scbtheory.publishing import book, rendering, source
from scbtheory.publishing.workplace import workplace

CLI = [sys.executable, "-m", "scbtheory.cli"]
WAITING = "import os, pathlib, time", "pathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(60)"


@pytest.fixture
def root(tmp_path):
    return make(tmp_path)


@pytest.fixture
def good(root):
    """A book that was rendered."""
    (root / "_build" / "html").mkdir(parents=True)
    (root / "_build" / "html" / "index.html").write_text("good")
    return root


def whole(root) -> bool:
    """Whether there is nothing below ``_build`` but the good book."""
    return listed(root / "_build") == ["html"] and (root / "_build" / "html" / "index.html").read_text() == "good"


def listed(folder):
    return sorted(path.name for path in folder.iterdir())


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


# --- a chapter that does not run ----------------------------------------------------------------


def test_a_dead_kernel_and_a_cut_notebook_leave_the_others_to_run(good, capfd):
    dead = write(good / "book" / "dead.ipynb", "import os\nos._exit(1)")
    fine = write(good / "book" / "fine.ipynb", "print('new')")
    cut = good / "book" / "cut.ipynb"
    cut.write_bytes(dead.read_bytes()[:200])
    before = dead.read_bytes(), cut.read_bytes()
    with pytest.raises(source.BookError, match="2 of 3 chapters failed: "):
        book.refresh([dead, cut, fine])
    assert printed(fine) == "new\n"
    assert (dead.read_bytes(), cut.read_bytes()) == before
    assert whole(good)
    assert listed(good / "book") == ["cut.ipynb", "dead.ipynb", "fine.ipynb", "intro.md"]
    said = capfd.readouterr().err
    assert "dead.ipynb, outside any cell\nDeadKernelError: Kernel died" in said
    assert "cut.ipynb, outside any cell\n" in said
    with pytest.raises(source.BookError, match=r"cut\.ipynb has no readable cell of parameters"):
        book.run([cut], good / "other", {"size": 3})


def test_a_failing_cell_leaves_the_last_output(good):
    chapter = write(good / "book" / "model.ipynb", "print(1 / size)", parameters="size = 3")
    output = good / "mine" / "model.ipynb"
    output.parent.mkdir()
    output.write_text("mine")
    with pytest.raises(source.BookError, match="1 of 1 chapters failed: model"):
        book.run([chapter], output.parent, {"size": 0})
    assert output.read_text() == "mine"
    assert whole(good)
    assert listed(good) == ["_build", "_config.yml", "_toc.yml", "book", "mine"]
    assert listed(output.parent) == ["model.ipynb"]


# --- a process that ends, and a second one ------------------------------------------------------


@pytest.mark.parametrize(("command", "how"), [("refresh", signal.SIGINT), ("book", signal.SIGKILL)])
def test_a_process_cut_short_changes_nothing_and_a_second_one_is_refused(good, command, how):
    slow = write(good / "book" / "slow.ipynb", *WAITING)
    before = slow.read_bytes()
    marker, scratch = good / "book" / "pid", good / "scratch"
    scratch.mkdir()
    with (good / "log").open("w") as stream:
        environment = os.environ | {"TMPDIR": str(scratch)}
        process = subprocess.Popen(
            [*CLI, command], cwd=good, stderr=stream, env=environment,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a shell's background jobs ignore
        )  # fmt: skip
    wait_until(lambda: marker.exists() and marker.read_text())

    second = subprocess.run([*CLI, command], cwd=good, capture_output=True, text=True)
    assert second.returncode == 2
    assert second.stderr == f"scbtheory: {command} is under way in process {process.pid}; try again when it has ended\n"

    process.send_signal(how)
    process.wait(timeout=120)
    wait_until(lambda: not alive(int(marker.read_text())))
    assert slow.read_bytes() == before
    wait_until(lambda: not listed(scratch))
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert last_line((good / "log").read_text()) == "scbtheory: interrupted"
    else:
        assert listed(good / "_build") != ["html"], "a killed process cannot tidy up"
        with workplace(good, "refresh"):  # the next one does
            assert [name for name in listed(good / "_build") if "book" in name] == []
    assert whole(good)


def test_two_runs_into_one_folder_are_one_at_a_time(good, monkeypatch):
    chapter = write(good / "book" / "model.ipynb", "1")
    (good / "link").symlink_to(good)
    seen = []

    def execute(notebooks, folder, *_, **__):
        (folder / "model.ipynb").write_bytes(chapter.read_bytes())
        if not seen:
            seen.append(folder)
            book.run([chapter], good / "two", {})  # another folder: welcome
            with pytest.raises(source.BookError, match=f"under way in process {os.getpid()}; try again"):
                book.run([chapter], good / "link" / "one", {})
        return []

    monkeypatch.setattr(book, "execute", execute)
    book.run([chapter], good / "one", {})
    assert listed(good / "one") == listed(good / "two") == ["model.ipynb"]
    assert whole(good)


# --- a book half way into its place -------------------------------------------------------------


def rendered(monkeypatch, code=0):
    """Put a page in Sphinx's place."""

    def sphinx(command, _):
        html = Path(command[command.index("--path-output") + 1], "_build", "html")
        html.mkdir(parents=True)
        (html / "index.html").write_text("new")
        return subprocess.CompletedProcess(command, code, "", "ERROR: none")

    monkeypatch.setattr(rendering, "_with_us", sphinx)


def test_a_book_that_cannot_take_its_place_leaves_the_last_one(good, monkeypatch):
    rendered(monkeypatch)
    rename = Path.rename

    def only_away(self, target):
        if self.name == "html" and "stage" in str(self):
            raise PermissionError("no")
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", only_away)
        with pytest.raises(PermissionError):
            rendering.render(good, good / "_build" / "html")
    assert whole(good)


def test_a_first_book_that_cannot_take_its_place_says_why(good, monkeypatch):
    rendered(monkeypatch)
    monkeypatch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(PermissionError("no")))
    with pytest.raises(PermissionError, match="no"):
        rendering.render(good, good / "_build" / "first")


def test_a_process_killed_between_two_books_has_lost_none(good, monkeypatch):
    html, previous = good / "_build" / "html", good / "_build" / ".html.previous"
    html.rename(previous)  # as it is for a moment
    rendered(monkeypatch, code=1)
    with pytest.raises(source.BookError, match="not rendered"):
        rendering.render(good, html)
    assert whole(good)
    shutil.copytree(html, previous)  # killed just before the old one was removed
    rendered(monkeypatch)
    rendering.render(good, html)
    assert (html / "index.html").read_text() == "new"
    assert listed(good / "_build") == ["html"]


def test_sphinx_ends_with_a_process_that_is_killed(tmp_path):
    """Nothing writes into a folder that the next build has removed."""
    program = "import os, sys, time; print(os.getpid(), file=open('pid', 'w'), flush=True); time.sleep(60)"
    start = repr(rendering.START.replace("from jupyter_book.cli.main import main", program))
    code = "import sys; from scbtheory.publishing import rendering\n"
    code += f"rendering._with_us([sys.executable, '-c', {start}], {{}})"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    process.kill()
    process.wait()
    wait_until(lambda: not alive(int((tmp_path / "pid").read_text())))


# --- a disk that takes nothing ------------------------------------------------------------------

SCRIPT = """
set -e
mount -t tmpfs -o size=1536k scb "$1"
cp -r book _build _toc.yml _config.yml "$1"
cd "$1"
if [ "$2" = read-only ]; then mount -o remount,ro "$1"; fi
shift 2
set +e
for command in refresh "book --no-execute" "$RUN"; do
  echo "# $command"
  [ -z "$command" ] || "$@" $command 2>&1
  echo "exit $?"
done
echo "# files"
find . -type f | sort | xargs md5sum
"""


def on_a_disk(good, kind, run="") -> list[list[str]]:
    """What commands say with the book on a small or read-only disk of its own, and the files afterwards."""
    place = good / "mounted"
    place.mkdir()
    private = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    mount = [*private, "mount", "-t", "tmpfs", "scb", str(place)]
    if not shutil.which("unshare") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a disk of its own needs the right to mount one: root, or a user's namespace")
    script = [*private, "sh", "-c", SCRIPT, "sh", str(place), kind, *CLI]
    environment = os.environ | {"RUN": run}
    done = subprocess.run(script, cwd=good, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return [part.splitlines()[1:] for part in done.stdout.split("# ")[1:]]


def sums(root):
    files = [p.relative_to(root) for place in ("_build", "book") for p in (root / place).rglob("*") if p.is_file()]
    names = sorted(f"./{name}" for name in [*files, "_config.yml", "_toc.yml"])
    done = subprocess.run(["md5sum", *names], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_full_disk_leaves_everything_whole(good):
    write(good / "book" / "small.ipynb", "print('x' * 3_000_000)")
    before = sums(good)
    refresh, render, _, after = on_a_disk(good, "small")
    failed = refresh.index("FAILED small.ipynb, outside any cell")  # an older debugger has its own say before
    assert refresh[failed + 1] == "OSError: [Errno 28] No space left on device"
    assert refresh[-2:] == ["scbtheory: 1 of 1 chapters failed: small", "exit 2"]
    assert render == ["scbtheory: the book was not rendered:", "No space left on device", "exit 2"]
    assert after == before


def test_a_read_only_checkout_is_one_line_and_runs_elsewhere(good):
    write(good / "book" / "small.ipynb", "print('small')")
    before = sums(good)
    mine = good / "mine"
    refresh, render, run, after = on_a_disk(good, "read-only", f"run small --output {mine}")
    for said in (refresh, render):
        assert said[1:] == ["exit 2"]
        assert said[0].endswith(".lock: Read-only file system")
    assert run[-3:] == [f"wrote {mine / 'small.ipynb'}", f"for pages: scbtheory render --from {mine}", "exit 0"]
    assert printed(mine / "small.ipynb") == "small\n"
    assert after == before
