"""How the task tools are shown to a model (R-163 to R-167); ``tasks`` carries them out."""

from collections.abc import Mapping

from runner.desk.desk import Desk
from runner.toolbox.base import ToolSpec
from runner.tools.nanoclaw.base import NanoclawTool, object_schema, string
from runner.tools.nanoclaw.tasks import CATCH_UP, CONTEXTS, TaskDesk

_ZONE = (
    "The user's time zone is in the <context timezone> header; times without Z or offset and cron "
    "expressions are meant in it."
)
_TASK_ID = string("The task's id, as list_tasks shows it.")
_PROMPT = string("What to do then; written for an agent that has only this text.")
_WHEN = string(
    f"When it runs first, such as 2026-01-15T09:00 (preferred, the user's zone) or an absolute "
    f"time with Z or offset. {_ZONE}"
)
_REPEAT = string(
    f"Five cron fields (minute hour day-of-month month weekday), such as '0 9 * * 1-5', or a plain "
    f"interval such as '@every 90m'. {_ZONE}"
)
_SCRIPT = string(
    "A bash script that runs first and decides, by a last line of JSON with wakeAgent true or "
    "false, whether the agent is woken at all."
)
_OPTIONS: dict[str, Mapping[str, object]] = {
    "timezone": string(
        "IANA zone of processAfter and recurrence, such as Asia/Tokyo; default: the user's zone."
    ),
    "catchUp": {
        "type": "string",
        "enum": list(CATCH_UP),
        "description": "What becomes of times that pass while nothing can run: 'latest' (default) "
        "runs once, late; 'all' makes every one up; 'skip' leaves them out.",
    },
    "context": {
        "type": "string",
        "enum": list(CONTEXTS),
        "description": "'group' (default): runs in this conversation. 'isolated': in one of its "
        "own, without what was said here; list_tasks does not show it, so keep its id.",
    },
}
_BY_ID = {
    "cancel_task": "End a task and all its repetitions.",
    "pause_task": "Hold a task until it is resumed.",
    "resume_task": "Let a paused task run again.",
}


def task_tools(desk: Desk, zone_name: str) -> tuple[NanoclawTool, ...]:
    tasks = TaskDesk(desk, zone_name)
    fields = {"prompt": _PROMPT, "processAfter": _WHEN, "recurrence": _REPEAT, "script": _SCRIPT}
    return (
        NanoclawTool(
            ToolSpec(
                "schedule_task",
                f"Schedule a task that runs once or repeatedly. {_ZONE}",
                object_schema({**fields, **_OPTIONS}, ("prompt", "processAfter")),
            ),
            tasks.schedule,
        ),
        NanoclawTool(
            ToolSpec(
                "list_tasks",
                "List the scheduled tasks with the ids that the other task tools take.",
                object_schema(
                    {"status": {"type": "string", "enum": ["pending", "paused"],
                                "description": "Only these; default is both."}}
                ),
                read_only=True,
            ),
            tasks.list,
        ),
        *(
            NanoclawTool(
                ToolSpec(name, text, object_schema({"taskId": _TASK_ID}, ("taskId",))),
                tasks.by_id(name),
            )
            for name, text in _BY_ID.items()
        ),
        NanoclawTool(
            ToolSpec(
                "update_task",
                "Change a task; only what is given changes. An empty recurrence or script removes "
                "it.",
                object_schema({"taskId": _TASK_ID, **fields}, ("taskId",)),
            ),
            tasks.update,
        ),
    )  # fmt: skip
