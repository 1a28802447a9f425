"""The code against docs/design.md: what each room imports, and how long its parts are."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pneumojax"
SOURCES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES_OF_A_FILE = 300
MOST_LINES_OF_A_FUNCTION = 80
MOST_PARAMETERS = 6
# Constructors of networks and blocks take the fields of the config as their arguments.
NETWORKS = PACKAGE / "nn"


def imports_of(path):
    """The project's modules that a file imports, as `data.films`, without the leading name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # `from pneumojax.data import phantom` imports a module, `... import Cache` a name.
            module = node.module
            names = [
                f"{module}.{alias.name}" if is_module(f"{module}.{alias.name}") else module
                for alias in node.names
            ]
        found |= {name.removeprefix("pneumojax.") for name in names if name[:10] == "pneumojax."}
    return found


def is_module(name):
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def room_of(path):
    """The first part of a module's name, such as `data` or `terminal`."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def rooms():
    """{room: rooms that it imports}, from the sources."""
    found = {}
    for path in SOURCES:
        if path != PACKAGE / "__init__.py":
            imported = {name.split(".")[0] for name in imports_of(path)}
            found.setdefault(room_of(path), set()).update(imported - {room_of(path)})
    return found


def table_of_rooms():
    """{room: rooms that it may import}, from the table in docs/design.md."""
    text = (ROOT / "docs" / "design.md").read_text()
    rows = re.findall(r"^\| `pneumojax/([\w/.]+)` \| (.*) \|$", text, re.MULTILINE)
    return {
        room.strip("/").removesuffix(".py"): set(re.findall(r"`([^`]+)`", imported))
        for room, imported in rows
    }


def test_each_room_imports_what_the_design_says_and_nothing_else():
    assert rooms() == table_of_rooms()


def test_rooms_import_each_other_in_one_direction():
    waiting = rooms()
    while ready := {room for room, needs in waiting.items() if not needs & waiting.keys()}:
        waiting = {room: needs for room, needs in waiting.items() if room not in ready}
    assert not waiting


def test_modules_import_each_other_in_one_direction():
    waiting = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): imports_of(path)
        for path in SOURCES
    }
    while ready := {name for name, needs in waiting.items() if not needs & waiting.keys()}:
        waiting = {name: needs for name, needs in waiting.items() if name not in ready}
    assert not waiting


def test_no_file_is_longer_than_one_subject():
    lengths = {str(path): len(path.read_text().splitlines()) for path in SOURCES}
    assert {path: n for path, n in lengths.items() if n > MOST_LINES_OF_A_FILE} == {}


def functions():
    """(place, node) of every function and method."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", path, node


def test_no_function_is_longer_than_a_screen():
    lengths = {place: node.end_lineno - node.lineno + 1 for place, _, node in functions()}
    assert {place: n for place, n in lengths.items() if n > MOST_LINES_OF_A_FUNCTION} == {}


def test_no_function_takes_more_parameters_than_a_reader_can_hold():
    counts = {}
    for place, path, node in functions():
        if node.name == "__init__" and NETWORKS in path.parents:
            continue
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        counts[place] = len([a for a in arguments if a.arg not in ("self", "cls")])
    assert {place: n for place, n in counts.items() if n > MOST_PARAMETERS} == {}
