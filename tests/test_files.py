"""Files are written whole or not at all, through links, with their mode; pipes are written to."""

import os
import stat
import threading

import pytest

from scbtheory import files


def test_a_file_is_replaced_whole_and_keeps_its_mode(tmp_path):
    path = tmp_path / "report.json"
    files.write(path, "é")
    assert path.read_bytes() == "é".encode()
    path.chmod(0o600)
    before = path.stat().st_ino
    files.write(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_ino != before
    assert os.listdir(tmp_path) == ["report.json"]


def test_a_new_file_has_the_mode_that_the_system_gives(tmp_path):
    (tmp_path / "plain").write_text("x")
    files.write(tmp_path / "ours", "x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_link_stays_and_its_target_is_written(tmp_path):
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "data", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    files.write(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "there" / "made")
    files.write(dangling, "made")
    assert (tmp_path / "there" / "made").read_text() == "made"


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "data"
    path.write_text("old")

    def fill(file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        files.write_with(path, fill)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["data"]


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    files.write(pipe, "through")
    reader.join(timeout=10)
    assert found == [b"through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
