import pytest

from contract.ncl_words import SWITCHES, VALUED, parse_words
from nanoclaw.admin.commands import host_registry
from nanoclaw.cli.ncl import LOCAL
from nanoclaw.cli.ncl_known import (
    DESTRUCTIVE,
    SECONDS,
    USUAL_SECONDS,
    is_destructive,
    usual_seconds,
)

TAKING_AWAY = ("delete", "remove", "revoke", "rm", "cancel", "purge")


def test_every_command_that_takes_something_away_is_known() -> None:
    taking = {
        command.name
        for command in host_registry()
        if command.operation.mutating and command.operation.verb.split()[-1].startswith(TAKING_AWAY)
    }

    assert taking == DESTRUCTIVE


def test_every_slow_command_is_known() -> None:
    slow = {
        command.name: command.operation.seconds
        for command in host_registry()
        if command.operation.seconds > USUAL_SECONDS
        and "rebuild" not in {spec.name for spec in command.operation.arguments}
    }

    assert slow == SECONDS


def test_no_flag_of_a_command_is_taken_by_the_client() -> None:
    flags = {spec.name for command in host_registry() for spec in command.operation.arguments}

    assert not flags & (SWITCHES | VALUED | {"help", "dry_run"})


def test_local_commands_hide_no_resource() -> None:
    assert not LOCAL.keys() & {resource.plural for resource in host_registry().resources}


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("groups delete ag-1", True),
        ("groups-delete ag-1", True),
        ("groups-delete --id ag-1", True),
        ("groups config remove-mcp-server ag-1 --name x", True),
        ("groups delete ag-1 --dry-run", False),
        ("groups delete ag-1 --dry_run=yes", False),
        ("groups delete ag-1 --help", False),
        ("groups get delete", False),
        ("groups create --name delete", False),
        ("delete groups", False),
    ],
)
def test_question_is_for_what_takes_something_away(line: str, asked: bool) -> None:
    assert is_destructive(parse_words(line.split())) is asked


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("groups list", 30),
        ("groups restart ag-1", 30),
        ("groups restart ag-1 --rebuild", 1200),
    ],
)
def test_an_image_may_take_its_time(line: str, seconds: float) -> None:
    assert usual_seconds(parse_words(line.split())) == seconds
