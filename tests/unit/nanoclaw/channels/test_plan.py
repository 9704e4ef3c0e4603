from dataclasses import replace

import pytest

from nanoclaw.capabilities import Buttons, Capabilities
from nanoclaw.channels.failure import ChannelFailure
from nanoclaw.channels.part import Operation, Part
from nanoclaw.channels.plan import Revision, plan_parts, revise
from nanoclaw.events import Deliver, FailureClass, SpoolFile

PLAIN = Capabilities(text_limit=100)
WITH_FILES = replace(PLAIN, max_files=2, max_file_bytes=10, caption_limit=100)


def frame(content: str, **fields: object) -> Deliver:
    base = Deliver(
        delivery_id="d1",
        attempt=1,
        platform_id="chat",
        kind="chat",
        content=content,
        reply_to_message_id="m1",
        reply_hint="hint",
        completes=True,
        sent_at="2026-11-21T08:00:00.000Z",
    )
    return replace(base, **fields)  # type: ignore[arg-type]  # fields are Deliver's own


def file(name: str, size: int = 5) -> SpoolFile:
    return SpoolFile(name, f"spool-{name}", size, "00")


def failure(kind: FailureClass) -> ChannelFailure:
    return ChannelFailure(kind, "as the test wants")


def texts(parts: tuple[Part, ...]) -> list[str]:
    return [part.text for part in parts]


def test_a_text_is_one_part_that_knows_what_it_answers() -> None:
    (part,) = plan_parts(frame('{"text":"hi"}'), PLAIN, "install")

    assert (part.text, part.reply_to, part.reply_hint) == ("hi", "m1", "hint")
    assert part.completes
    assert part.operation is Operation.SEND


def test_markdown_wins_over_text() -> None:
    assert texts(plan_parts(frame('{"text":"a","markdown":"**a**"}'), PLAIN, "i")) == ["**a**"]


def test_a_long_text_is_cut_and_only_the_last_part_completes() -> None:
    parts = plan_parts(frame('{"text":"' + "word " * 50 + '"}'), PLAIN, "install")

    assert len(parts) == 3
    assert [part.completes for part in parts] == [False, False, True]
    assert len({part.key for part in parts}) == 3


def test_keys_are_stable_and_differ_by_delivery_part_and_installation() -> None:
    first = plan_parts(frame('{"text":"a"}'), PLAIN, "install")[0].key
    again = plan_parts(frame('{"text":"b"}', attempt=7), PLAIN, "install")[0].key
    other = plan_parts(frame('{"text":"a"}', delivery_id="d2"), PLAIN, "install")[0].key
    elsewhere = plan_parts(frame('{"text":"a"}'), PLAIN, "another")[0].key

    assert first == again
    assert len({first, other, elsewhere}) == 3
    assert len(first) == 24


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("{}", id="nothing at all"),
        pytest.param('{"text":" \\n "}', id="only blanks"),
        pytest.param("no json", id="no json"),
        pytest.param('{"operation":"edit","messageId":"m","text":"x"}', id="edit not possible"),
        pytest.param('{"operation":"reaction","messageId":"m","emoji":"x"}', id="no reactions"),
        pytest.param('{"type":"ask_question","questionId":"q","title":"T"}', id="no options"),
        pytest.param(
            '{"type":"ask_question","questionId":"q","title":"","question":"","options":["a"]}',
            id="no title",
        ),
        pytest.param('{"type":"card","card":{}}', id="empty card"),
    ],
)
def test_what_leaves_nothing_to_say_is_a_permanent_failure(content: str) -> None:
    with pytest.raises(ChannelFailure) as caught:
        plan_parts(frame(content), PLAIN, "install")

    assert caught.value.failure is FailureClass.PERMANENT


def test_a_system_message_never_goes_to_a_channel() -> None:
    with pytest.raises(ChannelFailure):
        plan_parts(frame('{"action":"cancel_task","taskId":"t"}', kind="system"), PLAIN, "i")


def test_edits_and_reactions_name_their_message() -> None:
    able = replace(PLAIN, edits=True, reactions=True)

    (edit,) = plan_parts(frame('{"operation":"edit","messageId":"m9","text":"x"}'), able, "i")
    (reaction,) = plan_parts(
        frame('{"operation":"reaction","messageId":"m9","emoji":"heart"}'), able, "i"
    )

    assert (edit.operation, edit.target_id, edit.text) == (Operation.EDIT, "m9", "x")
    assert (reaction.operation, reaction.target_id, reaction.emoji) == (
        Operation.REACT,
        "m9",
        "heart",
    )


def test_a_question_is_numbered_where_there_are_no_buttons() -> None:
    content = (
        '{"type":"ask_question","questionId":"q","title":"T","question":"Q?",'
        '"options":["Yes",{"label":"No"}]}'
    )

    (part,) = plan_parts(frame(content), PLAIN, "install")
    (with_buttons,) = plan_parts(
        frame(content), replace(PLAIN, buttons=Buttons.CALLBACK, max_buttons=2), "install"
    )

    assert part.text == "T\nQ?\n1. Yes\n2. No"
    assert with_buttons.text == "T\nQ?"
    assert part.question is not None
    assert part.question.options == ("Yes", "No")


