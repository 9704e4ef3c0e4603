"""Files, edits, reactions and outages, through the whole host."""

from pathlib import Path

from helpers.town import Shown, Town, TownChannel
from helpers.waiting import wait_until

from nanoclaw.channels.part import Operation
from nanoclaw.channels.spool import store_inbound
from nanoclaw.events import Attachment, Outcome


def call(tool: str, **arguments: object) -> dict[str, object]:
    return {"call": {"tool": f"mcp__nanoclaw__{tool}", "arguments": arguments}}


def script(*rules: tuple[str | None, list[object]]) -> dict[str, object]:
    return {"rules": [{"match": match, "steps": steps} for match, steps in rules]}


def test_file_of_a_user_reaches_the_agents_folder(town: Town, telegram: TownChannel) -> None:
    pip = town.add_agent("Pip")
    town.wire(town.add_chat("telegram", "family"), pip)
    stored = store_inbound(telegram.host.folder, [b"%PDF-1.4 plan"], 1000)
    attachment = Attachment(
        "file",
        name="../plan.pdf",
        mime_type="application/pdf",
        size=stored.size,
        spool=stored.spool,
        sha256=stored.sha256,
    )

    outcome = telegram.say("family", "see the plan", "owner", attachments=(attachment,)).outcome

    assert outcome is Outcome.ROUTED
    telegram.wait_for("family", "see the plan")
    files = [path for path in town.host.paths.sessions.glob("*/*/in/files/*/*") if path.is_file()]
    assert [path.read_bytes() for path in files] == [b"%PDF-1.4 plan"]
    assert not list((telegram.host.folder / "spool" / "in").iterdir())
    assert not list(town.host.paths.sessions.rglob("plan.pdf/.."))


def test_file_of_an_agent_reaches_the_chat(town: Town, telegram: TownChannel) -> None:
    pip = town.add_agent(
        "Pip",
        script=script(
            ("report", [call("send_file", path="report.txt", text="here it is"), {"say": "done"}])
        ),
    )
    town.wire(town.add_chat("telegram", "family"), pip)
    folder = town.host.paths.groups / "pip"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.txt").write_text("all is well")

    telegram.say("family", "report", "owner")

    shown = wait_until(
        lambda: [one for one in telegram.platform.shown if one.part.files],
        within=20,
        what="a message with a file",
    )
    [file] = shown[0].part.files
    assert file.name == "report.txt"
    assert file.size == len("all is well")


def test_edit_and_reaction_name_the_platforms_own_ids(town: Town, telegram: TownChannel) -> None:
    pip = town.add_agent(
        "Pip",
        script=script(
            ("draft", [call("send_message", text="first draft"), {"say": "ok"}]),
            ("fix", [call("edit_message", messageId=3, text="final"), {"say": "fixed {result}"}]),
            ("like", [call("add_reaction", messageId=2, emoji="thumbs_up"), {"say": "liked"}]),
        ),
    )
    town.wire(town.add_chat("telegram", "family"), pip)

    telegram.say("family", "draft", "owner", key="m-1")
    draft = telegram.wait_for("family", "first draft")
    telegram.wait_for("family", "ok")
    telegram.say("family", "fix", "owner")
    edit = wait_until(lambda: _of(telegram, Operation.EDIT), within=20, what="an edit")
    telegram.say("family", "like", "owner")
    reaction = wait_until(lambda: _of(telegram, Operation.REACT), within=20, what="a reaction")

    assert edit[0].message_id == draft.message_id
    assert reaction[0].message_id == "m-1"


def test_t69_message_for_a_channel_that_is_down_arrives_when_it_is_back(
    town: Town, telegram: TownChannel
) -> None:
    pip = town.add_agent("Pip", script=script(("slow", [{"delay_ms": 500}, {"say": "at last"}])))
    town.wire(town.add_chat("telegram", "family"), pip)
    telegram.say("family", "slow", "owner")
    telegram.close()
    del town.channels["telegram"]
    wait_until(
        lambda: town.rows("SELECT * FROM deliveries WHERE state = 'queued'"),
        within=20,
        what="the answer waits",
    )

    again = town.open_channel("telegram")

    again.wait_for("family", "at last")
    assert again.texts("family") == ["at last"]


def _of(channel: TownChannel, operation: Operation) -> list[Shown]:
    return [one for one in channel.platform.shown if one.part.operation is operation]


def test_folder_of_the_channel_is_private(telegram: TownChannel) -> None:
    folder: Path = telegram.host.folder

    assert folder.stat().st_mode & 0o077 == 0
