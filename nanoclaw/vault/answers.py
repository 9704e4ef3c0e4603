"""What the vault itself answers, in the shape of the API's own errors.

Pure. The runner's error classes (spec R-313) read the status and ``error.type``; the text is shown
to people, so it says what happened and what to do next, and never contains a key or a token.
"""

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that ends a request without anybody upstream having seen it."""

    status: int
    kind: str
    text: str
    close: bool = False
    """Whether the connection can still be understood afterwards."""
    code: str | None = None
    """Tells programs what ``kind`` does not."""

    def body(self) -> bytes:
        error: dict[str, object] = {"type": self.kind, "message": self.text}
        if self.code is not None:
            error["details"] = {"error_code": self.code}
        value = {"type": "error", "error": error}
        return json.dumps(value, ensure_ascii=False).encode(errors="replace")


def bad_request(text: str) -> Refusal:
    return Refusal(400, "invalid_request_error", text, close=True)


def not_allowed(text: str) -> Refusal:
    return Refusal(403, "permission_error", text)


def no_token() -> Refusal:
    return Refusal(
        401,
        "authentication_error",
        "the session token is missing, or is not the one of this door; agents get it from the host "
        "at their start",
    )


def no_credential(text: str) -> Refusal:
    return Refusal(401, "authentication_error", text)


def model_not_allowed(text: str) -> Refusal:
    return Refusal(403, "permission_error", text, code="model_not_allowed")


def budget_used_up(text: str, *, told: bool) -> Refusal:
    """``told``: the host says it in the conversation's chat, so the runner need not."""
    return Refusal(402, "billing_error", text, code="budget_told" if told else "budget_used_up")


def too_large(text: str) -> Refusal:
    return Refusal(413, "request_too_large", text, close=True)


def too_slow(text: str) -> Refusal:
    return Refusal(408, "timeout_error", text, close=True)


def overloaded(text: str) -> Refusal:
    return Refusal(529, "overloaded_error", text)


def books_closed() -> Refusal:
    """Without a record of the spending nothing is spent."""
    return Refusal(
        503, "api_error", "the host cannot record what this request may cost; its log says why"
    )


def unreachable(detail: str) -> Refusal:
    return Refusal(502, "api_error", f"the model's address cannot be reached: {detail}")


def silent() -> Refusal:
    return Refusal(504, "timeout_error", "the model's address did not answer in time")


def foreign(detail: str) -> Refusal:
    return Refusal(
        502, "api_error", f"the model's address does not speak HTTP as it should: {detail}"
    )
