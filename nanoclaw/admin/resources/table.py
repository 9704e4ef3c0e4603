"""All resources of ``ncl``, for the registry. A new one is a module beside this and a line here."""

from nanoclaw.admin.registry import ResourceSpec
from nanoclaw.admin.resources import (
    approvals,
    audit,
    budgets,
    containers,
    destinations,
    dropped_messages,
    groups,
    members,
    messages,
    messaging_groups,
    roles,
    sessions,
    tasks,
    usage,
    user_dms,
    users,
    wirings,
)

RESOURCES: tuple[ResourceSpec, ...] = (
    approvals.RESOURCE,
    audit.RESOURCE,
    budgets.RESOURCE,
    containers.RESOURCE,
    destinations.RESOURCE,
    dropped_messages.RESOURCE,
    groups.RESOURCE,
    members.RESOURCE,
    messages.RESOURCE,
    messaging_groups.RESOURCE,
    roles.RESOURCE,
    sessions.RESOURCE,
    tasks.RESOURCE,
    usage.RESOURCE,
    user_dms.RESOURCE,
    users.RESOURCE,
    wirings.RESOURCE,
)
