"""Turns the end of a request into what is charged for it. Pure; asked by ``exchange``.

What upstream reported counts. Where nothing was reported the rule is the same for everybody: an
answer that came whole is charged as reserved, one that was cut by the length of its request and the
time it ran, and a request that nobody took, or that was refused, costs nothing.
"""

from dataclasses import dataclass
from enum import StrEnum

from nanoclaw.db.usage import Cost
from nanoclaw.vault.estimate import Estimate
from nanoclaw.vault.meter import TOKENS_PER_SECOND, Reading
from nanoclaw.vault.prices import MILLION, SHIPPED, PriceTable
from nanoclaw.vault.web import unused_after


class End(StrEnum):
    """How far a request came."""

    NOT_SENT = "not sent"
    CUT = "cut"
    WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class Outcome:
    """``status`` None: no answer has begun. ``seconds``: since the request was sent."""

    end: End
    status: int | None
    reading: Reading
    seconds: float


NOTHING = Cost(0, 0, 0, 0, 0)


def decide_cost(estimate: Estimate, outcome: Outcome, prices: PriceTable = SHIPPED) -> Cost:
    """What replaces the reservation."""
    if outcome.end is End.NOT_SENT or (outcome.status is not None and outcome.status >= 400):
        return NOTHING
    reading = outcome.reading
    if reading.known:
        tokens = reading.tokens
        return Cost(
            tokens.input,
            tokens.output,
            tokens.read,
            tokens.write_5m + tokens.write_1h,
            prices.cost_of(reading.model or estimate.model, tokens),
        )
    if outcome.end is End.WHOLE:
        return Cost(estimate.input, estimate.output, 0, 0, estimate.microusd)
    output = min(estimate.output, round(outcome.seconds * TOKENS_PER_SECOND))
    price = prices.price_of(estimate.model).at(estimate.input)
    web = unused_after(estimate.web, outcome.seconds)
    unused = (estimate.output - output) * price.output + web.tokens * price.input
    microusd = estimate.microusd - unused // MILLION - web.fee
    return Cost(estimate.input - web.tokens, output, 0, 0, max(0, microusd))
