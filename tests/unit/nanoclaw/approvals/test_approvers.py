import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.approvals.approvers import (
    MAX_APPROVERS,
    Approvers,
    DirectAddress,
    direct_address,
    for_origin,
    in_order,
)

USERS = st.lists(st.sampled_from([f"{c}:{n}" for c in ("tg", "slack", "cli") for n in range(4)]))


@pytest.mark.parametrize(
    ("approvers", "expected"),
    [
        (Approvers(), ()),
        (Approvers(owners=("tg:o",)), ("tg:o",)),
        (Approvers(("tg:s",), ("tg:a",), ("tg:o",)), ("tg:s", "tg:a", "tg:o")),
        (Approvers(("tg:x",), ("tg:x",), ("tg:x", "tg:o")), ("tg:x", "tg:o")),
        (Approvers(everywhere=("tg:a",), owners=("tg:o",)), ("tg:a", "tg:o")),
    ],
    ids=["nobody", "owner", "all", "without duplicates", "for no group"],
)
def test_t34_order_is_scoped_then_global_then_owner(
    approvers: Approvers, expected: tuple[str, ...]
) -> None:
    assert in_order(approvers) == expected


def test_nobody_is_asked_beyond_the_bound() -> None:
    many = tuple(f"tg:{number}" for number in range(MAX_APPROVERS + 10))

    assert len(in_order(Approvers(owners=many))) == MAX_APPROVERS


@settings(deadline=None, max_examples=200)
@given(USERS, USERS, USERS)
def test_order_holds_everybody_once(
    scoped: list[str], everywhere: list[str], owners: list[str]
) -> None:
    ordered = in_order(Approvers(tuple(scoped), tuple(everywhere), tuple(owners)))

    assert sorted(ordered) == sorted({*scoped, *everywhere, *owners})


@pytest.mark.parametrize(
    ("origin", "prefer", "expected"),
    [
        ("", None, ("tg:1", "slack:2", "tg:3")),
        ("slack", None, ("slack:2", "tg:1", "tg:3")),
        ("tg", None, ("tg:1", "tg:3", "slack:2")),
        ("cli", None, ("tg:1", "slack:2", "tg:3")),
        ("slack", "tg:3", ("tg:3", "slack:2", "tg:1")),
        ("", "tg:9", ("tg:1", "slack:2", "tg:3")),
    ],
    ids=["no origin", "slack", "tg", "nobody there", "preferred", "preferred is not entitled"],
)
def test_t35_same_channel_comes_first(
    origin: str, prefer: str | None, expected: tuple[str, ...]
) -> None:
    assert for_origin(("tg:1", "slack:2", "tg:3"), origin, prefer) == expected


@settings(deadline=None, max_examples=200)
@given(USERS, st.sampled_from(["", "tg", "slack"]))
def test_origin_changes_only_the_order(users: list[str], origin: str) -> None:
    assert sorted(for_origin(users, origin)) == sorted(set(users))


@pytest.mark.parametrize(
    ("user_id", "kind", "known", "expected"),
    [
        ("telegram:7", "telegram", {"telegram"}, DirectAddress("telegram", "7")),
        ("telegram:7", "telegram", set(), None),
        ("telegram:7", "telegram", {"slack"}, None),
        ("telegram:7:8", "telegram", {"telegram"}, DirectAddress("telegram", "7:8")),
        ("29:abc", "teams", {"teams"}, DirectAddress("teams", "29:abc")),
        ("telegram:7", "telegram", {"telegram-work"}, DirectAddress("telegram-work", "7")),
        ("telegram:7", "telegram", {"telegram", "telegram-a"}, DirectAddress("telegram", "7")),
        ("telegram:", "telegram", {"telegram"}, DirectAddress("telegram", "telegram:")),
        ("nocolon", "", {"nocolon"}, None),
        ("../etc:7", "", {"../etc"}, None),
        (":7", "", {""}, None),
    ],
)
def test_direct_address_follows_prefix_then_kind(
    user_id: str, kind: str, known: set[str], expected: DirectAddress | None
) -> None:
    assert direct_address(user_id, kind, known) == expected


def test_terminal_is_asked_last() -> None:
    approvers = Approvers(owners=("cli:local", "telegram:1"))

    assert in_order(approvers) == ("telegram:1", "cli:local")