def test_a_question_that_repeats_its_title_says_it_once() -> None:
    content = (
        '{"type":"ask_question","questionId":"q","title":"Sure?","question":"Sure?",'
        '"options":["Yes"]}'
    )

    assert texts(plan_parts(frame(content), PLAIN, "i")) == ["Sure?\n1. Yes"]


def test_t60_card_becomes_lines_with_safe_links_only() -> None:
    content = (
        '{"type":"card","card":{"title":"T","description":"D","children":["a",{"text":"b"},5],'
        '"actions":[{"label":"Go","url":"https://x"},{"label":"No","url":"javascript:1"}]}}'
    )

    assert texts(plan_parts(frame(content), PLAIN, "i")) == ["T\nD\na\nb\nGo: https://x"]


def test_t60_card_without_content_shows_its_fallback() -> None:
    content = '{"type":"card","card":{},"fallbackText":"instead"}'

    assert texts(plan_parts(frame(content), PLAIN, "i")) == ["instead"]


def test_files_go_with_the_last_text_and_then_on_their_own() -> None:
    files = tuple(file(name) for name in "abc")

    parts = plan_parts(frame('{"text":"see"}', files=files), WITH_FILES, "install")

    assert [(part.text, [f.name for f in part.files]) for part in parts] == [
        ("see", ["a", "b"]),
        ("", ["c"]),
    ]


def test_files_follow_a_text_that_is_too_long_for_a_caption() -> None:
    able = replace(WITH_FILES, caption_limit=2)

    parts = plan_parts(frame('{"text":"see"}', files=(file("a"),)), able, "install")

    assert [(part.text, len(part.files)) for part in parts] == [("see", 0), ("", 1)]


def test_files_that_the_channel_does_not_take_are_named() -> None:
    none = plan_parts(frame('{"text":"see"}', files=(file("a"),)), PLAIN, "install")
    large = plan_parts(
        frame('{"text":"see"}', files=(file("a"), file("b", 11))), WITH_FILES, "install"
    )

    assert texts(none) == ["see\n\n[not sent, this channel takes no files: a]"]
    assert texts(large) == ["see\n\n[not sent, too large: b]"]
    assert [f.name for f in large[0].files] == ["a"]


def test_refused_markup_is_dropped_once() -> None:
    parts = (Part(key="a", text="*a*"), Part(key="b", text="*b*"))

    first = revise(parts, 1, failure(FailureClass.BAD_FORMAT), 0, PLAIN)

    assert isinstance(first, Revision)
    assert [part.unformatted for part in first.parts] == [False, True]
    second = revise(first.parts, 1, failure(FailureClass.BAD_FORMAT), 0, PLAIN)
    assert isinstance(second, ChannelFailure)
    assert second.failure is FailureClass.PERMANENT


def test_a_part_that_is_too_large_is_halved_twice_and_then_given_up() -> None:
    parts: tuple[Part, ...] = (Part(key="a", text="x" * 80, completes=True),)
    cuts = 0
    for expected in (2, 3):
        revision = revise(parts, 0, failure(FailureClass.TOO_LARGE), cuts, PLAIN)
        assert isinstance(revision, Revision)
        parts, cuts = revision.parts, revision.cuts
        assert len(parts) == expected

    last = revise(parts, 0, failure(FailureClass.TOO_LARGE), cuts, PLAIN)

    assert "".join(texts(parts)) == "x" * 80
    assert [part.completes for part in parts] == [False, False, True]
    assert len({part.key for part in parts}) == 3
    assert isinstance(last, ChannelFailure)
    assert last.failure is FailureClass.PERMANENT


def test_a_short_part_cannot_be_halved() -> None:
    revision = revise((Part(key="a", text="xyz"),), 0, failure(FailureClass.TOO_LARGE), 0, PLAIN)

    assert isinstance(revision, ChannelFailure)


def test_other_failures_stay_what_they_are() -> None:
    given = failure(FailureClass.TRANSIENT)

    assert revise((Part(key="a", text="xyz"),), 0, given, 0, PLAIN) is given


def test_t60_action_without_url_or_label_is_dropped_and_the_others_stay() -> None:
    content = (
        '{"type":"card","card":{"title":"T","actions":[{"label":"no url"},'
        '{"url":"https://a.example"},{"label":"Go","url":"https://b.example"}]}}'
    )

    assert texts(plan_parts(frame(content), PLAIN, "i")) == ["T\nGo: https://b.example"]


def test_t60_ordinary_text_is_no_card() -> None:
    assert texts(plan_parts(frame('{"text":"{\\"type\\":1}"}'), PLAIN, "i")) == ['{"type":1}']
