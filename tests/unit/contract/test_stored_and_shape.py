import json
from dataclasses import dataclass
from enum import StrEnum

import pytest

from contract.errors import BadContent
from contract.shape import Shape
from contract.stored import CliCommandPayload, StoredEvent, StoredMessage, StoredReplyTo


def test_a_stored_event_of_the_reference_can_be_replayed() -> None:
    text = (
        '{"channelType":"telegram","platformId":"telegram:1","threadId":null,"message":{"id":"9",'
        '"kind":"chat","content":"{\\"text\\":\\"hi\\"}","timestamp":"2026-05-15T08:00:00.003Z",'
        '"isMention":true},"replyTo":{"channelType":"cli","platformId":"local","threadId":null},'
        '"later":1}'
    )

    event = StoredEvent.read(json.loads(text))

    assert event == StoredEvent(
        channel_type="telegram",
        platform_id="telegram:1",
        thread_id=None,
        message=StoredMessage(
            id="9",
            kind="chat",
            content='{"text":"hi"}',
            timestamp="2026-05-15T08:00:00.003Z",
            is_mention=True,
        ),
        reply_to=StoredReplyTo(channel_type="cli", platform_id="local"),
        extra={"later": 1},
    )
    assert StoredEvent.read(event.plain()) == event


def test_an_approved_command_is_read() -> None:
    payload = CliCommandPayload.read({"frame": {"id": "1", "command": "groups-list", "args": {}}})

    assert payload.frame.command == "groups-list"


@pytest.mark.parametrize("value", [None, [], "text", {"message": {}}])
def test_what_is_no_stored_event_is_bad_content(value: object) -> None:
    with pytest.raises(BadContent):
        StoredEvent.read(value)


class Color(StrEnum):
    RED = "red"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample(Shape):
    count: int
    share: float = 0.5
    color: Color = Color.RED
    flag: bool = False


def test_truth_values_are_not_numbers_and_numbers_are_not_truth_values() -> None:
    with pytest.raises(BadContent):
        Sample.read({"count": True})
    assert Sample.read({"count": 1, "flag": 1}).extra == {"flag": 1}


def test_whole_numbers_are_read_as_fractions_and_unknown_words_are_kept() -> None:
    sample = Sample.read({"count": 1, "share": 2, "color": "mauve"})

    assert sample.share == 2.0
    assert sample.color is Color.RED
    assert sample.plain() == {"count": 1, "share": 2.0, "color": "mauve"}


def test_a_known_word_becomes_a_member() -> None:
    assert Sample.read({"count": 1, "color": "red"}).color is Color.RED
