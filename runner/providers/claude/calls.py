"""One model call from the first attempt to its answer or its last error (R-313).

Called by ``engine``, ``subagent`` and the compaction. Waits aloud: every failed attempt is an event
and every few seconds of waiting a sign of life; cancellation ends a wait at once. What an endpoint
turns out not to know is removed for the process and the call repeated, each thing once.
"""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from runner.log import fields
from runner.providers.base import Activity, Event, Failure
from runner.providers.claude.client import ApiClient, ApiRequest
from runner.providers.claude.errors import CallClass, CallError
from runner.providers.claude.features import Feature, FeatureSet, find_feature
from runner.providers.claude.message import Response
from runner.providers.claude.retry import (
    Attempts,
    GiveUp,
    RetryRules,
    decide_retry,
    wants_fallback,
)
from runner.providers.claude.webtools import has_web_content
from runner.turn.taint import WEB, TurnTaint

_log = logging.getLogger(__name__)

SIGN_SECONDS = 2.0
"""A wait shows a sign of life this often."""

Emit = Callable[[Event], None]


class Caller(Protocol):
    """Whose call it is: makes the request anew when something about it had to change."""

    def request(self) -> ApiRequest: ...

    async def lost(self, feature: Feature) -> None:
        """The endpoint does not know it; what was declared with it must change."""

    async def fall_back(self) -> bool:
        """The model has no room; True: the next ``request`` is for another one."""


@dataclass(frozen=True, slots=True)
class Called:
    response: Response
    retries: int
    duration_ms: int


@dataclass(slots=True)
class _Course:
    """What happened in one call so far."""

    began: float
    failures: Counter[CallClass] = field(default_factory=Counter)
    retries: int = 0
    overloads: int = 0
    fell_back: bool = False

    def note(self, error: CallError, now: float) -> Attempts:
        self.failures[error.kind] += 1
        self.overloads = self.overloads + 1 if error.kind is CallClass.OVERLOADED else 0
        return Attempts(self.failures, now - self.began, self.overloads)


class ModelCalls:
    """One per process; sub-agents call side by side."""

    def __init__(
        self,
        client: ApiClient,
        features: FeatureSet,
        rules: RetryRules | None = None,
        taint: TurnTaint | None = None,
    ) -> None:
        self._client = client
        self._features = features
        self._rules = rules or RetryRules()
        self._taint = taint or TurnTaint()

    def work_for(self, series: str | None) -> None:
        """Whose budget the next calls are booked under, besides the others."""
        self._client.series = series

    async def call(self, caller: Caller, emit: Emit) -> Called:
        """Raises CallError when nothing more is to be tried."""
        clock = asyncio.get_running_loop().time
        course = _Course(clock())
        request = caller.request()
        while True:
            began = clock()
            try:
                response = await self._client.attempt(request, lambda: emit(Activity()))
            except CallError as error:
                if error.kind is CallClass.FEATURE:
                    await self._remove_feature(error, request, caller)
                    course.retries += 1
                    request = caller.request()
                    continue
                attempts = course.note(error, clock())
                if await self._may_fall_back(attempts, course, caller):
                    request = caller.request()
                await self._wait(error, attempts, emit)
                course.retries += 1
                continue
            if has_web_content(response.content):
                self._taint.add((WEB,))
            return Called(response, course.retries, round((clock() - began) * 1000))

    async def _remove_feature(self, error: CallError, request: ApiRequest, caller: Caller) -> None:
        """Raises the error, as one of the request, if it blames nothing that was sent."""
        feature = find_feature(error.detail, request.features)
        if feature is None or not self._features.has(feature):
            raise CallError(CallClass.REQUEST, error.detail) from error
        self._features.remove(feature)
        _log.warning(
            "the endpoint does not know a feature, going on without",
            extra=fields(reason=f"{feature}: {error.detail[:200]}"),
        )
        await caller.lost(feature)

    async def _may_fall_back(self, attempts: Attempts, course: _Course, caller: Caller) -> bool:
        if course.fell_back or not wants_fallback(attempts):
            return False
        course.fell_back = True
        return await caller.fall_back()

    async def _wait(self, error: CallError, attempts: Attempts, emit: Emit) -> None:
        """Raises the error when another attempt is not to be made."""
        jitter = secrets.SystemRandom().uniform(-1, 1)
        decision = decide_retry(error, attempts, jitter, self._rules)
        if isinstance(decision, GiveUp):
            _log.warning(
                "model call given up",
                extra=fields(
                    reason=f"{error.kind}: {error.detail[:200]} ({decision.reason})",
                    attempt=sum(attempts.failures.values()),
                ),
            )
            raise error
        emit(Failure(error.trouble, error.detail, retryable=True))
        left = decision.seconds
        while left > 0:
            await asyncio.sleep(min(left, SIGN_SECONDS))
            left -= SIGN_SECONDS
            emit(Activity())
