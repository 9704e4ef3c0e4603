"""Compaction with a real file and a scripted API."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path

import pytest
from helpers.claude_memory_build import (
    FACTS,
    assistant,
    check_request,
    prefix,
    recorded,
    results,
    say,
    user,
)

from runner.errors import ProviderError, Trouble
from runner.providers.claude.archive import ArchiveStyle
from runner.providers.claude.compaction import (
    Compacting,
    Compactor,
    CompactorParts,
    Draft,
    Situation,
)
from runner.providers.claude.conversation import Conversation
from runner.providers.claude.epoch import Prefix
from runner.providers.claude.records import Json, TurnStatus, UserKind, content_blocks
from runner.providers.claude.redelivery import (
    INTERRUPTED_NOTE,
    AlreadyAnswered,
    Interrupted,
    decide_redelivery,
)
from runner.providers.claude.summary import COMPACTION_BETA, holds_block

BLOCK: Json = {"type": "compaction", "content": "what was said", "signature": "c2ln"}
GOOD_BLOCK: Json = {
    "content": [BLOCK],
    "stop_reason": "compaction",
    "usage": {"input_tokens": 900, "output_tokens": 70},
}
NULL_BLOCK: Json = {"content": [{**BLOCK, "content": None}], "stop_reason": "compaction"}
GOOD_TEXT: Json = {
    "content": [{"type": "text", "text": "our own summary"}],
    "stop_reason": "end_turn",
    "usage": {"output_tokens": 40},
}


def failed(detail: str, trouble: Trouble = Trouble.UNEXPECTED) -> ProviderError:
    return ProviderError(trouble, detail)


@dataclass
class Api:
    """Answers in order and keeps the requests."""

    answers: list[Json | ProviderError]
    requests: list[Json] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)

    async def complete(self, request: Json, *, kind: str) -> Mapping[str, object]:
        self.requests.append(json.loads(json.dumps(request)))
        self.kinds.append(kind)
        answer = self.answers.pop(0)
        if isinstance(answer, ProviderError):
            raise answer
        return answer


def compactor(api: Api, workspace: Path, *, server: bool = True) -> Compactor:
    async def rebuild() -> Prefix:
        return prefix(harness="You work, anew.")

    async def situation() -> Situation:
        return Situation("Destinations: `family`.", ("q-1: Go live?",), ("job-1: make",))

    return Compactor(
        CompactorParts(
            caller=api,
            instructions=lambda wish: f"summarise well {wish}".strip(),
            rebuild=rebuild,
            situation=situation,
            archive=ArchiveStyle(workspace, "UTC", UTC, "Ada"),
            max_tokens=8000,
            use_server=lambda: server,
        )
    )


def compact(
    conversation: Conversation,
    workspace: Path,
    answers: Sequence[Json | ProviderError],
    *,
    server: bool = True,
    wish: str = "",
) -> tuple[Compacting | None, Api]:
    api = Api(list(answers))
    work = compactor(api, workspace, server=server).compact(conversation, 1000, wish)
    return asyncio.run(work), api


def archives(workspace: Path) -> list[str]:
    return [path.read_text() for path in (workspace / "conversations").glob("*.md")]


def test_signed_block_takes_the_place_of_what_was_sent(tmp_path: Path) -> None:
    conversation = recorded(tmp_path / "out", 3)
    before = conversation.messages

    outcome, api = compact(conversation, tmp_path, [GOOD_BLOCK], wish="the invoices")

    (request,) = api.requests
    assert request["messages"] == before
    assert request["compaction"] == {
        "type": "summarize",
        "instructions": "summarise well the invoices",
    }
    assert request["betas"] == [COMPACTION_BETA]
    assert api.kinds == ["compaction"]
    assert outcome is not None
    assert (outcome.pre_tokens, outcome.post_tokens, outcome.lost) == (1000, 70, False)
    assert conversation.messages[0] == {"role": "assistant", "content": [BLOCK]}
    assert holds_block(conversation.messages)
    check_request(conversation.messages)


def test_archive_comes_first_and_note_and_head_after(tmp_path: Path) -> None:
    conversation = recorded(tmp_path / "out", 2)
    conversation.set_todo([{"text": "milk", "status": "pending"}])

    outcome, _ = compact(conversation, tmp_path, [GOOD_BLOCK])

    (archive,) = archives(tmp_path)
    assert "**User**: question 0" in archive
    assert "→ family: answer 1" in archive
    assert "toolu_" not in archive
    assert "about looking" not in archive
    note = json.dumps(conversation.messages[-1])
    for words in ("`family`", "milk", "Go live?", "job-1"):
        assert words in note
    epoch = conversation.epoch
    assert epoch is not None
    assert (epoch.number, epoch.reason, epoch.drop_block) == (2, "compaction", False)
    assert epoch.prefix.parts["harness"] == "You work, anew."
    assert outcome is not None
    assert outcome.archive is not None
    assert (tmp_path / "conversations" / outcome.archive).exists()


def test_input_without_answer_stays_word_for_word(tmp_path: Path) -> None:
    conversation = recorded(tmp_path / "out", 2)
    conversation.append_user(user("the new question"), ["m-9"])

    _, api = compact(conversation, tmp_path, [GOOD_BLOCK])

    assert "the new question" not in json.dumps(api.requests)
    blocks = content_blocks(conversation.messages[1])
    assert blocks[0]["text"] == "the new question"
    unfinished = conversation.unfinished
    assert unfinished is not None
    assert unfinished.inbound_ids == ("m-9",)


def test_in_mid_turn_the_open_input_is_repeated_in_the_note(tmp_path: Path) -> None:
    conversation = recorded(tmp_path / "out", 1)
    conversation.append_user(user("the long task"), ["m-9"])
    say(conversation, "", stop="tool_use", calls=["t1"])
    conversation.append_user(results("t1", text="a follow-up"), ["m-10"], UserKind.TOOL_RESULTS)

    _, api = compact(conversation, tmp_path, [GOOD_BLOCK])

    sent = api.requests[0]["messages"]
    assert isinstance(sent, list)
    check_request(sent)
    assert "the long task" in json.dumps(conversation.messages[-1])
    unfinished = conversation.unfinished
    assert unfinished is not None
    assert unfinished.inbound_ids == ("m-9", "m-10")
    check_request(conversation.messages)


def test_second_compaction_of_one_turn_still_knows_the_input(tmp_path: Path) -> None:
    conversation = recorded(tmp_path / "out", 0)
    conversation.append_user(user("the long task"), ["m-9"])
    for number in range(2):
        say(conversation, "", stop="tool_use", calls=[f"t{number}"])
        conversation.append_user(results(f"t{number}"), (), UserKind.TOOL_RESULTS)
        compact(conversation, tmp_path, [GOOD_BLOCK])

    assert "the long task" in json.dumps(conversation.messages[-1])
    conversation.turn_end(["m-9"], TurnStatus.OK)
    assert conversation.interrupted_input == ""


@pytest.mark.parametrize(
    "trouble",
    [
        [NULL_BLOCK, NULL_BLOCK],
        [failed("compaction_unavailable"), failed("compaction_unavailable")],
        [failed("400 compaction_signature_invalid")],
        [failed("too long", Trouble.TOO_LARGE)],
    ],
)
def test_server_that_cannot_is_replaced_by_our_own_summary(
    tmp_path: Path, trouble: list[Json | ProviderError]
) -> None:
    conversation = recorded(tmp_path / "out", 2)

    outcome, api = compact(conversation, tmp_path, [*trouble, GOOD_TEXT])

    assert "compaction" not in api.requests[-1]
    assert outcome is not None
    assert not outcome.lost
    first = content_blocks(conversation.messages[0])[0]
    assert first["text"] == "<summary>\nour own summary\n</summary>"
    assert not holds_block(conversation.messages)
    check_request(conversation.messages)


def test_null_block_is_asked_for_once_more(tmp_path: Path) -> None:
    conversation = recorded(tmp_path / "out", 2)

    _, api = compact(conversation, tmp_path, [NULL_BLOCK, GOOD_BLOCK])

    assert len(api.requests) == 2
    assert holds_block(conversation.messages)


def test_compatible_endpoint_gets_nothing_it_does_not_know(tmp_path: Path) -> None:
    conversation = recorded(tmp_path / "out", 2)

    _, api = compact(conversation, tmp_path, [GOOD_TEXT], server=False)

    assert not {"compaction", "betas"} & set(api.requests[0])
    check_request(conversation.messages)


def test_without_any_summary_the_newest_exchanges_remain(tmp_path: Path) -> None:
    conversation = recorded(tmp_path / "out", 15)
    conversation.append_user(user("and now?"), ["m-99"])
    nothing = failed("400 compaction_nothing_to_summarize")
    cut: Json = {"content": [{"type": "text", "text": "half"}], "stop_reason": "max_tokens"}

    outcome, _ = compact(conversation, tmp_path, [nothing, cut, cut])

    assert outcome is not None
    assert outcome.lost
    text = json.dumps(conversation.messages)
    assert "question 14" in text
    assert "question 4 " not in text
    assert str(outcome.archive) in text
    assert "and now?" in text
    check_request(conversation.messages)


@pytest.mark.parametrize("trouble", [Trouble.NETWORK, Trouble.AUTH, Trouble.BILLING])
def test_trouble_of_another_kind_changes_nothing(tmp_path: Path, trouble: Trouble) -> None:
    conversation = recorded(tmp_path / "out", 2)
    before = conversation.messages

    with pytest.raises(ProviderError):
        compact(conversation, tmp_path, [failed("x", trouble)])

    assert conversation.messages == before


def test_nothing_to_shorten_is_nothing(tmp_path: Path) -> None:
    conversation = recorded(tmp_path / "out", 0)
    conversation.append_user(user("one huge question"), ["m-1"])

    outcome, api = compact(conversation, tmp_path, [])

    assert outcome is None
    assert api.requests == []
    assert archives(tmp_path) == []


def test_archive_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    conversation = recorded(tmp_path / "out", 2)
    (tmp_path / "conversations").write_text("in the way")

    outcome, _ = compact(conversation, tmp_path, [GOOD_BLOCK])

    assert outcome is not None
    assert outcome.archive is None


def test_compacted_conversation_goes_on_after_a_reload(tmp_path: Path) -> None:
    conversation = recorded(tmp_path / "out", 2)
    compact(conversation, tmp_path, [GOOD_BLOCK])
    conversation.append_user(user("go on"), ["m-9"])
    conversation.append_assistant(
        assistant("yes"), stop_reason="end_turn", response_id="r", model="m"
    )
    before = conversation.messages
    conversation.close()

    again = Conversation.open(tmp_path / "out", conversation.id, FACTS)

    assert again.messages == before
    assert [message["role"] for message in before] == ["assistant", "user", "assistant"]


def test_kill_between_record_and_note_is_made_good(tmp_path: Path) -> None:
    conversation = recorded(tmp_path / "out", 2)
    compact(conversation, tmp_path, [GOOD_BLOCK])
    conversation.close()
    (path,) = (tmp_path / "out").glob("*.jsonl")
    kept = path.read_bytes().splitlines(keepends=True)[:-2]
    path.write_bytes(b"".join(kept))

    again = Conversation.open(tmp_path / "out", conversation.id, FACTS)
    assert again.needs_finishing
    asyncio.run(compactor(Api([]), tmp_path).finish(again))

    check_request(again.messages)
    assert "`family`" in json.dumps(again.messages[-1])


# --- in the background ----------------------------------------------------------------------------


def drafted(
    conversation: Conversation, workspace: Path, answer: Json, *, server: bool = True
) -> tuple[Compactor, Draft]:
    work = compactor(Api([answer]), workspace, server=server)
    draft = asyncio.run(work.draft(conversation))
    assert draft is not None
    return work, draft


def go_on(conversation: Conversation, number: int) -> None:
    conversation.append_user(user(f"later {number}"), [f"l-{number}"])
    say(conversation, f"answer to later {number}")
    conversation.turn_end([f"l-{number}"], TurnStatus.OK)


def test_draft_changes_nothing(tmp_path: Path) -> None:
    conversation = recorded(tmp_path / "out", 2)
    before = conversation.messages

    drafted(conversation, tmp_path, GOOD_BLOCK)

    assert conversation.messages == before
    assert archives(tmp_path) == []


def test_what_came_after_the_draft_stays_behind_it_under_the_same_head(tmp_path: Path) -> None:
    conversation = recorded(tmp_path / "out", 2)
    work, draft = drafted(conversation, tmp_path, GOOD_BLOCK)
    go_on(conversation, 1)
    epoch = conversation.epoch

    done = asyncio.run(work.put_in_place(conversation, draft, 1000))

    assert done is not None
    assert done.archive is not None
    assert conversation.epoch == epoch
    assert conversation.messages[0] == {"role": "assistant", "content": [BLOCK]}
    assert [message["role"] for message in conversation.messages[1:]] == [
        "user",
        "assistant",
        "user",
    ]
    text = json.dumps(conversation.messages)
    assert "later 1" in text
    assert "question 0" not in text
    assert "`family`" in json.dumps(conversation.messages[-1])
    check_request(conversation.messages)


def test_summary_of_our_own_lets_go_of_the_thinking_behind_it(tmp_path: Path) -> None:
    conversation = recorded(tmp_path / "out", 2)
    work, draft = drafted(conversation, tmp_path, GOOD_TEXT, server=False)
    go_on(conversation, 1)
    before = conversation.epoch

    asyncio.run(work.put_in_place(conversation, draft, 1000))

    after = conversation.epoch
    assert before is not None
    assert after is not None
    assert (after.prefix, after.drop_block) == (before.prefix, True)
    check_request(conversation.messages)


def test_draft_of_another_head_or_another_list_is_thrown_away(tmp_path: Path) -> None:
    for name in ("head", "list"):
        conversation = recorded(tmp_path / name, 2)
        work, draft = drafted(conversation, tmp_path, GOOD_BLOCK)
        if name == "head":
            conversation.start_epoch(prefix(harness="Another."), reason="overload")
        else:
            compact(conversation, tmp_path, [GOOD_BLOCK])
        before = conversation.messages

        assert asyncio.run(work.put_in_place(conversation, draft, 1000)) is None
        assert conversation.messages == before


def test_redelivery_knows_turns_that_were_kept_behind_a_draft(tmp_path: Path) -> None:
    conversation = recorded(tmp_path / "out", 2)
    work, draft = drafted(conversation, tmp_path, GOOD_BLOCK)
    go_on(conversation, 1)
    conversation.append_user(user("later 2"), ["l-2"])
    say(conversation, "", stop="tool_use", calls=["t1"])
    conversation.append_user(results("t1"), (), UserKind.TOOL_RESULTS)
    asyncio.run(work.put_in_place(conversation, draft, 1000))
    conversation.close()

    again = Conversation.open(tmp_path / "out", conversation.id, FACTS)

    assert decide_redelivery(["l-2"], again.turns) == Interrupted(INTERRUPTED_NOTE)
    answered = decide_redelivery(["l-1"], again.turns)
    assert isinstance(answered, AlreadyAnswered)
    assert answered.final.text == "answer to later 1"
    check_request(again.messages)


def test_kill_while_a_draft_is_put_in_place_is_made_good(tmp_path: Path) -> None:
    conversation = recorded(tmp_path / "out", 2)
    work, draft = drafted(conversation, tmp_path, GOOD_BLOCK)
    go_on(conversation, 1)
    asyncio.run(work.put_in_place(conversation, draft, 1000))
    conversation.close()
    (path,) = (tmp_path / "out").glob("*.jsonl")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))

    again = Conversation.open(tmp_path / "out", conversation.id, FACTS)
    assert again.needs_finishing
    asyncio.run(compactor(Api([]), tmp_path).finish(again))

    assert "later 1" in json.dumps(again.messages)
    check_request(again.messages)
