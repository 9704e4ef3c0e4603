"""Says why a message was or was not answered, from the facts about it. Pure.

The first cause that holds, seen from the platform towards the receipt: what did not happen early
explains what did not happen later. Each cause comes with what can be done about it.
"""

from dataclasses import dataclass
from datetime import datetime

from contract.clock import to_text
from contract.inbound.row import AckStatus, InboundStatus
from nanoclaw.admin.why_facts import TargetFacts, WhyFacts
from nanoclaw.model import Delivery, DeliveryState, EventState

BUDGET_STATUS = "status=402"
REFUSED_REQUEST = "request refused"
ENGINE_READY = "ready"
"""What the vault and the sweep say, as the host's log and ``run/sweep.json`` have it."""


@dataclass(frozen=True, slots=True)
class Cause:
    """``answered`` None: it is still under way. ``todo`` is empty where nothing is to be done."""

    answered: bool | None
    text: str
    todo: str = ""


_DROPPED = {
    "no_agent_wired": Cause(
        False, "no agent listens in this chat", "connect one: ncl wirings help"
    ),
    "no_agent_engaged": Cause(
        False, "no agent was addressed: none of its wirings engages on such a message",
        "mention the agent, or change engage-mode: ncl wirings list",
    ),
    "unknown_sender_strict": Cause(
        False, "the sender is not known, and the chat takes messages of known people only",
        "ncl members add, or change unknown-sender-policy: ncl messaging-groups list",
    ),
    "unknown_sender_request_approval": Cause(
        False, "the sender is not known; somebody was asked whether to let them in",
        "ncl dropped-messages list",
    ),
    "answered by the host": Cause(True, "the host itself has answered; no agent was needed"),
}  # fmt: skip
"""By the reason that the router has noted."""


def decide_cause(facts: WhyFacts) -> Cause:
    """Of the agents concerned the one that answered counts, else the first that did not."""
    if facts.spoken is not None:
        return _of_delivery(facts.spoken, facts.now)
    early = _of_event(facts)
    if early is not None:
        return early
    causes = [_of_target(one, facts) for one in facts.targets]
    if not causes:
        return Cause(False, "it became no message for any agent")
    for wanted in (True, None, False):
        for cause in causes:
            if cause.answered is wanted:
                return cause
    return causes[0]


def _of_event(facts: WhyFacts) -> Cause | None:
    """What happened before any session; None: it came that far."""
    event = facts.event
    if event is None:
        return None
    if event.waits_for is not None and not facts.targets:
        if facts.card is not None:
            return Cause(
                None,
                f"somebody decided ({facts.card.chosen_label or facts.card.outcome}); the router "
                "takes it up again",
            )
        return Cause(
            None, f"it waits for a person to decide ({event.waits_for})", "ncl approvals list"
        )
    if event.state is EventState.COMMITTED and all(one.row is None for one in facts.targets):
        return Cause(
            None, "it is stored and not yet in the session's file, which is busy",
            "look again in some seconds; ncl status shows events_unrouted",
        )  # fmt: skip
    if facts.targets:
        return None
    reason = event.reason or event.outcome
    return _DROPPED.get(reason) or Cause(False, f"{event.outcome} by the router: {reason}")


def _of_target(one: TargetFacts, facts: WhyFacts) -> Cause:
    if one.answers:
        return _of_answers(one.answers, facts.now)
    for cause in (_of_session(one), _of_asked(one), _of_row(one)):
        if cause is not None:
            return cause
    return _of_waiting(one, facts)


def _of_answers(answers: tuple[Delivery, ...], now: datetime) -> Cause:
    """The worst end among them, for whoever asks has missed something; else that it arrived."""
    order = (
        DeliveryState.FAILED, DeliveryState.UNCERTAIN, DeliveryState.HELD, DeliveryState.QUEUED,
        DeliveryState.SENDING, DeliveryState.SENT,
    )  # fmt: skip
    worst = min(answers, key=lambda answer: order.index(answer.state))
    return _of_delivery(worst, now)


def _of_delivery(delivery: Delivery, now: datetime) -> Cause:
    error = f": {delivery.last_error}" if delivery.last_error else ""
    name = delivery.delivery_id
    match delivery.state:
        case DeliveryState.SENT:
            return Cause(
                True, f"answered; {delivery.instance} took it at {_t(delivery.updated_at)}"
            )
        case DeliveryState.HELD:
            return Cause(
                None, f"the answer waits for a person to allow it ({delivery.waits_for})",
                f"ncl approvals get {delivery.waits_for}",
            )  # fmt: skip
        case DeliveryState.UNCERTAIN:
            return Cause(
                False,
                f"the answer may or may not have arrived{error}",
                f"ncl messages retry {name}",
            )
        case DeliveryState.FAILED:
            return Cause(
                False, f"the answer could not be delivered{error}", f"ncl messages retry {name}"
            )
        case DeliveryState.SENDING:
            return Cause(None, f"the answer is just being sent to {delivery.instance}")
        case DeliveryState.QUEUED if delivery.next_attempt_at > now:
            return Cause(
                None, f"the answer is sent again at {_t(delivery.next_attempt_at)}, after "
                f"{delivery.attempts} attempts{error}", "ncl status",
            )  # fmt: skip
        case _:
            return Cause(None, f"the answer waits for {delivery.instance}{error}", "ncl status")


