"""Decides who may talk to an agent: the access gate and the sender-scope gate.

Pure; called by ``routing.decide`` with a standing that ``permissions.rights`` read. Both gates are
asked only for agents that a message engages. The order of the reasons is part of the
specification (H-106): the first one that holds is the one that people read.
"""

from dataclasses import dataclass
from enum import StrEnum

from nanoclaw.model import SenderScope, UnknownSenderPolicy


class AccessReason(StrEnum):
    """Why somebody may, or may not, talk to one agent group."""

    OPERATOR = "operator"
    OWNER = "owner"
    GLOBAL_ADMIN = "global_admin"
    ADMIN_OF_GROUP = "admin_of_group"
    MEMBER = "member"
    UNKNOWN_USER = "unknown_user"
    NOT_MEMBER = "not_member"


REFUSALS = frozenset({AccessReason.UNKNOWN_USER, AccessReason.NOT_MEMBER})
ADMINS = frozenset(
    {
        AccessReason.OPERATOR,
        AccessReason.OWNER,
        AccessReason.GLOBAL_ADMIN,
        AccessReason.ADMIN_OF_GROUP,
    }
)


@dataclass(frozen=True, slots=True)
class Standing:
    """One user's rights. ``is_operator``: holds the terminal's socket, which is as good (H-269)."""

    user_id: str
    is_known: bool = False
    is_owner: bool = False
    is_global_admin: bool = False
    admin_of: frozenset[str] = frozenset()
    member_of: frozenset[str] = frozenset()
    is_operator: bool = False

    def rights_over(self, agent_group_id: str) -> AccessReason:
        """H-106; owners and administrators count as members without a row."""
        if self.is_operator:
            return AccessReason.OPERATOR
        if not self.is_known:
            return AccessReason.UNKNOWN_USER
        if self.is_owner:
            return AccessReason.OWNER
        if self.is_global_admin:
            return AccessReason.GLOBAL_ADMIN
        if agent_group_id in self.admin_of:
            return AccessReason.ADMIN_OF_GROUP
        if agent_group_id in self.member_of:
            return AccessReason.MEMBER
        return AccessReason.NOT_MEMBER

    def may_talk_to(self, agent_group_id: str) -> bool:
        return self.rights_over(agent_group_id) not in REFUSALS

    def is_admin_of(self, agent_group_id: str) -> bool:
        """May use the commands that change a conversation (H-99)."""
        return self.rights_over(agent_group_id) in ADMINS


@dataclass(frozen=True, slots=True)
class Refusal:
    """``reason`` is the word of the audit. ``asks``: somebody may be asked to let them in."""

    reason: str
    audited: bool = False
    asks: bool = False


def judge_access(
    policy: UnknownSenderPolicy, standing: Standing, agent_group_id: str
) -> Refusal | None:
    """The access gate (H-105 to H-107); None lets the sender through."""
    if policy is UnknownSenderPolicy.PUBLIC or standing.may_talk_to(agent_group_id):
        return None
    asks = policy is UnknownSenderPolicy.REQUEST_APPROVAL
    return Refusal(f"unknown_sender_{policy}", audited=True, asks=asks)


def judge_scope(
    scope: SenderScope | None, standing: Standing, agent_group_id: str
) -> Refusal | None:
    """The sender-scope gate (H-109); only the literal ``all`` passes freely."""
    if scope is SenderScope.ALL or standing.may_talk_to(agent_group_id):
        return None
    return Refusal(f"sender_scope_{standing.rights_over(agent_group_id)}")
