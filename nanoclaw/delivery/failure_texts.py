"""What is said about messages that did not arrive: to agent, chat and owner (C-38).

Pure. Nothing of the message's own text is repeated to people. Who hears of what is
``decide_people``'s: the chat itself where it may work, the owner elsewhere where it does not.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from nanoclaw.db.deliveries import Failure
from nanoclaw.model import Delivery, DeliverySource, DeliveryState

NOTICE = "undelivered"
"""Begins the id of a text that tells a chat of a failure; about those nothing is told there."""
MAX_LISTED = 10
MAX_REASON = 300


class People(StrEnum):
    NOBODY = "nobody"
    CHAT = "chat"
    OWNER = "owner"


def decide_people(delivery: Delivery) -> People:
    """Which people hear of the end of a message, besides its agent."""
    if delivery.source is DeliverySource.HOST:
        # A notice that did not arrive in its chat is the owner's; about any other text of the
        # host whoever queued it knows best. There are no notices about the owner's notices.
        about_failure = delivery.delivery_id.startswith(f"{NOTICE}/")
        return People.OWNER if about_failure else People.NOBODY
    if delivery.joined_into is not None:
        return People.NOBODY
    match delivery.failure:
        case Failure.PERMANENT | Failure.LEAK:
            return People.CHAT
        case Failure.EXPIRED | Failure.UNCERTAIN | Failure.LATE:
            return People.OWNER
        case _:
            return People.NOBODY


@dataclass(frozen=True, slots=True)
class Told:
    """A text for an agent; ``note_id`` is the same for the same messages in the same state."""

    note_id: str
    text: str


def agent_note(deliveries: Sequence[Delivery]) -> Told | None:
    """One note about everything of a session that its agent does not know yet."""
    lines = [line for delivery in deliveries if (line := _line(delivery)) is not None]
    if not lines:
        return None
    states = "\0".join(f"{item.delivery_id}/{item.failure}/{item.files_problem}"
                       for item in deliveries)  # fmt: skip
    digest = hashlib.sha256(states.encode("utf-8", "replace")).hexdigest()[:24]
    shown = lines[:MAX_LISTED]
    if len(lines) > len(shown):
        shown.append(f"- and {len(lines) - len(shown)} more")
    head = "What became of your messages:"
    return Told(f"undelivered-{digest}", "\n".join([head, *shown]))


def chat_notice(delivery: Delivery) -> str:
    return f"A message from me could not be delivered here: {_reason(delivery)}"


def owner_notice(delivery: Delivery, agent: str, chat: str) -> str:
    if delivery.state is DeliveryState.UNCERTAIN:
        return (
            f"Nobody knows whether a message of {agent} to {chat} ({delivery.instance}) arrived:"
            f" {_reason(delivery)}. It is not repeated by itself; send it again with"
            f" `ncl messages retry {delivery.delivery_id}` if it is missing."
        )
    return (
        f"A message of {agent} to {chat} ({delivery.instance}) could not be delivered:"
        f" {_reason(delivery)}"
    )


def _line(delivery: Delivery) -> str | None:
    number = f"#{delivery.seq}" if delivery.seq else "a message"
    target = f"{number} to {delivery.instance}:{delivery.platform_id}"
    failure = _failure_line(delivery, target)
    if failure is not None:
        return failure
    if delivery.files_problem is not None:
        return f"- {target}: sent without some of its files: {delivery.files_problem[:2000]}"
    return None


def _failure_line(delivery: Delivery, target: str) -> str | None:
    reason = _reason(delivery)
    if delivery.state is DeliveryState.UNCERTAIN:
        return f"- {target} may not have arrived ({reason}). It is not repeated; ask before you do."
    if delivery.state is not DeliveryState.FAILED:
        return None
    match delivery.failure:
        case Failure.REFUSED:
            return f"- {number_of(delivery)} was not sent: {reason}. Correct it and send it again."
        case Failure.LEAK:
            return f"- {target} was stopped: {reason}. Say it without the secret."
        case Failure.EXPIRED:
            return (
                f"- {target} was given up after a day in which its channel did not work ({reason})."
            )
        case _:
            return f"- {target} was not delivered: {reason}. Nobody has read it."


def number_of(delivery: Delivery) -> str:
    return f"#{delivery.seq}" if delivery.seq else delivery.message_out_id


def _reason(delivery: Delivery) -> str:
    return (delivery.last_error or "no reason is known")[:MAX_REASON]