def _of_session(one: TargetFacts) -> Cause | None:
    session = one.session
    if session is None:
        return Cause(False, f"its session {one.target.session_id} has been deleted")
    if session.quarantined_at is not None:
        return Cause(
            False, f"its session is set aside: {session.quarantine_reason}",
            f"ncl sessions get {session.id}",
        )  # fmt: skip
    return None


def _of_asked(one: TargetFacts) -> Cause | None:
    """Somebody had to allow something, or the budget did not."""
    waiting = next((item for item in one.approvals if item.status == "pending"), None)
    if waiting is not None:
        return Cause(
            None, f"the agent's request waits for a person: {waiting.title}",
            f"ncl approvals get {waiting.approval_id}",
        )  # fmt: skip
    refused = [line.text for line in one.log if line.text.startswith(REFUSED_REQUEST)]
    over = next((text for text in reversed(refused) if BUDGET_STATUS in text.split()), None)
    if over is not None:
        return Cause(False, f"no money was left: {_reason(over)}", "ncl budgets list")
    if refused:
        return Cause(
            False,
            f"the model request was refused: {_reason(refused[-1])}",
            f"ncl logs --session {one.target.session_id}",
        )
    return None


def _of_row(one: TargetFacts) -> Cause | None:
    row = one.row
    if row is None:
        return Cause(False, one.problem or "its row is not in the session's file any more")
    if row.status is InboundStatus.FAILED:
        return Cause(
            False, f"the agent could not finish it in {max(row.tries, 1)} tries{_last_words(one)}",
            f"ncl containers logs {one.target.session_id}",
        )  # fmt: skip
    if row.status is InboundStatus.PAUSED:
        return Cause(False, "it is a paused task", f"ncl tasks resume {row.series_id}")
    done = one.claim is not None and one.claim.status is AckStatus.COMPLETED
    if row.status is InboundStatus.COMPLETED or done:
        if not row.trigger:
            return Cause(False, "the agent read it as context; it was not addressed by it")
        return Cause(False, "the agent read it and chose to say nothing")
    if not row.trigger:
        return Cause(
            False, "it is context only: the agent reads it with the next message that addresses it"
        )
    return None


def _of_waiting(one: TargetFacts, facts: WhyFacts) -> Cause:
    session, row = one.session, one.row
    assert session is not None and row is not None, "looked at before"
    if one.claim is not None and one.claim.status is AckStatus.PROCESSING and session.is_running:
        since = f" since {_t(one.claim.status_changed)}" if one.claim.status_changed else ""
        return Cause(
            None, f"the agent is working on it{since}", f"ncl containers logs {session.id} -f"
        )
    if row.process_after is not None and row.process_after > facts.now:
        tries = f"after {row.tries} tries{_last_words(one)}" if row.tries else "as planned"
        return Cause(None, f"it is taken up at {_t(row.process_after)}, {tries}")
    if session.container_error is not None:
        retry = session.container_retry_at
        when = f"; next try at {_t(retry)}" if retry is not None else ""
        return Cause(
            None, f"the agent's container does not start: {session.container_error}{when}",
            f"ncl containers logs {session.id}",
        )  # fmt: skip
    if session.is_running:
        return Cause(None, "its container runs and has not taken it yet", "look again in a moment")
    engine, reason = facts.engine.get("engine", ""), facts.engine.get("reason", "")
    if engine not in ("", ENGINE_READY):
        return Cause(
            None,
            f"containers cannot be started ({engine}): {reason or 'no reason given'}",
            "ncl status",
        )
    full = facts.engine.get("running", "") == facts.engine.get("max_running", "-")
    if full:
        return Cause(None, "as many containers run as may; it waits for a place", "ncl top")
    return Cause(None, "its container is about to start", "look again in a moment")


def _last_words(one: TargetFacts) -> str:
    """Of the sweep or the vault about the last run, if they had any."""
    found = [line.text for line in one.log if line.level in ("WARNING", "ERROR")]
    return f"; last: {found[-1]}" if found else ""


def _reason(text: str) -> str:
    return text.partition("reason=")[2].strip('"') or text


def _t(at: datetime) -> str:
    return to_text(at)
