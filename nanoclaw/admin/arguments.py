"""The flags of one request, checked against the command's own description (N-44, N-54 to N-62).

Pure. ``dispatch`` has normalised the keys before; ``read`` refuses what is missing, unknown or of
the wrong kind with InvalidArgsError, so that commands only ever see values that make sense.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

Value = str | int | float | bool | None | list[object] | dict[str, object]


@dataclass(frozen=True, slots=True)
class Arguments:
    """``values`` has what was given: None was given as empty. Defaults are not filled in."""

    values: Mapping[str, Value] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def get(self, name: str) -> Value:
        return self.values.get(name)

    def text(self, name: str, default: str = "") -> str:
        value = self.values.get(name)
        return value if isinstance(value, str) else default

    def optional(self, name: str) -> str | None:
        value = self.values.get(name)
        return value if isinstance(value, str) else None

    def flag(self, name: str) -> bool:
        return self.values.get(name) is True

    def integer(self, name: str, default: int) -> int:
        value = self.values.get(name)
        return int(value) if isinstance(value, int | float) else default

    def number(self, name: str) -> float | None:
        value = self.values.get(name)
        return float(value) if isinstance(value, int | float) else None
