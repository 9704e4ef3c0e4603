"""The kinds of effects that are about tasks, with their handlers; for ``process.handlers``.

An approved kind runs the same code as the action it was asked as, without asking again.
"""

from contract.actions import CancelTask, PauseTask, ResumeTask, ScheduleTask, UpdateTask
from nanoclaw.effects.base import Handler
from nanoclaw.tasks.asked import handler
from nanoclaw.tasks.change import cancel, pause, resume, update
from nanoclaw.tasks.schedule import schedule

_SCHEDULE = handler(ScheduleTask, schedule)
_RESUME = handler(ResumeTask, resume)
_UPDATE = handler(UpdateTask, update)

TASK_HANDLERS: dict[str, Handler] = {
    "action:cancel_task": handler(CancelTask, cancel),
    "action:pause_task": handler(PauseTask, pause),
    "action:resume_task": _RESUME,
    "action:schedule_task": _SCHEDULE,
    "action:update_task": _UPDATE,
    "approved:resume_task": _RESUME,
    "approved:schedule_task": _SCHEDULE,
    "approved:update_task": _UPDATE,
}
