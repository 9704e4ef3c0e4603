import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.content import Option
from nanoclaw.approvals.options import choose, dump_options, option, parse_options, typed

OPTIONS = (
    option("Yes", "Agreed", "y"),
    option("No", "Refused", "1"),
    option("Later", "Later", "l"),
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("0", 0, id="position"),
        pytest.param("2", 2, id="last position"),
        pytest.param("y", 0, id="literal value of old cards"),
        pytest.param("1", 1, id="position wins over a literal value"),
        pytest.param("3", None, id="behind the last"),
        pytest.param("-1", None, id="negative"),
        pytest.param("0001", None, id="too long for a position"),
        pytest.param("²", None, id="digit that is no number"),
        pytest.param("Yes", None, id="label is no value"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_pressed_value_means_a_position_or_a_literal_value(
    value: str, expected: int | None
) -> None:
    assert choose(OPTIONS, value) == (None if expected is None else OPTIONS[expected])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("1", 0, id="numbers begin with one"),
        pytest.param(" 3 ", 2, id="blanks around"),
        pytest.param("no", 1, id="label in small letters"),
        pytest.param("/later", 2, id="as a command"),
        pytest.param("0", None, id="zero"),
        pytest.param("4", None, id="behind the last"),
        pytest.param("y", None, id="value is not shown to anybody"),
        pytest.param("yes please", None, id="more than the label"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_typed_text_means_a_number_or_a_label(text: str, expected: int | None) -> None:
    assert typed(OPTIONS, text) == expected


def test_label_that_two_options_have_means_none() -> None:
    assert typed((option("A", "A", "1"), option("a", "a", "2")), "A") is None


def test_options_are_read_back_and_broken_ones_left_out() -> None:
    assert parse_options(dump_options(OPTIONS)) == OPTIONS
    assert parse_options('[{"label":"x"},7,{"label":"a","selectedLabel":"b","value":"c"}]') == (
        Option(label="a", selected_label="b", value="c"),
    )
    assert parse_options("{}") == parse_options("nonsense") == ()


@given(st.lists(st.text(max_size=20), max_size=10), st.text(max_size=10))
@settings(deadline=None, max_examples=200)
def test_any_text_means_one_of_the_options_or_nothing(labels: list[str], text: str) -> None:
    options = tuple(option(label, label, f"v-{place}") for place, label in enumerate(labels))

    place, chosen = typed(options, text), choose(options, text)

    assert place is None or 0 <= place < len(options)
    assert chosen is None or chosen in options
