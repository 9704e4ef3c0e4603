"""Whether the gateway answers, in one line for ``nanoclaw status`` and one log line per change."""

import logging
from collections.abc import Callable

from contract.clock import to_text, utc_now

KEY = "gateway"
MAX_REASON = 200

log = logging.getLogger(__name__)


class Health:
    """``note`` is ``ChildContext.note``: the supervisor keeps the line and shows it."""

    def __init__(self, url: str, note: Callable[[str, str], None]) -> None:
        self._url = url
        self._note = note
        self._reason: str | None = None
        self._known = False

    def start(self) -> None:
        self._note(KEY, f"onecli {self._url}: not asked yet")

    def works(self) -> None:
        if not self._known or self._reason is not None:
            log.info("gateway answers", extra={"reason": self._url})
            self._note(KEY, f"onecli {self._url}: answers since {_now()}")
        self._known, self._reason = True, None

    def fails(self, reason: str) -> None:
        if not self._known or self._reason is None:
            log.warning("gateway does not answer", extra={"reason": reason})
            text = f"onecli {self._url}: does not answer since {_now()}: {reason[:MAX_REASON]}"
            self._note(KEY, text)
        self._known, self._reason = True, reason


def _now() -> str:
    return to_text(utc_now())[:16].replace("T", " ") + " UTC"
