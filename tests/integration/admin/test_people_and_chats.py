"""Chats, wirings, users, roles, members, destinations and the rest of spec ncl section 11."""

from collections.abc import Callable

import pytest
from helpers.admin_desk import NOW, AdminDesk

from nanoclaw.admin.caller import Caller
from nanoclaw.admin.context import Approved
from nanoclaw.admin.frames import Failure, Success
from nanoclaw.db import chat_requests, destinations, dms, dropped, messaging_groups, roles, wirings
from nanoclaw.db.chat_requests import ChatRequest
from nanoclaw.db.dms import UserDm
from nanoclaw.db.dropped import DroppedMessage
from nanoclaw.effects.runner import EffectRunner
from nanoclaw.events import Frame
from nanoclaw.link import Answer
from nanoclaw.model import CliScope, Session
from nanoclaw.process.handlers import HANDLERS
from nanoclaw.reactor import Reactor


class Nobody:
    """Nothing is asked of other processes here."""

    def to_channel(
        self, instance: str, frame: Frame, seconds: float, on_answer: Callable[[Answer], None]
    ) -> None: ...

    def to_sweep(
        self, frame: Frame, seconds: float, on_answer: Callable[[Answer], None]
    ) -> None: ...


def deliver(desk: AdminDesk) -> None:
    """What the delivery process does when its bell rings."""
    reactor = Reactor()
    runner = EffectRunner(reactor, desk.conn, desk.config, Nobody(), HANDLERS)
    runner.start()
    runner.close()
    reactor.close()


def names_in(desk: AdminDesk, session: Session) -> set[str]:
    return {str(row["name"]) for row in desk.rows_in(session, "destinations")}


# --- chats ----------------------------------------------------------------------------------------


def test_n73_chat_gets_the_id_that_its_channel_reports(desk: AdminDesk) -> None:
    made = desk.get("messaging-groups create", channel_type="telegram", platform_id="-100")

    assert made["platform_id"] == "telegram:-100"
    assert (made["is_group"], made["unknown_sender_policy"]) == (0, "strict")
    again = desk.fail("messaging-groups create", channel_type="telegram", platform_id="-100")
    assert again[0] == "handler-error"
    assert "already exists" in again[1]


def test_chat_is_updated_and_a_refusal_taken_back(desk: AdminDesk) -> None:
    chat = desk.add_chat()
    desk.get(f"messaging-groups update {chat}", denied_at="2026-01-31T12:00:00Z", name="New")
    assert desk.get(f"messaging-groups get {chat}")["denied_at"] == "2026-01-31T12:00:00.000Z"

    row = desk.get(f"messaging-groups update {chat}", **{"denied-at": "", "is-group": "yes"})

    assert (row["denied_at"], row["is_group"], row["name"]) == (None, 1, "New")
    assert desk.fail(f"messaging-groups update {chat}", denied_at="soon")[0] == "invalid-args"
    assert "nothing to update" in desk.fail(f"messaging-groups update {chat}")[1]
    _, message = desk.fail(f"messaging-groups update {chat}", unknown_sender_policy="whatever")
    assert "must be one of: strict, request_approval, public" in message


def test_chat_with_dependants_is_deleted_with_them_or_not_at_all(desk: AdminDesk) -> None:
    chat = desk.add_chat()
    desk.get("wirings create", messaging_group_id=chat, agent_group_id=desk.group_id)
    session = desk.add_session("sess-9", chat_id=chat)
    code, message = desk.fail(f"messaging-groups delete {chat}")
    assert (code, "--cascade" in message) == ("handler-error", True)
    assert "messaging_group_agents: 1" in message

    desk.get(f"messaging-groups delete {chat}", cascade=True)

    assert desk.fail(f"messaging-groups get {chat}")[0] == "not-found"
    assert not desk.folder(session).root.exists()
    assert destinations.of_agent_group(desk.conn, desk.group_id)[0].target_id == desk.chat_id


# --- wirings --------------------------------------------------------------------------------------


