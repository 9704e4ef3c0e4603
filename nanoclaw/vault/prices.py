"""What models cost: a small table, in millionths of a dollar per million tokens.

Pure. Used to reserve and to settle; a model's entry is the longest prefix of its name. Over what
stands here come ``[prices]`` of config.toml, and over that an agent group's own. A model that is in
none of them is taken to be as dear as the dearest, so that an unknown name never gets around a
budget. Prices as published in November 2026; billing itself is the provider's.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from nanoclaw.model_settings import DOLLAR, Price, parse_price, usual_price

MILLION = 1_000_000
WEB_SEARCH = DOLLAR * 10 // 1000

PRICES: dict[str, Price] = {
    "claude-fable-5": usual_price(10, 50),
    "claude-fable-5-1": usual_price(10, 50, 0.25),
    "claude-opus-5": usual_price(5, 25),
    "claude-opus-5-5": usual_price(4, 20),
    "claude-opus-4-5": usual_price(5, 25),
    "claude-opus-4-6": usual_price(5, 25),
    "claude-opus-4-7": usual_price(5, 25),
    "claude-opus-4": usual_price(15, 75),
    "claude-3-opus": usual_price(15, 75),
    "claude-sonnet-5": usual_price(3, 15),
    "claude-sonnet-5-5": usual_price(2, 10),
    "claude-sonnet-4": usual_price(3, 15),
    "claude-3": usual_price(3, 15),
    "claude-haiku-5": usual_price(1, 5),
    "claude-haiku-4-5": usual_price(1, 5),
    "claude-3-5-haiku": usual_price(0.8, 4),
    "claude-3-haiku": usual_price(0.25, 1.25),
}


@dataclass(frozen=True, slots=True)
class Tokens:
    """What one answer reported, kinds that differ in price apart."""

    input: int = 0
    output: int = 0
    read: int = 0
    write_5m: int = 0
    write_1h: int = 0
    searches: int = 0

    @property
    def prompt(self) -> int:
        return self.input + self.read + self.write_5m + self.write_1h


class PriceTable:
    """Prices by prefix of the model's name."""

    def __init__(self, prices: Mapping[str, Price]) -> None:
        self._prices = dict(prices)
        every = [*prices.values(), *(price.above for price in prices.values() if price.above)]
        self.dearest = Price(
            input=max(price.input for price in every),
            output=max(price.output for price in every),
            write_5m=max(price.write_5m for price in every),
            write_1h=max(price.write_1h for price in every),
            read=max(price.read for price in every),
        )

    def with_overrides(self, entries: Mapping[str, object]) -> "PriceTable":
        """In the form of ``container.json``; an entry that cannot be read changes nothing."""
        models = entries.get("models")
        found = dict(self._prices)
        for model, entry in (models if isinstance(models, Mapping) else entries).items():
            try:
                found[str(model)] = parse_price(entry, self._known(str(model)))
            except ValueError:
                continue  # it was checked where it was written; the higher price is the safe one
        return PriceTable(found)

    def price_of(self, model: str) -> Price:
        return self._known(model) or self.dearest

    def cost_of(self, model: str, tokens: Tokens) -> int:
        """Millionths of a dollar, rounded up."""
        price = self.price_of(model).at(tokens.prompt)
        total = (
            tokens.input * price.input
            + tokens.output * price.output
            + tokens.read * price.read
            + tokens.write_5m * price.write_5m
            + tokens.write_1h * price.write_1h
        )
        return -(-total // MILLION) + tokens.searches * WEB_SEARCH

    def _known(self, model: str) -> Price | None:
        best = max((item for item in self._prices if model.startswith(item)), key=len, default="")
        return self._prices.get(best)


SHIPPED = PriceTable(PRICES)
DEAREST = SHIPPED.dearest


def price_of(model: str) -> Price:
    return SHIPPED.price_of(model)


def cost_of(model: str, tokens: Tokens) -> int:
    return SHIPPED.cost_of(model, tokens)
