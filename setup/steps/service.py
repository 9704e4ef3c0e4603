"""Does the host run by itself, now, at every boot and after a crash?

Installs the kind of service that this machine has (docs/service.md); the same as
``nanoclaw service install``. A person may decline and start the host by hand.
"""

from collections.abc import Mapping

from nanoclaw.config import HostConfig, host_environment
from nanoclaw.service import actions
from nanoclaw.service.actions import Desk
from nanoclaw.service.kinds import Kind, ServiceError, ServiceResult
from setup.base import Finding, Question, Status, StepContext, StepResult
from setup.base import Kind as AnswerKind

YES, NO = "yes", "no"
QUESTION = Question(
    key="service",
    flag="service",
    text="Start NanoClaw by itself, now and after every restart of this machine?",
    kind=AnswerKind.YES_NO,
    default=YES,
    help="without it, start the host yourself with `nanoclaw run`",
)


class ServiceStep:
    name = "service"
    title = "Run NanoClaw as a service"
    seconds = 240.0
    needs: tuple[str, ...] = ("environment",)
    questions: tuple[Question, ...] = (QUESTION,)

    def inspect(self, config: HostConfig, answers: Mapping[str, str]) -> Finding:
        if answers.get("service") == NO:
            return Finding(done=True, summary="not wanted; start the host with `nanoclaw run`")
        desk = _desk(config, _own_program())
        try:
            plan = actions.install(desk, dry_run=True)
            status = actions.status(desk)
        except ServiceError as error:
            return Finding(done=False, summary="no service", blocked=str(error))
        facts = {"kind": plan.kind, "name": plan.name, "file": plan.file}
        if status.running and not plan.changed:
            return Finding(done=True, summary=f"{plan.name} runs", facts=facts)
        return Finding(
            done=False,
            summary=f"{plan.name} does not run" if status.manager.installed else "no service",
            plan=f"write {plan.file} and start {plan.name}",
            facts=facts,
            questions=() if "service" in answers else (QUESTION,),
        )

    def apply(self, context: StepContext) -> StepResult:
        if context.answers.get("service") == NO:
            return StepResult(Status.SKIPPED, "not wanted; start the host with `nanoclaw run`")
        desk = _desk(context.config, context.program, context)
        try:
            result = actions.install(desk)
        except ServiceError as error:
            return StepResult(Status.FAILED, str(error), next_step="nanoclaw service install")
        for line in (*result.notes, *result.error_lines):
            context.raw(line)
        if result.error:
            return StepResult(
                Status.FAILED, result.error, {**fields(result), "ERROR": "service_not_running"},
                next_step="nanoclaw service logs --errors",
            )  # fmt: skip
        for note in result.notes:
            context.say(note)
        return StepResult(Status.SUCCESS, f"{result.name} runs", fields(result))

    def verify(self, context: StepContext) -> StepResult:
        if context.answers.get("service") == NO:
            return StepResult(Status.SKIPPED, "not wanted")
        status = actions.status(_desk(context.config, context.program))
        if status.running:
            return StepResult(Status.SUCCESS, f"{status.name} runs and answers")
        return StepResult(
            Status.FAILED,
            f"{status.name} is {status.manager.text} and does not answer",
            {"ERROR": "service_not_running"},
            next_step="nanoclaw service logs --errors",
        )


def fields(result: ServiceResult) -> dict[str, str]:
    """The progress log's words (S-123)."""
    is_unit = result.kind in (Kind.SYSTEMD_USER, Kind.SYSTEMD_SYSTEM)
    names = {Kind.LAUNCHD: ("SERVICE_LABEL", "PLIST_PATH"), Kind.NOHUP: ("", "WRAPPER_PATH")}
    name, file = names.get(Kind(result.kind), ("SERVICE_UNIT", "UNIT_PATH"))
    found = {
        "SERVICE_TYPE": result.kind,
        name: result.name,
        file: result.file,
        "SERVICE_LOADED": _word(result.running),
        "SERVICE_CHANGED": _word(result.changed),
        "LINGER_ENABLED": _word(result.linger is True) if is_unit else "",
        "DOCKER_GROUP_STALE": "true" if result.docker_group_stale else "",
        "FALLBACK": "wsl_no_systemd" if result.kind == Kind.NOHUP else "",
    }
    return {key: value for key, value in found.items() if key and value}


def _word(value: bool) -> str:
    return "true" if value else "false"


def _own_program() -> tuple[str, ...]:
    from nanoclaw.launch import own_command

    return tuple(own_command())


def _desk(config: HostConfig, program: tuple[str, ...], context: StepContext | None = None) -> Desk:
    say = context.say if context is not None else (lambda _: None)
    return actions.open_desk(config, program, host_environment(), say)
