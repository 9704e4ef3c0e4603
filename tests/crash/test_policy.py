"""Kills the host at every step of its policies: held strangers, questions, tasks, agents, files.

Each story is one way through a whole host. It is played undisturbed first; then once for every
kill point on its way, where the process that gets there dies. Both times the same must stand in
the chats and in the books, so that nothing was lost and nothing was done twice.
"""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from helpers.central import make_home
from helpers.crash_town import CRASH_HOST, CrashTown, Scene, Story
from helpers.earlier import EARLY, table, unpack
from helpers.host import ROOT, Host
from helpers.kill_points import KillFolder, find_kill_points
from helpers.waiting import wait_until

from contract.clock import to_text, utc_now
from nanoclaw import audit
from nanoclaw.audit import AuditEntry
from nanoclaw.audit_archive import verify_archives
from nanoclaw.channels.spool import store_inbound
from nanoclaw.db import container_configs, destinations
from nanoclaw.db.connection import transaction
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.events import Attachment
from nanoclaw.model import (
    AgentGroup,
    CliScope,
    DestinationRow,
    EgressMode,
    MessagingGroup,
    TargetType,
    UnknownSenderPolicy,
)

MONTH = timedelta(days=30)
SHOWN = """SELECT 1 WHERE NOT EXISTS (SELECT * FROM card_copies WHERE state = 'queued')"""
LONG_AGO = "2026-01-01T00:00:00.000Z"


def call(tool: str, **arguments: object) -> dict[str, object]:
    return {"call": {"tool": f"mcp__nanoclaw__{tool}", "arguments": arguments}}


def say(text: str) -> dict[str, object]:
    return {"say": text}


def connect(
    scene: Scene, agent: AgentGroup, name: str, target: AgentGroup | MessagingGroup
) -> None:
    kind = TargetType.AGENT if isinstance(target, AgentGroup) else TargetType.CHANNEL
    with transaction(scene.town.conn):
        destinations.create(
            scene.town.conn, DestinationRow(agent.id, name, kind, target.id, utc_now())
        )


# --- people ---------------------------------------------------------------------------------------


def stranger_is_allowed(scene: Scene) -> None:
    scene.change("DELETE FROM user_dms")  # the owner's direct chat is cold
    pip = scene.agent("Pip", ("let me in", [say("welcome")]))
    club = scene.chat(pip, "club", group=True, policy=UnknownSenderPolicy.REQUEST_APPROVAL)

    scene.say(club, "let me in", sender=scene.called("guest"))
    card = scene.card(scene.called("Guest"))
    scene.wait(SHOWN)
    scene.step("decided")
    scene.press(card, 0)

    scene.hear(club, "welcome")


def question_is_answered(scene: Scene) -> None:
    ask = call("ask_user_question", title="Tea?", question="Which?", options=["Green", "Black"])
    pip = scene.agent("Pip", ("tea", [ask, say("You chose: {result}")]))
    family = scene.chat(pip)

    scene.say(family, "tea")
    card = scene.card("Tea?", family.platform_id)
    scene.step("answered")
    scene.press(card, 1)

    scene.hear(family, "Black")


def request_expires(scene: Scene) -> None:
    pip = scene.agent(
        "Pip", ("grow", [_create(scene), say("asked")]), ("not approved", [say("a pity")])
    )
    family = scene.chat(pip)
    scene.say(family, "grow")
    scene.card(scene.called("Researcher"))
    scene.hear(family, "asked")
    scene.wait(SHOWN)

    scene.step("late")
    scene.change(
        "UPDATE pending_approvals SET expires_at = ? WHERE agent_group_id = ?", LONG_AGO, pip.id
    )

    scene.hear(family, "a pity")
    # After a crash the desk would wait for the answer that its predecessor has asked for.
    scene.change("UPDATE card_copies SET look_at = ? WHERE state = 'closing'", LONG_AGO)


def request_expires_where_cards_stay(scene: Scene) -> None:
    scene.telegram.platform.shows_outcomes = False
    try:
        request_expires(scene)
        scene.wait(
            "SELECT * FROM deliveries WHERE delivery_id LIKE '%/closed' AND state = 'sent'"
            " AND created_at > (SELECT created_at FROM agent_groups ORDER BY rowid DESC LIMIT 1)"
        )
    finally:
        scene.telegram.platform.shows_outcomes = True


