"""The tables of ``config.toml`` that are about models: ``[[endpoints]]`` and ``[prices]``.

Pure. Read by ``config``; prices in the same form also stand in an agent group's own configuration
and go to its runner. Whoever writes a table by hand makes mistakes, so every error names the file,
the place in it and what is allowed there.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from urllib.parse import urlsplit

from nanoclaw.errors import ConfigError

MAX_ENDPOINTS = 16
MAX_PATTERNS = 200
MAX_PRICES = 500
KEY_HEADERS = ("authorization", "x-api-key")
DOLLAR = 1_000_000
MAX_PRICE = 100_000
"""Dollars per million tokens; more is a slip of the pen."""
ENDPOINT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
SECRET_NAME = ENDPOINT_NAME
MODEL_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@\[\]-]{0,127}\*?")

_ENDPOINT_KEYS = ("name", "base_url", "credential", "key_header", "models", "ca")
_RATES = {
    "input": "input",
    "output": "output",
    "write5m": "write_5m",
    "write1h": "write_1h",
    "read": "read",
}
PRICE_KEYS = (*_RATES, "above")
"""As in ``container.json``, where the runner reads the same."""


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """An address of the Messages API. ``credential`` and ``key_header`` None: the installation's.

    ``models``: those that it serves, as names or as beginnings with a ``*``; empty: all.
    ``ca``: a file of further certificates to trust there.
    """

    name: str
    base_url: str
    credential: str | None = None
    key_header: str | None = None
    models: tuple[str, ...] = ()
    ca: str | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """Per million tokens, in millionths of a dollar. ``above`` is for the whole of a request whose
    prompt has more than ``above_tokens``."""

    input: int
    output: int
    write_5m: int
    write_1h: int
    read: int
    above_tokens: int | None = None
    above: "Price | None" = None

    def at(self, prompt_tokens: int) -> "Price":
        if self.above is not None and prompt_tokens > (self.above_tokens or 0):
            return self.above
        return self


def usual_price(input_: float, output: float, read: float | None = None) -> Price:
    """From dollars. Writing to the cache costs a quarter more, or double for an hour; reading a
    tenth where nothing else is published."""
    return Price(
        input=round(input_ * DOLLAR),
        output=round(output * DOLLAR),
        write_5m=round(input_ * 1.25 * DOLLAR),
        write_1h=round(input_ * 2 * DOLLAR),
        read=round((input_ * 0.1 if read is None else read) * DOLLAR),
    )


def matches(pattern: str, model: str) -> bool:
    """A name, or a beginning with a ``*`` behind it."""
    return model.startswith(pattern[:-1]) if pattern.endswith("*") else model == pattern


def http_address(text: str) -> str:
    """Raises ValueError with what is wrong."""
    text = text.strip().rstrip("/")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be an address in plain characters without blanks")
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must start with https:// or http:// and name a host")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("must be an address without user, ? and #")
    _ = parts.port  # raises ValueError for nonsense
    return text


def read_endpoints(value: object, source: str) -> tuple[EndpointSettings, ...]:
    """The table ``[[endpoints]]``; its order is the order of failover. Raises ConfigError."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ConfigError(f"endpoints in {source} must be tables; write [[endpoints]] over each")
    if len(value) > MAX_ENDPOINTS:
        raise ConfigError(f"{source} has more than {MAX_ENDPOINTS} [[endpoints]]")
    found: list[EndpointSettings] = []
    for number, item in enumerate(value, 1):
        where = f"[[endpoints]] no. {number} in {source}"
        endpoint = _endpoint(item, where)
        if endpoint.name in (other.name for other in found):
            raise ConfigError(f"name = {endpoint.name!r} of {where} is taken by another one")
        if found and endpoint.credential is None:
            # The key of one provider must never be sent to another by omission.
            raise ConfigError(
                f"{where} has no credential; name the secret that is its key: "
                'credential = "..." (nanoclaw secrets set ...)'
            )
        found.append(endpoint)
    return tuple(found)


def read_prices(value: object, source: str) -> dict[str, object]:
    """The table ``[prices]``, as it was written. Raises ConfigError."""
    if not isinstance(value, dict):
        raise ConfigError(f'prices in {source} must be tables like [prices."claude-opus-5"]')
    if len(value) > MAX_PRICES:
        raise ConfigError(f"{source} has more than {MAX_PRICES} prices")
    for model, entry in value.items():
        try:
            parse_price(entry, None)
        except ValueError as error:
            raise ConfigError(f'[prices."{model}"] in {source}: {error}') from None
    return dict(value)


