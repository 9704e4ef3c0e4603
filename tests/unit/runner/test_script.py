import pytest

from runner.errors import ConfigError, Trouble
from runner.providers.script import (
    DEFAULT_RULE,
    Absorb,
    Exit,
    Fail,
    Hang,
    Pause,
    Raise,
    Say,
    Step,
    Tell,
    parse_script,
)


@pytest.mark.parametrize("script", [None, "", "null", {}, [], {"rules": []}])
def test_without_rules_the_last_resort_answers(script: object) -> None:
    choice = parse_script(script).choose("hello", {})

    assert (choice.index, choice.rule) == (None, DEFAULT_RULE)


@pytest.mark.parametrize(
    ("step", "parsed"),
    [
        ({"say": "x"}, Say("x")),
        ({"delay_ms": 250}, Pause(0.25)),
        ({"raise": "x"}, Raise("x")),
        ({"session_invalid": True}, Raise("scripted: no such conversation", invalid=True)),
        ({"error": "quota"}, Fail(Trouble.QUOTA, "scripted: quota")),
        ({"progress": "x"}, Tell("x")),
        ({"hang": True}, Hang()),
        ({"absorb": 2}, Absorb(2)),
        ({"exit": 3}, Exit(3)),
    ],
)
def test_step_is_understood(step: object, parsed: Step) -> None:
    [rule] = parse_script({"rules": [{"steps": [step]}]}).rules

    assert rule.steps == (parsed,)


@pytest.mark.parametrize(
    "script",
    [
        "not json",
        7,
        {"rules": "x"},
        ["x"],
        [{"match": 1, "steps": []}],
        [{"match": "(", "steps": []}],
        [{"steps": "x"}],
        [{"times": "x", "steps": []}],
        [{"times": -1, "steps": []}],
        [{"steps": ["x"]}],
        [{"steps": [{"say": "x", "hang": True}]}],
        [{"steps": [{"say": 1}]}],
        [{"steps": [{"delay_ms": -1}]}],
        [{"steps": [{"delay_ms": True}]}],
        [{"steps": [{"error": "boredom"}]}],
        [{"steps": [{"exit": 256}]}],
        [{"steps": [{"dance": 1}]}],
    ],
)
def test_wrong_script_is_a_configuration_error(script: object) -> None:
    with pytest.raises(ConfigError, match="script"):
        parse_script(script)


def test_first_rule_that_matches_and_is_not_used_up_answers() -> None:
    script = parse_script(
        [
            {"match": "^a", "times": 1, "steps": [{"say": "first"}]},
            {"match": "a", "steps": [{"say": "second"}]},
        ]
    )

    assert script.choose("a", {}).index == 0
    assert script.choose("a", {0: 1}).index == 1
    assert script.choose("ba", {}).index == 1
    assert script.choose("b", {}).index is None