def nobody_can_be_asked(scene: Scene) -> None:
    scene.change("DELETE FROM user_dms")
    scene.telegram.platform.opens_chats = False
    try:
        pip = scene.agent(
            "Pip", ("grow", [_create(scene), say("asked")]), ("not approved", [say("a pity")])
        )
        family = scene.chat(pip)
        scene.say(family, "grow")
        scene.hear(family, "asked")
        scene.hear(family, "a pity")
    finally:
        scene.telegram.platform.opens_chats = True


def tainted_message_is_allowed(scene: Scene) -> None:
    tell = call("send_message", to="boss", text="the secret")
    pip = scene.agent("Pip", ("leak", [tell, say("answered here")]))
    family, boss = scene.chat(pip), scene.place("boss")
    connect(scene, pip, "boss", boss)

    scene.say(family, "leak", sender=scene.called("guest"))
    scene.hear(family, "answered here")
    card = scene.card(scene.called("Boss"))
    scene.step("allowed")
    scene.press(card, 0)

    scene.hear(boss, "the secret")


# --- what agents ask for --------------------------------------------------------------------------


def _create(scene: Scene) -> dict[str, object]:
    return call("create_agent", name=scene.called("Researcher"), instructions="Find things out.")


def agent_is_created(scene: Scene) -> None:
    pip = scene.agent(
        "Pip", ("grow", [_create(scene), say("asked")]), ("created|destination", [say("at last")])
    )
    family = scene.chat(pip)

    scene.say(family, "grow")
    card = scene.card(scene.called("Researcher"))
    scene.hear(family, "asked")
    scene.step("allowed")
    scene.press(card, 0)

    scene.wait("SELECT * FROM agent_groups WHERE name = ?", scene.called("Researcher"))
    scene.hear(family, "at last")


def server_is_added(scene: Scene) -> None:
    add = call("add_mcp_server", name="notes", command="python3", args=["-c", "print(1)"])
    pip = scene.agent("Pip", ("add", [add, say("asked")]), ("notes", [say("begun anew")]))
    family = scene.chat(pip)

    scene.say(family, "add")
    card = scene.card(scene.called("Pip"))
    scene.hear(family, "asked")
    scene.step("allowed")
    scene.press(card, 0)

    scene.hear(family, "begun anew")


def packages_cannot_be_built(scene: Scene) -> None:
    install = call("install_packages", apt=["jq"], reason="to read")
    pip = scene.agent("Pip", ("^please", [install, say("asked")]), ("jq", [say("a pity")]))
    family = scene.chat(pip)

    scene.say(family, "please")
    card = scene.card(scene.called("Pip"))
    scene.hear(family, "asked")
    scene.step("allowed")
    scene.press(card, 0)

    scene.hear(family, "a pity")


def agents_talk(scene: Scene) -> None:
    send = call("send_file", to="sam", path="plan.txt", text="weather?")
    pip = scene.agent(
        "Pip",
        ("ask sam", [send, say("asked")]),
        ("sunny", [call("send_message", to=scene.called("family"), text="Sam says it is sunny")]),
    )
    sam = scene.agent("Sam", ("weather", [say("sunny")]))
    family = scene.chat(pip)
    connect(scene, pip, "sam", sam)
    connect(scene, sam, "pip", pip)
    _write(scene, pip, "plan.txt", "at noon")

    scene.say(family, "ask sam")

    scene.hear(family, "asked")
    scene.hear(family, "Sam says it is sunny")
    files = scene.town.host.paths.sessions.glob(f"{sam.id}/*/in/files/*/*")
    assert [file.read_text() for file in files] == ["at noon"]


def host_is_asked(scene: Scene) -> None:
    pip = scene.agent("Pip", ("who", [call("ncl", command="groups get"), say("I am {result}")]))
    family = scene.chat(pip)

    scene.say(family, "who")

    assert scene.called("Pip") in scene.hear(family, "I am").text


def _may_administrate(scene: Scene, agent: AgentGroup) -> None:
    with transaction(scene.town.conn):
        change = ContainerConfigChange(cli_scope=CliScope.GLOBAL)
        container_configs.update(scene.town.conn, agent.id, change, utc_now())


def _ask_to_run(scene: Scene, command: str) -> MessagingGroup:
    """An agent wants this command; a person allows it in the step ``allowed``."""
    pip = scene.agent(
        "Pip",
        ("^please", [call("ncl", command=command), say("asked")]),
        ("was approved and carried out", [say("at last")]),
    )
    _may_administrate(scene, pip)
    family = scene.chat(pip)
    scene.say(family, "please")
    card = scene.card(scene.called("Pip"))
    scene.hear(family, "asked")
    scene.step("allowed")
    scene.press(card, 0)
    return family


