"""The independence that makes agreement mean something, read off the source."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "scbtheory"
NUMERIC = {"numpy", "scipy", "numba", "autograd", "array_api_compat", "cupy"}


def imports(path):
    """The modules that a file imports, by full name, names imported from a package included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names if node.module == "scbtheory" else names | {node.module}
    return found


def files(*folders):
    return [path for folder in folders for path in sorted((PACKAGE / folder).rglob("*.py"))]


@pytest.mark.parametrize("path", files("derivations"), ids=lambda p: p.stem)
def test_derivations_import_nothing_numeric(path):
    for name in imports(path):
        assert name.split(".")[0] not in NUMERIC, f"{path.name} imports {name}"
        if name.startswith("scbtheory"):
            assert name == "scbtheory.derivations" or name.startswith("scbtheory.derivations."), (
                f"{path.name} imports {name}"
            )


# Each floor stands on those above it in this list; rooms of one floor do not see each other.
FLOORS = (
    ("errors",),
    ("checks", "files", "flows", "memory"),
    ("kernels",),
    ("backend",),
    ("task",),
    ("model",),
    ("population", "streaming"),
    ("dynamics",),
    ("landscape", "noise", "transfer"),
    ("limits",),
    ("training",),
    ("softmax", "sweeps"),
    ("plots", "verification"),
    ("claims",),
    ("publishing",),
    ("cli",),
)
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
FROM_OUTSIDE = {"plots", "verification", "claims", "cli"}  # these use the package as its users do: `import scbtheory`


def rooms(path):
    """The rooms that a file imports from."""
    found = set()
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "scbtheory":
            room = parts[1] if len(parts) > 1 else "scbtheory"
            found.add(room if room in LEVEL or room == "derivations" else "scbtheory")
    return found


def test_every_room_has_a_floor():
    found = {p.stem for p in PACKAGE.glob("*.py")} | {p.parent.name for p in PACKAGE.glob("*/__init__.py")}
    assert found - {"__init__", "derivations"} == set(LEVEL)


@pytest.mark.parametrize("room", LEVEL)
def test_a_floor_never_looks_up(room):
    for path in files(room) or [PACKAGE / f"{room}.py"]:
        for other in rooms(path) - {room}:
            if other == "scbtheory":
                assert room in FROM_OUTSIDE, f"{path.relative_to(PACKAGE)} imports the whole package"
            elif other == "derivations":
                assert room == "claims", f"{path.relative_to(PACKAGE)} imports derivations"
            else:
                assert LEVEL[other] < LEVEL[room], f"{path.relative_to(PACKAGE)} ({room}) imports {other}"
