import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.policy.taint import (
    MAX_TAINT,
    Act,
    describe,
    dump_taint,
    foreign,
    needs_approval,
    parse_taint,
    unite,
)


@pytest.mark.parametrize("act", list(Act))
@pytest.mark.parametrize(
    ("taint", "expected"),
    [
        (None, False),
        ("", False),
        (" , ,", False),
        ("agent", False),
        ("web", True),
        ("agent,web", True),
        ("unknown-sender", True),
        ("a-word-of-tomorrow", True),
    ],
)
def test_foreign_content_needs_a_person(act: Act, taint: str | None, expected: bool) -> None:
    assert needs_approval(act, taint, guarded=True) is expected
    assert not needs_approval(act, taint, guarded=False)


def test_union_names_everything_once_and_in_order() -> None:
    assert unite("web,mail", None, "mail, file ") == "file,mail,web"
    assert unite(None, "") is None


def test_approver_reads_the_sources_in_words() -> None:
    assert describe("web,agent,unknown-sender") == "somebody without rights, a web page"


@given(st.lists(st.text(max_size=200), max_size=40))
@settings(deadline=None, max_examples=150)
def test_whatever_an_agent_writes_stays_bounded_and_suspect(words: list[str]) -> None:
    text = ",".join(words)

    stored = dump_taint(parse_taint(text))

    assert len(stored or "") <= MAX_TAINT
    assert parse_taint(stored) <= parse_taint(text)
    assert bool(foreign(stored)) == bool(foreign(text)) or "agent" in parse_taint(text)
    assert bool(stored) == bool(parse_taint(text))
