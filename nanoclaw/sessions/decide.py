"""Decides which session a message of one wiring belongs to.

Pure; called by ``routing.decide``. The key it returns is unique among active sessions in the
central database, so that two processes can never create the same conversation twice (W-42). A
session is only found through the mode that created it: a shared conversation cannot jump into
somebody's thread (W-56).
"""

from dataclasses import dataclass

from nanoclaw.model import SessionMode


@dataclass(frozen=True, slots=True)
class SessionKey:
    """Identity of one conversation of one agent group."""

    mode: SessionMode
    agent_group_id: str
    messaging_group_id: str | None
    thread_id: str | None

    @property
    def text(self) -> str:
        """The value of ``sessions.session_key``; parts cannot be confused with each other."""
        parts = (self.mode, self.agent_group_id, self.messaging_group_id, self.thread_id)
        return "|".join("" if part is None else _escaped(part) for part in parts)


def _escaped(part: str) -> str:
    return part.replace("%", "%25").replace("|", "%7C")


def decide_session_key(  # the facts of H-83 and H-84 and nothing else
    *,
    wired_mode: SessionMode,
    agent_group_id: str,
    messaging_group_id: str,
    thread_id: str | None,
    threaded_group: bool,
) -> SessionKey:
    """``threaded_group``: the channel's unit of conversation is the thread and this is a group."""
    if wired_mode is SessionMode.AGENT_SHARED:
        return SessionKey(wired_mode, agent_group_id, None, None)
    if threaded_group or wired_mode is SessionMode.PER_THREAD:
        return SessionKey(SessionMode.PER_THREAD, agent_group_id, messaging_group_id, thread_id)
    return SessionKey(SessionMode.SHARED, agent_group_id, messaging_group_id, None)
