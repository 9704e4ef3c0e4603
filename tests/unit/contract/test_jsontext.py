import pytest

from contract.errors import BadContent
from contract.jsontext import dump, parse_object, parse_value, storable


def test_text_is_compact_and_keeps_non_ascii() -> None:
    assert dump({"questionId": "q-1", "text": "Grüße 东京"}) == (
        '{"questionId":"q-1","text":"Grüße 东京"}'
    )


def test_lone_surrogates_are_replaced_and_pairs_are_joined() -> None:
    assert dump({"a": "x\ud800y"}) == '{"a":"x\ufffdy"}'
    assert storable("\ud83d\ude00") == "\N{GRINNING FACE}"


@pytest.mark.parametrize("value", [{"a": object()}, {"a": float("nan")}])
def test_what_json_cannot_hold_is_bad_content(value: object) -> None:
    with pytest.raises(BadContent):
        dump(value)


def test_a_value_that_contains_itself_is_bad_content() -> None:
    endless: list[object] = []
    endless.append(endless)

    with pytest.raises(BadContent):
        dump(endless)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        '"text"',
        '{"a":NaN}',
        '{"a":-Infinity}',
        '{"a":' + "9" * 5000 + "}",
        "[" * 100_000,
        None,
        b"{}",
    ],
)
def test_what_is_no_object_is_bad_content(text: object) -> None:
    with pytest.raises(BadContent):
        parse_object(text, max_bytes=1_000_000)


def test_the_limit_counts_bytes_not_characters() -> None:
    assert parse_object('{"a":"é"}', max_bytes=10) == {"a": "é"}
    with pytest.raises(BadContent):
        parse_object('{"a":"é"}', max_bytes=9)
    with pytest.raises(BadContent):
        parse_object('{"a":"e"}', max_bytes=8)


def test_depth_is_limited_but_breadth_is_not() -> None:
    assert parse_value('{"a":[[1]]}', max_bytes=100, max_depth=3)
    assert parse_value('[{},{},{},{"a":[]}]', max_bytes=100, max_depth=3)
    with pytest.raises(BadContent):
        parse_value('{"a":[[1]]}', max_bytes=100, max_depth=2)
