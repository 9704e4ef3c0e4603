"""``ncl tasks``, ``messages``, ``audit``, ``containers``, ``usage`` and ``budgets``."""

import os
from datetime import timedelta
from pathlib import Path

import pytest
from helpers.admin_desk import NOW, AdminDesk
from helpers.reading_rows import add_series, put_row, receive, say, task_row
from helpers.tasks_room import NoRequests

from contract.clock import to_text, utc_now
from contract.content import parse_outbound
from nanoclaw import audit as trail
from nanoclaw.admin.frames import Failure, Success
from nanoclaw.bell import DELIVERY
from nanoclaw.db import deliveries, effects, sessions, tasks, usage
from nanoclaw.db.audit import AuditAnchor
from nanoclaw.db.connection import transaction
from nanoclaw.db.deliveries import Failure as Ending
from nanoclaw.db.effects import EffectState
from nanoclaw.db.tasks import RunStatus, SeriesState, TaskRun
from nanoclaw.db.usage import Cost, Reservation
from nanoclaw.effects.request import parse_request
from nanoclaw.effects.runner import EffectRunner
from nanoclaw.events import DeadlinePassed, Refused, StopContainers
from nanoclaw.model import CliScope, Session
from nanoclaw.policy.binding import payload_hash
from nanoclaw.process.handlers import HANDLERS
from nanoclaw.reactor import Reactor


@pytest.fixture
def session(desk: AdminDesk) -> Session:
    return desk.add_session()


def plant(desk: AdminDesk, session: Session, name: str = "plants") -> None:
    add_series(desk.conn, desk.config.paths, session, name, "Water the plants", NOW)


# --- tasks ----------------------------------------------------------------------------------------


def test_tasks_are_listed_with_the_next_one_first(desk: AdminDesk, session: Session) -> None:
    plant(desk, session, "later")
    plant(desk, session, "sooner")
    plant(desk, session, "over")
    set_series(desk, session, "sooner", SeriesState.LIVE, hours=-5)
    set_series(desk, session, "over", SeriesState.ENDED)

    assert [row["id"] for row in desk.get("tasks list")] == ["sooner", "later"]
    assert [row["id"] for row in desk.get("tasks list", state="ended")] == ["over"]
    assert desk.get("tasks list", agent_group_id="ag-nobody") == []


def set_series(
    desk: AdminDesk, session: Session, name: str, state: SeriesState, hours: int = 0
) -> None:
    series = tasks.get(desk.conn, session.id, name)
    assert series is not None
    with transaction(desk.conn):
        desk.conn.execute(
            "UPDATE task_series SET state = ?, next_run_at = ? WHERE series_id = ?",
            (state, to_text(NOW + timedelta(hours=hours)), name),
        )


def test_one_task_is_shown_with_its_prompt_and_runs(desk: AdminDesk, session: Session) -> None:
    plant(desk, session)
    run = TaskRun(session.id, "plants", "plants", session.agent_group_id, NOW, RunStatus.FAILED,
                  error="no water")  # fmt: skip
    assert tasks.add_run(desk.conn, run)

    shown = desk.get("tasks show plants")

    assert shown["prompt"] == "Water the plants"
    assert [(one["status"], one["error"]) for one in shown["runs"]] == [("failed", "no water")]
    assert desk.get("tasks history plants") == shown["runs"]
    assert desk.get("tasks history") == shown["runs"]
    assert desk.get("tasks history", agent_group_id="ag-nobody") == []


def test_a_task_whose_file_is_gone_is_shown_without_prompt(
    desk: AdminDesk, session: Session
) -> None:
    plant(desk, session)
    desk.folder(session).inbound_db.unlink()

    assert desk.get("tasks show plants")["prompt"] is None


@pytest.mark.parametrize(
    ("verb", "action"),
    [("pause", "pause_task"), ("resume", "resume_task"), ("cancel", "cancel_task"),
     ("run-now", "update_task")],
)  # fmt: skip
def test_a_change_goes_the_way_of_the_agents_own_requests(
    desk: AdminDesk, session: Session, verb: str, action: str
) -> None:
    plant(desk, session)

    answers = desk.handle(f"tasks {verb} plants")

    assert answers == []  # it waits for the delivery process
    assert desk.has_rung(DELIVERY)
    (effect,) = effects.due(desk.conn, utc_now(), 10)
    assert (effect.kind, effect.requested_by) == (f"action:{action}", "host")
    assert effect.payload_hash == payload_hash(effect.payload)
    asked = parse_outbound("system", parse_request(effect.payload).content)
    assert asked.task_id == "plants"  # type: ignore[union-attr]  # all four have one
    with transaction(desk.conn):
        effects.begin(desk.conn, effect.effect_id, NOW)
        effects.finish(desk.conn, effect.effect_id, "1 row(s) of plants", NOW)
    desk.services.tick()
    (answer,) = answers
    assert isinstance(answer, Success)
    assert answer.data["state"] == "done"  # type: ignore[index]  # a JSON object
    assert desk.audited()[0].kind == f"ncl.tasks-{verb}"


