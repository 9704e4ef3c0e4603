"""Who asks for an administrative command: the host's own user, or an agent in a session.

Never read from a frame: the socket's peer or the session that a row was found in says it (H-130).
Pure values.
"""

from dataclasses import dataclass

from nanoclaw.model import CliScope


@dataclass(frozen=True, slots=True)
class HostCaller:
    """Whoever may open the host's socket; bypasses every scope (N-50)."""


@dataclass(frozen=True, slots=True)
class AgentCaller:
    """``messaging_group_id`` is empty for a session without a chat."""

    session_id: str
    agent_group_id: str
    messaging_group_id: str
    scope: CliScope


Caller = HostCaller | AgentCaller
HOST = HostCaller()
