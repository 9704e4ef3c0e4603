"""Through real processes: a channel's worker, the router, the agent, and back (T-28)."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.town import Town, TownChannel
from helpers.waiting import wait_until

from nanoclaw.channels.spool import store_inbound
from nanoclaw.events import Attachment, Outcome
from nanoclaw.model import EngageMode


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with Town(tmp_path / "home") as town:
        yield town


@pytest.fixture
def slack(town: Town) -> TownChannel:
    return town.open_channel("slack", threads=True)


def test_t28_message_of_a_channel_reaches_the_agent_and_its_answer_the_channel(
    town: Town, slack: TownChannel
) -> None:
    town.wire(town.add_chat("slack", "C1"), town.add_agent("Pip"))

    committed = slack.say("C1", "what is ripe?", "5")
    shown = slack.wait_for("C1", "what is ripe?")

    assert committed.outcome is Outcome.ROUTED
    assert shown.chat == "C1"
    assert ("C1", None) in slack.platform.typing


def test_thread_of_a_group_is_answered_in_and_followed(town: Town, slack: TownChannel) -> None:
    chat = town.add_chat("slack", "C1", group=True)
    town.wire(chat, town.add_agent("Pip"), engage_mode=EngageMode.MENTION_STICKY)

    slack.say("C1", "Pip, look", "5", mention=True, group=True, thread="t-1")
    shown = slack.wait_for("C1", "Pip, look")
    wait_until(lambda: slack.platform.subscribed, what="the thread is followed")

    assert shown.thread == "t-1"
    assert slack.platform.subscribed == [("C1", "t-1")]


def test_file_of_a_channel_lies_in_the_agents_folder_and_no_longer_in_the_spool(
    town: Town, slack: TownChannel
) -> None:
    town.wire(town.add_chat("slack", "C1"), town.add_agent("Pip"))
    folder = slack.host.folder
    stored = store_inbound(folder, [b"pixels"], 100)
    file = Attachment("image", "leaf.jpg", "image/jpeg", stored.size, stored.spool, stored.sha256)

    slack.say("C1", "what is this?", "5", attachments=(file,))
    slack.wait_for("C1", "what is this?")

    (placed,) = town.host.paths.sessions.glob("*/*/in/files/*/leaf.jpg")
    assert placed.read_bytes() == b"pixels"
    wait_until(
        lambda: not [*folder.glob("spool/in/*"), *folder.glob("taken/*")],
        what="the file is let go",
    )


def test_host_answers_a_status_without_waking_anybody(town: Town, slack: TownChannel) -> None:
    town.wire(town.add_chat("slack", "C1"), town.add_agent("Pip"))

    slack.say("C1", "/status", "5")
    shown = slack.wait_for("C1", "Pip")

    assert "no conversation here yet" in shown.text
    assert town.rows("SELECT * FROM sessions") == []
