"""How platform calls fail: one closed set of classes, and nothing else, reaches the host.

Raised by adapters, turned into frames and connection states by the worker. The detail is written
for the owner and never holds tokens, addresses with tokens in them, or message text (C-23).
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol, TypeVar

from nanoclaw.errors import ChannelError
from nanoclaw.events import FailureClass

MAX_DETAIL = 500

_Result = TypeVar("_Result")


class RateScope(StrEnum):
    """What a platform's rate limit covers."""

    CHAT = "chat"
    ACCOUNT = "account"


class ChannelFailure(ChannelError):  # noqa: N818  the contract's word (C section 1.7)
    """A platform call failed in a known way."""

    def __init__(
        self,
        failure: FailureClass,
        detail: str,
        retry_after_ms: int | None = None,
        scope: RateScope = RateScope.CHAT,
    ) -> None:
        detail = detail[:MAX_DETAIL]
        super().__init__(failure, detail, retry_after_ms, scope)
        self.failure = failure
        self.detail = detail
        self.retry_after_ms = retry_after_ms
        self.scope = scope

    def __str__(self) -> str:
        return f"{self.failure}: {self.detail}"


class HostStoppingError(ChannelError):
    """The worker takes no more events; what was not committed comes again from the platform."""


class Guard(Protocol):
    """Runs an adapter's code: what it raises leaves as ChannelFailure or ConfigError."""

    def __call__(self, call: Callable[[], _Result], unexpected: FailureClass) -> _Result:
        """``unexpected`` is the class of an error that the adapter's author did not foresee."""
        ...
