"""The wizard's step for the service, and the command line, on a machine of stand-ins."""

import json
from pathlib import Path

import pytest

from nanoclaw.cli import commands
from nanoclaw.config import HostConfig, load_config
from nanoclaw.service.kinds import Kind, ServiceResult
from setup.base import Status, StepContext
from setup.steps.service import ServiceStep, fields

PROGRAM = ("/usr/bin/python3", "/opt/nanoclaw.pyz")


@pytest.fixture
def config(tmp_path: Path) -> HostConfig:
    return load_config(home=tmp_path / "home", environment={})


def context(config: HostConfig, **answers: str) -> StepContext:
    return StepContext(
        config, answers, lambda _: None, lambda _: None, lambda: False, PROGRAM,
        config.paths.logs / "step.log",
    )  # fmt: skip


def test_inspect_plans_the_file_and_asks(config: HostConfig) -> None:
    finding = ServiceStep().inspect(config, {})

    assert not finding.done
    assert finding.facts["file"] in finding.plan
    assert [question.flag for question in finding.questions] == ["service"]
    assert not config.home.exists()


def test_an_answered_question_is_not_asked_again(config: HostConfig) -> None:
    assert ServiceStep().inspect(config, {"service": "yes"}).questions == ()


def test_a_service_that_is_not_wanted_is_skipped(config: HostConfig) -> None:
    step = ServiceStep()

    assert step.inspect(config, {"service": "no"}).done
    assert step.apply(context(config, service="no")).status is Status.SKIPPED
    assert step.verify(context(config, service="no")).status is Status.SKIPPED


def test_verify_fails_while_nothing_runs(config: HostConfig) -> None:
    result = ServiceStep().verify(context(config))

    assert result.status is Status.FAILED
    assert result.fields["ERROR"] == "service_not_running"
    assert result.next_step == "nanoclaw service logs --errors"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Kind.SYSTEMD_USER, {"SERVICE_UNIT", "UNIT_PATH", "LINGER_ENABLED"}),
        (Kind.LAUNCHD, {"SERVICE_LABEL", "PLIST_PATH"}),
        (Kind.NOHUP, {"WRAPPER_PATH", "FALLBACK"}),
    ],
)
def test_fields_of_the_progress_log_depend_on_the_kind(kind: Kind, expected: set[str]) -> None:
    result = ServiceResult("install", kind, "name", "/file", running=True, changed=True)

    common = {"SERVICE_TYPE", "SERVICE_LOADED", "SERVICE_CHANGED"}
    assert set(fields(result)) == expected | common


def test_status_of_a_missing_service_says_how_to_install_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = commands.main(["service", "status", "--json", "--home", str(tmp_path / "h")])

    answer = json.loads(capsys.readouterr().out)
    assert code == 4
    assert answer["running"] is False
    assert "nanoclaw service install" in answer["notes"][0]


def test_dry_run_of_a_user_unit_names_file_and_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["service", "install", "--dry-run", "--kind", "systemd-user"]
    code = commands.main([*words, "--home", str(tmp_path / "h")])

    out = capsys.readouterr().out
    assert code == 0
    assert ".config/systemd/user/nanoclaw-v2-" in out
    assert "systemctl --user enable" in out
    assert not (tmp_path / "h").exists()


def test_dry_run_for_launchd_works_anywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["service", "install", "--dry-run", "--kind", "launchd"]
    code = commands.main([*words, "--home", str(tmp_path / "h")])

    assert code == 0
    assert "launchctl bootstrap gui/" in capsys.readouterr().out
