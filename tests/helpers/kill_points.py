"""The kill points of the program, found by reading its code, and the means to arm them."""

import ast
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("contract", "nanoclaw", "runner", "setup")
NOT_A_HOP = (
    "admin.",
    "audit.",
    "backup.",
    "delivery.expired",
    "delivery.files_",
    "delivery.held_released",
    "delivery.joined",
    "delivery.told",
    "desk.",
    "effects.",
    "host.",
    "ncl.",
    "preflight.",
    "relay.",
    "router.fact_stored",
    "router.files_placed",
    "router.released_decided",
    "runner.commanded",
    "runner.conversation_",
    "runner.file_copied",
    "runner.gated",
    "runner.nudged",
    "runner.said",
    "runner.tool_committed",
    "secrets.",
    "setup.",
    "sweep.door_opened",
    "sweep.session_",
    "tasks.",
    "vault.",
)
"""Steps that a chat message's way there and back does not cross: those of policies, of agents
with a model, their tools and commands. tests/unit/test_kill_points.py sees to it that some test
kills there."""


def find_kill_points() -> list[str]:
    """Every literal that is passed to ``reached``, sorted; other names are a defect."""
    found: set[str] = set()
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            if file.name == "killpoint.py":
                continue
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and _name(node.func) == "reached":
                    (argument,) = node.args
                    assert isinstance(argument, ast.Constant), f"{file}:{node.lineno}"
                    assert isinstance(argument.value, str), f"{file}:{node.lineno}"
                    found.add(argument.value)
    return sorted(found)


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


@dataclass(frozen=True, slots=True)
class KillFolder:
    """The folder that ``NANOCLAW_KILL_DIR`` names."""

    path: Path

    def arm(self, point: str, action: str) -> None:
        """``action``: "self" kills the process that gets there, "pause" holds it."""
        temporary = self.path / f"{point}.new"
        temporary.write_text(action)
        temporary.rename(self.path / point)

    def was_reached(self, point: str) -> bool:
        return (self.path / f"{point}.reached").exists()

    def clear(self, point: str) -> None:
        """Lets a paused process go on and disarms what was not reached."""
        (self.path / f"{point}.reached").unlink(missing_ok=True)
        (self.path / point).unlink(missing_ok=True)
