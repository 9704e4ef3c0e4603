"""The shape of the code: sizes, docstrings, doors and who may touch what, read from the source.

What a linter or import-linter can say stands in pyproject.toml; this is the rest. Each table below
is complete: a new row needs a reason in its comment, and a review.
"""

import ast
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("contract", "nanoclaw", "runner", "setup", "migrate")
SCRIPTS = ("bootstrap.py", "build_pyz.py", "tools/pyz_main.py")

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60
DOCSTRING_LINES = range(1, 17)
"""Three to eight lines is the aim; a package's one-liner and a drawn tree are fine."""

BROAD_EXCEPT_DOORS = {
    "nanoclaw/channels/worker.py": 1,  # a channel worker's main
    "nanoclaw/supervise/child.py": 1,  # every other child's main
    "nanoclaw/admin/dispatch.py": 1,  # an administrative command
    "nanoclaw/routing/loop.py": 1,  # one event that nobody foresaw must not block its channel
    "nanoclaw/delivery/intake.py": 1,  # the rows of one session must not stop all others
    "nanoclaw/effects/runner.py": 1,  # an effect's handler
    "nanoclaw/vault/gateway/approvals.py": 1,  # a credential's request: any error denies it
    "nanoclaw/doctor/run.py": 1,  # one check that nobody foresaw must not stop all others
    "nanoclaw/cli/main.py": 1,  # the command line's main
    "setup/worker.py": 1,  # a step of the wizard, also one that somebody else wrote
    "runner/program.py": 1,  # the runner's main
    "runner/loop.py": 2,  # its tick; the rows of one turn
    "runner/query.py": 1,  # a provider's stream
    "runner/turn/commands.py": 1,  # a provider's command
    "runner/turn/conversation.py": 1,  # closing and archiving (foreign code)
    "runner/toolbox/box.py": 1,  # a tool call
    "runner/mcp_server.py": 1,  # a tool call of another program
    "runner/mcp_client/connection.py": 1,  # a server of somebody else
}
"""Where a general ``except`` may stand, and how many of them."""

SQL_HOMES = ("nanoclaw/db/", "contract/inbound/", "contract/outbound/", "contract/sqlitefile.py",
             "migrate/source.py")  # fmt: skip
SQL_METHODS = frozenset({"execute", "executemany", "executescript", "deserialize"})

MODULE_USERS: dict[str, tuple[str, ...]] = {
    # Starting processes: the supervisor, the process runtime, the demo's throw-away host.
    "subprocess": ("nanoclaw/containers/", "nanoclaw/cli/demo.py", "nanoclaw/cli/extras.py",
                   "nanoclaw/backup/drill.py",  # the host that is started on a restored copy
                   "runner/tools/",
                   "nanoclaw/service/shell.py",  # the service manager's own programs
                   "setup/steps/"),
    "multiprocessing": ("nanoclaw/supervise/", "nanoclaw/containers/"),
    # The docker SDK takes 118 ms to import and belongs to the sweep's side.
    "docker": ("nanoclaw/containers/",),
    # The host's loops are selectors; the vault, the ingress and some platform clients are not.
    "asyncio": ("runner/", "nanoclaw/vault/", "nanoclaw/ingress/", "nanoclaw/channels/"),
    # The vault's protocol; nobody else of the host speaks HTTP over connections of its own.
    "h11": ("nanoclaw/vault/",),
    "argparse": ("nanoclaw/cli/", "setup/", "migrate/", "runner/__main__.py"),
    "prompt_toolkit": ("nanoclaw/cli/",),
    # Only one file of the wizard reads the terminal.
    "questionary": ("setup/prompts.py",),
}  # fmt: skip

ENVIRONMENT_READERS = (
    "nanoclaw/config.py",  # every setting
    "nanoclaw/paths.py",  # XDG_RUNTIME_DIR, for the stand-in of a socket path that is too long
    "nanoclaw/supervise/",  # PYTHONPATH of the process that forks the children
    "nanoclaw/containers/",  # what a runner of the process runtime inherits
    "nanoclaw/cli/",  # what the demo's throw-away host inherits; NO_COLOR
    "contract/watch.py",  # NANOCLAW_WATCH, on both sides
    "contract/killpoint.py",  # NANOCLAW_KILL_DIR, set by the crash tests only
    "contract/layout.py",  # the runner's mount points
    "runner/__main__.py",
    "runner/program.py",
    "runner/mcp_server.py",  # a program of its own
    "runner/ncl.py",  # a program of its own
    "setup/",
    "tools/pyz_main.py",
    "bootstrap.py",
    "build_pyz.py",
)

WALL_CLOCK_HOME = "contract/clock.py"


