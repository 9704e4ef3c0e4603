"""A process that works on a conversation as the engine does, to be killed at any record.

``python -m helpers.claude_memory_child <folder> <point>``: ``point`` is ``before:<n>`` or
``after:<n>`` (the n-th record that is appended), or ``never``. Everything that must happen once is
written to ``ledger`` (answers, by the seed of their origin) and ``effects`` (calls that took
effect); ``settled`` holds the inbound rows that are done.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from helpers.claude_memory_build import FACTS, assistant, check_request, prefix, user

from runner.providers.claude.conversation import Conversation, FinalAnswer
from runner.providers.claude.epoch import Keep, NewEpoch, decide_epoch
from runner.providers.claude.recordfile import RecordFile
from runner.providers.claude.records import TurnStatus, UserKind, content_blocks
from runner.providers.claude.redelivery import (
    AlreadyAnswered,
    Fresh,
    Interrupted,
    decide_redelivery,
)
from runner.providers.claude.repair import results_message, tool_calls
from runner.providers.claude.settle import settle_open_calls

ROWS = ("m-1", "m-2", "m-3")


def main() -> None:
    folder, point = Path(sys.argv[1]), sys.argv[2]
    arm(point)
    Worker(folder).run()


def arm(point: str) -> None:
    """Lets the process die around the n-th append."""
    if point == "never":
        return
    moment, _, number = point.partition(":")
    appended = 0
    original = RecordFile.append

    def append(file: RecordFile, line: bytes, *, sync: bool) -> int:
        nonlocal appended
        appended += 1
        if appended == int(number) and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        offset = original(file, line, sync=sync)
        if appended == int(number):
            os.kill(os.getpid(), signal.SIGKILL)
        return offset

    RecordFile.append = append  # type: ignore[method-assign, assignment]


class Worker:
    """Answers each row with one tool call and one text."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        handle = folder / "handle"
        stored = handle.read_text() if handle.exists() else None
        self._conversation = Conversation.open(folder / "conversation", stored, FACTS)
        handle.write_text(self._conversation.id)
        asyncio.run(settle_open_calls(self._conversation, self))

    async def recall(self, call_id: str) -> str | None:
        return f"did {call_id}" if call_id in self._noted("effects") else None

    def run(self) -> None:
        decision = decide_epoch(self._conversation.epoch, prefix(), has_history=False)
        if isinstance(decision, NewEpoch):
            self._conversation.start_epoch(prefix(), reason=decision.reason)
        else:
            assert isinstance(decision, Keep)
        for row in ROWS:
            if row not in self._noted("settled"):
                self._answer(row)

    def _answer(self, row: str) -> None:
        conversation = self._conversation
        match decide_redelivery([row], conversation.turns):
            case Fresh():
                conversation.append_user(user(f"please {row}"), [row])
            case Interrupted(note):
                conversation.append_user(user(f"<system>{note}</system>"), (), UserKind.NOTE)
            case AlreadyAnswered(final):
                if conversation.unfinished is not None:
                    conversation.turn_end([row], TurnStatus.OK)
                self._deliver(final, row)
                return
            case other:
                raise AssertionError(other)
        self._work(row)
        turn = conversation.turns[-1]
        assert turn.final is not None
        conversation.turn_end([row], TurnStatus.OK)
        self._deliver(turn.final, row)

    def _work(self, row: str) -> None:
        """Asks the "model" until it is done."""
        while True:
            check_request(self._conversation.messages)
            answers = [
                block
                for message in self._conversation.messages
                for block in content_blocks(message)
                if str(block.get("tool_use_id", "")).startswith(f"toolu_{row}_")
            ]
            done = any("is_error" not in block for block in answers)
            call = f"toolu_{row}_{len(answers)}"
            message = assistant(f"answer {row}") if done else assistant("", [call])
            self._conversation.append_assistant(
                message,
                stop_reason="end_turn" if done else "tool_use",
                response_id="r",
                model="m",
            )
            if done:
                return
            self._note("effects", f"{call}\t{row}")
            result = results_message(tool_calls(message), {call: f"did {call}"})
            self._conversation.append_user(result, (), UserKind.TOOL_RESULTS)

    def _deliver(self, final: FinalAnswer, row: str) -> None:
        if final.origin.seed not in self._noted("ledger"):
            self._note("ledger", f"{final.origin.seed}\t{final.text}")
        self._note("settled", row)

    def _noted(self, name: str) -> set[str]:
        path = self._folder / name
        lines = path.read_text().splitlines() if path.exists() else []
        return {line.partition("\t")[0] for line in lines}

    def _note(self, name: str, line: str) -> None:
        with (self._folder / name).open("a") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    main()
