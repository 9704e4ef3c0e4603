"""What can go wrong with one model call, by class (R-313), and which class an answer is of.

Pure. ``client`` asks ``classify`` about every refusal; ``retry`` and ``calls`` follow the class.
Gateways answer with pages and shapes of their own, so nothing here relies on the API's envelope
(R-314): the type counts before the status, and the words decide what both leave open.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from runner.errors import ProviderError, Trouble

MAX_DETAIL = 500


class CallClass(StrEnum):
    NETWORK = "network"
    OVERLOADED = "overloaded"
    SERVER = "server"
    RATE = "rate"
    QUOTA = "quota"
    BILLING = "billing"
    BUDGET = "budget"
    BUDGET_TOLD = "budget_told"
    AUTH = "auth"
    TOO_LARGE = "too_large"
    MEDIA = "media"
    PREFIX = "prefix"
    FEATURE = "feature"
    MODEL = "model"
    """No such model, or not for this key: an operator's matter."""
    REQUEST = "request"


TROUBLES: dict[CallClass, Trouble] = {
    CallClass.NETWORK: Trouble.NETWORK,
    CallClass.OVERLOADED: Trouble.OVERLOADED,
    CallClass.SERVER: Trouble.OVERLOADED,
    CallClass.RATE: Trouble.OVERLOADED,
    CallClass.QUOTA: Trouble.QUOTA,
    CallClass.BILLING: Trouble.BILLING,
    CallClass.BUDGET: Trouble.BUDGET,
    CallClass.BUDGET_TOLD: Trouble.BUDGET_TOLD,
    CallClass.AUTH: Trouble.AUTH,
    CallClass.TOO_LARGE: Trouble.TOO_LARGE,
    CallClass.MEDIA: Trouble.UNEXPECTED,
    CallClass.PREFIX: Trouble.UNEXPECTED,
    CallClass.FEATURE: Trouble.CONFIG,
    CallClass.MODEL: Trouble.CONFIG,
    CallClass.REQUEST: Trouble.UNEXPECTED,
}
"""What the person who waits is told of."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error answer, before it has a class. ``status`` 200: it came inside a stream."""

    status: int
    type: str = ""
    code: str = ""
    message: str = ""
    retry_after_seconds: float | None = None


class CallError(ProviderError):
    """One attempt failed; raised by ``client`` and, when nothing more is tried, by ``calls``."""

    def __init__(
        self, kind: CallClass, detail: str, retry_after_seconds: float | None = None
    ) -> None:
        shown = detail.partition(": ")[2] if kind is CallClass.BUDGET else ""
        super().__init__(TROUBLES[kind], detail[:MAX_DETAIL], shown)
        self.kind = kind
        self.retry_after_seconds = retry_after_seconds

    @property
    def blames_history(self) -> bool:
        """It names a stored message, or its signatures: the conversation is unusable (R-292)."""
        if self.kind is CallClass.PREFIX:
            return True
        own = self.kind in (CallClass.REQUEST, CallClass.MEDIA)
        return own and _MESSAGE_INDEX.search(self.detail) is not None


def classify(refusal: Refusal) -> CallError:
    """The error to raise for an answer that is none."""
    kind = (
        _BY_CODE.get(refusal.code)
        or _by_words_first(refusal)
        or _BY_TYPE.get(refusal.type)
        or _by_status(refusal)
    )
    label = refusal.code or refusal.type or str(refusal.status)
    return CallError(kind, f"{label}: {refusal.message}", refusal.retry_after_seconds)


_BY_CODE = {
    "budget_used_up": CallClass.BUDGET,
    "budget_told": CallClass.BUDGET_TOLD,
    "model_not_allowed": CallClass.MODEL,
}
"""Of the host's vault."""
_BY_TYPE = {
    "overloaded_error": CallClass.OVERLOADED,
    "gateway_timeout_error": CallClass.OVERLOADED,
    "timeout_error": CallClass.OVERLOADED,
    "api_error": CallClass.SERVER,
    "billing_error": CallClass.BILLING,
    "authentication_error": CallClass.AUTH,
    "permission_error": CallClass.AUTH,
    "rate_limit_error": CallClass.RATE,
    "request_too_large": CallClass.TOO_LARGE,
    "model_not_found_error": CallClass.MODEL,
}
_BY_STATUS = {
    401: CallClass.AUTH,
    402: CallClass.BILLING,
    403: CallClass.AUTH,
    404: CallClass.MODEL,
    408: CallClass.NETWORK,
    409: CallClass.SERVER,
    413: CallClass.TOO_LARGE,
    429: CallClass.RATE,
    499: CallClass.NETWORK,
    503: CallClass.OVERLOADED,
    504: CallClass.OVERLOADED,
    529: CallClass.OVERLOADED,
}

