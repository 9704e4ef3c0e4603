"""Which model is meant, and what it can do (R-276, R-277).

Called by the provider before a new epoch. The list of the Models API is kept for a day beside the
runner's log; when it cannot be had, an older list or the tables of this package do. A name that is
in the tables never waits for the network: the list is then refreshed in the background.
"""

import asyncio
import logging
import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from contract.clock import parse_text, to_text, utc_now
from contract.errors import BadContent
from contract.jsontext import dump, parse_object
from runner.errors import RunnerError
from runner.log import fields
from runner.providers.claude.capabilities import (
    COMPATIBLE,
    UNKNOWN,
    Capabilities,
    capabilities_of,
    known_capabilities,
)
from runner.providers.claude.records import Json

DEFAULT_MODEL = "claude-sonnet-5-5"
ALIASES: dict[str, str] = {
    "opus": "claude-opus-5-5",
    "sonnet": "claude-sonnet-5-5",
    "haiku": "claude-haiku-5-5",
    "fable": "claude-fable-5-2",
}
CACHE_HOURS = 24
FETCH_SECONDS = 5.0
MAX_CACHE_BYTES = 2 * 1024 * 1024
CACHE_FILE = "models.json"
_SUFFIX = re.compile(r"\[[^\]]{0,20}\]\s*$")

_log = logging.getLogger(__name__)

Fetch = Callable[[], Awaitable[Sequence[Mapping[str, object]]]]
"""All entries of the Models API, asked with the beta header of compaction."""


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """The id that is sent, and what is known of the model."""

    id: str
    capabilities: Capabilities


@dataclass(frozen=True, slots=True)
class ModelList:
    """``at`` None: there is none."""

    models: tuple[Json, ...] = ()
    at: datetime | None = None

    def is_fresh(self, now: datetime) -> bool:
        return self.at is not None and timedelta() <= now - self.at < timedelta(hours=CACHE_HOURS)


class ModelCatalog:
    """One per process. ``fetch`` None: a compatible endpoint, of which nothing is assumed."""

    def __init__(self, cache: Path, fetch: Fetch | None) -> None:
        self._cache = cache
        self._fetch = fetch
        self._list: ModelList | None = None

    async def choose(self, name: str | None) -> ModelChoice:
        """Never fails and waits at most ``FETCH_SECONDS``, and that only when nothing is known."""
        wanted = clean_name(name)
        if self._fetch is None:
            return ModelChoice(ALIASES.get(wanted, wanted), COMPATIBLE)
        if self._list is None:
            self._list = await asyncio.to_thread(read_cache, self._cache)
        is_alias = wanted in ALIASES
        nothing_known = not self._list.models and (
            is_alias or known_capabilities(wanted) is UNKNOWN
        )
        if nothing_known:
            await self.refresh()
        return choose_model(wanted, self._list)

    @property
    def is_stale(self) -> bool:
        """``refresh`` is due; to be done when nobody waits."""
        return self._list is None or not self._list.is_fresh(utc_now())

    async def refresh(self) -> None:
        """Asks the API and keeps the answer for a day. A failure is logged and changes nothing."""
        if self._fetch is None:
            return
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                models = await self._fetch()
        except (OSError, RunnerError) as error:  # TimeoutError is an OSError
            _log.info("list of models cannot be had", extra=fields(reason=error))
            return
        if not models:
            return
        self._list = ModelList(tuple(dict(model) for model in models), utc_now())
        await asyncio.to_thread(write_cache, self._cache, self._list)


def clean_name(name: str | None) -> str:
    """The default for nothing; without a suffix such as ``[1m]``; aliases in lower case."""
    wanted = (name or "").strip()
    shorter = _SUFFIX.sub("", wanted).strip()
    if shorter != wanted:
        _log.info("suffix of the model's name ignored", extra=fields(reason=wanted))
    if not shorter:
        return DEFAULT_MODEL
    return shorter.lower() if shorter.lower() in ALIASES else shorter


def choose_model(wanted: str, known: ModelList) -> ModelChoice:
    """Pure. ``wanted`` is a clean name."""
    if wanted in ALIASES:
        newest = _newest_of_line(wanted, known.models)
        if newest is not None:
            return ModelChoice(str(newest["id"]), capabilities_of(newest))
        wanted = ALIASES[wanted]
    for model in known.models:
        if model.get("id") == wanted:
            return ModelChoice(wanted, capabilities_of(model))
    return ModelChoice(wanted, known_capabilities(wanted))


def read_cache(path: Path) -> ModelList:
    """Whatever is wrong with the file means that there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            text = file.read(MAX_CACHE_BYTES + 1).decode()
        value = parse_object(text, max_bytes=MAX_CACHE_BYTES)
    except (OSError, UnicodeDecodeError, BadContent):
        return ModelList()
    at, models = parse_text(value.get("at")), value.get("models")
    if at is None or not isinstance(models, list):
        return ModelList()
    usable = (model for model in models if isinstance(model, dict))
    return ModelList(tuple(model for model in usable if isinstance(model.get("id"), str)), at)


def write_cache(path: Path, known: ModelList) -> None:
    """Best effort, whole or not at all."""
    if known.at is None:
        return
    temporary = path.with_name(f"{path.name}.new")
    try:
        text = dump({"at": to_text(known.at), "models": list(known.models)})
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        temporary.write_text(text)
        temporary.replace(path)
    except (OSError, BadContent) as error:
        _log.info("list of models cannot be kept", extra=fields(reason=error))


def _newest_of_line(line: str, models: Sequence[Json]) -> Json | None:
    candidates = [
        (created, model)
        for model in models
        if model.get("line") == line
        and model.get("lifecycle") == "active"
        and isinstance(model.get("id"), str)
        and (created := parse_text(model.get("created_at"))) is not None
    ]
    return max(candidates, key=lambda pair: pair[0])[1] if candidates else None
