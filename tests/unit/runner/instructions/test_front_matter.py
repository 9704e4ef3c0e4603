import json
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.instructions.front_matter import (
    MAX_BLOCK,
    FrontMatterError,
    Value,
    parse_front_matter,
    split_front_matter,
)


def parsed(text: str) -> dict[str, Value]:
    return parse_front_matter(dedent(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: a", {"name": "a"}),
        ("name:   a b  # comment", {"name": "a b"}),
        ("# only a comment\n\nname: a", {"name": "a"}),
        ("", {}),
        ("a: true\nb: False\nc: null\nd: ~\ne:", {"a": True, "b": False, "c": None, "d": None,
                                                 "e": None}),
        ("version: 1.10", {"version": "1.10"}),
        ("a: x#y", {"a": "x#y"}),
        ("a: Use when: asked", {"a": "Use when: asked"}),
        ("a: http://x/y", {"a": "http://x/y"}),
        ('"a b": 1', {"a b": "1"}),
        ("'it''s': 1", {"it's": "1"}),
        ("a: 'it''s' # said", {"a": "it's"}),
        ('a: "x\\n\\u00e4\\x41\\"\\\\"', {"a": 'x\näA"\\'}),
        ('a: "x\\Uffffffff"', {"a": "x\ufffd"}),
        ('a: "Do this" when asked', {"a": '"Do this" when asked'}),
        ('a: "one\n  two\n\n  three"', {"a": "one two\nthree"}),
        ('a: "one \\\n  two"', {"a": "one two"}),
        ("a: 'one\n  two'", {"a": "one two"}),
        ("a: one\n  two\n\n  three\nb: x", {"a": "one two\nthree", "b": "x"}),
        ("a:\n  text below", {"a": "text below"}),
        ("a: b # comment\nc: d", {"a": "b", "c": "d"}),
    ],
)  # fmt: skip
def test_scalars_are_read(text: str, expected: dict[str, Value]) -> None:
    assert parse_front_matter(text) == expected


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("|", "one\n  two\n\nthree\n"),
        ("|-", "one\n  two\n\nthree"),
        ("|+", "one\n  two\n\nthree\n\n"),
        (">", "one\n  two\n\nthree\n"),
        (">-", "one\n  two\n\nthree"),
    ],
)
def test_block_text_keeps_or_loses_its_end(head: str, expected: str) -> None:
    text = f"a: {head}\n  one\n    two\n\n  three\n\nb: x"

    assert parse_front_matter(text) == {"a": expected, "b": "x"}


def test_folded_text_is_one_line_per_paragraph() -> None:
    text = """\
        description: >-
          Opens pages
          and reads them.

          Use it for the web.
        name: web
        """

    assert parsed(text) == {
        "description": "Opens pages and reads them.\nUse it for the web.",
        "name": "web",
    }


def test_block_text_may_name_its_indentation() -> None:
    assert parse_front_matter("a: |2\n    two deep\n  none") == {"a": "  two deep\nnone\n"}
    assert parse_front_matter("a: |-2 # said\n  x") == {"a": "x"}


def test_dashes_and_comments_in_block_text_are_text() -> None:
    assert parse_front_matter("a: |\n  # head\n  - item\n  k: v\n") == {
        "a": "# head\n- item\nk: v\n\n"[:-1]
    }


def test_maps_and_lists_nest() -> None:
    text = """\
        metadata:
          author: us
          deep:
            list:
            - a
            - b: 1
              c: 2
            -
              - x
            - - y
              - z
        tools: [read_file, "bash(git:*)", mcp__a__b]
        map: {a: 1, b: [true, null], 'c d': x}
        empty: []
        none: {}
        """

    assert parsed(text) == {
        "metadata": {
            "author": "us",
            "deep": {"list": ["a", {"b": "1", "c": "2"}, ["x"], ["y", "z"]]},
        },
        "tools": ["read_file", "bash(git:*)", "mcp__a__b"],
        "map": {"a": "1", "b": [True, None], "c d": "x"},
        "empty": [],
        "none": {},
    }


def test_flow_lists_may_go_over_lines() -> None:
    assert parse_front_matter("a: [one,\n  two,\n]\nb: x") == {"a": ["one", "two"], "b": "x"}


def test_plain_text_that_only_looks_like_a_list_is_text() -> None:
    assert parse_front_matter("a: [name] does it") == {"a": "[name] does it"}
    assert parse_front_matter("a: {x} and more") == {"a": "{x} and more"}
    assert parse_front_matter("a: [http://x:80/y]") == {"a": ["http://x:80/y"]}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("just text", "not a map"),
        ("- a\n- b", "not a map"),
        ("a: b\nno key here", "expected a key"),
        ("a: b\n\tc: d", "tab"),
        ("a:\n\tb: c", "tab"),
        ('a: "open', "quotation mark"),
        ("a: [open", "bracket"),
        ("a:\n    b: 1\n  c: 2", "expected a key"),
        ("a:\n" + "".join("  " * n + f"k{n}:\n" for n in range(1, 12)), "too deeply"),
        ("a: " + "x" * MAX_BLOCK, "longer than"),
    ],
)
def test_what_is_wrong_is_said(text: str, reason: str) -> None:
    with pytest.raises(FrontMatterError, match=reason):
        parse_front_matter(text)


def test_deep_brackets_are_text() -> None:
    assert isinstance(parse_front_matter("a: " + "[" * 50 + "]" * 50)["a"], str)


@pytest.mark.parametrize(
    ("text", "header", "body"),
    [
        ("---\na: b\n---\nbody\n", "a: b", "body\n"),
        ("---\r\na: b\r\n---\r\nbody", "a: b", "body"),
        ("\ufeff---\na: b\n...\nbody", "a: b", "body"),
        ("---\n---\nbody", "", "body"),
        ("no header\n---\n", None, "no header\n---\n"),
        ("---\nnever closed", None, "---\nnever closed"),
        ("", None, ""),
    ],
)
def test_header_is_split_from_the_body(text: str, header: str | None, body: str) -> None:
    assert split_front_matter(text) == (header, body)


_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=40)


@given(st.dictionaries(st.from_regex(r"[a-z][a-z-]{0,8}", fullmatch=True), _TEXT, max_size=4))
@settings(deadline=None, max_examples=150)
def test_text_that_was_quoted_comes_back_as_it_was(values: dict[str, str]) -> None:
    # JSON strings are double-quoted YAML, when no surrogate pairs are escaped.
    header = "\n".join(
        f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()
    )

    assert parse_front_matter(header) == values


@given(st.text(st.sampled_from("ab:-'\"[]{},#|>+ \n\t\\2x~"), max_size=120))
@settings(deadline=None, max_examples=400)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        value = parse_front_matter(text)
    except FrontMatterError as error:
        assert str(error)
    else:
        assert isinstance(value, dict)


@given(st.text(max_size=200))
@settings(deadline=None, max_examples=100)
def test_splitting_loses_no_body(text: str) -> None:
    header, body = split_front_matter("---\nname: a\n---\n" + text)

    assert (header, body) == ("name: a", text)
