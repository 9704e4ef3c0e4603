"""What somebody typed, as the search index is asked."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.admin.search_words import (
    MAX_TYPED,
    UnsearchableError,
    excerpt,
    normal_text,
    parse_words,
    spellings,
)


def test_long_words_go_to_the_index_and_short_ones_are_compared() -> None:
    words = parse_words("dentist 会议 on")

    assert words.match == '"dentist"'
    assert words.short == (("会议",), ("on", "oN", "On", "ON"))
    assert words.plain == ("dentist", "会议", "on")


def test_words_in_quotation_marks_stay_together() -> None:
    assert parse_words('"flight to" paris').match == '"flight to" "paris"'


def test_an_open_quotation_mark_does_no_harm() -> None:
    assert parse_words('say "hello').match == '"say" "hello"'


def test_signs_of_the_index_language_are_plain_letters() -> None:
    assert parse_words("NEAR(a b) col:x* -not").match == '"NEAR(a" "col:x*" "-not"'


def test_a_letter_that_can_be_written_in_two_ways_is_one() -> None:
    assert parse_words("cafe\u0301").plain == ("caf\u00e9",)


@pytest.mark.parametrize(
    "typed",
    ["", "   ", '""', "a b c d", "x" * (MAX_TYPED + 1), " ".join(f"word{n}" for n in range(17))],
)
def test_what_cannot_be_searched_for_is_refused(typed: str) -> None:
    with pytest.raises(UnsearchableError):
        parse_words(typed)


def test_spellings_leave_out_what_becomes_two_letters() -> None:
    assert spellings("ß") == ("ß",)
    assert set(spellings("ж")) == {"ж", "Ж"}


@given(st.text(max_size=200))
@settings(deadline=None, max_examples=200)
def test_any_text_is_refused_or_asks_something(typed: str) -> None:
    try:
        words = parse_words(typed)
    except UnsearchableError:
        return

    assert words.match or words.short
    assert words.match.count('"') % 2 == 0
    assert "\0" not in words.match
    assert all(len(forms) <= 4 for forms in words.short)


def test_excerpt_shows_the_place_of_the_first_word() -> None:
    text = "x " * 200 + "the dentist called " + "y " * 200

    shown = excerpt(text, ("dentist",), 60)

    assert "dentist" in shown
    assert shown.startswith("…")
    assert shown.endswith("…")
    assert len(shown) <= 62


@given(st.text(max_size=300), st.text(min_size=1, max_size=5))
@settings(deadline=None, max_examples=100)
def test_excerpt_is_one_short_line(text: str, word: str) -> None:
    shown = excerpt(normal_text(text), (word,), 40)

    assert len(shown) <= 42
    assert len(shown.splitlines()) <= 1
