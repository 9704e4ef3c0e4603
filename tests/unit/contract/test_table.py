import csv
import io
import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.display import display_width
from contract.table import (
    Look,
    NoIdsError,
    NoRowsError,
    render_csv,
    render_data,
    render_ids,
    render_json,
)

WIDE = Look()
ROW = {"id": "ag-1778-abcdef", "name": "A rather long name of a chat", "note": "short"}


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (None, ""),
        ("plain\ntext", "plain\ntext"),
        ("dos\r\nlines", "dos\nlines"),
        ("bell\x07", "bell\\x07"),
        ([], "(no rows)"),
        ({"a": 1}, '{\n  "a": 1\n}'),
        ({}, "{}"),
        ([1, 2], "[\n  1,\n  2\n]"),
        ([{}], "[\n  {}\n]"),
        ([{"a": [1]}], '[\n  {\n    "a": [\n      1\n    ]\n  }\n]'),
        ([{"a": 1}, {"a": {}}], '[\n  {\n    "a": 1\n  },\n  {\n    "a": {}\n  }\n]'),
        ([{"id": "x", "on": True}, {"id": None, "more": 1}], "id  on\n──  ────\nx   true\n"),
        ([{"a": "1\n2", "b": 2.5}], "a    b\n───  ───\n1 2  2.5"),
        ([{"a": "世界", "b": "x"}, {"a": "ab", "b": "y"}], "a     b\n────  ─\n世界  x\nab    y"),
        ([{"a": "\x1b[2J"}], "a\n───────\n\\x1b[2J"),
    ],
)
def test_data_is_shown_by_its_shape(data: object, text: str) -> None:
    assert render_data(data, WIDE) == text


def test_table_in_plain_letters_and_in_colours() -> None:
    rows = [{"id": "1", "name": "long enough to be cut"}]

    assert render_data(rows, Look(14, plain=True)) == ("id  name\n--  ----------\n1   long enou~")
    assert render_data([{"id": "1"}], Look(coloured=True)) == (
        "\x1b[1mid\x1b[0m\n\x1b[2m──\x1b[0m\n1"
    )


def test_widest_column_is_cut_first_and_the_id_never() -> None:
    table = render_data([ROW], Look(45)).splitlines()

    assert table[2] == "ag-1778-abcdef  A rather long name of…  short"
    assert max(map(display_width, table)) <= 45


def test_id_stays_whole_where_it_is_not_the_first_column() -> None:
    row = {"kind": "a kind that is long", "id": "ag-1778-abcdef"}

    assert render_data([row], Look(26)).splitlines()[2] == "a kind th…  ag-1778-abcdef"


def test_rows_that_cannot_fit_become_blocks_without_loss() -> None:
    text = render_data([ROW, ROW], Look(20))

    block = "id    ag-1778-abcdef\nname  A rather long name of a chat\nnote  short"
    assert text == f"{block}\n\n{block}"


def test_table_that_fits_is_as_wide_as_its_data() -> None:
    assert render_data([ROW], Look(500)) == render_data([ROW], WIDE)


CELLS = st.none() | st.booleans() | st.integers() | st.text(max_size=30)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.fixed_dictionaries({"id": st.just("i-1"), "a": CELLS, "b": CELLS}), min_size=1),
    st.integers(23, 100),
)
def test_table_never_leaves_the_terminal(rows: list[dict[str, object]], cells: int) -> None:
    lines = render_data(rows, Look(cells)).split("\n")

    assert len(lines) == len(rows) + 2
    assert max(map(display_width, lines)) <= cells
    assert not [line for line in lines if line.endswith(" ")]


@settings(deadline=None, max_examples=200)
@given(st.recursive(CELLS | st.floats(allow_nan=False), lambda inner: st.lists(inner) | (
    st.dictionaries(st.text(max_size=5), inner))))  # fmt: skip
def test_json_is_the_same_data_without_controls(value: object) -> None:
    text = render_json(value)

    assert json.loads(text) == value
    categories = {unicodedata.category(letter) for letter in text.replace("\n", "")}
    assert not categories & {"Cc", "Cs", "Zl", "Zp"}


def test_json_escapes_what_json_itself_would_not() -> None:
    assert render_json("ä\x7f\x9b\u202e\U000e0041\udcff\u00a0") == (
        '"ä\\u007f\\u009b\\u202e\\udb40\\udc41\\udcff\u00a0"'
    )


@pytest.mark.parametrize(
    ("data", "ids"),
    [
        ([{"id": "a", "x": 1}, {"id": "b", "x": 2}], "a\nb"),
        ([{"user_id": "telegram:1", "role": "owner"}], "telegram:1"),
        ([{"x": [1], "id": 7}], "7"),
        ({"id": "one", "deep": {}}, "one"),
        ([], ""),
    ],
)
def test_ids_are_one_per_line(data: object, ids: str) -> None:
    assert render_ids(data) == ids


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ([{"a": 1, "b": None}, {"b": "x", "c": 3}], "a,b\n1,\n,x"),
        ([{"a": 'say "hi"', "b": "x,y"}], 'a,b\n"say ""hi""","x,y"'),
        ([{"a": "two\nlines", "b": "\x1b[2J"}], 'a,b\n"two\nlines",\\x1b[2J'),
        ([{"a": [1, {"b": "ä"}]}], 'a\n"[1,{""b"":""ä""}]"'),
        ({"a": True}, "a\ntrue"),
        ([], ""),
    ],
)
def test_csv_has_a_head_and_quotes_where_needed(data: object, text: str) -> None:
    assert render_csv(data) == text


@pytest.mark.parametrize("data", ["text", 5, None, [1], [{"a": 1}, "x"], [{}]])
def test_what_is_no_row_has_neither_ids_nor_csv(data: object) -> None:
    with pytest.raises(NoRowsError):
        render_ids(data)
    with pytest.raises(NoRowsError):
        render_csv(data)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.fixed_dictionaries({"a": st.text("ab,\"\n 'ä"), "b": st.text("xy\n,")}), min_size=1)
)
def test_csv_is_read_back_by_others(rows: list[dict[str, str]]) -> None:
    text = render_csv(rows) + "\n"

    assert list(csv.DictReader(io.StringIO(text, newline=""))) == rows


def test_rows_without_a_name_of_their_own_have_no_ids() -> None:
    with pytest.raises(NoIdsError):
        render_ids([{"at": "10:00", "what": "received"}])
    assert render_ids([{"at": "10:00", "message_id": "in-1"}]) == "in-1"
    assert render_ids([{"scope": "install", "amount": 1}]) == "install"
