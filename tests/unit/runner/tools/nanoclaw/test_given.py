import pytest

from runner.tools.nanoclaw.given import MAX_ITEMS, BadArgumentError, Given


@pytest.mark.parametrize("arguments", [None, [], "text", 5])
def test_arguments_must_be_an_object(arguments: object) -> None:
    with pytest.raises(BadArgumentError, match="must be an object"):
        Given(arguments)


@pytest.mark.parametrize(
    ("value", "number"),
    [(7, 7), ("7", 7), (" #7 ", 7), (7.0, 7), (2**53 - 1, 2**53 - 1)],
)
def test_message_number_is_read_in_every_form_that_models_use(value: object, number: int) -> None:
    assert Given({"n": value}).number("n") == number


@pytest.mark.parametrize(
    "value",
    [
        None,
        0,
        -1,
        True,
        7.5,
        float("inf"),
        float("nan"),
        "",
        "seven",
        "\u0667",
        "9" * 30,
        2**53,
        [7],
    ],
)
def test_what_is_no_message_number_is_refused(value: object) -> None:
    with pytest.raises(BadArgumentError, match="'n' is required"):
        Given({"n": value}).number("n")


def test_null_is_not_given() -> None:
    given = Given({"a": None})

    assert not given.has("a")
    assert given.optional_text("a") is None
    assert given.texts("a") == ()
    assert given.mapping("a") == {}
    assert given.seconds("a", 300, 10, 3600) == 300


def test_limits_are_in_bytes_and_elements() -> None:
    with pytest.raises(BadArgumentError, match="has 4 bytes, at most 3"):
        Given({"a": "ää"}).text("a", 3)
    with pytest.raises(BadArgumentError, match="more than 1000 elements"):
        Given({"a": ["x"] * (MAX_ITEMS + 1)}).texts("a")


@pytest.mark.parametrize("value", ["10", True, 9.9, 3601, float("nan")])
def test_seconds_outside_the_range_are_refused(value: object) -> None:
    with pytest.raises(BadArgumentError, match="from 10 to 3600"):
        Given({"s": value}).seconds("s", 300, 10, 3600)
