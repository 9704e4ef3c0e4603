"""What one transaction on ``outbound.db`` writes, as a value.

Built by ``decide`` and ``answer`` (pure), carried out by ``store``. One value per step of a turn
is what makes "output rows and the completion of their input" one commit: either the answer is on
disk and its question settled, or neither.
"""

from dataclasses import dataclass

from contract.outbound.row import NewOutbound


@dataclass(frozen=True, slots=True)
class Change:
    """Ids are inbound ids. ``state`` pairs a key with its new value; None deletes it.

    ``defaults`` are written only where the key is empty. ``forget_effects``: the turn is over and
    its tool calls are on record, so nobody asks any more what they did.
    """

    claim: tuple[str, ...] = ()
    complete: tuple[str, ...] = ()
    release: tuple[str, ...] = ()
    messages: tuple[NewOutbound, ...] = ()
    state: tuple[tuple[str, str | None], ...] = ()
    defaults: tuple[tuple[str, str], ...] = ()
    forget_effects: bool = False
