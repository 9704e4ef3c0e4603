"""All administrative commands there are: every resource, and the commands of none.

Used by the composition roots, and by the command line for its completion and manual. New general
commands are listed in GENERAL.
"""

import os
from functools import cache

from nanoclaw.admin.arguments import Arguments
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.help import with_help
from nanoclaw.admin.overview import Pong, read_overview
from nanoclaw.admin.registry import Access, Operation, Registry
from nanoclaw.version import VERSION


def _ping(context: CommandContext, arguments: Arguments) -> object:
    return Pong(VERSION, os.getpid())


def _status(context: CommandContext, arguments: Arguments) -> object:
    return read_overview(context.paths)


GENERAL: tuple[Operation, ...] = (
    Operation("ping", Access.OPEN, "see whether the host answers", _ping),
    Operation("status", Access.OPEN, "processes and work at a glance", _status, for_groups=False),
)
"""``status`` is about the whole installation; no affair of an agent that is bound to its group."""


@cache
def host_registry() -> Registry:
    """Built with the first command: the delivery process may live long without one."""
    from nanoclaw.admin.resources.table import RESOURCES
    from nanoclaw.admin.views import VIEWS

    return with_help(RESOURCES, (*GENERAL, *VIEWS))
