import pytest

from nanoclaw.capabilities import TextUnit
from nanoclaw.channels.split import measure, split_for_limit

SMILE = "\N{GRINNING FACE}"


@pytest.mark.parametrize(
    ("text", "limit", "pieces"),
    [
        pytest.param("short", 10, ["short"], id="fits"),
        pytest.param("x" * 10, 10, ["x" * 10], id="exactly"),
        pytest.param("x" * 11, 10, ["x" * 10, "x"], id="hard cut"),
        pytest.param("one two three", 8, ["one two", "three"], id="at a blank"),
        pytest.param("one two\nthree", 12, ["one two", "three"], id="at a line end"),
        pytest.param("one\n\ntwo\nthree", 10, ["one", "two\nthree"], id="at a blank line"),
        pytest.param("  \n ", 10, ["  \n "], id="only blanks"),
        pytest.param("", 10, [], id="nothing"),
        pytest.param("a   " + "b" * 9, 10, ["a", "b" * 9], id="blanks at the cut"),
    ],
)
def test_t58_text_is_cut_at_the_best_place(text: str, limit: int, pieces: list[str]) -> None:
    assert split_for_limit(text, limit) == pieces


@pytest.mark.parametrize("unit", TextUnit)
@pytest.mark.parametrize("limit", [4, 7, 50])
def test_t58_every_piece_fits_and_nothing_but_blanks_is_lost(unit: TextUnit, limit: int) -> None:
    text = f"Grüße an euch {SMILE * 9}\n\nund  danke\nfür alles {'x' * 60}"

    pieces = split_for_limit(text, limit, unit)

    assert all(0 < measure(piece, unit) <= limit for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("unit", "length"), [(TextUnit.CHARS, 2), (TextUnit.UTF16, 3), (TextUnit.BYTES, 6)]
)
def test_length_is_counted_in_the_platforms_unit(unit: TextUnit, length: int) -> None:
    assert measure(f"ü{SMILE}", unit) == length


def test_a_limit_that_no_character_may_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="limit below 4"):
        split_for_limit("text", 3)
