"""The independence that makes agreement mean something, read off the source."""

import ast
import importlib
from pathlib import Path
from types import ModuleType

import pytest

import scbtheory

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
    ("checks",),
    ("files", "flows", "memory"),
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
    for name in imports(path) - {"scbtheory.__version__"}:
        parts = name.split(".")
        if parts[0] == "scbtheory":
            room = parts[1] if len(parts) > 1 else "scbtheory"
            found.add(room if room in LEVEL or room == "derivations" else "scbtheory")
    return found


def test_every_room_has_a_floor():
    found = {p.stem for p in PACKAGE.glob("*.py")} | {p.parent.name for p in PACKAGE.glob("*/__init__.py")}
    assert found - {"__init__", "__main__", "derivations"} == set(LEVEL)


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


# --- what is public ------------------------------------------------------------------------------

EXPORTING = (
    "dynamics",
    "limits",
    "noise",
    "plots",
    "softmax",
    "sweeps",
    "training",
    "transfer",
)  # packages whose modules are their own business
# Two modules may share a name for the same thing of two models; a plot is named after what it draws.
SHARED = {"flow", "gradient", "lift", "matrix_flow", "velocity"}


def public_modules():
    """Modules without an underscore in their path; a claim's file holds its claim alone."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if not any(part.startswith("_") for part in parts[:-1]) and (parts[-1] == "__init__" or parts[-1][0] != "_"):
            yield path


@pytest.mark.parametrize("path", list(public_modules()), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_public_module_names_what_it_exports(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")}
    if not own or path.parent.name == "claims":
        return
    assigned = [n for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__all__"]
    assert assigned, f"{path.relative_to(PACKAGE)} has no __all__"
    module = ".".join(("scbtheory", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    if not path.is_relative_to(PACKAGE / "publishing"):  # needs Sphinx
        exported = vars(importlib.import_module(module)).keys()
        assert set(ast.literal_eval(assigned[0].value)) <= exported | set(scbtheory._LATER)


@pytest.mark.parametrize("room", EXPORTING)
def test_modules_of_a_package_that_exports_are_private(room):
    assert all(path.name.startswith("_") for path in (PACKAGE / room).glob("*.py"))


def test_no_two_public_things_have_one_name():
    homes = {}
    for room in sorted(set(LEVEL) - {"cli", "claims", "kernels", "plots", "publishing", "verification"}):
        module = importlib.import_module(f"scbtheory.{room}")
        for name in module.__all__:
            homes.setdefault(name, {})[id(getattr(module, name))] = room
    assert {name for name, found in homes.items() if len(found) > 1} == SHARED


@pytest.mark.parametrize("name", sorted(set(scbtheory.__all__)))
def test_completion_shows_what_a_module_exports(name):
    thing = getattr(scbtheory, name)
    if isinstance(thing, ModuleType):
        shown = {name for name in dir(thing) if not name.startswith("_")}
        assert shown == set(thing.__all__)
