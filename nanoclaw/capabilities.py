"""What one channel can do, as a value (C section 1.3).

Declared by each adapter, carried to the host in the hello frame, used by delivery and shown by
the command line. A field says what the platform offers, never what we would like it to offer.
"""

from dataclasses import dataclass
from enum import StrEnum


class TextUnit(StrEnum):
    CHARS = "chars"
    UTF16 = "utf16"
    BYTES = "bytes"


class Buttons(StrEnum):
    NONE = "none"
    LINKS = "links"
    CALLBACK = "callback"


class MentionSignal(StrEnum):
    PLATFORM = "platform"
    TEXT = "text"
    NONE = "none"


class IdempotentSend(StrEnum):
    """What the platform offers against a doubled message after a crash."""

    KEY = "key"
    LOOKUP = "lookup"
    NONE = "none"


class CatchUp(StrEnum):
    SERVER = "server"
    HISTORY = "history"
    NONE = "none"


class UncertainPolicy(StrEnum):
    """What happens to a message whose fate is unknown after a crash (C-32)."""

    REPEAT = "repeat"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one channel can do (C section 1.3); sent in the hello frame."""

    supports_threads: bool = False
    text_limit: int = 4000
    text_unit: TextUnit = TextUnit.CHARS
    dialect: str = "plain"
    caption_limit: int = 0
    max_files: int = 0
    max_file_bytes: int = 0
    file_kinds: tuple[str, ...] = ()
    buttons: Buttons = Buttons.NONE
    max_buttons: int = 0
    max_label: int = 0
    max_callback_bytes: int = 0
    edits: bool = False
    reactions: bool = False
    typing: bool = False
    typing_seconds: int = 5
    deletes: bool = False
    mention: MentionSignal = MentionSignal.NONE
    cold_dm: bool = False
    idempotent_send: IdempotentSend = IdempotentSend.NONE
    uncertain_policy: UncertainPolicy = UncertainPolicy.REPEAT
    catch_up: CatchUp = CatchUp.NONE
    min_interval_ms: int = 0
    max_per_second: float = 0.0