def test_scenario_59_wiring_brings_its_destination_and_running_agents_learn_of_it(
    desk: AdminDesk,
) -> None:
    chat = desk.add_chat()
    messaging_groups.set_denied(desk.conn, chat, NOW)
    running = desk.add_session("sess-1", running=True)

    made = desk.get("wirings create", messaging_group_id=chat, agent_group_id=desk.group_id)

    assert made["engage_mode"] == "mention"
    assert destinations.get(desk.conn, desk.group_id, "family") is not None
    stored = messaging_groups.get(desk.conn, chat)
    assert stored is not None
    assert stored.denied_at is None
    deliver(desk)
    assert "family" in names_in(desk, running)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Family & Friends!", "family-friends"), (None, "telegram-mg-2"), ("???", "unnamed")],
)
def test_n74_destination_is_named_after_the_chat(
    desk: AdminDesk, name: str | None, expected: str
) -> None:
    chat = desk.add_chat("mg-2", name)

    desk.get("wirings create", messaging_group_id=chat, agent_group_id=desk.group_id)

    assert destinations.get(desk.conn, desk.group_id, expected) is not None


def test_taken_name_of_a_destination_gets_a_number(desk: AdminDesk) -> None:
    for chat_id in ("mg-2", "mg-3"):
        chat = desk.add_chat(chat_id, "Family")
        desk.get("wirings create", messaging_group_id=chat, agent_group_id=desk.group_id)

    assert destinations.get(desk.conn, desk.group_id, "family-2") is not None


def test_wiring_answers_whoever_was_asked_about_the_chat(desk: AdminDesk) -> None:
    chat = desk.add_chat()
    request = ChatRequest(chat, desk.group_id, "{}", NOW, f"card-{chat}")
    chat_requests.add(desk.conn, request)

    desk.get("wirings create", messaging_group_id=chat, agent_group_id=desk.group_id)

    assert chat_requests.get(desk.conn, chat) is None
    assert desk.has_rung("router")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"engage_mode": "pattern"}, "--engage-pattern is required"),
        ({"engage_mode": "pattern", "engage_pattern": "("}, "cannot be used"),
        ({"engage_mode": "pattern-or-mention", "engage_pattern": ""}, "--engage-pattern is"),
        ({"engage_mode": "always"}, "--engage-mode must be one of"),
        ({"session_mode": "task"}, "--session-mode must be one of"),
        ({"priority": "high"}, "--priority must be an integer"),
    ],
)
def test_n75_wiring_that_could_not_work_is_refused(
    desk: AdminDesk, args: dict[str, str], words: str
) -> None:
    where = {"messaging_group_id": desk.add_chat(), "agent_group_id": desk.group_id}

    code, message = desk.fail("wirings create", **where, **args)

    assert (code, words in message) == ("invalid-args", True)


def test_wiring_of_what_is_not_there_names_it(desk: AdminDesk) -> None:
    chat = desk.add_chat()
    nobody = desk.fail("wirings create", messaging_group_id=chat, agent_group_id="ag-x")
    nowhere = desk.fail("wirings create", messaging_group_id="mg-x", agent_group_id=desk.group_id)

    assert nobody == ("not-found", "group not found: ag-x; see `ncl groups list`")
    assert nowhere[0] == "not-found"
    desk.get("wirings create", messaging_group_id=chat, agent_group_id=desk.group_id)
    twice = desk.fail("wirings create", messaging_group_id=chat, agent_group_id=desk.group_id)
    assert "already exists" in twice[1]


def test_wiring_is_updated_under_the_same_rules(desk: AdminDesk) -> None:
    made = desk.get(
        "wirings create", messaging_group_id=desk.add_chat(), agent_group_id=desk.group_id
    )
    target = f"wirings update {made['id']}"
    assert desk.fail(target, engage_mode="pattern")[0] == "invalid-args"

    row = desk.get(target, engage_mode="pattern", engage_pattern="hey", priority="5")

    assert (row["engage_mode"], row["engage_pattern"], row["priority"]) == ("pattern", "hey", 5)
    assert desk.fail(target, null="engage_pattern")[0] == "invalid-args"
    assert "nothing to update" in desk.fail(target)[1]
    assert desk.fail("wirings update mga-x", priority="1")[0] == "not-found"


