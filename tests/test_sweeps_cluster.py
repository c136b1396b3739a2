"""Sweeps: points kept on a disk, and computed by a real Dask cluster of two workers on loopback."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import distributed
import numpy as np
import pytest
from points import Beside, Fatal, Logged, Where

import scbtheory as scb
from scbtheory import sweeps, training
from scbtheory.errors import BackendUnavailable, InvalidArgument, SCBError

TASK = scb.SCB.random(3, 60, 2, seed=0)
ROOT = Path(__file__).parents[1]


def computed(path):
    return sorted(map(int, path.read_text().split())) if path.exists() else []


# --- the folder ---------------------------------------------------------------------------------


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupted_sweep_goes_on_where_it_stopped(tmp_path, jobs):
    log, cache = tmp_path / "log", tmp_path / "new" / "cache"
    first = [Logged(n, str(log)) for n in range(3)]
    with pytest.raises(ZeroDivisionError, match="of 9"):
        sweeps.run_all([*first, Logged(9, str(log), wrong=True)], jobs=jobs, cache=cache)
    log.unlink()
    points = [Logged(n, str(log)) for n in (4, 2, 0, 1, 4)]
    assert sweeps.run_all(points, jobs=jobs, cache=cache) == [16, 4, 0, 1, 16]
    if jobs == 1:
        assert computed(log) == [4], "the others were kept, and equal points are one"
    assert sweeps.run_all(points, jobs=jobs, cache=cache) == [16, 4, 0, 1, 16]
    assert computed(log).count(4) == 1
    assert len(list(cache.iterdir())) == 4, "a file for each point and nothing else"


def kept(folder):
    return sorted(json.loads(file.read_text()) for file in folder.iterdir())


def test_once_a_point_fails_what_runs_is_kept_and_nothing_begins(tmp_path):
    points = [Beside(n, str(tmp_path / "log"), wrong=n == 0) for n in range(6)]
    with pytest.raises(ZeroDivisionError, match="of 0"):
        sweeps.run_all(points, jobs=2, cache=tmp_path / "cache")
    assert computed(tmp_path / "log") == [0, 1]
    assert kept(tmp_path / "cache") == [1]


def test_and_so_it_is_once_a_sweep_is_interrupted(tmp_path):
    def interrupt():
        """Send this process, and no other, what Ctrl-C sends, once two points have begun."""
        wait_until(lambda: len(computed(tmp_path / "log")) == 2)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Thread(target=interrupt, daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            sweeps.run_all([Beside(n, str(tmp_path / "log")) for n in range(6)], jobs=2, cache=tmp_path / "cache")
    finally:
        signal.signal(signal.SIGINT, before)
    assert computed(tmp_path / "log") == [0, 1]
    assert kept(tmp_path / "cache") == [0, 1]


def test_what_is_damaged_is_computed_anew(tmp_path):
    point = Logged(3, str(tmp_path / "log"))
    sweeps.run_all([point], cache=tmp_path / "cache")
    [file] = (tmp_path / "cache").iterdir()
    file.write_text("[3")
    assert sweeps.run_all([point], cache=tmp_path / "cache") == [9]
    assert json.loads(file.read_text()) == 9
    sign = sweeps.SignPoint(40, 4, 5, 0.1, 3, 2, 0)
    (tmp_path / "other").write_text("[3, 4, 100, 0.1]")
    with pytest.raises(ValueError, match="another point"):
        sign.load(tmp_path / "other")


def test_a_run_from_the_folder_is_the_run(tmp_path):
    task = scb.SCB.random(3, 40, 2, seed=0, dtype="float32")
    options = {"max_samples": 900, "start": scb.dynamics.lift(task, 0.1, 0.2)}
    runs = [sweeps.Run.of(task, training.sgd(0.05, batch_size=32), seed, **options) for seed in (0, 1)]
    softmax = scb.softmax.descent(TASK, batch_size=32, steps=3)
    start = scb.softmax.SoftmaxParameters.initial(TASK)
    runs.append(sweeps.Run.of(TASK, (softmax,) if not isinstance(softmax, tuple) else softmax, 0, start=start))
    fresh = sweeps.run_all(runs, jobs=1, cache=tmp_path)
    again = sweeps.run_all(runs, jobs=1, cache=tmp_path)
    for one, two in zip(fresh, again, strict=True):
        assert (one.rows, one.status, one.boundaries) == (two.rows, two.status, two.boundaries)
        assert type(one.model) is type(two.model)
        for name, array in one.model.arrays().items():
            np.testing.assert_array_equal(array, two.model.arrays()[name])
            assert array.dtype == two.model.arrays()[name].dtype


def test_points_are_named_by_everything_they_are_made_of():
    stages = training.sgd(0.05, batch_size=32)
    run = sweeps.Run.of(TASK, stages, 0, max_samples=90)
    again = sweeps.Run.of(scb.SCB(TASK.P, TASK.Q), stages, np.int64(0), max_samples=np.int64(90))
    assert run.key() == again.key()
    others = [
        sweeps.Run.of(scb.SCB(TASK.P, TASK.Q, dtype="float32"), stages, 0, max_samples=90),
        sweeps.Run.of(scb.SCB(TASK.P[::-1, ::-1], TASK.Q), stages, 0, max_samples=90),
        sweeps.Run.of(TASK, training.sgd(0.06, batch_size=32), 0, max_samples=90),
        sweeps.Run.of(TASK, stages, 1, max_samples=90),
        sweeps.Run.of(TASK, stages, 0, max_samples=91),
        sweeps.Run.of(TASK, stages, 0, max_samples=90, start=scb.Parameters.truth(TASK)),
    ]
    assert len({run.key(), *(other.key() for other in others)}) == 7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"jobs": 0}, "jobs is 0"),
        ({"jobs": 2, "scheduler": "tcp://127.0.0.1:1"}, "jobs is 2 and scheduler 'tcp"),
        ({"scheduler": "nowhere"}, "no Dask scheduler answers at 'nowhere'"),
        ({"cache": __file__}, "cannot be a folder: File exists"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, monkeypatch, options, message):
    monkeypatch.setattr("scbtheory.sweeps._running.PATIENCE", 0.2)
    with pytest.raises(InvalidArgument, match=message):
        sweeps.run_all([Logged(1, str(tmp_path / "log"))], **options)
    assert not (tmp_path / "log").exists()


def test_what_has_no_name_is_not_kept(tmp_path):
    assert sweeps.run_all([dict, list], jobs=1) == [{}, []]
    with pytest.raises(InvalidArgument, match="expected a sweeps"):
        sweeps.run_all([dict], cache=tmp_path)
    with pytest.raises(InvalidArgument, match="a point holds <object"):
        sweeps.Run.of(TASK, (), 0, start=object()).key()


def test_a_killed_process_is_one_line(tmp_path):
    points = [Fatal(), Logged(1, str(tmp_path / "log"))]
    with pytest.raises(SCBError, match=r"a process of the sweep was killed: out of memory, or .*__name__"):
        sweeps.run_all(points, jobs=2, cache=tmp_path / "cache")


def test_processes_are_no_forks_of_this_one_and_have_its_environment(monkeypatch):
    """Forks of a process with threads may wait for ever, and Python 3.12 and newer warn of them."""
    for profile in ("quick", "full"):
        monkeypatch.setenv("SCB_PROFILE", profile)
        found = sweeps.run_all([Where(0), Where(1)], jobs=2)
        assert all(os.getpid() not in (process, parent) for process, parent, _ in found)
        assert all(seen == profile for *_, seen in found)


def test_two_classes_of_one_name_are_two_points():
    other = dataclass(frozen=True)(type("Where", (sweeps.Point,), {"__annotations__": {"number": int}}))
    other.__module__ = "elsewhere"
    assert repr(other(3)) == repr(Where(3))
    assert other(3).key() != Where(3).key() == Where(3).key()


def test_without_distributed_a_scheduler_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(BackendUnavailable, match=r"pip install 'scbtheory\[cluster\]'"):
        sweeps.run_all([sweeps.SignPoint(40, 4, 5, 0.1, 3, 2, 0)], scheduler="tcp://127.0.0.1:1")


# --- the cluster --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gated(sweeps.SignPoint):
    """A real point that writes down who computes it, and waits where it has a gate until that is there."""

    log: str = ""
    gate: str = ""

    def __call__(self):
        with open(self.log, "a") as file:
            file.write(f"{self.block} {os.getpid()}\n")
        wait_until(lambda: not self.gate or os.path.exists(self.gate))
        return super().__call__()


def wait_until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@contextmanager
def cluster(folder, workers):
    """The address of a scheduler, and workers: processes of their own that talk over loopback."""
    named = folder / "scheduler.json"
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    common = ["--scheduler-file", str(named), "--host", "127.0.0.1", "--no-dashboard"]
    scheduler = ["distributed.cli.dask_scheduler", *common, "--port", "0"]
    worker = ["distributed.cli.dask_worker", *common, "--no-nanny", "--nthreads", "2"]
    worker += ["--local-directory", str(folder)]
    processes = []
    with (folder / "log").open("wb") as log:

        def begin(command):
            options = {"cwd": folder, "env": os.environ | {"PYTHONPATH": path}, "stdout": log, "stderr": log}
            processes.append(subprocess.Popen([sys.executable, "-m", *command], **options))

        try:
            begin(scheduler)
            wait_until(lambda: named.exists() and named.read_text().endswith("}"))
            address = json.loads(named.read_text())["address"]
            # Its loop has ten seconds to start: before the workers, whose start keeps a small machine busy.
            with distributed.Client(address, set_as_default=False) as client:
                for _ in range(workers):
                    begin(worker)
                client.wait_for_workers(workers, timeout=120)
            yield address
        finally:
            for process in processes:
                process.kill()
                process.wait()


def test_a_lost_workers_points_are_given_to_another_and_each_is_there_once(tmp_path):
    log, gate = tmp_path / "points", tmp_path / "gate"
    plain = [sweeps.SignPoint(40, 4, 5, 0.1, 3, 2, 0, block) for block in range(8)]
    points = [Gated(**vars(p), log=str(log), gate=str(gate) if p.block > 1 else "") for p in plain]
    found = []
    with cluster(tmp_path, 2) as scheduler:
        sweep = threading.Thread(
            target=lambda: found.extend(sweeps.run_all(points, scheduler=scheduler, cache=tmp_path / "cache"))
        )
        sweep.start()

        def held():
            """Who is in the middle of which point: the last line of each worker, where it waits for the gate."""
            last = {pid: block for block, pid in map(str.split, log.read_text().splitlines())} if log.exists() else {}
            return last if len(last) == 2 and all(int(block) > 1 for block in last.values()) else {}

        wait_until(held)
        wait_until(lambda: len(list((tmp_path / "cache").iterdir())) == 2)  # what a worker still holds is lost with it
        lost, block = next(iter(held().items()))
        os.kill(int(lost), signal.SIGKILL)
        gate.touch()
        sweep.join(timeout=120)
        assert not sweep.is_alive()
        began = [line.split() for line in log.read_text().splitlines()]
        counted = [sum(int(b) == point.block for b, _ in began) for point in points]
        assert counted[int(block)] == 2, "the point that was lost was begun again"
        assert sum(counted) == len(points) + 1, "and no other"
        assert [count[:3] for count in found] == [point()[:3] for point in plain], "as on this machine"
        assert len(list((tmp_path / "cache").iterdir())) == len(points)

        gate.unlink()  # now nothing could be computed
        log.unlink()
        assert sweeps.run_all(points, scheduler=scheduler, cache=tmp_path / "cache") == found
        assert not log.exists()
        with pytest.raises(ZeroDivisionError, match="of 7"):
            sweeps.run_all([Logged(7, str(log), wrong=True)], scheduler=scheduler)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("scbtheory.sweeps._running.__version__", "0.0.0")
            with pytest.raises(InvalidArgument, match=r"the worker tcp://.* has scbtheory 0\.1\.0; expected 0\.0\.0"):
                sweeps.run_all(plain, scheduler=scheduler)