def group_is_made(scene: Scene) -> None:
    folder = scene.called("garden")
    family = _ask_to_run(scene, f"groups create --name Garden --folder {folder}")

    scene.hear(family, "at last")
    scene.wait("SELECT * FROM agent_groups WHERE folder = ?", folder)
    memory = scene.town.host.paths.groups / folder / "CLAUDE.local.md"
    wait_until(memory.exists, what="its folder is there")


def group_is_deleted(scene: Scene) -> None:
    paths = scene.town.host.paths
    sam = scene.agent("Sam")
    _write(scene, sam, "plan.txt", "at noon")
    family = _ask_to_run(scene, f"groups delete {sam.id} --cascade")

    scene.hear(family, "at last")
    wait_until(lambda: not (paths.groups / sam.folder).exists(), what="its folder is gone")
    [kept] = (paths.data / "trash").glob(f"*-{sam.folder}/groups-{sam.folder}/plan.txt")
    assert kept.read_text() == "at noon"


def agent_begins_anew(scene: Scene) -> None:
    family = _ask_to_run(scene, "groups restart")

    scene.hear(family, "at last")


# --- tasks ----------------------------------------------------------------------------------------


def task_runs(scene: Scene) -> None:
    schedule = call(
        "schedule_task", prompt="say moo", processAfter=LONG_AGO, recurrence="@every 1h"
    )
    pip = scene.agent("Pip", ("plan", [schedule, say("planned")]), ("moo", [say("Moo!")]))
    family = scene.chat(pip)

    scene.say(family, "plan")

    scene.hear(family, "planned")
    scene.hear(family, "Moo!")
    scene.wait("SELECT * FROM task_runs WHERE agent_group_id = ?", pip.id)
    scene.wait_for_row(pip, "kind = 'task' AND status = 'pending' AND process_after > timestamp")


def task_is_cancelled(scene: Scene) -> None:
    schedule = call("schedule_task", prompt="say moo", processAfter=to_text(utc_now() + MONTH))
    pip = scene.agent(
        "Pip",
        ("plan", [schedule, say("planned")]),
        ("^task-", [call("cancel_task", taskId="{text}"), say("gone")]),
    )
    family = scene.chat(pip)
    scene.say(family, "plan")
    scene.hear(family, "planned")
    series = "SELECT series_id FROM task_series WHERE agent_group_id = ?"
    scene.wait(series, pip.id)
    [row] = scene.town.rows(series, pip.id)

    scene.say(family, str(row["series_id"]))

    scene.hear(family, "gone")
    scene.wait(f"{series} AND state = 'ended'", pip.id)


# --- messages -------------------------------------------------------------------------------------


def file_comes_in(scene: Scene) -> None:
    pip = scene.agent("Pip", ("see the plan", [say("seen")]))
    family = scene.chat(pip)
    stored = store_inbound(scene.telegram.host.folder, [b"at noon"], 1000)
    attachment = Attachment(
        "file", name="plan.txt", mime_type="text/plain", size=stored.size,
        spool=stored.spool, sha256=stored.sha256,
    )  # fmt: skip

    scene.say(family, "see the plan", attachments=(attachment,))

    scene.hear(family, "seen")
    files = scene.town.host.paths.sessions.glob(f"{pip.id}/*/in/files/*/*")
    assert [file.read_bytes() for file in files] == [b"at noon"]
    assert not list((scene.telegram.host.folder / "spool" / "in").iterdir())


def file_goes_out(scene: Scene) -> None:
    send = call("send_file", path="plan.txt", text="here it is")
    pip = scene.agent("Pip", ("report", [send, say("done")]))
    family = scene.chat(pip)
    _write(scene, pip, "plan.txt", "at noon")

    scene.say(family, "report")

    [file] = scene.file(family).part.files
    assert (file.name, file.size) == ("plan.txt", 7)
    scene.hear(family, "done")


def message_is_edited(scene: Scene) -> None:
    pip = scene.agent(
        "Pip",
        ("draft", [call("send_message", text="first draft"), say("ok")]),
        ("fix", [call("edit_message", messageId=3, text="final"), say("fixed")]),
    )
    family = scene.chat(pip)
    scene.say(family, "draft")
    draft = scene.hear(family, "first draft")
    scene.hear(family, "ok")

    scene.step("fix")
    scene.say(family, "fix")

    assert scene.hear(family, "final").message_id == draft.message_id
    scene.hear(family, "fixed")


