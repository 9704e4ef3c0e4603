import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from runner.tools.files.changes import MAX_SHOWN_LINES, edited, inserted, split_lines
from runner.tools.files.opening import FileProblemError

TEXTS = st.text(alphabet="ab\r\n\u2028\x0c ", max_size=40)
MIXED = st.lists(st.sampled_from(["\r\n", "\n", "a", "b"]), max_size=20).map("".join)
PIECES = st.text(alphabet="ab\n\u2028 ", max_size=8)


@given(TEXTS)
@settings(deadline=None)
def test_lines_make_the_text_again(text: str) -> None:
    assert "".join(split_lines(text)) == text
    assert all(line.count("\n") <= 1 for line in split_lines(text))


@given(PIECES, PIECES, PIECES, PIECES, st.booleans())
@settings(deadline=None, max_examples=200)
def test_an_edit_changes_its_place_and_nothing_else(
    before: str, old: str, new: str, after: str, windows: bool
) -> None:
    def written(text: str) -> str:
        return text.replace("\n", "\r\n") if windows else text

    text = before + old + after
    assume(old and len(text.split(old)) == 2 and text.find(old) == text.rfind(old) and old != new)

    change = edited(written(text), old, new, everywhere=False)

    only_ends = windows and "\n" not in text
    assert change.text == (before + new + after if only_ends else written(before + new + after))
    assert len(change.shown.split("\n")) <= MAX_SHOWN_LINES


@given(MIXED, PIECES, PIECES)
@settings(deadline=None, max_examples=200)
def test_an_edit_never_splits_the_end_of_a_line(text: str, old: str, new: str) -> None:
    try:
        change = edited(text, old, new, everywhere=True)
    except FileProblemError:
        return

    assert "\r" not in change.text.replace("\r\n", "")


@given(TEXTS, st.integers(0, 10), TEXTS)
@settings(deadline=None)
def test_an_insertion_keeps_all_other_lines(text: str, line: int, new: str) -> None:
    lines = split_lines(text)
    assume(line <= len(lines))

    result = inserted(text, line, new).text

    before, after = "".join(lines[:line]), "".join(lines[line:])
    assert result.startswith(before)
    assert result.endswith(after)
    assert result.endswith("\n") or not text.endswith("\n")


@pytest.mark.parametrize(
    ("text", "line", "new", "result"),
    [
        ("", 0, "a", "a\n"),
        ("a", 1, "b", "a\nb"),
        ("a", 1, "b\n", "a\nb"),
        ("a\n", 1, "b", "a\nb\n"),
        ("a\n", 0, "b", "b\na\n"),
        ("a\r\nb\r\n", 1, "x\ny", "a\r\nx\r\ny\r\nb\r\n"),
        ("a\n", 1, "", "a\n\n"),
    ],
)
def test_inserted_lines_take_the_ends_of_their_file(
    text: str, line: int, new: str, result: str
) -> None:
    assert inserted(text, line, new).text == result


def test_many_places_are_named_some_at_a_time() -> None:
    with pytest.raises(
        FileProblemError, match=r"occurs 100000 times \(lines 1, 2, 3, .*20, \.\.\."
    ):
        edited("x\n" * 100_000, "x", "y", everywhere=False)


def test_the_changed_region_is_shown_with_its_numbers() -> None:
    text = "".join(f"{number}\n" for number in range(1, 21))

    change = edited(text, "10\n11", "ten", everywhere=False)

    assert change.shown.split("\n") == [
        "     7\t7", "     8\t8", "     9\t9", "    10\tten", "    11\t12", "    12\t13",
        "    13\t14",
    ]  # fmt: skip


def test_what_cannot_be_is_refused() -> None:
    for text, old, new in (("a", "", "b"), ("a", "b", "c"), ("a", "a", "a")):
        with pytest.raises(FileProblemError):
            edited(text, old, new, everywhere=True)
    with pytest.raises(FileProblemError, match="only 1 lines"):
        inserted("a", 2, "b")