@dataclass(frozen=True, slots=True)
class Module:
    """One source file and its syntax tree."""

    name: str
    text: str
    tree: ast.Module

    def is_in(self, places: tuple[str, ...]) -> bool:
        return any(self.name == place or self.name.startswith(place) for place in places)


@cache
def modules() -> tuple[Module, ...]:
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    paths += [ROOT / script for script in SCRIPTS]
    found = []
    for path in paths:
        text = path.read_text()
        found.append(Module(path.relative_to(ROOT).as_posix(), text, ast.parse(text)))
    return tuple(found)


def imported_modules(module: Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def top_level(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def test_no_module_is_longer_than_the_budget() -> None:
    lengths = {module.name: len(module.text.splitlines()) for module in modules()}

    too_long = {name: lines for name, lines in lengths.items() if lines > MAX_MODULE_LINES}

    assert not too_long


def test_no_function_is_longer_than_the_budget() -> None:
    too_long = []
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    too_long.append(f"{module.name}: {node.name} has {lines} lines")

    assert not too_long


def test_every_module_says_what_it_is() -> None:
    silent = []
    for module in modules():
        lines = (ast.get_docstring(module.tree) or "").splitlines()
        if len(lines) not in DOCSTRING_LINES:
            silent.append(f"{module.name}: docstring of {len(lines)} lines")

    assert not silent


def test_package_files_hold_no_code() -> None:
    with_code = [
        module.name
        for module in modules()
        if module.name.endswith("__init__.py") and len(module.tree.body) > 1
    ]

    assert not with_code


def test_broad_excepts_stand_only_at_the_named_doors() -> None:
    found = Counter(
        module.name
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler) and is_broad(node)
    )

    assert not found - Counter(BROAD_EXCEPT_DOORS)


def is_broad(handler: ast.ExceptHandler) -> bool:
    """A bare or general except that does not simply pass the error on after cleaning up."""
    caught = handler.type
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    general = any(
        name is None or (isinstance(name, ast.Name) and name.id in ("Exception", "BaseException"))
        for name in names
    )
    last = handler.body[-1]
    return general and not (isinstance(last, ast.Raise) and last.exc is None)


def test_sql_is_written_only_where_the_schemas_are() -> None:
    strays = []
    for module in modules():
        if module.is_in(SQL_HOMES):
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and (
                node.attr in SQL_METHODS or ast.unparse(node) == "sqlite3.connect"
            ):
                strays.append(f"{module.name}: {ast.unparse(node)}")

    assert not strays


def test_the_runner_knows_sqlite_only_through_the_contract() -> None:
    users = [
        module.name
        for module in modules()
        if module.name.startswith("runner/") and "sqlite3" in imported_modules(module)
    ]

    assert not users


@pytest.mark.parametrize("library", MODULE_USERS)
def test_library_is_imported_only_where_it_belongs(library: str) -> None:
    strays = [
        module.name
        for module in modules()
        if module.name not in SCRIPTS
        and library in top_level(imported_modules(module))
        and not module.is_in(MODULE_USERS[library])
    ]

    assert not strays


def test_the_environment_is_read_at_the_edges_only() -> None:
    strays = []
    for module in modules():
        if module.is_in(ENVIRONMENT_READERS):
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv"):
                strays.append(f"{module.name}: {ast.unparse(node)}")

    assert not strays


def test_the_wall_clock_is_read_in_one_place() -> None:
    forbidden = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "date.today"}
    strays = []
    for module in modules():
        if module.name == WALL_CLOCK_HOME:
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute):
                words = ast.unparse(node).split(".")
                if ".".join(words[-2:]) in forbidden:
                    strays.append(f"{module.name}: {ast.unparse(node)}")

    assert not strays


def test_the_contract_needs_the_standard_library_only() -> None:
    allowed = sys.stdlib_module_names | {"contract"}

    foreign = {
        module.name: sorted(top_level(imported_modules(module)) - allowed)
        for module in modules()
        if module.name.startswith("contract/")
    }

    assert not {name: names for name, names in foreign.items() if names}


def test_nothing_is_left_for_later() -> None:
    markers = ("TO" + "DO", "FIX" + "ME", "X" + "XX")
    unfinished = [
        f"{module.name}: {line.strip()}"
        for module in modules()
        for line in module.text.splitlines()
        if any(marker in line for marker in markers)
    ]

    assert not unfinished


def test_every_setting_of_the_checks_names_existing_packages() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    present = {package for package in PACKAGES if (ROOT / package).is_dir()}

    assert present <= set(settings["tool"]["mypy"]["files"])
    assert present == set(settings["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert present == set(settings["tool"]["importlinter"]["root_packages"])
