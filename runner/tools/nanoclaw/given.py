"""A call's arguments, narrowed one by one (R-152). Pure.

Models send wrong types, null for "not given", and numbers as text; whatever it is, it ends as a
value of the right type or as a sentence that names the field and what was expected.
"""

from collections.abc import Mapping

MAX_TEXT_BYTES = 256 * 1024
"""Of one text (R-147)."""
MAX_NUMBER = 2**53
MAX_ITEMS = 1000


class BadArgumentError(Exception):
    """In words for the agent: which field, and what it has to be."""


class Given:
    """What the model sent; unknown fields are ignored."""

    def __init__(self, arguments: object) -> None:
        if not isinstance(arguments, Mapping):
            raise BadArgumentError("the arguments must be an object")
        self._values: Mapping[object, object] = arguments

    def has(self, name: str) -> bool:
        return self._values.get(name) is not None

    def text(self, name: str, max_bytes: int = MAX_TEXT_BYTES) -> str:
        """A required text with at least one visible character."""
        found = self.optional_text(name, max_bytes)
        if found is None or not found.strip():
            raise BadArgumentError(f"'{name}' is required and must be a text that is not empty")
        return found

    def optional_text(self, name: str, max_bytes: int = MAX_TEXT_BYTES) -> str | None:
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise BadArgumentError(f"'{name}' must be a text")
        data = value.encode("utf-8", "replace")  # half a surrogate pair cannot be stored
        if len(data) > max_bytes:
            size = len(data)
            raise BadArgumentError(f"'{name}' has {size} bytes, at most {max_bytes} are allowed")
        return data.decode()

    def number(self, name: str) -> int:
        """A message number: a positive integer, also as digits (R-162)."""
        value = self._values.get(name)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, str):
            digits = value.strip().removeprefix("#")
            value = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 17 else 0
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < MAX_NUMBER:
            raise BadArgumentError(f"'{name}' is required and must be a number shown as id")
        return value

    def seconds(self, name: str, default: int, low: int, high: int) -> float:
        """A time limit; 0 means the default as well."""
        value = self._values.get(name)
        if value is None or value == 0:
            return default
        if (
            not isinstance(value, int | float)
            or isinstance(value, bool)
            or not low <= value <= high
        ):
            raise BadArgumentError(f"'{name}' must be a number of seconds from {low} to {high}")
        return float(value)

    def items(self, name: str) -> tuple[object, ...]:
        value = self._values.get(name)
        if value is None:
            return ()
        if not isinstance(value, list | tuple):
            raise BadArgumentError(f"'{name}' must be an array")
        if len(value) > MAX_ITEMS:
            raise BadArgumentError(f"'{name}' has more than {MAX_ITEMS} elements")
        return tuple(value)

    def texts(self, name: str) -> tuple[str, ...]:
        found = self.items(name)
        texts = tuple(item for item in found if isinstance(item, str))
        if len(texts) != len(found):
            raise BadArgumentError(f"'{name}' must be an array of texts")
        return texts

    def mapping(self, name: str) -> dict[str, object]:
        value = self._values.get(name)
        if value is None:
            return {}
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise BadArgumentError(f"'{name}' must be an object")
        return dict(value)

    def text_mapping(self, name: str) -> dict[str, str]:
        found = self.mapping(name)
        texts = {key: item for key, item in found.items() if isinstance(item, str)}
        if len(texts) != len(found):
            raise BadArgumentError(f"'{name}' must be an object whose values are texts")
        return texts
