"""What a model call costs (R-320). Pure but for reading the table that is shipped beside it.

Prices are by prefix of the model's name, the longest wins. The host may override or add any with
the key ``prices`` of ``container.json``, in the same form; the agent cannot write that file. An
unknown model has no price, which is shown as such and never as zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from contract.jsontext import parse_object
from runner.providers.claude.capabilities import is_version_of

TABLE = Path(__file__).with_name("prices.json")
MAX_TABLE_BYTES = 1024 * 1024
PER_TOKEN = 1e-6
PER_SEARCH = 1e-3
_KEYS = {
    "input": "input",
    "output": "output",
    "write5m": "write_5m",
    "write1h": "write_1h",
    "read": "read",
}


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars per million tokens. ``above``: the price of whole requests with longer prompts."""

    input: float
    output: float
    write_5m: float
    write_1h: float
    read: float
    above_tokens: int | None = None
    above: "Price | None" = None


@dataclass(frozen=True, slots=True)
class Tokens:
    """What one sampling used."""

    input: int = 0
    output: int = 0
    write_5m: int = 0
    write_1h: int = 0
    read: int = 0

    @property
    def prompt(self) -> int:
        return self.input + self.write_5m + self.write_1h + self.read


@dataclass(frozen=True, slots=True)
class PriceTable:
    """``date`` is when the shipped figures were looked up."""

    date: str
    prices: Mapping[str, Price]
    web_searches: float
    problems: tuple[str, ...] = field(default=())
    """What was wrong with the overrides, for the log."""

    def price_of(self, model: str) -> Price | None:
        matching = [prefix for prefix in self.prices if is_version_of(model, prefix)]
        return self.prices[max(matching, key=len)] if matching else None

    def cost(self, model: str, tokens: Tokens) -> float | None:
        """Dollars; None when the price is unknown."""
        price = self.price_of(model)
        if price is None:
            return None
        if price.above is not None and tokens.prompt > (price.above_tokens or 0):
            price = price.above
        millions = (
            tokens.input * price.input
            + tokens.output * price.output
            + tokens.write_5m * price.write_5m
            + tokens.write_1h * price.write_1h
            + tokens.read * price.read
        )
        return millions * PER_TOKEN

    def search_cost(self, searches: int) -> float:
        return searches * self.web_searches * PER_SEARCH


@cache
def shipped_prices() -> PriceTable:
    """A broken table is a broken build, hence no mercy here."""
    value = parse_object(TABLE.read_text(), max_bytes=MAX_TABLE_BYTES)
    table = _with_overrides(PriceTable(str(value["date"]), {}, 0.0), value)
    if table.problems:
        raise ValueError(f"{TABLE.name}: {'; '.join(table.problems)}")
    return table


def read_prices(overrides: Mapping[str, object]) -> PriceTable:
    """The shipped table with those of ``container.json``: ``{"<model prefix>": {...}}``, or the
    whole form of the table. Wrong entries are named in ``problems`` and left out."""
    shipped = shipped_prices()
    if not overrides:
        return shipped
    whole = isinstance(overrides.get("models"), dict)
    return _with_overrides(shipped, overrides if whole else {"models": overrides})


def _with_overrides(table: PriceTable, value: Mapping[str, object]) -> PriceTable:
    prices, problems = dict(table.prices), []
    models = value.get("models")
    for model, entry in models.items() if isinstance(models, dict) else ():
        price = _price(entry, table.price_of(str(model)))
        if price is None:
            problems.append(f"price of {str(model)[:100]} is unusable")
        else:
            prices[str(model)] = price
    searches = _amount(value.get("webSearches"))
    return replace(
        table,
        prices=prices,
        web_searches=table.web_searches if searches is None else searches,
        problems=tuple(problems),
    )


def _price(entry: object, known: Price | None) -> Price | None:
    """Input and output must be there; cache prices follow the usual multiples of input."""
    if not isinstance(entry, dict):
        return None
    given = {name: entry[key] for key, name in _KEYS.items() if key in entry}
    if any(_amount(amount) is None for amount in given.values()):
        return None
    if known is not None:
        base = replace(known, above=None, above_tokens=None)
    elif {"input", "output"} <= set(given):
        base = _usual(given["input"], given["output"])
    else:
        return None
    price = replace(base, **given)
    above = entry.get("above")
    if above is None:
        return price
    limit = above.get("promptTokens") if isinstance(above, dict) else None
    higher = _price(above, price)
    if higher is None or not isinstance(limit, int) or limit <= 0:
        return None
    return replace(price, above_tokens=limit, above=higher)


def _usual(per_input: float, per_output: float) -> Price:
    return Price(per_input, per_output, per_input * 1.25, per_input * 2, per_input * 0.1)


def _amount(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return value if 0 <= value < float("inf") else None
