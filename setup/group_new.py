"""A new agent from a template, in no chat yet.

Called by ``nanoclaw group new``, with a host running or without one. Its folder is never one that
is there already: an agent does not begin with the memory of another.
"""

from contract.clock import utc_now
from nanoclaw.config import HostConfig
from nanoclaw.db import agent_groups
from nanoclaw.errors import ConfigError
from nanoclaw.model import AgentGroup
from nanoclaw.sessions.new_group import folder_name, folders_on_disk
from setup import agent_rows, templates
from setup.agent_rows import Work
from setup.central import changing, opened
from setup.first_agent import AgentWish
from setup.names import normalise_name


def new_group(config: HostConfig, wish: AgentWish, owner: str = "") -> AgentGroup:
    """Raises NanoclawError; then there is no new agent."""
    name = agent_rows.checked_agent_name(wish.name)
    text = templates.get(wish.template).render(name, owner)
    if wish.folder is not None:
        agent_rows.checked_folder(wish.folder)
    with opened(config, dry_run=wish.dry_run) as conn, changing(conn, dry_run=wish.dry_run):
        taken = {group.folder.lower() for group in agent_groups.list_all(conn)}
        taken |= {folder.lower() for folder in folders_on_disk(config.paths)}
        if wish.folder is not None and wish.folder.lower() in taken:
            raise ConfigError(
                f"the folder {wish.folder} is taken by another agent or by files of one that is "
                f"gone, in {config.paths.groups}; choose another with --folder"
            )
        folder = wish.folder or folder_name(normalise_name(name), taken)
        work = Work(conn, config, utc_now(), wish.dry_run)
        group, _ = agent_rows.agent(work, name, folder, text)
    return group
