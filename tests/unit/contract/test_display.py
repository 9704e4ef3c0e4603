import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.display import cut, display_width, pad, safe_text

FAMILY = "👩\u200d👩\u200d👧"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Grüße, 世界 👋", "Grüße, 世界 👋"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("bell\x07 delete\x7f", "bell\\x07 delete\\x7f"),
        ("\x9b31m", "\\x9b31m"),
        ("a\nb\tc", "a\\x0ab\\x09c"),
        ("abc\u202edef", "abc\\u202edef"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\u2028line", "\\u2028line"),
        ("half\udcff", "half\\udcff"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("nb\u00a0sp\u3000", "nb\u00a0sp\u3000"),
        ("private\ue000", "private\ue000"),
        (FAMILY, FAMILY),
    ],
)
def test_only_what_a_terminal_would_obey_is_escaped(text: str, shown: str) -> None:
    assert safe_text(text) == shown


def test_letters_that_are_wanted_stay() -> None:
    assert safe_text("a\n\tb\r", keep="\n\t") == "a\n\tb\\x0d"


@settings(deadline=None, max_examples=300)
@given(st.text(st.characters()))
def test_safe_text_has_no_controls_whatever_came_in(text: str) -> None:
    categories = {unicodedata.category(letter) for letter in safe_text(text)}

    assert not categories & {"Cc", "Cs", "Zl", "Zp"}


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("", 0),
        ("abc", 3),
        ("äöü", 3),
        ("a\u0308", 1),
        ("世界", 4),
        ("ﾊﾝ", 2),
        ("\uff21\uff22", 4),
        ("👋", 2),
        ("👋🏽", 2),
        ("🏽", 2),
        (FAMILY, 2),
        ("👩\u200d⚕\ufe0f", 2),
        ("x\u200dy", 2),
        ("❤\ufe0f", 2),
        ("👋\ufe0f", 2),
        ("🇩🇪", 2),
        ("\u1112\u1161\u11ab", 2),
        ("ab\u200cc", 3),
    ],
)
def test_width_is_that_of_a_terminal(text: str, cells: int) -> None:
    assert display_width(text) == cells


@pytest.mark.parametrize(
    ("text", "cells", "shown"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("世界", 4, "世界"),
        ("世界人", 4, "世…"),
        ("世界人", 5, "世界…"),
        ("a世", 2, "a…"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
    ],
)
def test_text_is_cut_by_cells(text: str, cells: int, shown: str) -> None:
    assert cut(text, cells) == shown


def test_mark_can_be_plain() -> None:
    assert cut("abcd", 3, "~") == "ab~"


@settings(deadline=None, max_examples=300)
@given(st.text(st.sampled_from("ab世界👋🏽\u200d\ufe0f\u0308äé")), st.integers(1, 20))
def test_cut_and_padded_text_has_exactly_the_cells(text: str, cells: int) -> None:
    shown = cut(text, cells)

    assert display_width(shown) <= cells
    assert display_width(pad(shown, cells)) == cells
