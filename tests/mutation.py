"""Mutate the mathematical core, one small change at a time, and see whether its room's tests notice.

A mutant swaps an operator or a comparison, drops a square or a sign, moves an integer by one or a float by a tenth,
negates a condition. Messages, types and decorators stay. Each mutant lives in a process of its own, which
imports the changed text in place of the file: the working tree is never touched. What survives is a missing test, or
changes no result; `mutants_equivalent.txt` lists the latter with why, and the score leaves them out.

    python tests/mutation.py --sample 200 --seed 0
"""

import argparse
import ast
import importlib.abc
import importlib.machinery
import importlib.util
import multiprocessing
import os
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EQUIVALENT = ROOT / "tests" / "mutants_equivalent.txt"
LEAST = 0.95  # the score that a run must reach

# Files and folders of the package, and the tests that answer for each beside those of defaults, the quick ones first.
ROOMS = {
    "population.py": "test_population.py",
    "model.py": "test_model.py test_model_variant.py",
    "task.py": "test_task.py test_sampling.py test_supported.py",
    "streaming.py": "kernels/test_stream.py kernels/test_packing.py test_streaming.py",
    "landscape.py": "test_landscape.py",
    "dynamics": "test_dynamics.py test_dynamics_limits.py test_number_edges.py test_edges.py",
    "noise": "test_noise_input.py test_noise_sign_test.py test_noise.py test_noise_sign.py test_limits_guarantee.py "
    "test_number_edges.py",
    "transfer": "test_transfer.py test_number_edges.py test_edges.py",
    "softmax": "test_softmax.py test_edges.py",
    "limits": "test_limits_chain.py test_limits_fisher.py test_limits_guarantee.py test_limits.py test_edges.py",
    "training": "test_training_likelihood.py test_training_history.py test_training_at_once.py test_training_stages.py "
    "test_training.py",
    "kernels/stream.py": "kernels/test_stream.py",
    "kernels/packing.py": "kernels/test_packing.py",
}

# --- mutants -------------------------------------------------------------------------------------

ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.BitXor: ast.BitOr, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip
COMPARISON = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ROUNDING = 1e-6  # floats up to it are tolerances, whose tenth no result could show
OUTSIDE = {"__dir__", "__repr__", "__all__"}


@dataclass(frozen=True)
class Mutant:
    """A file's text with one expression replaced; ``before`` and ``after`` are the line it stands on."""

    path: str  # within the repository
    line: int
    function: str
    before: str
    after: str
    text: str

    @property
    def key(self):
        return f"{self.path}: {self.function}", self.before, self.after

    @property
    def tests(self):
        inside = self.path.removeprefix("scbtheory/")
        room = next(room for room in ROOMS if inside == room or inside.startswith(f"{room}/"))
        return ["test_defaults.py", *ROOMS[room].split()]

    def __str__(self):
        return f"{self.path}:{self.line}\n    {self.before}\n    {self.after}"


def changes(node):
    """The expressions that a mutant has in place of this one."""
    match node:
        case ast.BinOp(left, ast.Pow(), ast.Constant(2)) if not isinstance(left, ast.Constant):
            yield left
        case ast.BinOp(left, operator, right) if type(operator) in ARITHMETIC:
            yield ast.BinOp(left, ARITHMETIC[type(operator)](), right)
        case ast.Compare(left, [operator, *others], right):
            yield ast.Compare(left, [COMPARISON[type(operator)](), *others], right)
        case ast.BoolOp(operator, values):
            yield ast.BoolOp(ast.And() if isinstance(operator, ast.Or) else ast.Or(), values)
        case ast.UnaryOp(ast.Not() | ast.USub(), operand):
            yield operand
        case ast.Constant(bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(int(value)):
            yield ast.Constant(value + 1)
        case ast.Constant(float(value)) if value == 0 or abs(value) > ROUNDING:
            yield ast.Constant(value * 1.1 if value else 0.1)


def mutated(node):
    """Pairs of an expression below this node and what replaces it."""
    match node:
        case ast.Raise() | ast.JoinedStr() | ast.Import() | ast.ImportFrom():
            return
        case ast.FunctionDef(name=name) | ast.Assign(targets=[ast.Name(name)]) if name in OUTSIDE:
            return
        case ast.keyword(arg="rtol" | "atol" | "xtol" | "strict"):
            return
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test) if not isinstance(test, ast.UnaryOp):
            yield test, ast.UnaryOp(ast.Not(), test)
        case ast.AugAssign(op=operator) if type(operator) in ARITHMETIC:
            yield node, ast.AugAssign(node.target, ARITHMETIC[type(operator)](), node.value)
    yield from ((node, change) for change in changes(node))
    for name, field in ast.iter_fields(node):
        if name not in ("annotation", "returns", "decorator_list"):
            for child in field if isinstance(field, list) else [field]:
                if isinstance(child, ast.AST):
                    yield from mutated(child)


