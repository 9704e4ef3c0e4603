import pytest

from nanoclaw.db.names import destination_name, free_name, normalize_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Family", "family"),
        ("Garden  Club!", "garden-club"),
        ("--a__b--", "a-b"),
        ("Küche 2", "k-che-2"),
        ("日本", "unnamed"),
        ("", "unnamed"),
    ],
)
def test_names_are_lower_case_words_with_hyphens(text: str, name: str) -> None:
    assert normalize_name(text) == name


@pytest.mark.parametrize(("chat_name", "name"), [("Home", "home"), (None, "slack-mg-12345"),
                                                 ("", "slack-mg-12345")])  # fmt: skip
def test_destination_is_named_after_the_chat(chat_name: str | None, name: str) -> None:
    assert destination_name(chat_name, "slack", "mg-12345-abc") == name


def test_taken_names_get_the_first_free_number() -> None:
    assert free_name("a", set()) == "a"
    assert free_name("a", {"a", "a-2"}) == "a-3"
