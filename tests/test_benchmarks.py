"""What the benchmarks measure is what they say: limits do their work, a split has every part."""

import numpy as np
import pytest

from benchmarks import __main__ as bench
from benchmarks import peers, split
from scbtheory.kernels import packing, threads
from scbtheory.kernels.stream import Stream, words


def test_the_second_limit_looks_every_code_up_and_adds_it_up(monkeypatch):
    seen, real = [], peers._look_up_and_add
    monkeypatch.setattr(peers, "_look_up_and_add", lambda *arguments: (seen.append(arguments), real(*arguments)))
    monkeypatch.setattr(threads, "THREADS", 1)
    problem, T = peers.Problem.of(3, 4 * 1100, 60), 4400  # more than one block of positions, whole words
    step, _ = peers.limit_looked_up(problem)
    step(7)
    [(key, tables, totals, *_)] = seen
    assert len(tables) == 60 / packing.width(3)
    drawn = words(np, "cpu", Stream(int(key), 0), np.arange(len(tables) * T // 4, dtype=np.uint64))
    codes = drawn.view(np.uint16).reshape(len(tables), T) & 255
    expected = np.take_along_axis(tables, codes.astype(np.int64), axis=1).sum(axis=0)
    np.testing.assert_allclose(totals.sum(axis=0), expected, rtol=1e-13)


@pytest.mark.parametrize(("size", "width", "most"), [((3, 300, 40), 5, 11), ((17, 1200, 40), 1, 40)])
def test_a_split_has_every_part(size, width, most):
    found = split.split(size, seconds=0.005)
    assert set(split.PARTS) <= set(found)
    assert found["width"] == width
    assert 40 / width <= found["packs"] <= most
    assert min(found[part] for part in ("draw", "look_up", "add", "dense")) > 0


def test_a_fresh_process_has_every_core_and_its_own_kernels(monkeypatch):
    for name in ("NUMBA_NUM_THREADS", "OPENBLAS_CORETYPE"):
        monkeypatch.setenv(name, "1")
    environment = bench.every_core()
    assert not {"NUMBA_NUM_THREADS", "OPENBLAS_CORETYPE"} & set(environment)
    assert environment["OPENBLAS_NUM_THREADS"] == "1"
