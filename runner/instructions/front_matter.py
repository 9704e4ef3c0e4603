"""The YAML of a skill's front matter: the part of YAML that such headers are written in. Pure.

Read: nested maps and lists by indentation, flow lists and maps, plain, quoted, literal and folded
text, comments. Not read: anchors, tags and several documents; their characters are plain text.
Where skill files in the wild break the rules of YAML without being unclear (a colon in a plain
text), the obvious meaning is taken. Values are text, true, false, null, lists and maps; numbers
stay text. Whatever is wrong ends as FrontMatterError, after work that is linear in the text.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Union

MAX_BLOCK = 16 * 1024
"""Characters of a header; a description of 1024 and some keys need a tenth of it."""
MAX_DEPTH = 8

Value = Union[None, bool, str, "list[Value]", "dict[str, Value]"]

_FENCE = re.compile(r"---[ \t]*")
_END = re.compile(r"(?:---|\.\.\.)[ \t]*")
_COMMENT = re.compile(r"(?:^|[ \t])#.*")
_PLAIN_KEY = re.compile(r"(?P<key>[^\s\"'\[\]{},#][^\"']*?):(?:[ \t]+|$)")
_QUOTED_KEY = re.compile(r"(?P<key>\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*')[ \t]*:(?:[ \t]+|$)")
_DOUBLE = re.compile(r"\"((?:[^\"\\]|\\.)*)\"", re.DOTALL)
_SINGLE = re.compile(r"'((?:[^']|'')*)'")
_BLOCK_HEAD = re.compile(r"([|>])(?:([+-])([1-9])?|([1-9])([+-])?)?[ \t]*(?:[ \t]#.*)?")
_FLOW_TOKEN = re.compile(
    r"\s*(\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*'|[\[\]{},:]|[^\s\[\]{},:][^\[\]{},:]*)", re.DOTALL
)
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))", re.DOTALL)
_ESCAPES: Mapping[str, str] = {
    "0": "\0", "a": "\a", "b": "\b", "t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r",
    "e": "\x1b", "N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029",
}  # fmt: skip
_WORDS: Mapping[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_HIGHEST_CODE = 0x10FFFF


class FrontMatterError(ValueError):
    """What is wrong, and in which line of the header."""


def split_front_matter(text: str) -> tuple[str | None, str]:
    """The header between two lines of dashes, if the text begins with one, and the rest."""
    lines = text.removeprefix("\ufeff").split("\n")
    if not _FENCE.fullmatch(lines[0].rstrip("\r")):
        return None, text
    for number, line in enumerate(lines[1:], start=1):
        if _END.fullmatch(line.rstrip("\r")):
            header = "\n".join(lines[1:number])
            return header.replace("\r", ""), "\n".join(lines[number + 1 :])
    return None, text


def parse_front_matter(header: str) -> dict[str, Value]:
    """The header's map; an empty one if there is nothing in it. Raises FrontMatterError."""
    if len(header) > MAX_BLOCK:
        raise FrontMatterError(f"the header is longer than {MAX_BLOCK} characters")
    reader = _Reader(header.split("\n"))
    value = reader.read_block(-1, 0)
    if reader.peek() is not None:
        raise reader.error("indentation does not fit")
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise FrontMatterError("the header is not a map of keys and values")
    return value


