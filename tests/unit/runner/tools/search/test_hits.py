from hypothesis import given, settings
from hypothesis import strategies as st

from runner.tools.search.hits import compiled, lines_found, text_of
from runner.tools.search.request import Mode, Search, dump_search, parse_search


@given(
    text=st.text(alphabet="ab\n\r\u2028", max_size=30),
    pattern=st.sampled_from(["a", "^", "$", "a$", "b.a", "", "(?s)a.b", r"\s", "a*"]),
    context=st.integers(0, 3),
    multiline=st.booleans(),
)
@settings(deadline=None, max_examples=300)
def test_every_line_shown_is_a_line_of_the_text(
    text: str, pattern: str, context: int, multiline: bool
) -> None:
    search = Search(pattern, mode=Mode.CONTENT, context=context, multiline=multiline)

    lines = text.split("\n")
    for shown in lines_found(text, compiled(search), search):
        if shown != "--":
            number, _, rest = shown.partition(":" if ":" in shown else "-")
            assert lines[int(number) - 1] == rest


def test_modes_tell_names_numbers_and_lines() -> None:
    text = "one\ntwo\none\n"

    found = {
        mode: lines_found(text, compiled(Search("one", mode=mode)), Search("one", mode=mode))
        for mode in Mode
    }

    assert found == {Mode.FILES: [""], Mode.COUNT: ["2"], Mode.CONTENT: ["1:one", "3:one"]}


def test_what_is_no_text_is_left_out() -> None:
    assert text_of(b"a\0b") is None
    assert text_of("ü".encode("utf-16")) == "ü"
    assert text_of(b"\xef\xbb\xbfa\xff") == "a\ufffd"


@given(st.text(max_size=20), st.text(max_size=20), st.sampled_from(list(Mode)), st.booleans())
@settings(deadline=None)
def test_a_search_survives_its_way_to_the_other_process(
    pattern: str, only: str, mode: Mode, flag: bool
) -> None:
    search = Search(pattern, only, mode, 3, flag, not flag)

    assert parse_search(dump_search(search)) == search
