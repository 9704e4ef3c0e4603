"""All tools of NanoClaw in their fixed order (R-150): core, tasks, questions, agents, changes.

Used by the runner, whose models know them as ``mcp__nanoclaw__<tool>``, and by the stdio server,
which offers them under their plain names.
"""

from runner.desk.desk import Desk
from runner.tools.nanoclaw.admin import admin_tool
from runner.tools.nanoclaw.base import MODEL_PREFIX, NanoclawTool
from runner.tools.nanoclaw.change import change_tools
from runner.tools.nanoclaw.question import question_tool
from runner.tools.nanoclaw.requests import agent_tools, change_request_tools
from runner.tools.nanoclaw.scheduling import task_tools
from runner.tools.nanoclaw.send import card_tool, send_tools


def nanoclaw_tools(
    desk: Desk, zone_name: str, *, elsewhere: bool = False
) -> tuple[NanoclawTool, ...]:
    """Under their plain names. ``elsewhere``: this process is not the runner's."""
    return (
        *send_tools(desk),
        *change_tools(desk),
        *task_tools(desk, zone_name),
        question_tool(desk, elsewhere=elsewhere),
        card_tool(desk),
        *agent_tools(desk),
        *change_request_tools(desk),
        admin_tool(desk),
    )


def model_tools(desk: Desk, zone_name: str) -> tuple[NanoclawTool, ...]:
    """Under the names that models and their instructions use (R-148)."""
    return tuple(tool.named(MODEL_PREFIX) for tool in nanoclaw_tools(desk, zone_name))
