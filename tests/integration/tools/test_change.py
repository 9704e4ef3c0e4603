import asyncio

import pytest
from helpers.desk_session import FAMILY, DeskSession
from helpers.runner_process import CHAT

from contract.clock import utc_now
from contract.inbound.row import NewInbound
from runner.tools.nanoclaw.change import change_tools


def test_edit_names_the_message_as_the_platform_does(session: DeskSession) -> None:
    session.call("send_message", text="hi", to="family")
    session.deliver(session.last, "tg-5")
    number = session.last.seq

    result = session.call("edit_message", messageId=number, text="corrected")

    assert result.text == f"Edit queued for #{number}."
    assert session.content() == {"operation": "edit", "messageId": "tg-5", "text": "corrected"}
    assert session.last.address == FAMILY.address
    assert session.last.in_reply_to is None


def test_message_delivered_without_a_platform_id_keeps_ours(session: DeskSession) -> None:
    session.call("send_message", text="hi")
    sent = session.last
    session.deliver(sent, None)

    session.call("edit_message", messageId=str(sent.seq), text="corrected")

    assert session.content()["messageId"] == sent.id


def test_reaction_to_a_persons_message_uses_the_platforms_id(session: DeskSession) -> None:
    session.insert(
        NewInbound(id="m-9:ag-1", kind="chat", timestamp=utc_now(), content='{"text":"x"}',
                   address=CHAT, platform_message_id="m-9")
    )  # fmt: skip

    result = session.call("add_reaction", messageId=2, emoji="thumbs_up")

    assert result.text == "Reaction queued for #2."
    assert session.content() == {"operation": "reaction", "messageId": "m-9", "emoji": "thumbs_up"}


def test_reaction_falls_back_to_the_rows_id(session: DeskSession) -> None:
    row = session.receive("x", CHAT)

    session.call("add_reaction", messageId=f"#{row.seq}", emoji="heart")

    assert session.content()["messageId"] == row.id


def test_own_message_that_is_not_delivered_yet_is_waited_for(session: DeskSession) -> None:
    session.call("send_message", text="hi")
    sent = session.last

    async def edit_and_deliver() -> str:
        task = asyncio.create_task(session.run("edit_message", messageId=sent.seq, text="new"))
        await asyncio.sleep(0)
        session.deliver(sent, "p-7")
        return (await task).text

    assert asyncio.run(edit_and_deliver()) == f"Edit queued for #{sent.seq}."
    assert session.content()["messageId"] == "p-7"


def test_message_that_nobody_delivers_cannot_be_edited(session: DeskSession) -> None:
    session.call("send_message", text="hi")
    session.tools["edit_message"] = change_tools(session.desk, delivery_seconds=0.0)[0]

    result = session.call("edit_message", messageId=session.last.seq, text="new")

    assert result.is_error
    assert "not delivered yet; try again" in result.text
    assert len(session.rows) == 1


def test_message_that_failed_cannot_be_edited(session: DeskSession) -> None:
    session.call("send_message", text="hi")
    session.deliver(session.last, failed=True)

    result = session.call("edit_message", messageId=session.last.seq, text="new")

    assert "could not be delivered" in result.text


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("edit_message", {"text": "x"}, "'messageId' is required"),
        ("edit_message", {"messageId": 0, "text": "x"}, "'messageId' is required"),
        ("edit_message", {"messageId": True, "text": "x"}, "'messageId' is required"),
        ("edit_message", {"messageId": 10**40, "text": "x"}, "'messageId' is required"),
        ("edit_message", {"messageId": 2, "text": ""}, "'text' is required"),
        ("edit_message", {"messageId": 2, "text": "x"}, "#2 is not your message"),
        ("edit_message", {"messageId": 99, "text": "x"}, "no message #99"),
        ("add_reaction", {"messageId": 99, "emoji": "x"}, "no message #99"),
        ("add_reaction", {"messageId": 2}, "'emoji' is required"),
        ("add_reaction", {"messageId": 2, "emoji": "x" * 200}, "at most 128"),
        ("add_reaction", {"messageId": 4, "emoji": "x"}, "not sent in a chat"),
    ],
)
def test_change_that_cannot_be_made_leaves_no_row(
    session: DeskSession, tool: str, arguments: dict[str, object], words: str
) -> None:
    session.receive("hello", CHAT)
    session.insert(NewInbound(id="m-n", kind="webhook", timestamp=utc_now(), content="{}"))

    result = session.call(tool, **arguments)

    assert result.is_error
    assert words in result.text
    assert not session.rows
