from dataclasses import replace

import pytest
from helpers.runner_rows import FAMILY, make_row

from contract.address import NOWHERE, Address, Destination, DestinationType
from contract.inbound.row import InboundRow, InboundStatus
from runner.address_book import (
    CURRENT,
    AddressFacts,
    Placed,
    Resolved,
    Unresolved,
    by_routing,
    find_destination,
    newest_known,
    place,
    resolve,
    wanted_chats,
)

HOME = Destination("family", "Family", DestinationType.CHANNEL, "telegram", "77")
OPS = Destination("ops", "Ops", DestinationType.CHANNEL, "slack", "C1")
TWIN = Destination("also-ops", "Ops", DestinationType.CHANNEL, "slack", "C1")
PEER = Destination("helper", "Helper", DestinationType.AGENT, agent_group_id="ag-2")
KNOWN = (TWIN, HOME, PEER, OPS)
IN_THREAD = Address("telegram", "77", "t-1")


@pytest.mark.parametrize(
    ("name", "found"),
    [("ops", OPS), (" Ops ", OPS), ("HELPER", PEER), ("nobody", None), ("", None)],
)
def test_destination_is_found_by_name(name: str, found: Destination | None) -> None:
    assert find_destination(name, KNOWN) == found


def test_name_that_fits_two_in_another_case_fits_none() -> None:
    other = Destination("OPS", "Ops", DestinationType.CHANNEL, "slack", "C2")

    assert find_destination("Ops", (OPS, other)) is None
    assert find_destination("OPS", (OPS, other)) == other


@pytest.mark.parametrize(
    ("address", "found"),
    [
        (IN_THREAD, HOME),
        (Address("slack", "C1"), TWIN),
        (Address("agent", "ag-2"), PEER),
        (Address("agent", "ag-3"), None),
        (Address("slack", None), None),
        (Address(None, "C1"), None),
        (NOWHERE, None),
    ],
)
def test_destination_is_found_by_its_address(address: Address, found: Destination | None) -> None:
    assert by_routing(address, KNOWN) == found


def row(message_id: str, seq: int, address: Address, *, done: bool = True) -> InboundRow:
    made = make_row(message_id, "x", seq=seq, address=address)
    if not done:
        return made
    return replace(made, status=InboundStatus.COMPLETED)


@pytest.mark.parametrize(
    ("facts", "placed"),
    [
        pytest.param(
            AddressFacts(
                consumed=(row("a", 2, IN_THREAD), row("b", 4, Address("telegram", "77", "t-2"))),
                newest={FAMILY: row("c", 9, Address("telegram", "77", "t-3"))},
            ),
            Placed(Address("telegram", "77", "t-2"), "b"),
            id="the newest row of this turn comes first",
        ),
        pytest.param(
            AddressFacts(newest={FAMILY: row("c", 9, IN_THREAD)}, in_reply_to="m"),
            Placed(IN_THREAD, "c"),
            id="then the newest known row",
        ),
        pytest.param(
            AddressFacts(session=IN_THREAD, in_reply_to="m"),
            Placed(IN_THREAD, "m"),
            id="then the session's own thread",
        ),
        pytest.param(
            AddressFacts(session=Address("slack", "C1", "t-9"), in_reply_to="m"),
            Placed(FAMILY, "m"),
            id="a chat never heard of has no thread",
        ),
    ],
)
def test_thread_and_reply_id_come_from_the_chat(facts: AddressFacts, placed: Placed) -> None:
    assert place(FAMILY, facts) == placed


@pytest.mark.parametrize("to", [None, "", "  "])
def test_without_a_name_the_chat_being_answered_is_meant(to: str | None) -> None:
    facts = AddressFacts(KNOWN, IN_THREAD, "m", (row("m", 2, IN_THREAD),), session=OPS.address)

    assert resolve(to, facts) == Resolved(Placed(IN_THREAD, "m"), CURRENT)
    assert wanted_chats(to, facts) == (FAMILY,)


def test_origin_that_is_the_sessions_chat_needs_no_destination() -> None:
    facts = AddressFacts((), IN_THREAD, "m", session=FAMILY)

    assert resolve(None, facts) == Resolved(Placed(FAMILY, "m"), CURRENT)


@pytest.mark.parametrize("origin", [NOWHERE, Address("agent", "own-group"), Address("x", "y")])
def test_unknown_origin_falls_back_to_the_sessions_chat(origin: Address) -> None:
    facts = AddressFacts(KNOWN, origin, "m", session=IN_THREAD)

    assert resolve(None, facts) == Resolved(Placed(IN_THREAD, "m"), CURRENT)


def test_only_destination_is_meant_when_there_is_no_chat() -> None:
    assert resolve(None, AddressFacts((OPS,))) == Resolved(Placed(OPS.address, None), "ops")


@pytest.mark.parametrize(
    ("to", "destinations", "words"),
    [
        (None, (), "no destinations configured"),
        (None, KNOWN, "'to' must be given; known destinations are: also-ops, family, helper, ops"),
        ("x", KNOWN, "unknown destination 'x'; known are: also-ops, family, helper, ops"),
        ("x", (), "unknown destination 'x'; known are: (none)"),
    ],
)
def test_what_cannot_be_resolved_is_said(
    to: str | None, destinations: tuple[Destination, ...], words: str
) -> None:
    found = resolve(to, AddressFacts(destinations))

    assert isinstance(found, Unresolved)
    assert found.reason.startswith(words)
    assert wanted_chats(to, AddressFacts(destinations)) == ()


@pytest.mark.parametrize(
    ("to", "address"),
    [("family", FAMILY), ("helper", Address("agent", "ag-2")), ("ops", Address("slack", "C1"))],
)
def test_name_gives_the_destinations_address(to: str, address: Address) -> None:
    found = resolve(to, AddressFacts(KNOWN, session=Address("cli", "local")))

    assert found == Resolved(Placed(address, None), to)


def test_newest_row_that_the_agent_was_given_counts() -> None:
    rows = (
        row("a", 2, FAMILY),
        row("b", 4, FAMILY, done=False),
        row("c", 6, FAMILY, done=False),
    )

    assert newest_known(rows, ["b"]) == rows[1]
    assert newest_known(rows, []) == rows[0]
    assert newest_known(rows[1:], []) == rows[2]
    assert newest_known((), ["a"]) is None