def test_changes_reach_the_rows_of_the_series(desk: AdminDesk, session: Session) -> None:
    plant(desk, session)
    series = tasks.get(desk.conn, session.id, "plants")
    assert series is not None

    assert carried_out(desk, "tasks pause plants") == "done"
    assert [row["status"] for row in desk.rows_in(session)] == ["paused"]
    assert carried_out(desk, "tasks resume plants") == "done"
    assert carried_out(desk, "tasks run-now plants") == "done"
    (row,) = desk.rows_in(session)
    assert row["status"] == "pending"
    assert row["process_after"] < to_text(utc_now())
    due = sessions.get(desk.conn, session.id)
    assert due is not None
    assert due.next_due_at is not None
    assert due.next_due_at <= utc_now()
    assert carried_out(desk, "tasks cancel plants") == "done"
    assert desk.get("tasks list") == []
    assert "has ended" in desk.fail("tasks cancel plants")[1]


def carried_out(desk: AdminDesk, words: str) -> str:
    """The state that is told once the delivery process has come to it."""
    answers = desk.handle(words)
    reactor = Reactor()
    runner = EffectRunner(reactor, desk.conn, desk.config, NoRequests(), HANDLERS)
    runner.start()
    while effects.due(desk.conn, utc_now(), 1):
        reactor.run_once(0.05)
    runner.close()
    reactor.close()
    desk.services.tick()
    (answer,) = answers
    assert isinstance(answer, Success), answer
    return str(answer.data["state"])  # type: ignore[index]  # a JSON object


def test_a_change_that_fails_says_why(desk: AdminDesk, session: Session) -> None:
    plant(desk, session)
    answers = desk.handle("tasks pause plants")
    (effect,) = effects.due(desk.conn, utc_now(), 10)
    with transaction(desk.conn):
        effects.begin(desk.conn, effect.effect_id, NOW)
        effects.fail(desk.conn, effect.effect_id, "the file is locked", NOW)

    desk.services.tick()

    (answer,) = answers
    assert isinstance(answer, Failure)
    assert answer.message == "the file is locked"


def test_a_change_is_said_to_be_pending_when_nobody_carries_it_out(
    desk: AdminDesk, session: Session
) -> None:
    plant(desk, session)
    answers = desk.handle("tasks pause plants")

    for _ in range(20):
        desk.services.tick()

    (answer,) = answers
    assert isinstance(answer, Success)
    assert answer.data["state"] == EffectState.PENDING  # type: ignore[index]  # a JSON object
    assert desk.services.timers == []


def test_a_dry_run_of_a_change_records_nothing(desk: AdminDesk, session: Session) -> None:
    plant(desk, session)
    before = desk.dump()

    desk.get("tasks cancel plants", dry_run=True)

    assert desk.dump() == before


def test_a_task_of_two_sessions_must_be_named_with_its_session(
    desk: AdminDesk, session: Session
) -> None:
    other = desk.add_session("sess-2")
    plant(desk, session)
    plant(desk, other)

    code, message = desk.fail("tasks pause plants")
    assert (code, "--session" in message) == ("invalid-args", True)
    assert desk.handle("tasks pause plants", {"session": "sess-2"}) == []
    (effect,) = effects.due(desk.conn, utc_now(), 10)
    assert effect.session_id == "sess-2"


def test_what_cannot_be_changed_is_refused(desk: AdminDesk, session: Session) -> None:
    plant(desk, session, "over")
    plant(desk, session, "paused")
    set_series(desk, session, "over", SeriesState.ENDED)
    set_series(desk, session, "paused", SeriesState.PAUSED)

    assert desk.fail("tasks pause nothing")[0] == "not-found"
    assert "has ended" in desk.fail("tasks pause over")[1]
    assert "resume paused" in desk.fail("tasks run-now paused")[1]
    assert desk.fail("tasks pause") == ("invalid-args", "--id is required")


