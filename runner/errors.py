"""The runner's error tree.

    RunnerError
    ├── ConfigError     a restart cannot cure it: exit 78, after a word to the chat
    ├── FencedOffError  another container owns the session now: exit 75, nothing more is written
    ├── GiveUpError     it went wrong too often or for too long: exit 1, the host counts a try
    ├── ProviderError   a turn or its stream failed; carries the class that the user's text follows
    └── QueryEndedError input was offered to a stream that takes no more

``retryable`` says whether the same step may work later.
"""

from enum import StrEnum

from contract.errors import SchemaMismatch, SessionFileError


class Trouble(StrEnum):
    """Why a provider failed, as far as it matters to the person who waits (R-190, R-315)."""

    QUOTA = "quota"
    AUTH = "auth"
    BILLING = "billing"
    DAY_LIMIT = "day_limit"
    BUDGET = "budget"
    BUDGET_TOLD = "budget_told"
    """The host says it in the chat itself, once."""
    OVERLOADED = "overloaded"
    NETWORK = "network"
    REFUSAL = "refusal"
    TOO_LARGE = "too_large"
    CONFIG = "config"
    OVERTIME = "overtime"
    UNEXPECTED = "unexpected"


class RunnerError(Exception):
    """Root of everything the runner raises on purpose."""

    retryable = False


class ConfigError(RunnerError):
    """``str()`` is for the log; ``notice`` is what the chat may read: no secrets, no paths."""

    def __init__(self, detail: str, notice: str) -> None:
        super().__init__(detail, notice)
        self.detail = detail
        self.notice = notice

    def __str__(self) -> str:
        return self.detail


class FencedOffError(RunnerError):
    """session.json no longer carries our lease."""

    retryable = True


class GiveUpError(RunnerError):
    """The limit of a bounded retry was reached."""


class ProviderError(RunnerError):
    """A turn could not be finished. ``detail`` goes to the log only.

    ``shown`` may stand behind the chat's sentence: when a limit ends, why something was declined.
    """

    def __init__(self, trouble: Trouble, detail: str, shown: str = "") -> None:
        super().__init__(trouble, detail, shown)
        self.trouble = trouble
        self.detail = detail
        self.shown = shown

    def __str__(self) -> str:
        return f"{self.trouble}: {self.detail}"


class QueryEndedError(RunnerError):
    """The rows must be offered to the next query."""

    retryable = True


ENDS_THE_PROCESS = (
    ConfigError,
    FencedOffError,
    GiveUpError,
    SchemaMismatch,
    SessionFileError,
)
"""Never the fault of one message: whoever catches errors of a turn lets these through."""