def functions(node, name=""):
    """The functions below this node by their first and last lines, outer ones first."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            inner = f"{name}.{child.name}" if name else child.name
            yield child.lineno, child.end_lineno, inner
            yield from functions(child, inner)


def mutants(path):
    """Every mutant of one file."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    starts = [0]
    for line in text.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    within = list(functions(tree))
    for node, change in mutated(tree):
        first, last = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
        new = ast.unparse(ast.fix_missing_locations(change))
        if isinstance(change, ast.expr) and not isinstance(change, ast.Constant | ast.Name):
            new = f"({new})"
        raw = text.encode()
        changed = raw[:first] + new.encode() + raw[last:]
        begin, end = starts[node.lineno - 1], starts[node.end_lineno]
        before, after = (
            " ".join(part.decode().split()) for part in (raw[begin:end], changed[begin : end + len(changed) - len(raw)])
        )
        function = [name for low, high, name in within if low <= node.lineno <= high]
        place = function[-1] if function else "module"
        yield Mutant(str(path.relative_to(ROOT)), node.lineno, place, before, after, changed.decode())


def core():
    """The files that are mutated."""
    for room in ROOMS:
        path = ROOT / "scbtheory" / room
        yield from [path] if path.is_file() else sorted(path.glob("*.py"))


def equivalent():
    """The listed mutants: paragraphs of a place, the line before, the line after, and why on what is left."""
    text = "\n".join(line for line in EQUIVALENT.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    listed = [[line.strip() for line in paragraph.splitlines()] for paragraph in text.strip().split("\n\n")]
    return {tuple(lines[:3]): " ".join(lines[3:]) for lines in listed if len(lines) > 3}


# --- running them --------------------------------------------------------------------------------


LIBRARIES = (
    "array_api_compat.numpy", "array_api_strict", "autograd.numpy", "numba", "rich.progress",
    "scipy.integrate", "scipy.optimize", "scipy.sparse.csgraph", "scipy.stats",
)  # fmt: skip
"""What tests and package import, loaded once."""


class Instead(importlib.abc.MetaPathFinder, importlib.machinery.SourceFileLoader):
    """Imports one file's text from memory, and never its stored bytecode."""

    def __init__(self, mutant):
        self.path, self.text = str(ROOT / mutant.path), mutant.text

    def find_spec(self, name, path, target=None):
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.origin == self.path:
            self.name, spec.loader = name, self
            return spec
        return None

    def get_code(self, fullname):
        return compile(self.text, self.path, "exec", dont_inherit=True)


def run(mutant, files):
    """In a process of its own: exit with pytest's code."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    sys.path.insert(0, str(ROOT))
    if mutant is not None:
        sys.meta_path.insert(0, Instead(mutant))
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:nbval", "--rootdir", str(ROOT)]
    code = pytest.main([*options, *(str(ROOT / "tests" / file) for file in files)])
    os._exit(int(code))


def outcomes(sample, limit, processes):
    """Yield each mutant with the exit code of its tests, ``None`` where time ran out, and the seconds they took."""
    fork = multiprocessing.get_context("fork")  # libraries are loaded once
    waiting, running = list(sample), {}
    while waiting or running:
        while waiting and len(running) < processes:
            mutant = waiting.pop(0)
            process = fork.Process(target=run, args=(mutant, mutant.tests))
            process.start()
            running[process.sentinel] = mutant, process, time.monotonic()
        wait(running, timeout=0.5)
        for sentinel, (mutant, process, begun) in list(running.items()):
            took = time.monotonic() - begun
            if process.exitcode is None and took < limit:
                continue
            code = process.exitcode
            process.kill()
            process.join()
            del running[sentinel]
            yield mutant, code, took


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=200, help="how many mutants (200)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (0)")
    parser.add_argument("--processes", type=int, default=1, help="mutants at a time (1)")
    parser.add_argument("--limit", type=float, default=120, help="seconds a mutant, the tests failing beyond (120)")
    parser.add_argument("--only", default="", help="files whose path begins so, such as scbtheory/softmax")
    options = parser.parse_args()

    every = [m for path in core() for m in mutants(path)]
    listed = equivalent()
    for stale in listed.keys() - {m.key for m in every}:
        sys.exit("{}: no mutant is\n{}\n    {}\n    {}".format(EQUIVALENT.name, *stale))
    possible = [m for m in every if m.path.startswith(options.only)]
    # By a draw of its own, a mutant stays in a seed's sample when others come and go.
    sample = sorted(possible, key=lambda m: random.Random(f"{options.seed} {m.key}").random())[: options.sample]
    judged = [m for m in sample if m.key not in listed]
    print(f"{len(sample)} of {len(possible)} mutants, {len(sample) - len(judged)} of them listed as equivalent")

    for name in LIBRARIES:
        importlib.import_module(name)
    survivors = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = folder
        for room in sorted({" ".join(m.tests) for m in judged}):
            unchanged = multiprocessing.get_context("fork").Process(target=run, args=(None, room.split()))
            unchanged.start()
            unchanged.join()
            if unchanged.exitcode:
                sys.exit(f"without any mutant these fail: {room}")
        for number, (mutant, code, took) in enumerate(outcomes(judged, options.limit, options.processes), 1):
            if code == 0:
                survivors.append(mutant)
                print(f"{number}/{len(judged)} {took:.0f} s, survives: {mutant}", flush=True)
    score = 1 - len(survivors) / max(1, len(judged))
    print(f"{len(judged) - len(survivors)} of {len(judged)} mutants were noticed: {100 * score:.1f} %")
    sys.exit(score < LEAST)


if __name__ == "__main__":
    main()