def test_agents_ask_a_person_before_they_change_a_task(desk: AdminDesk, session: Session) -> None:
    plant(desk, session)
    put_row(desk.config.paths, session, task_row("other", "x", NOW))

    assert desk.fail("tasks cancel plants", desk.agent(CliScope.GLOBAL))[0] == "approval-pending"
    assert desk.fail("tasks list", desk.agent())[0] == "forbidden"
    assert effects.due(desk.conn, utc_now(), 10) == []


# --- messages -------------------------------------------------------------------------------------


def test_messages_are_listed_newest_first(desk: AdminDesk, session: Session) -> None:
    say(desk.conn, 1, "one", NOW)
    say(desk.conn, 2, "two", NOW)
    deliveries.mark_failed(desk.conn, "sess-1/out-1", "chat not found", NOW)

    assert [row["text"] for row in desk.get("messages list")] == ["two", "one"]
    assert [row["text"] for row in desk.get("messages list", failed=True)] == ["one"]
    assert [row["text"] for row in desk.get("messages list", state="queued")] == ["two"]
    assert desk.get("messages list", state="queued", session="sess-9") == []
    assert desk.get("messages list", failed=True, agent_group_id="ag-nobody") == []
    assert len(desk.get("messages list", limit="1")) == 1
    assert desk.fail("messages list", failed=True, state="sent")[0] == "invalid-args"


def test_incoming_messages_are_listed_with_what_became_of_them(
    desk: AdminDesk, session: Session
) -> None:
    receive(desk.conn, "k-1", NOW, outcome="ignored", reason="no_agent_engaged")

    (row,) = desk.get("messages list", incoming=True)

    assert (row["key"], row["outcome"], row["reason"]) == ("k-1", "ignored", "no_agent_engaged")
    assert desk.fail("messages list", incoming=True, failed=True)[0] == "invalid-args"


@pytest.mark.parametrize("name", ["sess-1/out-1", "out-1", "platform-7"])
def test_a_message_is_shown_by_any_of_its_ids(desk: AdminDesk, session: Session, name: str) -> None:
    say(desk.conn, 1, "hello", NOW)
    deliveries.mark_sent(desk.conn, "sess-1/out-1", ["platform-7"], NOW)

    shown = desk.get(f"messages show {name}")

    assert (shown["id"], shown["state"], shown["text"]) == ("sess-1/out-1", "sent", "hello")


def test_a_failed_message_is_sent_once_more(desk: AdminDesk, session: Session) -> None:
    say(desk.conn, 1, "hello", NOW - timedelta(days=3))
    deliveries.mark_failed(desk.conn, "sess-1/out-1", "down", NOW, Ending.EXPIRED)

    answer = desk.get("messages retry sess-1/out-1")

    assert (answer["state"], answer["was"]) == ("queued", "failed")
    (due,) = deliveries.due(desk.conn, utc_now(), 10)
    assert due.delivery_id == "sess-1/out-1"
    assert due.expires_at > utc_now()
    assert desk.has_rung(DELIVERY)


def test_only_what_ended_badly_is_sent_again(desk: AdminDesk, session: Session) -> None:
    say(desk.conn, 1, "hello", NOW)

    assert "is queued" in desk.fail("messages retry sess-1/out-1")[1]
    assert desk.fail("messages retry nothing")[0] == "not-found"


# --- audit ----------------------------------------------------------------------------------------


def record(desk: AdminDesk, kind: str, actor: str = "host") -> None:
    with transaction(desk.conn):
        trail.record(desk.conn, trail.AuditEntry(kind, actor, "something", {"a": 1}), NOW)


def test_audit_is_listed_by_kind_and_actor(desk: AdminDesk) -> None:
    record(desk, "ncl.groups-create")
    record(desk, "approval.decided", "telegram:1")

    kinds = [row["kind"] for row in desk.get("audit list")]
    assert kinds[:2] == ["approval.decided", "ncl.groups-create"]
    assert [row["kind"] for row in desk.get("audit list", kind="ncl.")] == ["ncl.groups-create"]
    (row,) = desk.get("audit list", actor="telegram:1")
    assert row["detail"] == '{"a":1}'


def verify(desk: AdminDesk) -> Success | Failure:
    answers = desk.handle("audit verify")
    while not answers:
        desk.services.tick()
    (answer,) = answers
    return answer


