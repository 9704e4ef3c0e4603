"""A data folder of the earlier program under the whole host: routed, swept, delivered."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from helpers.earlier import FULL, table, unpack
from helpers.town import Town
from helpers.waiting import wait_until

from contract.inbound.reader import read_row
from nanoclaw.events import Outcome
from nanoclaw.paths import HostPaths

OWNER = "5550100"
OWNER_CHAT = "telegram:5550100"
OWNERS_SESSION = "sess-1778576401429-6g2jvj"
OPS_SESSION = "sess-1778832000004-39gsoe"


def make_offline(paths: HostPaths) -> None:
    """The agents of the fixture answer by script: there is no model in a test."""
    with closing(sqlite3.connect(paths.central_db)) as conn, conn:
        conn.execute("UPDATE container_configs SET provider = 'scripted'")


def said_before(paths: HostPaths) -> set[str]:
    """Texts that the earlier host had delivered."""
    texts: set[str] = set()
    for session in paths.sessions.glob("*/sess-*"):
        done = {row["message_out_id"] for row in table(session / "inbound.db", "delivered")}
        for row in table(session / "outbound.db", "messages_out"):
            content = json.loads(str(row["content"]))
            if row["id"] in done and content.get("text"):
                texts.add(content["text"])
    return texts


def test_taken_over_folder_goes_on_where_the_earlier_program_stopped(tmp_path: Path) -> None:
    paths = unpack(FULL, tmp_path)
    make_offline(paths)
    old_texts = said_before(paths)
    [unsaid] = [
        json.loads(str(row["content"]))["text"]
        for session in paths.sessions.glob(f"*/{OPS_SESSION}")
        for row in table(session / "outbound.db", "messages_out")
        if row["id"]
        not in {mark["message_out_id"] for mark in table(session / "inbound.db", "delivered")}
    ]
    (old_owner,) = paths.sessions.glob(f"*/{OWNERS_SESSION}")
    highest = max(int(str(row["seq"])) for row in table(old_owner / "inbound.db", "messages_in"))

    with Town(paths.home, environment={"NANOCLAW_PROVIDER": "scripted"}) as town:
        telegram = town.open_channel("telegram")
        slack = town.open_channel("slack", threads=True)

        # Routed: into the same conversation, with the next number.
        said = telegram.say(OWNER_CHAT, "are you still there?", OWNER)
        assert said.outcome is Outcome.ROUTED
        telegram.wait_for(OWNER_CHAT, "are you still there?")
        [target] = town.rows("SELECT * FROM inbound_events WHERE outcome = 'routed'")
        [row] = json.loads(str(target["targets_json"]))["rows"]
        assert row["session"] == OWNERS_SESSION
        (folder,) = paths.sessions.glob(f"*/{OWNERS_SESSION}/in/inbound.db")
        stored = read_row(folder, row["id"])
        assert stored is not None
        assert stored.seq > highest

        # Delivered: what was still to be said, once, and nothing that had been said.
        wait_until(
            lambda: [shown for shown in slack.platform.shown if shown.text == unsaid],
            within=20,
            what=f"{unsaid!r} in {[shown.text for shown in slack.platform.shown]}",
        )
        shown = [shown.text for shown in (*telegram.platform.shown, *slack.platform.shown)]
        assert shown.count(unsaid) == 1
        assert not old_texts & set(shown)

        # Swept: the task that was due has run, and its series has a next time.
        tasks = wait_until(
            lambda: [
                found
                for found in table(folder, "messages_in")
                if found["kind"] == "task" and found["recurrence"] and found["status"] == "pending"
            ],
            within=20,
            what="the next run of a recurring task",
        )
        assert all(str(task["process_after"]) > "2026-06" for task in tasks)
