"""Makes the prompt of a batch: reads what the formatter needs, adds skills and pending notes.

Called by the loop for rows that are claimed. The formatting itself is pure (``prompt``).
"""

import logging
from dataclasses import dataclass, replace

from contract.address import AGENT_CHANNEL, Destination
from contract.content import MessageEdited, QuestionResponse, ReactionIn
from runner.decide import Role, role_of
from runner.incoming import Incoming
from runner.log import fields
from runner.prompt import PromptFacts, build_prompt
from runner.providers.base import Prompt
from runner.settings import Settings
from runner.store import Store
from runner.turn.current import SkillBody
from runner.turn.notes import PendingNotes
from runner.zone import find_zone

_log = logging.getLogger(__name__)

MAX_SKILL = 100_000


@dataclass(frozen=True, slots=True)
class PromptMaker:
    """``commands`` are the provider's words, which no skill can take over."""

    settings: Settings
    store: Store
    notes: PendingNotes
    skill_body: SkillBody | None
    commands: frozenset[str]

    async def make(self, items: tuple[Incoming, ...], omitted: int) -> "MadePrompt":
        destinations = await self.store.destinations()
        zone_name, zone = find_zone(self.settings.session.timezone)
        notes = self.notes.peek(destinations)
        facts = PromptFacts(
            zone_name=zone_name,
            zone=zone,
            omitted=omitted,
            names={d.address: d.name for d in reversed(destinations)},  # the first one counts
            files_dir=str(self.settings.paths.in_dir),
            notes=notes,
            senders={
                d.address: d.display_name
                for d in reversed(destinations)
                if d.address.channel_type == AGENT_CHANNEL
            },
            numbers=await self._numbers(items),
            questions=await self._questions(items),
        )
        shown = tuple(self._with_skill(item) for item in items)
        return MadePrompt(build_prompt(shown, facts), notes, destinations)

    def note_told(self, made: "MadePrompt") -> None:
        self.notes.told(made.notes, made.destinations)

    async def _numbers(self, items: tuple[Incoming, ...]) -> dict[str, int]:
        ids = tuple(
            item.content.message_id
            for item in items
            if isinstance(item.content, MessageEdited | ReactionIn)
        )
        return await self.store.numbers(ids) if ids else {}

    async def _questions(self, items: tuple[Incoming, ...]) -> dict[str, str]:
        """What was asked, as far as it is still known (R-172)."""
        ids = [i.content.question_id for i in items if isinstance(i.content, QuestionResponse)]
        if not ids:
            return {}
        # Imported late: most sessions never ask anything.
        from runner.desk.questions import QUESTIONS_KEY, parse_questions

        known = (await self.store.state([QUESTIONS_KEY])).get(QUESTIONS_KEY)
        return {q.id: q.question for q in parse_questions(known) if q.id in ids}

    def _with_skill(self, item: Incoming) -> Incoming:
        """``/name`` of a skill: the message stays as it is, its instructions follow (R-307)."""
        command = item.command
        if (
            self.skill_body is None
            or command is None
            or role_of(item, self.commands) is not Role.MESSAGE
        ):
            return item
        name = command.word.removeprefix("/")
        body = self.skill_body(name, command.arguments)
        if body is None:
            return item
        _log.info("skill invoked", extra=fields(message=item.row.id, reason=name))
        note = (
            f"The sender of message {item.row.seq} invoked the skill `{name}`. "
            f"Its instructions:\n\n{body[:MAX_SKILL]}"
        )
        return replace(item, notes=(*item.notes, note))


@dataclass(frozen=True, slots=True)
class MadePrompt:
    """``notes`` and ``destinations`` are told to the agent once the provider has the prompt."""

    prompt: Prompt
    notes: tuple[str, ...]
    destinations: tuple[Destination, ...]
