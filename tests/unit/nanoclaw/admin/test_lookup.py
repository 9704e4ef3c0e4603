"""From words to commands: N-31 to N-35, scenario 54."""

import pytest

from nanoclaw.admin.frames import Request
from nanoclaw.admin.lookup import Found, UnknownCommandError, find, with_target
from nanoclaw.admin.problems import InvalidArgsError
from nanoclaw.admin.registry import Access, ArgumentSpec, Operation, Registry, ResourceSpec

ID = ArgumentSpec("id", positional=True)


def operation(verb: str, *arguments: ArgumentSpec) -> Operation:
    return Operation(verb, Access.OPEN, "", lambda *_: None, arguments)


def resource(plural: str, *operations: Operation) -> ResourceSpec:
    return ResourceSpec(plural[:-1], plural, "id", "", (), operations)


REGISTRY = Registry(
    (
        resource(
            "groups", operation("list"), operation("get", ID), operation("config get", ID),
            operation("restart", ID),
        ),
        resource("users", operation("get", ID)),
        resource("roles", operation("grant", ArgumentSpec("user", positional=True))),
    ),
    (
        operation("ping"),
        operation("search", ArgumentSpec("text", positional=True, all_words=True)),
    ),
)  # fmt: skip


def look(*words: str) -> Found:
    return find(REGISTRY, Request("1", "-".join(words), {}, words), lambda _: True)


def look_joined(command: str) -> Found:
    return find(REGISTRY, Request("1", command), lambda _: True)


@pytest.mark.parametrize(
    ("words", "name", "target"),
    [
        (["groups", "list"], "groups-list", None),
        (["groups-list"], "groups-list", None),
        (["groups", "config", "get"], "groups-config-get", None),
        (["groups", "config-get"], "groups-config-get", None),
        (["groups", "get", "ag-1778-ab12cd"], "groups-get", "ag-1778-ab12cd"),
        (["groups", "config", "get", "ag-1-2"], "groups-config-get", "ag-1-2"),
        (["users", "get", "telegram:-100-5"], "users-get", "telegram:-100-5"),
        (["ping"], "ping", None),
    ],
)
def test_scenario_54_ids_with_dashes_are_found_behind_the_words(
    words: list[str], name: str, target: str | None
) -> None:
    for found in (look(*words), look_joined("-".join(words))):
        assert (found.command.name, found.target) == (name, target)


def test_n33_more_than_one_word_behind_the_verb_is_refused() -> None:
    with pytest.raises(InvalidArgsError, match="one word behind it, not 'a b'"):
        look("groups", "get", "a", "b")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["dentist"], "dentist"),
        (["dentist", "groups", "list"], "dentist groups list"),
        (["flight to", "Rome"], '"flight to" Rome'),
        (['"flight to"', "Rome"], '"flight to" Rome'),
    ],
)
def test_command_that_takes_all_words_gets_them_as_one_text(words: list[str], text: str) -> None:
    assert look("search", *words).target == text
    assert look("search").target is None


def test_n33_id_as_flag_and_as_word_must_agree() -> None:
    found = look("groups", "get", "ag-1")

    assert with_target(found, {}) == {"id": "ag-1"}
    assert with_target(found, {"id": "ag-1"}) == {"id": "ag-1"}
    with pytest.raises(InvalidArgsError, match="--id and the word behind groups get differ"):
        with_target(found, {"id": "ag-2"})


def test_n35_target_binds_to_the_flag_that_the_command_says() -> None:
    assert with_target(look("roles", "grant", "telegram:1"), {}) == {"user": "telegram:1"}


def test_word_behind_a_verb_that_takes_none_is_refused() -> None:
    with pytest.raises(InvalidArgsError, match="ncl groups help"):
        with_target(look("groups", "list", "ag-1"), {})


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["groups", "lst"], "did you mean groups list?"),
        (["gruops"], "did you mean groups?"),
        (["groups", "frobnicate-it"], "groups has: config get, get, list, restart"),
        (["xyzzy"], "there are: groups, roles, users, ping"),
    ],
)
def test_n34_unknown_command_names_what_is_near(words: list[str], hint: str) -> None:
    with pytest.raises(UnknownCommandError) as caught:
        look(*words)

    assert "-".join(words) in str(caught.value)
    assert hint in str(caught.value)


def test_hints_never_name_what_the_caller_may_not_run() -> None:
    request = Request("1", "user-get", {}, ("user", "get"))

    with pytest.raises(UnknownCommandError) as caught:
        find(REGISTRY, request, lambda command: command.name == "ping")

    assert "users" not in str(caught.value)


def test_n31_a_name_that_is_taken_twice_is_an_error_of_the_program() -> None:
    with pytest.raises(ValueError, match="groups-list"):
        Registry((resource("groups", operation("list"), operation("list")),))


def test_n31_commands_are_listed_by_name() -> None:
    assert list(REGISTRY.names) == sorted(REGISTRY.names)