def test_an_untouched_audit_is_found_good(desk: AdminDesk) -> None:
    for _ in range(5):
        record(desk, "ncl.test")

    answer = verify(desk)

    assert isinstance(answer, Success)
    assert answer.data == {"ok": True, "rows": desk.count("audit")}


def test_an_altered_audit_names_the_first_bad_row(desk: AdminDesk) -> None:
    for _ in range(5):
        record(desk, "ncl.test")
    desk.conn.execute("DROP TRIGGER audit_no_change")
    desk.conn.execute("UPDATE audit SET actor = 'nobody' WHERE seq = 3")

    answer = verify(desk)

    assert isinstance(answer, Failure)
    assert "row 3 " in answer.message


def test_a_missing_archive_of_the_audit_is_noticed(desk: AdminDesk) -> None:
    record(desk, "ncl.test")
    last = desk.audited()[0]
    from nanoclaw.db import audit as table

    with transaction(desk.conn):
        table.archive(desk.conn, AuditAnchor(last.seq, last.hash, NOW, "gone.jsonl"))

    answer = verify(desk)

    assert isinstance(answer, Failure)
    assert "row 1 " in answer.message


# --- containers -----------------------------------------------------------------------------------


def test_sessions_at_work_are_listed_with_their_state(desk: AdminDesk) -> None:
    desk.add_session("sess-run", running=True)
    desk.add_session("sess-idle")
    desk.add_session("sess-due")
    desk.add_session("sess-bad")
    desk.add_session("sess-broken")
    sessions.mark_due(desk.conn, "sess-due", NOW)
    sessions.quarantine(desk.conn, "sess-bad", "it killed its reader", NOW)
    sessions.record_container_failure(desk.conn, "sess-broken", "no image", NOW)

    rows = {row["session_id"]: row for row in desk.get("containers list")}

    states = {key: row["state"] for key, row in rows.items()}
    assert states == {"sess-run": "running", "sess-due": "waiting", "sess-bad": "quarantined",
                      "sess-broken": "failing"}  # fmt: skip
    assert rows["sess-bad"]["reason"] == "it killed its reader"
    assert rows["sess-broken"]["reason"] == "no image"


def test_the_sweep_is_asked_to_stop_a_container(desk: AdminDesk) -> None:
    session = desk.add_session(running=True)

    answers = desk.handle("containers stop sess-1", {"reason": "too loud"})
    assert answers == []
    desk.services.tick()  # asks
    desk.services.tick()  # looks whether it is gone

    assert desk.services.frames == [
        StopContainers((session.id,), "too loud", (session.lease_token,))
    ]
    (answer,) = answers
    assert isinstance(answer, Success)
    assert answer.data == {
        "session_id": "sess-1", "container_id": "c-sess-1", "state": "stopped"
    }  # fmt: skip


def test_stopping_what_does_not_run_is_refused(desk: AdminDesk, session: Session) -> None:
    assert "no container runs" in desk.fail("containers stop sess-1")[1]
    assert desk.fail("containers stop sess-9")[0] == "not-found"


@pytest.mark.parametrize("says", [DeadlinePassed(5), Refused("no")])
def test_a_sweep_that_does_not_answer_is_told(
    desk: AdminDesk, says: DeadlinePassed | Refused
) -> None:
    desk.add_session(running=True)
    desk.services.says = says

    answer = desk.get("containers stop sess-1")

    assert answer["state"] == "pending"
    assert "ncl status" in answer["note"]
    assert "the sweep does not answer" in answer["note"]


def test_output_of_earlier_and_present_containers_is_shown(
    desk: AdminDesk, session: Session
) -> None:
    kept = desk.config.paths.session_log(session.id)
    kept.write_text("--- old\nprinted once\n")
    live = desk.folder(session).out_dir / "runner" / "runner.log"
    live.parent.mkdir()
    live.write_text("thinking\n")

    first = desk.get("containers logs sess-1")
    assert first["lines"] == ["--- old", "printed once", "thinking"]

    with live.open("a") as file:
        file.write("thought\nhalf a li")
    second = desk.get("containers logs sess-1", cursor=first["cursor"])
    assert second["lines"] == ["thought"]
    with live.open("a") as file:
        file.write("ne\n")
    third = desk.get("containers logs sess-1", cursor=second["cursor"])
    assert third["lines"] == ["half a line"]
    assert desk.get("containers logs sess-1", lines="1")["lines"] == ["half a line"]


