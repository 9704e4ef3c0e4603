"""One try of a request at one endpoint: what it sends, how far it came, what it cost.

Used by ``exchange``, which makes as many as there are endpoints to ask. Every attempt has its own
reservation and its own settlement.
"""

import time
from dataclasses import dataclass, field

import h11

from nanoclaw.db.usage import Cost
from nanoclaw.vault import answers
from nanoclaw.vault.answers import Refusal
from nanoclaw.vault.charge import End, Outcome, decide_cost
from nanoclaw.vault.credentials import Credential
from nanoclaw.vault.decide import Passage
from nanoclaw.vault.endpoints.decide import Failure
from nanoclaw.vault.endpoints.pool import Endpoint
from nanoclaw.vault.meter import Meter
from nanoclaw.vault.planning import Plan
from nanoclaw.vault.upstream import Call, Head, SilentError, UnreachableError, UpstreamError


@dataclass(slots=True)
class Attempt:
    """``request_id`` empty: nothing is reserved for it, or no more."""

    endpoint: Endpoint
    plan: Plan
    request_id: str = ""
    sent_at: float = 0.0
    status: int | None = None
    """Of the endpoint's answer."""
    end: End = End.NOT_SENT
    meter: Meter = field(default_factory=lambda: Meter(stream=False))
    call: Call | None = None
    head: Head | None = None
    """None: it is not known yet whether there will be an answer."""

    async def send(self, passage: Passage, credential: Credential, body: bytes) -> None:
        """On to the head of the answer where the request could be sent again. Raises
        UpstreamError."""
        assert self.call is not None, "a connection is opened first"
        await self.call.send(_request_head(passage, self.endpoint, credential), body)
        if self.plan.repeatable:
            self.head = await self.call.head()

    def close(self) -> None:
        if self.call is not None:
            self.call.close()

    def cost(self) -> Cost | None:
        """None when there is nothing to settle."""
        estimate = self.plan.estimate
        if estimate is None or not self.request_id:
            return None
        running = time.monotonic() - self.sent_at if self.sent_at else 0.0
        reading = self.meter.read(running, estimate.output)
        outcome = Outcome(self.end, self.status, reading, running)
        return decide_cost(estimate, outcome, self.plan.prices)


class FailedError(Exception):
    """An attempt came to nothing; ``refusal`` is for the client if no other one is made."""

    def __init__(self, failure: Failure, refusal: Refusal, *, stale: bool = False) -> None:
        super().__init__(failure, refusal)
        self.failure = failure
        self.refusal = refusal
        self.stale = stale
        """A kept connection had died before it was used again."""


def failed(attempt: Attempt, error: UpstreamError) -> FailedError:
    """What an error on the way to an answer amounts to."""
    call = attempt.call
    lost = isinstance(error, UnreachableError) and call is not None
    return FailedError(
        Failure.NOT_SENT if call is None else Failure.NO_ANSWER,
        refusal_of(error),
        stale=lost and call is not None and call.on_kept_connection,
    )


def refusal_of(error: UpstreamError) -> Refusal:
    if isinstance(error, UnreachableError):
        return answers.unreachable(str(error))
    return answers.silent() if isinstance(error, SilentError) else answers.foreign(str(error))


def retry_after(head: Head) -> float | None:
    """Seconds, as an endpoint asks for them."""
    text = dict(head.headers).get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 9 else None


def _request_head(passage: Passage, endpoint: Endpoint, credential: Credential) -> h11.Request:
    headers = [
        ("host", endpoint.upstream.authority),
        (credential.name, credential.value),
        ("accept-encoding", "identity"),
        *passage.headers,
    ]
    if passage.method != "GET":
        headers.append(("content-length", str(passage.body_bytes)))
    target = endpoint.upstream.base_path + passage.target
    return h11.Request(method=passage.method, target=target, headers=headers)