_MESSAGE_INDEX = re.compile(r"\bmessages?\.\d+|\bmessages\[\d+\]")
_CREDIT = re.compile(r"credit balance|spend(ing)? limit|out of credit|insufficient (credit|funds)")
_USAGE = re.compile(r"usage limit|usage cap|quota|daily limit|monthly limit|budget")
_TOO_LONG = re.compile(
    r"prompt is too long|request too large|context (length|window|limit)|too many tokens"
    r"|maximum (context|number of tokens)|exceeds? the maximum (allowed )?size"
)
_PREFIX = re.compile(
    r"(thinking|compaction|signature)[^.]{0,120}"
    r"(signature|cannot be modified|mismatch|binding|does not match|do not match|invalid)"
    r"|invalid[^.]{0,60}(signature|thinking)"
)
_NOT_SUPPORTED = re.compile(
    r"extra inputs|not permitted|unknown|unexpected|unrecogni[sz]ed|not supported|unsupported"
    r"|does not support|not enabled|not available|does not match any of the expected|not allowed"
)
_MEDIA = re.compile(r"\b(image|pdf|document|media_type)s?\b")
_MODEL = re.compile(r"\bmodel\b[^.]{0,80}(not found|not exist|unknown|invalid|not available)")
_WORDS_OF_PREFIX_CODES = ("compaction_signature", "compaction_content_mismatch", "thinking_")


def _by_words_first(refusal: Refusal) -> CallClass | None:
    """What a message says plainly, for answers that a type does not tell apart."""
    words = refusal.message.lower()
    if refusal.status in (400, 402, 403, 429) or refusal.type == "rate_limit_error":
        if refusal.status == 402 or _CREDIT.search(words):
            return CallClass.BILLING
        if _USAGE.search(words) and not _is_plain_rate(refusal):
            return CallClass.QUOTA
    if refusal.status == 413:
        return CallClass.TOO_LARGE
    if refusal.status in (400, 404, 422) or refusal.type == "invalid_request_error":
        return _of_request(refusal, words)
    return None


def _is_plain_rate(refusal: Refusal) -> bool:
    """A 429 that says when to come back is no used-up allowance, whatever it calls itself."""
    return refusal.status == 429 and refusal.retry_after_seconds is not None


def _of_request(refusal: Refusal, words: str) -> CallClass:
    if _TOO_LONG.search(words):
        return CallClass.TOO_LARGE
    if refusal.code.startswith(_WORDS_OF_PREFIX_CODES):
        return CallClass.PREFIX
    if refusal.status == 404 or refusal.type == "not_found_error" or _MODEL.search(words):
        return CallClass.MODEL
    if _NOT_SUPPORTED.search(words):
        return CallClass.FEATURE
    if _PREFIX.search(words):
        return CallClass.PREFIX
    if _MEDIA.search(words):
        return CallClass.MEDIA
    return CallClass.REQUEST


def _by_status(refusal: Refusal) -> CallClass:
    if refusal.status == 200:
        return CallClass.SERVER  # an error inside a stream, of a type we do not know
    known = _BY_STATUS.get(refusal.status)
    if known is not None:
        return known
    return CallClass.SERVER if refusal.status >= 500 else CallClass.REQUEST


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that a server asks for, in either of its two headers; None: nothing usable."""
    for name, factor in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * factor
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    return None


def read_body(body: object) -> tuple[str, str, str]:
    """Type, code and message of an error body of any shape (R-314)."""
    if isinstance(body, str):
        return "", "", _plain(body)
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, str):
        return "", "", _plain(error)
    source = error if isinstance(error, dict) else body
    if not isinstance(source, dict):
        return "", "", ""
    details = source.get("details")
    code = details.get("error_code") if isinstance(details, dict) else None
    message = source.get("message") or source.get("detail") or ""
    return (
        source["type"] if isinstance(source.get("type"), str) else "",
        code if isinstance(code, str) else "",
        _plain(message) if isinstance(message, str) else "",
    )


def _plain(text: str) -> str:
    """A page without its markup, shortened."""
    return " ".join(re.sub(r"<[^>]{0,500}>", " ", text[:8000]).split())[:MAX_DETAIL]
