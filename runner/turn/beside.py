"""What goes on beside the provider's stream: scripts of tasks, and commands.

Owned by the loop. Both parts are made, and their code is imported, when they are needed first.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contract.layout import RunnerPaths
from runner.decide import TurnPlan
from runner.incoming import Incoming
from runner.providers.base import Provider
from runner.store import Store
from runner.turn.beat import Beat
from runner.turn.conversation import Conversation

if TYPE_CHECKING:
    from runner.gate.desk import GateDesk
    from runner.turn.commands import CommandDesk

SCRIPTS_FOLDER = "scripts"


@dataclass(frozen=True, slots=True)
class BesideParts:
    """``environment`` is what scripts get; ``ring`` wakes the loop."""

    paths: RunnerPaths
    environment: Mapping[str, str] | None
    provider: Provider
    store: Store
    beat: Beat
    conversation: Conversation
    ring: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Passed:
    """Rows that the agent is to see now, and how many context rows were left out before."""

    items: tuple[Incoming, ...] = ()
    omitted: int = 0


class Beside:
    """Rows given to it are claimed, and it settles those that the agent does not see."""

    def __init__(self, parts: BesideParts) -> None:
        self._parts = parts
        self._gates: GateDesk | None = None
        self._commands: CommandDesk | None = None

    @property
    def busy(self) -> bool:
        return (self._gates is not None and self._gates.busy) or (
            self._commands is not None and self._commands.busy
        )

    @property
    def compacting(self) -> bool:
        """No turn may begin meanwhile."""
        return self._commands is not None and self._commands.compacting

    def hold_back(self, plan: TurnPlan) -> Passed:
        """Tasks with a script go through the gate; what can go at once does (R-103)."""
        gated = tuple(item for item in plan.items if item.script is not None)
        if not gated:
            return Passed(plan.items, plan.omitted)
        others = tuple(item for item in plan.items if item.script is None)
        if any(item.row.trigger for item in others):
            self._gate_desk().start(gated, 0)
            return Passed(others, plan.omitted)
        self._gate_desk().start(plan.items, plan.omitted)
        return Passed()

    def passed(self) -> Passed:
        """What the scripts have let through since the last time."""
        return Passed() if self._gates is None else Passed(*self._gates.passed())

    def failed(self) -> list[tuple[Exception, tuple[Incoming, ...]]]:
        """Rows that are still claimed because something of ours went wrong."""
        return [] if self._gates is None else self._gates.failed()

    def take_commands(self, items: tuple[Incoming, ...]) -> None:
        self._command_desk().take(items)

    def raise_failure(self) -> None:
        """What keeps commands from being answered is not theirs: a session file, or a mistake."""
        if self._commands is not None:
            self._commands.raise_failure()

    def stop(self) -> None:
        if self._commands is not None:
            self._commands.stop()

    async def close(self) -> None:
        if self._gates is not None:
            await self._gates.close()
        if self._commands is not None:
            await self._commands.close()

    def _gate_desk(self) -> "GateDesk":
        if self._gates is None:
            # Imported late: most sessions have no task with a script.
            from runner.gate.desk import GateDesk
            from runner.gate.script import Surroundings

            parts = self._parts
            around = Surroundings(
                parts.paths.runner_dir / SCRIPTS_FOLDER, parts.paths.workspace, parts.environment
            )
            self._gates = GateDesk(parts.store, parts.beat, around, parts.ring)
        return self._gates

    def _command_desk(self) -> "CommandDesk":
        if self._commands is None:
            # Imported late: commands are rare.
            from runner.turn.commands import CommandDesk

            parts = self._parts
            self._commands = CommandDesk(
                parts.provider, parts.store, parts.beat, parts.conversation, parts.ring
            )
        return self._commands