def test_deleted_wiring_takes_along_the_destination_that_it_brought(desk: AdminDesk) -> None:
    chat = desk.add_chat()
    made = desk.get("wirings create", messaging_group_id=chat, agent_group_id=desk.group_id)

    assert desk.get(f"wirings delete {made['id']}")["destination"] == "family"

    assert wirings.get(desk.conn, made["id"]) is None
    assert destinations.get(desk.conn, desk.group_id, "family") is None


@pytest.mark.parametrize(
    ("destination", "goes"),
    [
        ("2026-04-20T10:00:00.250Z", True),  # the earlier program made it a moment later
        ("2026-04-20 10:00:00", True),  # or wrote times without a fraction
        ("2026-05-11T09:00:00.000Z", True),  # or somebody had to add it by hand
        ("2026-04-20T09:59:58.000Z", False),  # was there before
    ],
)
def test_wiring_of_the_earlier_program_takes_its_destination_along(
    desk: AdminDesk, destination: str, goes: bool
) -> None:
    chat = desk.add_chat()
    made = desk.get("wirings create", messaging_group_id=chat, agent_group_id=desk.group_id)
    desk.conn.execute(
        "UPDATE messaging_group_agents SET created_at = '2026-04-20T10:00:00.200Z' WHERE id = ?",
        (made["id"],),
    )
    desk.conn.execute(
        "UPDATE agent_destinations SET created_at = ? WHERE local_name = 'family'", (destination,)
    )

    answer = desk.get(f"wirings delete {made['id']}")

    assert answer["destination"] == ("family" if goes else None)
    assert (destinations.get(desk.conn, desk.group_id, "family") is None) == goes


def test_second_name_that_somebody_gave_the_chat_stays(desk: AdminDesk) -> None:
    chat = desk.add_chat()
    made = desk.get("wirings create", messaging_group_id=chat, agent_group_id=desk.group_id)
    desk.get(
        f"destinations add {desk.group_id}",
        local_name="mum", target_type="channel", target_id=chat,
    )  # fmt: skip

    assert desk.get(f"wirings delete {made['id']}")["destination"] == "family"
    assert destinations.get(desk.conn, desk.group_id, "mum") is not None


def test_destination_stays_when_it_is_kept_or_was_there_before(desk: AdminDesk) -> None:
    chat = desk.add_chat()
    desk.get(
        f"destinations add {desk.group_id}",
        local_name="mum", target_type="channel", target_id=chat,
    )  # fmt: skip
    earlier = "2026-04-20T10:00:00.100Z"
    desk.conn.execute("UPDATE agent_destinations SET created_at = ?", (earlier,))
    made = desk.get("wirings create", messaging_group_id=chat, agent_group_id=desk.group_id)
    desk.get(f"wirings delete {made['id']}")
    assert destinations.get(desk.conn, desk.group_id, "mum") is not None

    other = desk.get(
        "wirings create", messaging_group_id=desk.add_chat("mg-3"), agent_group_id=desk.group_id
    )
    desk.get(f"wirings delete {other['id']}", keep_destination=True)

    assert destinations.get(desk.conn, desk.group_id, "family") is not None


# --- people ---------------------------------------------------------------------------------------


def test_user_is_made_renamed_and_found_by_an_id_with_dashes(desk: AdminDesk) -> None:
    desk.get("users create telegram:-100-5", kind="telegram")

    row = desk.get("users update telegram:-100-5", display_name="Ada")

    assert desk.get("users get telegram:-100-5") == row
    assert row["display_name"] == "Ada"
    assert desk.fail("users get telegram:7") == ("not-found", "user not found: telegram:7")
    assert desk.fail("users get") == ("invalid-args", "user id is required")
    assert "already exists" in desk.fail("users create telegram:-100-5", kind="telegram")[1]


