"""What a secret may be called and hold, and what is known about one besides its value.

Pure. Used by ``store`` and the command line. No text made here ever contains a value: a name that
does not fit may be a value that was typed in the wrong place.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from nanoclaw.errors import ConfigError

MAX_SECRET_BYTES = 16 * 1024
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


class SecretError(ConfigError):
    """A secret cannot be had or kept; the text says which one and what to do, never its value."""


class Kind(StrEnum):
    """What a secret is for; decides how it is written on a request."""

    API_KEY = "api-key"
    AUTH_TOKEN = "auth-token"  # noqa: S105 - a kind, not a value
    OAUTH = "oauth"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class SecretInfo:
    """``problem`` is why it cannot be used as it lies there; ``rotated_at`` of the last change."""

    name: str
    kind: Kind
    created_at: datetime
    rotated_at: datetime
    problem: str | None = None


def is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def checked_name(text: str) -> str:
    """Raises SecretError, without the text: it may be the secret itself."""
    if not is_name(text):
        raise SecretError(
            "that is no name of a secret: a name has small letters, digits and hyphens, begins "
            "with a letter or digit and has at most 64 characters, for example github-token"
        )
    return text


def checked_value(name: str, value: str) -> str:
    """Raises SecretError that names the secret and never shows the value."""
    if not value.strip():
        raise SecretError(f"nothing was given for {name}; the value is read from a hidden prompt, "
                          "from standard input or with --from-file")  # fmt: skip
    if len(value.encode("utf-8", "surrogatepass")) > MAX_SECRET_BYTES:
        raise SecretError(
            f"the value for {name} is longer than {MAX_SECRET_BYTES} bytes; is it the right file?"
        )
    if not value.isprintable():
        raise SecretError(
            f"the value for {name} holds line breaks or other control characters; give one line"
        )
    if value != value.strip():
        raise SecretError(f"the value for {name} begins or ends with blanks; remove them")
    return value


def usual_kind(name: str) -> Kind:
    """The kind of a secret that nobody gave one."""
    if name.endswith("api-key"):
        return Kind.API_KEY
    if name.endswith("oauth"):
        return Kind.OAUTH
    return Kind.AUTH_TOKEN if name.endswith("token") else Kind.OTHER