def agent_dies(scene: Scene) -> None:
    pip = scene.agent("Pip", ("hello", [say("hello yourself")]), ("still", [say("once more")]))
    with transaction(scene.town.conn):
        change = ContainerConfigChange(egress_mode=EgressMode.ALLOWLIST)
        container_configs.update(scene.town.conn, pip.id, change, utc_now())
    family = scene.chat(pip)
    scene.say(family, "hello")
    scene.hear(family, "hello yourself")

    scene.kill_runner(pip)
    scene.say(family, "still there?")

    scene.hear(family, "once more")


def message_waits_in_vain(scene: Scene) -> None:
    """For a channel that is not there; its agent is told, and says so."""
    tell = call("send_message", to="away", text="anybody?")
    pip = scene.agent("Pip", ("tell", [tell, say("told")]), ("away", [say("a pity")]))
    family, away = scene.chat(pip), scene.place("away", "pigeon")
    connect(scene, pip, "away", away)
    scene.say(family, "tell")
    scene.hear(family, "told")
    scene.wait("SELECT * FROM deliveries WHERE instance = 'pigeon' AND state = 'queued'")

    scene.change("UPDATE deliveries SET expires_at = ? WHERE instance = 'pigeon'", LONG_AGO)

    scene.hear(family, "a pity")


def _write(scene: Scene, agent: AgentGroup, name: str, text: str) -> None:
    folder = scene.town.host.paths.groups / agent.folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


# --- the matrix -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Way:
    """``step``: from which moment of the story on somebody may die."""

    story: Story
    step: str
    points: tuple[str, ...]


WAYS = (
    Way(stranger_is_allowed, "", (
        "router.event_received", "router.event_committed", "router.event_answered",
        "desk.dm_resolved", "desk.card_queued", "desk.copies_settled",
        "delivery.marked_sending", "delivery.frame_sent", "delivery.settled",
    )),
    Way(stranger_is_allowed, "decided", (
        "router.fact_stored", "router.released_decided", "router.row_inserted",
        "router.event_routed", "sweep.leased", "sweep.materialized", "delivery.queued",
        "delivery.projected",
    )),
    Way(question_is_answered, "", ("delivery.queued", "delivery.settled")),
    Way(question_is_answered, "answered", ("router.fact_stored", "host.answer_written")),
    Way(request_expires, "late", ("desk.expired", "desk.copy_closed", "host.note_written")),
    Way(request_expires_where_cards_stay, "late", ("desk.outcome_said",)),
    Way(nobody_can_be_asked, "", ("desk.given_up",)),
    Way(tainted_message_is_allowed, "allowed", ("delivery.held_released",)),
    Way(agent_is_created, "", ("host.agent_requested",)),
    Way(agent_is_created, "allowed", (
        "router.fact_stored", "effects.begun", "host.agent_created", "host.agent_folder_made",
        "host.agent_connected", "host.destinations_refreshed", "host.note_written",
        "effects.done", "effects.finished",
    )),
    Way(server_is_added, "", ("host.server_requested",)),
    Way(server_is_added, "allowed", ("host.server_stored", "host.restart_prepared")),
    Way(packages_cannot_be_built, "", ("host.packages_requested",)),
    Way(packages_cannot_be_built, "allowed", ("host.build_requested", "effects.done")),
    Way(agents_talk, "", (
        "effects.begun", "host.agent_files_copied", "host.agent_message_written",
        "host.agent_message_marked", "effects.done", "effects.finished",
    )),
    Way(host_is_asked, "", ("effects.begun", "admin.answered")),
    Way(group_is_made, "allowed", ("admin.folders_made",)),
    Way(group_is_deleted, "allowed", ("admin.folders_removed",)),
    Way(agent_begins_anew, "allowed", ("host.restart_prepared", "admin.answered")),
    Way(task_runs, "", (
        "effects.begun", "tasks.planned", "tasks.written", "effects.finished", "tasks.recorded",
        "tasks.recurred",
    )),
    Way(task_is_cancelled, "", ("tasks.changed",)),
    Way(file_comes_in, "", ("router.event_committed", "router.files_placed")),
    Way(file_goes_out, "", ("delivery.files_copied", "delivery.files_taken", "delivery.settled")),
    Way(message_is_edited, "fix", ("delivery.queued", "delivery.frame_sent", "delivery.settled")),
    Way(message_waits_in_vain, "", ("delivery.expired", "delivery.told", "host.note_written")),
    Way(agent_dies, "", (
        "sweep.leased", "sweep.door_opened", "sweep.materialized", "sweep.container_started",
        "sweep.marked_running", "sweep.exit_seen", "sweep.marked_stopped", "sweep.acks_synced",
        "sweep.settled",
    )),
)  # fmt: skip
CASES = [(way, point) for way in WAYS for point in way.points]
AREAS = (
    "admin.", "audit.", "delivery.", "desk.", "effects.", "host.", "preflight.", "router.",
    "sweep.", "tasks.",
)  # fmt: skip
ELSEWHERE = {
    "audit.archive_written",  # nobody archives in a running host: see below
    "audit.archived",
    "delivery.joined",  # after an outage of an hour: tests/integration/delivery/test_kills.py
    "host.packages_stored",  # a built image: tests/integration/agents/test_killed.py
    "host.session_restored",  # a month of silence: tests/integration/sessions/test_archive.py
    "preflight.earlier_moved",  # an earlier program's home: see below
    "preflight.session_built",
    "preflight.session_converted",
    "sweep.session_folder_removed",  # as host.session_restored
    "sweep.session_packed",
    "tasks.skipped",  # a host that was off for long: tests/integration/tasks/test_kills.py
}
"""What no story of a running town comes by."""


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CrashTown]:
    with CrashTown(tmp_path_factory.mktemp("policy")) as made:
        yield made