@pytest.mark.parametrize("user_id", ["telegram", ":5", "telegram:"])
def test_user_without_channel_and_handle_is_refused(desk: AdminDesk, user_id: str) -> None:
    assert desk.fail("users create", id=user_id, kind="telegram")[0] == "invalid-args"


def test_kind_must_be_the_prefix_unless_somebody_insists(desk: AdminDesk) -> None:
    assert "--force" in desk.fail("users create 29:abc", kind="teams")[1]
    assert desk.get("users create 29:abc", kind="teams", force=True)["kind"] == "teams"


def test_scenario_58_duplicate_global_grant_is_no_second_row(desk: AdminDesk) -> None:
    user = desk.add_user()

    answers = [desk.get(f"roles grant {user}", role="owner") for _ in range(3)]

    assert answers == [{"user_id": user, "role": "owner", "agent_group_id": None}] * 3
    assert len(desk.get(f"roles list {user}")) == 1


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        ({"role": "admin"}, "invalid-args", "--user is required"),
        ({"user": "telegram:1", "role": "king"}, "invalid-args", "--role must be owner or admin"),
        ({"user": "telegram:1", "role": "owner", "group": "ag-1"}, "invalid-args",
         "owner role is always global"),
        ({"user": "telegram:9", "role": "admin"}, "not-found", "unknown user"),
        ({"user": "telegram:1", "role": "admin", "group": "ag-x"}, "not-found", "group not found"),
        ({"user": "telegram:1", "role": "admin", "granted_by": "x:1"}, "not-found", "unknown user"),
    ],
)  # fmt: skip
def test_n77_grant_says_what_is_wrong(
    desk: AdminDesk, args: dict[str, str], code: str, words: str
) -> None:
    desk.add_user()

    found, message = desk.fail("roles grant", **args)

    assert (found, words in message) == (code, True)


def test_last_owner_stays_unless_somebody_insists(desk: AdminDesk) -> None:
    (first,) = [grant.user_id for grant in roles.owners(desk.conn)]
    second = desk.add_user()
    desk.get(f"roles grant {second}", role="owner")
    desk.get(f"roles revoke {second}", role="owner")

    code, message = desk.fail(f"roles revoke {first}", role="owner")

    assert (code, "last owner" in message) == ("handler-error", True)
    desk.get(f"roles revoke {first}", role="owner", force=True)
    assert desk.fail(f"roles revoke {first}", role="owner") == ("not-found", "role not found")


def test_revoke_matches_the_group_exactly(desk: AdminDesk) -> None:
    user = desk.add_user()
    desk.get(f"roles grant {user}", role="admin", group=desk.group_id)

    assert desk.fail(f"roles revoke {user}", role="admin")[0] == "not-found"
    desk.get(f"roles revoke {user}", role="admin", group=desk.group_id)

    assert desk.get(f"roles list {user}") == []


@pytest.mark.parametrize(
    ("by", "works"), [("telegram:1", True), ("telegram:2", False), ("host", True)]
)
def test_agent_makes_an_owner_only_if_an_owner_has_allowed_it(
    desk: AdminDesk, by: str, works: bool
) -> None:
    desk.add_session()
    owner, admin, new = desk.add_user(), desk.add_user("telegram:2"), desk.add_user("telegram:3")
    desk.get(f"roles grant {owner}", role="owner")
    desk.get(f"roles grant {admin}", role="admin")
    caller: Caller = desk.agent(CliScope.GLOBAL)
    assert desk.fail(f"roles grant {new}", caller, role="owner")[0] == "approval-pending"

    (answer,) = desk.handle(f"roles grant {new}", {"role": "owner"}, caller, Approved("appr-1", by))

    assert isinstance(answer, Success if works else Failure)
    assert roles.is_owner(desk.conn, new) is works