class _Reader:
    """Walks over the lines; ``_at`` is the next one that nobody has taken."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = list(lines)
        self._at = 0

    def error(self, text: str) -> FrontMatterError:
        return FrontMatterError(f"line {min(self._at + 1, len(self._lines))}: {text}")

    def peek(self) -> tuple[int, str] | None:
        """Indentation and text of the next line that is neither blank nor a comment."""
        while self._at < len(self._lines):
            line = self._lines[self._at]
            text = line.strip()
            if text and not text.startswith("#"):
                indent = len(line) - len(line.lstrip(" "))
                if line[indent] == "\t":
                    raise self.error("a tab is used as indentation")
                return indent, text
            self._at += 1
        return None

    def read_block(self, parent: int, depth: int) -> Value:
        """The map, list or text that stands deeper than ``parent``; None if nothing does."""
        found = self.peek()
        if found is None or found[0] <= parent:
            return None
        if depth > MAX_DEPTH:
            raise self.error("nested too deeply")
        indent, text = found
        if _is_item(text):
            return self._list(indent, depth)
        if _key_of(text):
            return self._map(indent, depth)
        return self._inline(text, parent, depth)

    def _map(self, indent: int, depth: int) -> Value:
        result: dict[str, Value] = {}
        while (found := self.peek()) is not None and found[0] >= indent:
            match = _key_of(found[1])
            if found[0] > indent or match is None:
                raise self.error("expected a key and a colon")
            result[_key_text(match["key"])] = self._after_key(
                found[1][match.end() :], indent, depth
            )
        return result

    def _after_key(self, rest: str, indent: int, depth: int) -> Value:
        if _COMMENT.sub("", rest).strip():
            return self._inline(rest, indent, depth)
        self._at += 1
        found = self.peek()
        # A list may stand as far left as the key that it belongs to.
        if found is not None and found[0] == indent and _is_item(found[1]):
            return self._list(indent, depth + 1)
        return self.read_block(indent, depth + 1)

    def _list(self, indent: int, depth: int) -> Value:
        if depth > MAX_DEPTH:
            raise self.error("nested too deeply")
        result: list[Value] = []
        while (found := self.peek()) is not None and found[0] == indent and _is_item(found[1]):
            rest = found[1][1:]
            text = rest.lstrip()
            if not _COMMENT.sub("", text).strip():
                self._at += 1
                result.append(self.read_block(indent, depth + 1))
            elif _is_item(text) or _key_of(text):
                # "- key: value" is a map whose first line begins after the dash.
                inner = indent + 1 + len(rest) - len(text)
                self._lines[self._at] = " " * inner + text
                result.append(self.read_block(indent, depth + 1))
            else:
                result.append(self._inline(text, indent, depth))
        found = self.peek()
        if found is not None and found[0] > indent:
            raise self.error("indentation does not fit")
        return result

    def _inline(self, text: str, parent: int, depth: int) -> Value:
        """A value that begins with ``text`` at the end of the current line."""
        if text[0] in "|>" and (head := _BLOCK_HEAD.fullmatch(text)):
            self._at += 1
            return self._block_text(head, parent)
        if text[0] in "\"'":
            return self._quoted(text)
        if text[0] in "[{":
            return self._flow(text, depth)
        return self._plain(text, parent)

    def _block_text(self, head: re.Match[str], parent: int) -> str:
        style, chomp = head[1], head[2] or head[5] or ""
        explicit = head[3] or head[4]
        indent = max(parent, 0) + int(explicit) if explicit else None
        lines: list[str] = []
        while self._at < len(self._lines):
            line = self._lines[self._at]
            own = len(line) - len(line.lstrip(" "))
            if line.strip():
                if indent is None:
                    indent = own
                if own <= parent or own < indent:
                    break
            lines.append(line)
            self._at += 1
        return _chomped([line[indent or 0 :].rstrip("\r") for line in lines], style, chomp)

    def _quoted(self, text: str) -> str:
        joined = "\n".join([text, *self._lines[self._at + 1 :]])
        match = (_DOUBLE if text[0] == '"' else _SINGLE).match(joined)
        if match is None:
            raise self.error("a quotation mark is missing")
        rest = joined[match.end() :].partition("\n")[0]
        if _COMMENT.sub("", rest).strip():
            # Such as: description: "Do this" when asked. Wrong in YAML, clear to a reader.
            return str(self._plain(text, len(self._lines[self._at])))
        self._at += match[0].count("\n") + 1
        return _unquoted(match[0])

    def _flow(self, text: str, depth: int) -> Value:
        joined = "\n".join([text, *self._lines[self._at + 1 :]])
        flow = _Flow(joined, depth)
        try:
            value = flow.read()
        except _FlowError as error:
            if "\n" in error.args[0]:
                raise self.error("a bracket is not closed") from error
            return self._plain(text, len(self._lines[self._at]))
        rest = joined[flow.end :].partition("\n")[0]
        if _COMMENT.sub("", rest).strip():
            return self._plain(text, len(self._lines[self._at]))
        self._at += joined.count("\n", 0, flow.end) + 1
        return value

    def _plain(self, text: str, parent: int) -> Value:
        """Unquoted text with the deeper lines below it; a comment ends it."""
        first = _COMMENT.sub("", text).strip()
        parts, blanks, is_open = [first], 0, first == text.strip()
        self._at += 1
        while is_open and self._at < len(self._lines):
            line = self._lines[self._at]
            more = line.strip()
            if not more:
                blanks += 1
            elif more.startswith("#") or len(line) - len(line.lstrip(" ")) <= parent:
                break
            else:
                kept = _COMMENT.sub("", more).strip()
                parts.append("\n" * blanks + kept if blanks else " " + kept)
                blanks, is_open = 0, kept == more
            self._at += 1
        whole = "".join(parts)
        return _WORDS.get(whole, whole)


class _FlowError(ValueError):
    """The text is no flow list or map."""


class _Flow:
    """``[a, "b"]`` and ``{a: b}``, over several lines if need be."""

    def __init__(self, text: str, depth: int) -> None:
        self._text = text
        self._depth = depth
        self.end = 0

    def read(self) -> Value:
        return self._value(self._depth)

    def _next(self) -> str:
        match = _FLOW_TOKEN.match(self._text, self.end)
        if match is None:
            raise _FlowError("\n")
        self.end = match.end()
        return match[1].strip()

    def _value(self, depth: int) -> Value:
        mark = self._next()
        if depth > MAX_DEPTH:
            raise _FlowError("too deep")
        if mark == "[":
            return self._items(depth)
        if mark == "{":
            return self._pairs(depth)
        if mark[0] in "\"'" and len(mark) > 1:
            return _unquoted(mark)
        if mark in "]},:":
            raise _FlowError(mark)
        return self._words(mark)

    def _words(self, first: str) -> Value:
        """Plain text; a colon belongs to it unless a blank follows."""
        start = self.end
        while (
            self._text.startswith(":", self.end)
            and not self._text[self.end + 1 : self.end + 2].isspace()
        ):
            self._next()
            if (match := _FLOW_TOKEN.match(self._text, self.end)) and match[1][0] not in "[]{},:":
                self.end = match.end()
        whole = " ".join((first + self._text[start : self.end]).split())
        return _WORDS.get(whole, whole)

    def _items(self, depth: int) -> Value:
        result: list[Value] = []
        while True:
            before = self.end
            if self._next() == "]":
                return result
            self.end = before
            result.append(self._value(depth + 1))
            mark = self._next()
            if mark == "]":
                return result
            if mark != ",":
                raise _FlowError(mark)

    def _pairs(self, depth: int) -> Value:
        result: dict[str, Value] = {}
        while True:
            before = self.end
            if self._next() == "}":
                return result
            self.end = before
            key = self._value(depth + 1)
            if isinstance(key, list | dict) or self._next() != ":":
                raise _FlowError("no key")
            result[_as_key(key)] = self._value(depth + 1)
            mark = self._next()
            if mark == "}":
                return result
            if mark != ",":
                raise _FlowError(mark)


def _is_item(text: str) -> bool:
    return text == "-" or text.startswith(("- ", "-\t"))


def _key_of(text: str) -> re.Match[str] | None:
    return _QUOTED_KEY.match(text) or _PLAIN_KEY.match(text)


def _key_text(key: str) -> str:
    return _unquoted(key) if key[0] in "\"'" else key.rstrip()


def _as_key(value: bool | str | None) -> str:
    return value if isinstance(value, str) else str(value).lower()


def _chomped(lines: list[str], style: str, chomp: str) -> str:
    kept = len(lines)
    while kept and not lines[kept - 1].strip():
        kept -= 1
    body = lines[:kept]
    text = "\n".join(body) if style == "|" else _folded(body)
    if chomp == "-" or not text:
        return text
    return text + "\n" * (1 + len(lines) - kept if chomp == "+" else 1)


def _folded(lines: Sequence[str]) -> str:
    """Line breaks become blanks, except at empty and at further indented lines."""
    parts: list[str] = []
    blanks, was_deep = 0, False
    for line in lines:
        if not line.strip():
            blanks += 1
            continue
        is_deep = line[0] in " \t"
        if not parts:
            parts.append("\n" * blanks + line)
        elif is_deep or was_deep:
            parts.append("\n" * (blanks + 1) + line)
        else:
            parts.append(("\n" * blanks or " ") + line)
        blanks, was_deep = 0, is_deep
    return "".join(parts)


def _unquoted(text: str) -> str:
    body = text[1:-1]
    if text[0] == "'":
        return _folded_quote(body).replace("''", "'")
    # An escaped line break joins the lines without a blank.
    joined = re.sub(r"(?<!\\)((?:\\\\)*)\\[ \t]*\n[ \t]*", r"\1", body)
    return _ESCAPE.sub(_unescaped, _folded_quote(joined))


def _folded_quote(text: str) -> str:
    first, *others = text.split("\n")
    if not others:
        return first
    lines = [first.rstrip(" \t"), *(line.strip(" \t") for line in others[:-1])]
    lines.append(others[-1].lstrip(" \t"))
    result, blanks = lines[0], 0
    for index, line in enumerate(lines[1:], start=1):
        if not line and index < len(lines) - 1:
            blanks += 1
            continue
        result += ("\n" * blanks or " ") + line
        blanks = 0
    return result


def _unescaped(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3]
    if code is None:
        return _ESCAPES.get(match[4], match[4])
    number = int(code, 16)
    return chr(number) if number <= _HIGHEST_CODE else "\ufffd"
