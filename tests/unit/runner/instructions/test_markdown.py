import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.instructions.markdown import code_spans, is_within, prose_and_code


def shown(text: str) -> str:
    """Code in capitals, to see which lines are which."""
    return "\n".join(
        line.text.upper() if line.is_code else line.text for line in prose_and_code(text)
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\n```\nb\n```\nc", "a\n```\nB\n```\nc"),
        ("~~~sh\nb\n```\n~~~\nc", "~~~SH\nB\n```\n~~~\nc"),
        ("````\n```\nb\n````\nc", "````\n```\nB\n````\nc"),
        ("```\nnever closed", "```\nNEVER CLOSED"),
        ("```a `b` c```\nd", "```a `b` c```\nd"),
        ("   ```\nb\n   ```\nc", "   ```\nB\n   ```\nc"),
        ("    ```\nb", "    ```\nb"),
    ],
)
def test_fenced_lines_are_code(text: str, expected: str) -> None:
    assert shown(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<!-- gone -->\na", "a"),
        ("a\n<!-- gone\nstill -->\nb", "a\nb"),
        ("<!-- gone --> kept", " kept"),
        ("a <!-- stays -->", "a <!-- stays -->"),
        ("<!-- never closed\na", "<!-- never closed\na"),
        ("```\n<!-- code -->\n```", "```\n<!-- CODE -->\n```"),
    ],
)
def test_comments_at_block_level_are_removed(text: str, expected: str) -> None:
    assert shown(text) == expected


@pytest.mark.parametrize(
    ("line", "inside"),
    [
        ("a `x` b", True),
        ("a ``x` y`` b", True),
        ("a `x b", False),
        ("a ``x` b", False),
        ("`a` x `b`", False),
    ],
)
def test_code_spans_are_found(line: str, inside: bool) -> None:
    assert is_within(code_spans(line), line.index("x")) is inside


@given(st.text("`~<!->ab \n", max_size=80))
@settings(deadline=None, max_examples=200)
def test_nothing_but_comments_is_lost(text: str) -> None:
    kept = "\n".join(line.text for line in prose_and_code(text))

    if "<!--" not in text:
        assert kept == text
    assert len(kept) <= len(text)
