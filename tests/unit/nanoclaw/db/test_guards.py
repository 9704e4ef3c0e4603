"""Doors, audit, effects, engagements and pairing codes."""

import sqlite3
from dataclasses import replace

import pytest
from helpers.central_rows import NOW, add_session, seconds, seed

from nanoclaw.db import audit, doors, effects, engagements, pairing
from nanoclaw.db.audit import AuditAnchor, AuditRow
from nanoclaw.db.doors import Door
from nanoclaw.db.effects import EffectState, NewEffect
from nanoclaw.db.engagements import Engagement
from nanoclaw.db.pairing import MAX_WRONG_TRIES, PairedChat, Pairing, PairingState

DOOR = Door("sess-1", "ag-1", "0a1b2c3d", "hash-1", 1, NOW)
EFFECT = NewEffect("eff-1", "install_packages", "ag-1", "{}", "abc", NOW, approval_id="appr-1")
PAIRING = Pairing("pair-1", "telegram", "hash-1", "main", NOW, NOW + seconds(900))
CHAT = PairedChat("chat-1", "telegram:1", is_group=False, chat_name="Mara")


def audit_row(seq: int) -> AuditRow:
    return AuditRow(seq, NOW, "write", "host", "group ag-1", "{}", f"h{seq - 1}", f"h{seq}")


def test_door_fits_its_token_until_it_is_closed(conn: sqlite3.Connection) -> None:
    seed(conn)
    doors.open_door(conn, DOOR)

    assert doors.find_open(conn, "hash-1") == DOOR
    assert doors.list_open(conn) == [DOOR]
    assert doors.close_door(conn, "sess-1", NOW)
    assert not doors.close_door(conn, "sess-1", NOW)
    assert doors.find_open(conn, "hash-1") is None
    assert doors.list_open(conn) == []


def test_new_door_of_a_session_ends_the_old_token(conn: sqlite3.Connection) -> None:
    seed(conn)
    doors.open_door(conn, DOOR)
    doors.close_door(conn, "sess-1", NOW)

    doors.open_door(conn, replace(DOOR, token_hash="hash-2", lease=2))

    assert doors.find_open(conn, "hash-1") is None
    assert doors.find_open(conn, "hash-2") == replace(DOOR, token_hash="hash-2", lease=2)


def test_two_sessions_never_share_a_door(conn: sqlite3.Connection) -> None:
    seed(conn)
    add_session(conn, "sess-2")
    doors.open_door(conn, DOOR)

    with pytest.raises(sqlite3.IntegrityError):
        doors.open_door(conn, replace(DOOR, session_id="sess-2"))


def test_audit_rows_are_read_in_order_and_newest_first(conn: sqlite3.Connection) -> None:
    for seq in (1, 2, 3):
        audit.append(conn, audit_row(seq))

    assert audit.last(conn) == audit_row(3)
    assert audit.after(conn, 1, 10) == [audit_row(2), audit_row(3)]
    assert audit.recent(conn, None, 2) == [audit_row(3), audit_row(2)]
    assert audit.recent(conn, "egress", 2) == []


def test_second_writer_of_a_place_in_the_audit_is_refused(conn: sqlite3.Connection) -> None:
    audit.append(conn, audit_row(1))

    with pytest.raises(sqlite3.IntegrityError):
        audit.append(conn, replace(audit_row(1), hash="other"))


def test_audit_rows_cannot_be_changed_or_removed(conn: sqlite3.Connection) -> None:
    audit.append(conn, audit_row(1))

    with pytest.raises(sqlite3.IntegrityError, match="never changed"):
        conn.execute("UPDATE audit SET actor = 'somebody else'")
    with pytest.raises(sqlite3.IntegrityError, match="archive"):
        conn.execute("DELETE FROM audit")
    assert audit.last(conn) == audit_row(1)


def test_archived_audit_rows_leave_their_hash_behind(conn: sqlite3.Connection) -> None:
    for seq in (1, 2, 3):
        audit.append(conn, audit_row(seq))
    anchor = AuditAnchor(2, "h2", NOW, "audit-1.jsonl")

    assert audit.last_anchor(conn) is None
    assert audit.archive(conn, anchor) == 2
    assert audit.last_anchor(conn) == anchor
    assert audit.after(conn, 0, 10) == [audit_row(3)]
    for statement in ("DELETE FROM audit", "DELETE FROM audit_anchors",
                      "UPDATE audit_anchors SET hash = 'x'"):  # fmt: skip
        with pytest.raises(sqlite3.IntegrityError):
            conn.execute(statement)


def test_effect_is_recorded_once_per_id_and_approval(conn: sqlite3.Connection) -> None:
    assert effects.record(conn, EFFECT)
    assert not effects.record(conn, EFFECT)
    assert not effects.record(conn, replace(EFFECT, effect_id="eff-2"))
    assert effects.record(conn, replace(EFFECT, effect_id="eff-2", approval_id=None))


def test_effect_is_begun_by_one_and_finished(conn: sqlite3.Connection) -> None:
    effects.record(conn, EFFECT)

    assert [item.effect_id for item in effects.due(conn, NOW, 10)] == ["eff-1"]
    assert effects.begin(conn, "eff-1", NOW)
    assert not effects.begin(conn, "eff-1", NOW)
    assert effects.due(conn, NOW, 10) == []
    effects.finish(conn, "eff-1", "done", NOW)
    effect = effects.get(conn, "eff-1")
    assert effect is not None
    assert (effect.state, effect.attempts, effect.result) == (EffectState.DONE, 1, "done")


