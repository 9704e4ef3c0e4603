"""In which time zone do schedules and message times count?

Offers what the environment, the earlier settings or the machine say, writes the answer to
config.toml and reads it back the way the host does.
"""

import difflib
import tomllib
from collections.abc import Mapping
from zoneinfo import ZoneInfo, available_timezones

from nanoclaw.config import HostConfig, read_env_file
from nanoclaw.errors import ConfigError
from setup.base import REDO, Finding, Question, Status, StepContext, StepResult
from setup.config_file import set_key

KEY = "tz"


def wrong_zone(text: str) -> str | None:
    """None for a zone that exists; otherwise with the nearest name."""
    try:
        ZoneInfo(text)
    except (OSError, ValueError, LookupError):
        near = difflib.get_close_matches(text, available_timezones(), n=1)
        hint = f"did you mean {near[0]}?" if near else "write one such as Europe/Berlin"
        return f"{text[:60]!r} is not an IANA time zone; {hint}"
    return None


def question(default: str | None) -> Question:
    return Question(
        key=KEY,
        flag="tz",
        text="Time zone",
        default=default,
        check=wrong_zone,
        help="Schedules and message times use it, for example Europe/Berlin.",
    )


class TimezoneStep:
    name = "timezone"
    title = "Set the time zone"
    seconds = 30.0
    needs = ("environment",)
    questions = (question(None),)

    def inspect(self, config: HostConfig, answers: Mapping[str, str]) -> Finding:
        written = written_zone(config)
        wanted = answers.get(KEY, written or config.timezone)
        return Finding(
            done=written == wanted,
            summary=f"time zone {written}" if written else "no time zone is set",
            plan=f"write time zone {wanted} to {config.paths.config_file}",
            facts={"timezone": written},
            questions=()
            if written and REDO not in answers
            else (question(written or config.timezone),),
        )

    def apply(self, context: StepContext) -> StepResult:
        zone = context.answers.get(KEY) or context.config.timezone
        try:
            set_key(context.config.paths.config_file, "timezone", zone)
        except ConfigError as error:
            return StepResult(Status.FAILED, str(error))
        return StepResult(Status.SUCCESS, f"time zone {zone}")

    def verify(self, context: StepContext) -> StepResult:
        written = written_zone(context.config)
        wanted = context.answers.get(KEY) or written
        if not written or written != wanted:
            return StepResult(
                Status.FAILED,
                f"the host would use {written or 'no zone of its own'} instead of {wanted}",
                next_step=f"remove TZ from {context.config.paths.env_file}",
            )
        return StepResult(Status.SUCCESS, f"time zone {written}", {"timezone": written})


def written_zone(config: HostConfig) -> str:
    """What the files of this home say, whatever this terminal's environment says; or nothing."""
    from_env_file = read_env_file(config.paths.env_file).get("TZ", "")
    if from_env_file or not config.paths.config_file.is_file():
        return from_env_file
    table = tomllib.loads(config.paths.config_file.read_text(encoding="utf-8"))
    return str(table.get("timezone", ""))
