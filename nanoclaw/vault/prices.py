"""What models cost: a small table, in millionths of a dollar per million tokens.

Pure. Used to reserve and to settle; a model's entry is the longest prefix of its name. A model that
is not in the table is taken to be as dear as the dearest, so that an unknown name never gets around
a budget. Prices as published in November 2026; billing itself is the provider's.
"""

from dataclasses import dataclass

DOLLAR = 1_000_000
MILLION = 1_000_000
WEB_SEARCH = DOLLAR * 10 // 1000


@dataclass(frozen=True, slots=True)
class Price:
    """Per million tokens, in millionths of a dollar."""

    input: int
    output: int
    write_5m: int
    write_1h: int
    read: int


def _price(input_: float, output: float, read: float | None = None) -> Price:
    """From dollars. Writing to the cache costs a quarter more, or double for an hour; reading a
    tenth where nothing else is published."""
    return Price(
        input=round(input_ * DOLLAR),
        output=round(output * DOLLAR),
        write_5m=round(input_ * 1.25 * DOLLAR),
        write_1h=round(input_ * 2 * DOLLAR),
        read=round((input_ * 0.1 if read is None else read) * DOLLAR),
    )


PRICES: dict[str, Price] = {
    "claude-fable-5": _price(10, 50),
    "claude-fable-5-1": _price(10, 50, 0.25),
    "claude-opus-5": _price(5, 25),
    "claude-opus-5-5": _price(4, 20),
    "claude-opus-4-5": _price(5, 25),
    "claude-opus-4-6": _price(5, 25),
    "claude-opus-4-7": _price(5, 25),
    "claude-opus-4": _price(15, 75),
    "claude-3-opus": _price(15, 75),
    "claude-sonnet-5": _price(3, 15),
    "claude-sonnet-5-5": _price(2, 10),
    "claude-sonnet-4": _price(3, 15),
    "claude-3": _price(3, 15),
    "claude-haiku-5": _price(1, 5),
    "claude-haiku-4-5": _price(1, 5),
    "claude-3-5-haiku": _price(0.8, 4),
    "claude-3-haiku": _price(0.25, 1.25),
}  # fmt: skip

DEAREST = Price(
    input=max(price.input for price in PRICES.values()),
    output=max(price.output for price in PRICES.values()),
    write_5m=max(price.write_5m for price in PRICES.values()),
    write_1h=max(price.write_1h for price in PRICES.values()),
    read=max(price.read for price in PRICES.values()),
)


@dataclass(frozen=True, slots=True)
class Tokens:
    """What one answer reported, kinds that differ in price apart."""

    input: int = 0
    output: int = 0
    read: int = 0
    write_5m: int = 0
    write_1h: int = 0
    searches: int = 0


def price_of(model: str) -> Price:
    best = max((prefix for prefix in PRICES if model.startswith(prefix)), key=len, default="")
    return PRICES.get(best, DEAREST)


def cost_of(model: str, tokens: Tokens) -> int:
    """Millionths of a dollar, rounded up."""
    price = price_of(model)
    total = (
        tokens.input * price.input
        + tokens.output * price.output
        + tokens.read * price.read
        + tokens.write_5m * price.write_5m
        + tokens.write_1h * price.write_1h
    )
    return -(-total // MILLION) + tokens.searches * WEB_SEARCH
