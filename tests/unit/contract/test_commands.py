import pytest

from contract.commands import Command, CommandClass, commands_of, parse_command


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("/clear", Command("/clear", CommandClass.ADMIN)),
        ("  /CLEAR now  ", Command("/clear", CommandClass.ADMIN, "now")),
        ("/stop", Command("/stop", CommandClass.ADMIN)),
        ("/compact keep\nthe dates", Command("/compact", CommandClass.ADMIN, "keep\nthe dates")),
        ("/help", Command("/help", CommandClass.HOST)),
        ("/start", Command("/start", CommandClass.HOST)),
        ("/status", Command("/status", CommandClass.HOST)),
        ("/login", Command("/login", CommandClass.FILTERED)),
        ("/remote-control", Command("/remote-control", CommandClass.FILTERED)),
        ("/clearx", Command("/clearx", CommandClass.PASSTHROUGH)),
        ("/usr/bin is full", Command("/usr/bin", CommandClass.PASSTHROUGH, "is full")),
    ],
)
def test_the_first_word_decides(text: str, command: Command) -> None:
    assert parse_command(text) == command


@pytest.mark.parametrize("text", ["", "   ", "hello", "see /clear", "\\clear"])
def test_text_without_leading_slash_is_no_command(text: str) -> None:
    assert parse_command(text) is None


def test_every_listed_word_belongs_to_one_class() -> None:
    listed = [word for kind in CommandClass for word in commands_of(kind)]

    assert len(listed) == len(set(listed))
    assert commands_of(CommandClass.PASSTHROUGH) == frozenset()
    assert commands_of(CommandClass.HOST) == {"/help", "/start", "/status"}
