"""What the steps decide, without a machine."""

import pytest

from setup.steps.credentials import EXPLAINED, address_problem, key_problem
from setup.steps.docker import Engine, Machine, Seen, advise, classify, command
from setup.steps.mounts import SchemaError, answer_problem, checked_json, parse_answer
from setup.steps.test_message import Outcome
from setup.steps.test_message import classify as classify_reply


@pytest.mark.parametrize(
    ("code", "stdout", "stderr", "outcome"),
    [
        (0, "pong", "", Outcome.OK),
        (0, "401 Invalid bearer token", "", Outcome.AUTH_ERROR),
        (0, "authentication_error", "", Outcome.AUTH_ERROR),
        (1, "", "Authentication Error", Outcome.AUTH_ERROR),
        (3, "", "Failed to authenticate", Outcome.AUTH_ERROR),
        (0, "Please run /login", "", Outcome.AUTH_ERROR),
        (0, "Not logged in", "", Outcome.AUTH_ERROR),
        (2, "invalid API key", "", Outcome.AUTH_ERROR),
        (2, "", "no host", Outcome.SOCKET_ERROR),
        (0, "", "", Outcome.NO_REPLY),
        (0, " \n", "", Outcome.NO_REPLY),
        (3, "", "no reply", Outcome.NO_REPLY),
        (None, "", "", Outcome.NO_REPLY),
        (1, "pong", "", Outcome.NO_REPLY),
    ],
)
def test_answer_to_the_first_message_is_sorted(
    code: int | None, stdout: str, stderr: str, outcome: Outcome
) -> None:
    assert classify_reply(code, stdout, stderr) is outcome


@pytest.mark.parametrize(
    ("code", "output", "state"),
    [
        (0, "Server Version: 27", Engine.OK),
        (1, "permission denied while trying to connect", Engine.NO_PERMISSION),
        (1, "Cannot connect to the Docker daemon", Engine.NO_DAEMON),
        (1, "Is the docker daemon running?", Engine.NO_DAEMON),
        (1, "dial unix: no such file or directory", Engine.NO_DAEMON),
        (1, "something else", Engine.OTHER),
    ],
)
def test_words_of_docker_info_name_the_state(code: int, output: str, state: Engine) -> None:
    assert classify(code, output) is state


LINUX = Machine("ann")
MAC = Machine("ann", is_mac=True, has_systemd=False)


@pytest.mark.parametrize(
    ("state", "machine", "expected"),
    [
        (Engine.OK, LINUX, ""),
        (Engine.NO_PERMISSION, LINUX, "sudo usermod -aG docker ann"),
        (Engine.NO_PERMISSION, Machine("a b"), "sudo usermod -aG docker 'a b'"),
        (Engine.NO_PERMISSION, Machine("ann", in_group=True), "newgrp docker"),
        (Engine.NO_DAEMON, LINUX, "sudo systemctl start docker"),
        (Engine.NO_DAEMON, Machine("ann", has_systemd=False), "sudo service docker start"),
        (Engine.NO_DAEMON, MAC, "open -a Docker"),
        (Engine.NOT_INSTALLED, LINUX, "curl -fsSL https://get.docker.com | sudo sh"),
        (Engine.NOT_INSTALLED, MAC, "brew install --cask docker"),
        (Engine.TOO_OLD, MAC, "brew install --cask docker"),
        (Engine.OTHER, LINUX, "docker info"),
    ],
)
def test_every_state_ends_in_one_exact_command(
    state: Engine, machine: Machine, expected: str
) -> None:
    seen = Seen(state, "unix:///x", "it said so")

    assert command(seen, machine) == expected
    assert expected in advise(seen, machine)


def test_a_subscription_is_explained_and_no_problem_shows_the_key() -> None:
    assert key_problem("sk-ant-oat01-" + "x" * 90) == EXPLAINED
    for bad in ("short-secret", "sk-ant-api03-\u00fcberlanger-schluessel"):
        problem = key_problem(bad)
        assert problem is not None
        assert bad not in problem
    assert key_problem(" sk-ant-api03-abc def ghijkl mnop\n") is None


@pytest.mark.parametrize("text", ["", "x", "ftp://a", "https://", "http://[x"])
def test_addresses_that_are_none_are_refused(text: str) -> None:
    assert address_problem(text)


def test_folders_may_be_given_as_words() -> None:
    assert parse_answer("") == {"allowedRoots": [], "blockedPatterns": []}
    assert parse_answer("~/a, /srv/b:rw")["allowedRoots"] == [
        {"path": "~/a", "allowReadWrite": False},
        {"path": "/srv/b", "allowReadWrite": True},
    ]


@pytest.mark.parametrize(
    ("text", "word", "says"),
    [
        ("{", "invalid_json", "no JSON"),
        ("[]", "invalid_schema", "object"),
        ('{"roots": []}', "invalid_schema", "'roots'"),
        ('{"allowedRoots": {}}', "invalid_schema", "list"),
        ('{"allowedRoots": [{"path": 1}]}', "invalid_schema", "entry 1"),
        ('{"allowedRoots": [{"path": "/a", "readOnly": true}]}', "invalid_schema",
         "allowReadWrite"),
        ('{"allowedRoots": [{"path": "/a", "allowReadWrite": "no"}]}', "invalid_schema",
         "true or false"),
        ('{"blockedPatterns": [""]}', "invalid_schema", "blockedPatterns"),
    ],
)  # fmt: skip
def test_broken_allowlist_is_named(text: str, word: str, says: str) -> None:
    with pytest.raises(SchemaError, match=says) as caught:
        checked_json(text)

    assert caught.value.word == word
    assert answer_problem(text)


def test_relative_folder_is_refused() -> None:
    assert answer_problem("projects")
