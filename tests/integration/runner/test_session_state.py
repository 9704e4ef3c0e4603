"""Acceptance scenarios of the session's state and numbers, each by its name (R-48 to R-57)."""

import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from helpers.runner_process import RunnerSession

from contract.clock import utc_now
from contract.outbound.reader import read_outbound
from contract.outbound.row import NewOutbound
from contract.outbound.writer import open_outbound
from runner.change import Change
from runner.lease import Lease
from runner.store import Store, continuation_key

LEGACY = "sdk_session_id"
EACH = 25


def keep(session: RunnerSession, values: Mapping[str, str]) -> None:
    with open_outbound(session.paths.outbound_db) as out:
        for key, value in values.items():
            out.set_state(key, value, utc_now())


def kept(session: RunnerSession, key: str) -> str | None:
    with read_outbound(session.paths.outbound_db) as out:
        return out.get_state(key)


def start(session: RunnerSession, provider: str, *changes: Change) -> str | None:
    """What a runner with this provider finds at its start; then it writes."""

    async def run() -> str | None:
        store = Store(session.paths, Lease(session.paths.session_json, session.lease))
        try:
            found = await store.start(provider)
            for change in changes:
                await store.apply(change)
        finally:
            store.close()
        return found

    return asyncio.run(run())


def setting(provider: str, value: str | None) -> Change:
    return Change(state=((continuation_key(provider), value),))


def test_continuation_survives_and_the_providers_name_may_be_in_any_case(
    session: RunnerSession,
) -> None:
    start(session, "Claude", setting("Claude", "nc1-a"))

    assert start(session, "claude") == "nc1-a"
    assert start(session, "CLAUDE") == "nc1-a"


def test_providers_never_see_each_others_continuation(session: RunnerSession) -> None:
    start(session, "claude", setting("claude", "nc1-a"))
    start(session, "scripted", setting("scripted", "s-1"))

    assert (start(session, "claude"), start(session, "scripted")) == ("nc1-a", "s-1")


def test_clear_affects_one_provider(session: RunnerSession) -> None:
    start(session, "claude", setting("claude", "nc1-a"), setting("scripted", "s-1"))
    start(session, "claude", setting("claude", None))

    assert (start(session, "claude"), start(session, "scripted")) == (None, "s-1")


def test_unknown_provider_has_no_continuation(session: RunnerSession) -> None:
    keep(session, {"continuation:claude": "nc1-a"})

    assert start(session, "unheard-of") is None


def test_legacy_value_is_adopted_when_the_slot_is_empty(session: RunnerSession) -> None:
    keep(session, {LEGACY: "old"})

    assert start(session, "claude") == "old"
    assert kept(session, "continuation:claude") == "old"


@pytest.mark.parametrize("slot", [{}, {"continuation:claude": "nc1-a"}])
def test_legacy_row_is_always_deleted(session: RunnerSession, slot: dict[str, str]) -> None:
    keep(session, {LEGACY: "old", **slot})

    start(session, "claude")

    assert kept(session, LEGACY) is None


def test_existing_slot_is_preferred_to_the_legacy_value(session: RunnerSession) -> None:
    keep(session, {LEGACY: "old", "continuation:claude": "nc1-a"})

    assert start(session, "claude") == "nc1-a"


def test_without_a_legacy_row_there_is_nothing_to_adopt(session: RunnerSession) -> None:
    keep(session, {"other": "value"})

    assert start(session, "claude") is None


def test_second_migration_changes_nothing(session: RunnerSession) -> None:
    keep(session, {LEGACY: "old"})

    assert (start(session, "claude"), start(session, "claude")) == ("old", "old")


def test_two_writers_racing_for_numbers_never_share_one(session: RunnerSession) -> None:
    """The runner and a tool server write the same file (R-49)."""
    path: Path = session.paths.outbound_db
    with open_outbound(path):
        pass
    numbers: dict[str, list[int]] = {"runner": [], "tools": []}
    together = threading.Barrier(len(numbers))

    def write(name: str) -> None:
        together.wait()
        for n in range(EACH):
            new = NewOutbound(f"{name}-{n}", "chat", utc_now(), '{"text":"x"}')
            with open_outbound(path) as out:
                numbers[name].append(out.write_message(new, 10))

    writers = [threading.Thread(target=write, args=(name,)) for name in numbers]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)

    assert sorted([*numbers["runner"], *numbers["tools"]]) == list(range(11, 11 + 4 * EACH, 2))
