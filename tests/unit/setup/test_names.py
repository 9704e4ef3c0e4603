"""Names that people type become folders; ids of chats become addresses."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.containers.group_folder import is_valid_folder
from nanoclaw.permissions.identity import namespaced_platform_id
from setup.agent_rows import chat_id
from setup.names import folder_of, folder_problem, is_group_chat, normalise_name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Jürgen", "jurgen"),
        ("\u041e\u043b\u0435\u0433", "oleg"),
        ("\u0413\u0435\u043e\u0440\u0433\u0438\u0439 \u0429\u0443\u043a", "georgii-shchuk"),
        ("\u0395\u03bb\u03ad\u03bd\u03b7", "eleni"),
        ("Stra\u00dfe \u00c6sir \u00d8", "strasse-aesir-o"),
        ("\u3055\u304f\u3089", "sakura"),
        ("\uae40", "gim"),
        ("  Anna--Lena ", "anna-lena"),
        ("\u732b", "unnamed"),
        ("", "unnamed"),
        ("\u0130stanbul", "istanbul"),
    ],
)  # fmt: skip
def test_names_of_all_alphabets_become_small_latin_letters(name: str, expected: str) -> None:
    assert normalise_name(name) == expected


@given(st.text(max_size=200))
@settings(deadline=None, max_examples=200)
def test_every_name_gives_a_folder_that_is_allowed(name: str) -> None:
    assert is_valid_folder(folder_of(name, "dm-with-"))


@pytest.mark.parametrize(
    "folder", ["global", "GLOBAL", "_x", "a/b", "..", "", " a", "a ", "a" * 65, "\u00fc", "a\n"]
)
def test_folders_outside_of_the_rule_are_refused_with_words(folder: str) -> None:
    assert folder_problem(folder)


@pytest.mark.parametrize("folder", ["a", "A_b-9", "0", "a" * 64])
def test_folders_within_the_rule_are_fine(folder: str) -> None:
    assert folder_problem(folder) is None


@pytest.mark.parametrize(
    ("channel", "raw", "expected"),
    [
        ("telegram", "telegram:7", "telegram:7"),
        ("whatsapp", "12@g.us", "12@g.us"),
        ("signal", "+4912", "+4912"),
        ("signal", "group:abc", "group:abc"),
        ("deltachat", "12", "12"),
        ("telegram", "-100", "telegram:-100"),
        ("discord", "@me:1", "@me:1"),
    ],
)
def test_chats_get_the_name_under_which_their_messages_come(
    channel: str, raw: str, expected: str
) -> None:
    assert namespaced_platform_id(channel, raw) == expected
    assert chat_id(channel, raw) == expected


def test_the_terminal_has_no_prefix() -> None:
    assert chat_id("cli", "local") == "local"


@pytest.mark.parametrize(
    ("channel", "platform_id", "expected"),
    [
        ("whatsapp", "12@g.us", True),
        ("whatsapp", "12@s.whatsapp.net", False),
        ("telegram", "telegram:-100", True),
        ("telegram", "telegram:7", False),
        ("discord", "discord:@me:5", False),
        ("discord", "discord:1:5", True),
        ("slack", "slack:D1", False),
        ("slack", "slack:C1", True),
        ("signal", "group:abc", True),
        ("signal", "+49", False),
        ("cli", "local", False),
        ("matrix", "!x:y", True),
    ],
)
def test_the_id_of_a_chat_says_whether_it_is_a_group(
    channel: str, platform_id: str, expected: bool
) -> None:
    assert is_group_chat(channel, platform_id) is expected
