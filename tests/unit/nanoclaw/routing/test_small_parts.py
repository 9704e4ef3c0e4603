from datetime import UTC, datetime, timedelta

from nanoclaw.events import Attachment
from nanoclaw.routing.bots import BotMeter
from nanoclaw.routing.host_answers import denial_text, help_text, occasion_of, start_text
from nanoclaw.routing.incoming_files import (
    MAX_FILE_BYTES,
    NO_FILES,
    inline_files,
    plan_files,
    with_errors,
)
from nanoclaw.routing.rows import is_safe_message_id

NOW = datetime(2026, 11, 21, tzinfo=UTC)
MIB = 1024 * 1024


def test_bots_are_counted_per_chat_within_a_minute() -> None:
    meter = BotMeter()

    counts = [meter.count("a", "1", NOW + timedelta(seconds=n)) for n in (0, 10, 59, 61)]

    assert counts == [0, 1, 2, 2]
    assert meter.count("a", "2", NOW) == 0


def test_bots_of_many_chats_are_forgotten_oldest_first() -> None:
    meter = BotMeter()
    meter.count("a", "first", NOW)

    for number in range(1000):
        meter.count("a", str(number), NOW)

    assert meter.count("a", "first", NOW) == 0
    assert meter.count("a", "999", NOW) == 1


def test_texts_of_the_host_name_agents_and_every_command() -> None:
    text = help_text(["Andy", "Bea", "Cid"])

    assert "Andy, Bea and Cid" in text
    for word in ("/help", "/start", "/status", "/clear", "/stop", "/compact"):
        assert f"`{word}`" in text
    assert "`/clear` changes the conversation of Andy" in denial_text("/clear", ["Andy"])
    assert start_text([]).startswith("Hello. nobody")


def test_one_event_is_one_occasion() -> None:
    assert occasion_of("a", "k") == occasion_of("a", "k")
    assert len({occasion_of("a", "k"), occasion_of("a", "l"), occasion_of("ak", "")}) == 3


def test_files_of_a_message_are_limited_together() -> None:
    files = [Attachment("file", f"{n}", None, 24 * MIB, f"s{n}", "ab") for n in range(5)]

    plan = plan_files(files, "m-1", 0)

    assert [entry.get("error") for entry in plan.entries] == [None] * 4 + [
        "the files of this message are larger than 100 MiB"
    ]
    assert [file.index for file in plan.files] == [0, 1, 2, 3]


def test_file_that_is_only_an_address_stays_one() -> None:
    plan = plan_files([Attachment("image", url="https://x/y.png")], "m-1", 7)

    assert plan.entries == (
        {"type": "image", "name": "attachment-7.jpg", "url": "https://x/y.png"},
    )
    assert plan.files == ()
    assert plan_files([], "m", 0) is NO_FILES


def test_file_at_the_limit_is_taken() -> None:
    plan = plan_files([Attachment("file", "a", None, MAX_FILE_BYTES, "s", "ab")], "m", 0)

    assert len(plan.files) == 1


def test_errors_find_their_entry_and_strange_content_stays() -> None:
    content = (
        '{"text":"x","attachments":[{"name":"a","localPath":"p"},{"name":"b","localPath":"q"}]}'
    )

    assert with_errors(content, [(1, "gone")]) == (
        '{"text":"x","attachments":[{"name":"a","localPath":"p"},{"name":"b","error":"gone"}]}'
    )
    assert with_errors(content, []) is content
    assert with_errors("no json", [(0, "gone")]) == "no json"
    assert with_errors('{"attachments":5}', [(0, "gone")]) == '{"attachments":5}'


def test_inline_files_keep_entries_without_bytes() -> None:
    found = inline_files({"attachments": [{"url": "u", "type": "image"}, 5, {"data": "eA=="}]})

    assert [(attachment.kind, data) for attachment, data in found] == [
        ("image", None), ("file", b"x"),
    ]  # fmt: skip
    assert inline_files({"attachments": "x"}) == []


def test_row_ids_are_safe_names() -> None:
    assert is_safe_message_id("1763712000.000100")
    for bad in ("", ".", "..", ".hidden", "a/b", "a\\b", "a\0b", "a\nb", "x" * 181, "é" * 91):
        assert not is_safe_message_id(bad)
