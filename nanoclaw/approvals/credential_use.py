"""A request that a credential gateway holds until a person has decided. Values.

Made by the vault from the gateway's list, shown and stored by ``credentials``.
"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class CredentialUse:
    """What the gateway says of a request that it holds. Every text is an agent's or a stranger's.

    ``agent_group_id`` is the identity that we gave the agent (H-192), ``expires_at`` our moment.
    """

    request_id: str
    method: str
    host: str
    path: str
    body_preview: str | None
    agent_name: str
    agent_group_id: str | None
    expires_at: datetime
