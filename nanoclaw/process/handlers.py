"""Every kind of effect and who carries it out; part of the ``delivery`` composition root.

System actions of agents are recorded by ``delivery.intake`` as effects of the kind
``action:<name>`` with the row's content as payload; messages between agents as
``agent_message``; approved requests under their own action name.
"""

from nanoclaw.admin import asking, folder_steps
from nanoclaw.admin import restart as admin_restart
from nanoclaw.admin.agent_requests import agent_requests, approved_commands
from nanoclaw.admin.commands import host_registry
from nanoclaw.agents import create, install, messages, refresh, servers
from nanoclaw.approvals import chat_names, egress, egress_note, outcomes, questions, requests
from nanoclaw.delivery import held
from nanoclaw.effects.base import Handler
from nanoclaw.routing.pattern.search import problem_of
from nanoclaw.sessions.destinations import REFRESH
from nanoclaw.tasks.handlers import TASK_HANDLERS

HANDLERS: dict[str, Handler] = {
    REFRESH: refresh.carry_out,
    create.ACTION: create.carry_out,
    f"action:{create.ACTION}": create.ask,
    install.ACTION: install.carry_out,
    install.BUILD: install.build,
    f"action:{install.ACTION}": install.ask,
    messages.KIND: messages.pass_on,
    f"action:{servers.ACTION}": servers.ask,
    servers.ACTION: servers.carry_out,
    **TASK_HANDLERS,
    "action:cli_request": agent_requests(host_registry, problem_of),
    folder_steps.MAKE: folder_steps.make,
    folder_steps.REMOVE: folder_steps.remove,
    admin_restart.STOP: admin_restart.carry_out,
    admin_restart.TELL: admin_restart.tell,
    asking.ACTION: approved_commands(host_registry, problem_of),
    held.ACTION: held.send_held,
    chat_names.EFFECT: chat_names.carry_out,
    questions.EFFECT: questions.carry_out,
    egress.TOLD: egress_note.tell_agent,
    requests.EXPIRED: outcomes.tell_agent,
    requests.REJECTED: outcomes.tell_agent,
}
