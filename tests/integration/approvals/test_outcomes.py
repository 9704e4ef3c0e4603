from dataclasses import replace

import pytest
from helpers.approval_office import Office

from contract.clock import utc_now
from contract.jsontext import dump
from nanoclaw.approvals.outcomes import tell_agent
from nanoclaw.approvals.requests import REJECTED
from nanoclaw.db import effects
from nanoclaw.db.effects import Effect
from nanoclaw.effects.base import Done, EffectContext, Failed


class NoRequests:
    def to_channel(self, *_: object) -> None:
        raise AssertionError("nobody is asked")

    to_sweep = to_channel


def context_of(office: Office) -> EffectContext:
    def nobody(*_: object) -> None:
        raise AssertionError("nothing is under way")

    return EffectContext(office.conn, office.config, NoRequests(), utc_now(), nobody, nobody)


@pytest.fixture
def refused(office: Office) -> Effect:
    """The effect that a rejection has recorded."""
    office.owner("telegram:7", "Olga\nnobody")
    card = office.request()
    office.press(card, "1", "telegram:7")
    effect = effects.get(office.conn, f"approval/{card}")
    assert effect is not None
    assert effect.kind == REJECTED
    return effect


def test_telling_twice_is_one_note_of_one_line(office: Office, refused: Effect) -> None:
    for _ in range(2):
        assert tell_agent(context_of(office), refused) == Done("the agent was told")

    (note,) = office.notes()
    assert "Olga\\nnobody said no" in note
    assert "\n" not in note


def test_request_without_a_session_tells_nobody(office: Office, refused: Effect) -> None:
    office.conn.execute("UPDATE pending_approvals SET session_id = NULL")

    assert tell_agent(context_of(office), refused) == Done("nobody to tell")


def test_request_that_is_gone_tells_nobody(office: Office, refused: Effect) -> None:
    office.conn.execute("DELETE FROM pending_approvals")

    assert tell_agent(context_of(office), refused) == Done("the request is gone")


def test_unreadable_payload_fails(office: Office, refused: Effect) -> None:
    for payload in ("", "[]", dump([1])):
        broken = replace(refused, payload=payload)
        assert isinstance(tell_agent(context_of(office), broken), Failed)