@pytest.mark.parametrize("trap", ["link", "folder-link", "pipe", "hard-link"])
def test_what_an_agent_puts_in_place_of_its_log_is_not_read(
    desk: AdminDesk, session: Session, tmp_path: Path, trap: str
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "runner.log").write_text("a secret of the host\n")
    folder = desk.folder(session).out_dir / "runner"
    if trap == "folder-link":
        folder.symlink_to(secret)
    else:
        folder.mkdir()
    if trap == "link":
        (folder / "runner.log").symlink_to(secret / "runner.log")
    elif trap == "pipe":
        os.mkfifo(folder / "runner.log")
    elif trap == "hard-link":
        (folder / "runner.log").hardlink_to(secret / "runner.log")

    assert desk.get("containers logs sess-1")["lines"] == []


# --- usage and budgets ----------------------------------------------------------------------------


def spend(
    desk: AdminDesk, number: int, tokens: int, microusd: int, day: str = "2026-11-21"
) -> None:
    reservation = Reservation(
        f"r-{number}", "sess-1", desk.group_id, "claude", "opus", day, tokens, microusd, NOW
    )
    assert usage.reserve(desk.conn, reservation) is None
    usage.settle(desk.conn, f"r-{number}", Cost(tokens, 0, 0, 0, microusd), NOW)


def test_usage_is_listed_and_summed_up(desk: AdminDesk) -> None:
    spend(desk, 1, 100, 250_000)
    spend(desk, 2, 50, 1_000_000, "2026-11-22")

    assert sorted(row["usd"] for row in desk.get("usage list")) == [0.25, 1.0]
    assert desk.get("usage sum") == [
        {"day": "2026-11-22", "requests": 1, "under_way": 0, "tokens": 50, "usd": 1.0},
        {"day": "2026-11-21", "requests": 1, "under_way": 0, "tokens": 100, "usd": 0.25},
    ]
    (by_group,) = desk.get("usage sum", by="group", since="2026-11-22")
    assert (by_group["group"], by_group["tokens"]) == (desk.group_id, 50)
    assert [row["model"] for row in desk.get("usage sum", by="model")] == ["opus"]
    assert [row["session"] for row in desk.get("usage sum", by="session")] == ["sess-1"]
    assert desk.get("usage list", since="today") == []
    assert desk.fail("usage sum", since="2026-13-01")[0] == "invalid-args"


def test_a_budget_is_set_shown_replaced_and_removed(desk: AdminDesk) -> None:
    today = utc_now().date().isoformat()
    spend(desk, 1, 100, 500_000, today)

    made = desk.get("budgets set install", usd="2.50")

    assert (made["amount"], made["spent"], made["left"], made["unit"]) == (2.5, 0.5, 2.0, "usd")
    desk.get("budgets set install", usd="3")
    desk.get("budgets set group", subject=desk.group_id, tokens="1000", period="month")
    rows = desk.get("budgets list")
    assert [(row["scope"], row["amount"], row["left"]) for row in rows] == [
        ("group", 1000, 900), ("install", 3.0, 2.5)
    ]  # fmt: skip
    assert desk.get("budgets rm install")["removed"]["period"] == "day"
    assert len(desk.get("budgets list")) == 1
    assert desk.fail("budgets rm install")[0] == "not-found"
    assert desk.audited()[0].kind == "ncl.budgets-rm"


@pytest.mark.parametrize(
    ("args", "word"),
    [
        ({}, "--usd or --tokens"),
        ({"usd": "1", "tokens": "1"}, "--usd or --tokens"),
        ({"usd": "-1"}, "amount"),
        ({"usd": "NaN"}, "amount"),
        ({"usd": "1e99"}, "amount"),
        ({"tokens": "-5"}, "--tokens"),
        ({"usd": "1", "subject": "ag-1"}, "no --subject"),
        ({"usd": "1", "period": "year"}, "--period"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(
    desk: AdminDesk, args: dict[str, str | bool], word: str
) -> None:
    (answer,) = desk.handle("budgets set install", args)

    assert isinstance(answer, Failure)
    assert answer.code == "invalid-args"
    assert word in answer.message


@pytest.mark.parametrize("scope", ["group", "conversation", "series"])
def test_a_budget_for_nobody_is_refused(desk: AdminDesk, scope: str) -> None:
    assert desk.fail(f"budgets set {scope}", usd="1")[0] == "invalid-args"
    assert desk.fail(f"budgets set {scope}", usd="1", subject="nobody")[0] == "not-found"