def test_every_step_of_the_policies_is_on_some_way() -> None:
    wanted = {point for point in find_kill_points() if point.startswith(AREAS)}

    assert wanted == {point for _, point in CASES} | ELSEWHERE


@pytest.mark.parametrize(
    ("way", "point"), CASES, ids=[f"{way.story.__name__}-{point}" for way, point in CASES]
)
def test_host_that_dies_at_a_step_of_its_policies_loses_and_repeats_nothing(
    town: CrashTown, way: Way, point: str
) -> None:
    calm = town.calm_books(way.story)

    killed = town.play(way.story, way.step, point)

    assert killed - calm == Counter(), "this is there too often"
    assert calm - killed == Counter(), "this is missing"
    town.assert_chain_is_whole()


# --- where no town is needed ----------------------------------------------------------------------


@pytest.mark.parametrize("point", ["audit.archive_written", "audit.archived"])
def test_archiver_of_the_audit_trail_that_dies_leaves_a_whole_chain(
    tmp_path: Path, point: str
) -> None:
    config, conn = make_home(tmp_path)
    with closing(conn):
        for number in range(3):
            audit.record(conn, AuditEntry("test.done", "host", f"row {number}", {}), utc_now())
        before = audit.verify(conn).rows

        assert _archive(config.home, tmp_path, point) == -signal.SIGKILL
        assert _archive(config.home, tmp_path) == 0
        audit.record(conn, AuditEntry("test.done", "host", "row 3", {}), utc_now())

        archived = verify_archives(conn, config.home / "data" / "audit")
        left = audit.verify(conn)
    assert (archived.rows, archived.first_bad) == (before, None)
    assert (left.rows, left.first_bad) == (1, None)


def _archive(home: Path, folder: Path, point: str | None = None) -> int:
    kill = KillFolder(folder / "kill")
    kill.path.mkdir(exist_ok=True)
    if point is not None:
        kill.arm(point, "self")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))}
    environment["NANOCLAW_KILL_DIR"] = str(kill.path)
    command = [sys.executable, "-m", "helpers.crash_archive", str(home)]
    return subprocess.run(command, env=environment, cwd=ROOT, check=False, timeout=60).returncode


@pytest.mark.parametrize(
    "point", ["preflight.earlier_moved", "preflight.session_built", "preflight.session_converted"]
)
def test_host_that_dies_while_it_takes_over_an_earlier_home_keeps_every_message(
    tmp_path: Path, point: str
) -> None:
    paths = unpack(EARLY, tmp_path)
    before = {file.parent.name: _numbers(file) for file in paths.sessions.glob("*/*/inbound.db")}
    kill = KillFolder(tmp_path / "kill")
    kill.path.mkdir()
    kill.arm(point, "self")

    with Host(paths.home, command=CRASH_HOST, environment={"NANOCLAW_KILL_DIR": str(kill.path)}):
        assert kill.was_reached(point)

    assert before
    for session_id, numbers in before.items():
        [file] = paths.sessions.glob(f"*/{session_id}/in/inbound.db")
        assert {key: number for key, number in _numbers(file).items() if key in numbers} == numbers


def _numbers(database: Path) -> dict[str, int]:
    """Ids are unique in the file, and so are its numbers."""
    return {str(row["id"]): int(str(row["seq"])) for row in table(database, "messages_in")}