def test_members_come_and_go(desk: AdminDesk) -> None:
    user = desk.add_user()
    added = [desk.get(f"members add {user}", group=desk.group_id) for _ in range(2)]
    assert added == [{"user_id": user, "agent_group_id": desk.group_id}] * 2
    assert len(desk.get(f"members list {user}")) == 1

    assert desk.get(f"members remove {user}", group=desk.group_id)["removed"]["user_id"] == user

    assert desk.fail(f"members remove {user}", group=desk.group_id) == (
        "not-found",
        "member not found",
    )
    assert desk.fail("members add x:1", group=desk.group_id)[0] == "not-found"


# --- destinations ---------------------------------------------------------------------------------


def test_scenario_31_32_destination_reaches_every_running_session_and_leaves_it(
    desk: AdminDesk,
) -> None:
    both = [desk.add_session(name, running=True) for name in ("sess-1", "sess-2")]
    chat = desk.add_chat()
    target = {"agent-group-id": desk.group_id, "local-name": "mum"}

    added = desk.get("destinations add", **target, target_type="channel", target_id=chat)
    deliver(desk)

    assert added == {
        "agent_group_id": desk.group_id,
        "local_name": "mum",
        "target_type": "channel",
        "target_id": chat,
    }
    for session in both:
        (row,) = [row for row in desk.rows_in(session, "destinations") if row["name"] == "mum"]
        assert (row["display_name"], row["channel_type"]) == ("Family", "telegram")

    assert desk.get("destinations remove", **target)["removed"]["local_name"] == "mum"
    deliver(desk)

    for session in both:
        assert "mum" not in names_in(desk, session)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"local_name": None}, "--local-name is required"),
        ({"target_type": None}, "--target-type is required"),
        ({"target_id": None}, "--target-id is required"),
        ({"agent_group_id": None}, "--agent-group-id is required"),
        ({"target_type": "planet"}, "--target-type must be channel or agent"),
        ({"local_name": "My Mum"}, "for example my-mum"),
        ({"target_id": "mg-x"}, "messaging-group not found"),
        ({"target_type": "agent"}, "group not found"),
        ({"local_name": "local-cli"}, "already exists"),
    ],
)
def test_n80_destination_that_leads_nowhere_is_refused(
    desk: AdminDesk, change: dict[str, str | None], words: str
) -> None:
    (known,) = destinations.of_agent_group(desk.conn, desk.group_id)
    args = {
        "agent_group_id": desk.group_id,
        "local_name": "mum",
        "target_type": "channel",
        "target_id": desk.add_chat(),
        **change,
    }
    given = {key: value for key, value in args.items() if value is not None}
    if change.get("local_name") == "local-cli":
        given["local_name"] = known.local_name

    _, message = desk.fail("destinations add", **given)

    assert words in message


def test_destination_that_is_not_there_is_said_to_be_so(desk: AdminDesk) -> None:
    assert desk.fail(f"destinations remove {desk.group_id}", local_name="x") == (
        "not-found",
        "destination not found",
    )


# --- what is read and forgotten -------------------------------------------------------------------


def test_direct_chat_is_forgotten(desk: AdminDesk) -> None:
    user = desk.add_user()
    dms.upsert(desk.conn, UserDm(user, "telegram", desk.chat_id, NOW))
    assert [row["user_id"] for row in desk.get(f"user-dms list {user}")] == [user]

    desk.get(f"user-dms forget {user}", channel_type="telegram")

    assert desk.get("user-dms list") == []
    assert desk.fail(f"user-dms forget {user}", channel_type="telegram")[0] == "not-found"


def test_dropped_messages_are_listed_and_filtered(desk: AdminDesk) -> None:
    for user in ("telegram:1", "telegram:2", "telegram:2"):
        dropped.record(
            desk.conn, DroppedMessage("telegram", "telegram:5", "no_agent_wired", NOW, user)
        )

    assert len(desk.get("dropped-messages list telegram")) == 2
    (row,) = desk.get("dropped-messages list", message_count="2")
    assert row["user_id"] == "telegram:2"