def parse_price(entry: object, known: Price | None) -> Price:
    """Dollars per million tokens; what is not said follows ``known``, else the usual multiples of
    ``input``. Raises ValueError with what is wrong."""
    if not isinstance(entry, Mapping):
        raise ValueError(  # noqa: TRY004 a value of a file
            "must be a table with input and output, in dollars per million tokens"
        )
    unknown = [str(key) for key in entry if key not in PRICE_KEYS]
    if unknown:
        raise ValueError(f"unknown key {unknown[0]!r}; known are " + ", ".join(PRICE_KEYS))
    given = {name: _rate(key, entry[key]) for key, name in _RATES.items() if key in entry}
    if "input" in given and "output" in given:
        # Cache prices of a known model do not survive a new price of its input.
        base = usual_price(given["input"] / DOLLAR, given["output"] / DOLLAR)
    elif known is not None:
        base = replace(known, above=None, above_tokens=None)
    else:
        raise ValueError("needs input and output, in dollars per million tokens")
    price = Price(
        given.get("input", base.input),
        given.get("output", base.output),
        given.get("write_5m", base.write_5m),
        given.get("write_1h", base.write_1h),
        given.get("read", base.read),
    )
    return price if "above" not in entry else _with_above(price, entry["above"])


def read_patterns(value: object) -> tuple[str, ...]:
    """Names of models, or beginnings with a ``*``. Raises ValueError with what is wrong."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise ValueError(  # noqa: TRY004 a value of a file
            'must be a list like ["claude-haiku-4-5", "claude-sonnet-*"]'
        )
    if len(value) > MAX_PATTERNS:
        raise ValueError(f"must have at most {MAX_PATTERNS} entries")
    for item in value:
        plain = isinstance(item, str) and (item == "*" or MODEL_PATTERN.fullmatch(item))
        if not plain:
            raise ValueError(
                f"must hold names of models, with at most a * at the end, not {item!r}"
            )
    return tuple(value)


def _endpoint(item: Mapping[str, object], where: str) -> EndpointSettings:
    unknown = [key for key in item if key not in _ENDPOINT_KEYS]
    if unknown:
        known = ", ".join(_ENDPOINT_KEYS)
        raise ConfigError(f"unknown key {unknown[0]!r} in {where}; known are {known}")
    name = _text(item, "name", where)
    if name is None or not ENDPOINT_NAME.fullmatch(name):
        raise ConfigError(f"name of {where} must be letters, digits and dashes, like backup")
    credential = _text(item, "credential", where)
    if credential is not None and not SECRET_NAME.fullmatch(credential):
        raise ConfigError(f"credential = {credential!r} of {where} is not the name of a secret")
    header = _text(item, "key_header", where)
    if header is not None and header not in KEY_HEADERS:
        allowed = " or ".join(KEY_HEADERS)
        raise ConfigError(f"key_header = {header!r} of {where}: must be {allowed}")
    ca = _text(item, "ca", where)
    if ca is not None and not PurePath(ca).is_absolute():
        raise ConfigError(f"ca = {ca!r} of {where} must be the whole path of a file")
    try:
        base_url = http_address(_text(item, "base_url", where) or "")
    except ValueError as error:
        raise ConfigError(f"base_url of {where} {error}") from None
    try:
        models = read_patterns(item.get("models", ()))
    except ValueError as error:
        raise ConfigError(f"models of {where} {error}") from None
    return EndpointSettings(name, base_url, credential, header, models, ca)


def _text(item: Mapping[str, object], key: str, where: str) -> str | None:
    value = item.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ConfigError(f"{key} of {where} must be text")
    return value


def _rate(key: str, value: object) -> int:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= MAX_PRICE:
        raise ValueError(f"{key} = {value!r} must be dollars per million tokens, 0 to {MAX_PRICE}")
    return round(value * DOLLAR)


def _with_above(price: Price, above: object) -> Price:
    limit = above.get("promptTokens") if isinstance(above, Mapping) else None
    if not isinstance(above, Mapping) or not isinstance(limit, int) or limit <= 0:
        raise ValueError("above needs promptTokens, the prompt's length from which it counts")
    rates = {key: value for key, value in above.items() if key != "promptTokens"}
    if "above" in rates:
        raise ValueError("above cannot have an above of its own")
    return replace(price, above_tokens=limit, above=parse_price(rates, price))