def test_effect_is_tried_again_later_or_given_up(conn: sqlite3.Connection) -> None:
    effects.record(conn, EFFECT)
    effects.begin(conn, "eff-1", NOW)

    effects.retry(conn, "eff-1", NOW + seconds(60), "engine away", NOW)

    assert effects.due(conn, NOW + seconds(59), 10) == []
    assert effects.next_attempt_at(conn, NOW) == NOW + seconds(60)
    effects.fail(conn, "eff-1", "no such package", NOW)
    effect = effects.get(conn, "eff-1")
    assert effect is not None
    assert (effect.state, effect.last_error) == (EffectState.FAILED, "no such package")
    assert effects.next_attempt_at(conn, NOW) is None


def test_interrupted_effects_are_repeated(conn: sqlite3.Connection) -> None:
    effects.record(conn, EFFECT)
    effects.begin(conn, "eff-1", NOW)

    assert effects.requeue_interrupted(conn) == 1
    assert effects.begin(conn, "eff-1", NOW)


def test_engagement_ends_at_its_time_and_in_its_thread(conn: sqlite3.Connection) -> None:
    seed(conn)
    engagements.engage(conn, Engagement("ag-1", "mg-1", "t", NOW, NOW + seconds(60)))

    assert engagements.engaged_agents(conn, "mg-1", "t", NOW + seconds(59)) == {"ag-1"}
    assert engagements.engaged_agents(conn, "mg-1", None, NOW) == frozenset()
    assert engagements.engaged_agents(conn, "mg-1", "t", NOW + seconds(60)) == frozenset()


def test_engagement_is_prolonged_and_pruned(conn: sqlite3.Connection) -> None:
    seed(conn)
    first = Engagement("ag-1", "mg-1", None, NOW, NOW + seconds(60))
    engagements.engage(conn, first)
    engagements.engage(conn, replace(first, expires_at=NOW + seconds(90)))

    assert engagements.engaged_agents(conn, "mg-1", None, NOW + seconds(89)) == {"ag-1"}
    assert engagements.prune(conn, NOW + seconds(89)) == 0
    assert engagements.prune(conn, NOW + seconds(90)) == 1


def test_pairing_code_is_used_once(conn: sqlite3.Connection) -> None:
    pairing.create(conn, PAIRING)

    assert pairing.pending(conn, "telegram", NOW) == [PAIRING]
    assert pairing.pending(conn, "slack", NOW) == []
    assert pairing.consume(conn, "pair-1", CHAT, NOW)
    assert not pairing.consume(conn, "pair-1", CHAT, NOW)
    used = pairing.get(conn, "pair-1")
    assert used == replace(
        PAIRING, state=PairingState.CONSUMED, consumed_at=NOW, consumed_by="telegram:1",
        platform_id="chat-1", is_group=False, chat_name="Mara",
    )  # fmt: skip
    assert pairing.pending(conn, "telegram", NOW) == []


def test_expired_pairing_code_is_no_code(conn: sqlite3.Connection) -> None:
    pairing.create(conn, PAIRING)

    assert pairing.pending(conn, "telegram", PAIRING.expires_at) == []
    assert not pairing.consume(conn, "pair-1", CHAT, PAIRING.expires_at)


def test_pairing_code_dies_after_five_wrong_tries(conn: sqlite3.Connection) -> None:
    pairing.create(conn, PAIRING)
    for _ in range(MAX_WRONG_TRIES - 1):
        pairing.record_wrong_try(conn, "telegram", "stranger", NOW)
    pairing.record_wrong_try(conn, "slack", "stranger", NOW)

    assert len(pairing.pending(conn, "telegram", NOW)) == 1
    pairing.record_wrong_try(conn, "telegram", "stranger", NOW)
    assert pairing.pending(conn, "telegram", NOW) == []
    assert pairing.wrong_tries_since(conn, "telegram", "stranger", NOW) == MAX_WRONG_TRIES
    assert pairing.wrong_tries_since(conn, "telegram", "stranger", NOW + seconds(1)) == 0


def test_new_code_for_the_same_intent_ends_the_old_one(conn: sqlite3.Connection) -> None:
    pairing.create(conn, PAIRING)

    pairing.create(conn, replace(PAIRING, pairing_id="pair-2", code_hash="hash-2"))
    pairing.create(conn, replace(PAIRING, pairing_id="pair-3", code_hash="h3", intent="wire-to:a"))

    waiting = [item.pairing_id for item in pairing.pending(conn, "telegram", NOW)]
    assert waiting == ["pair-2", "pair-3"]


def test_two_pending_codes_of_one_channel_differ(conn: sqlite3.Connection) -> None:
    pairing.create(conn, PAIRING)

    with pytest.raises(sqlite3.IntegrityError):
        pairing.create(conn, replace(PAIRING, pairing_id="pair-2", intent="other"))


def test_old_pairings_and_attempts_are_forgotten(conn: sqlite3.Connection) -> None:
    pairing.create(conn, PAIRING)
    pairing.record_wrong_try(conn, "telegram", "stranger", NOW)

    pairing.prune(conn, PAIRING.expires_at + seconds(1))

    assert pairing.get(conn, "pair-1") is None
    assert pairing.wrong_tries_since(conn, "telegram", "stranger", NOW) == 0
