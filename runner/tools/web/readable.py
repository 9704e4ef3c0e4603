"""HTML as text that reads well: headings, links, lists, tables, code; nothing else.

Run by ``reading`` as a program of its own, because a page of 60 kB can keep the standard library's
parser busy for half a minute; hence the standard library only. The parser never fails on broken
markup; depth, number of elements and length are bounded.
"""

import json
import re
import resource
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from urllib.parse import urljoin

MAX_CHARS = 400_000
MAX_ELEMENTS = 200_000
MAX_DEPTH = 100
"""Of lists and quotes that indent; what is nested deeper is shown at this depth."""

_MAX_LINK = 500
_MAX_INDENT = 8

_DROPPED = frozenset({"script", "style", "noscript", "template", "svg", "canvas", "iframe",
                      "object", "embed", "select", "button", "dialog", "math"})  # fmt: skip
_BLOCKS = frozenset({"p", "div", "section", "article", "main", "header", "footer", "aside", "nav",
                     "form", "fieldset", "figure", "figcaption", "address", "details", "summary",
                     "dl", "dt", "dd", "table", "caption", "ul", "ol", "blockquote", "body",
                     "tbody", "thead", "tfoot"})  # fmt: skip
_HEADINGS = {f"h{level}": "#" * level for level in range(1, 7)}
_BLANKS = re.compile(r"[ \t\r\f\v\n\u00a0]+")
_MANY_LINES = re.compile(r"\n{3,}")
_LINE_ENDS = re.compile(r"[ \t]+\n")


def readable_text(html: str, base: str) -> tuple[str, str]:
    """Title and text of a page at ``base``."""
    reader = _Reader(base)
    reader.feed(html)
    reader.close()
    return reader.title, reader.text()


class _FullError(Exception):
    """Enough was read."""


class _Reader(HTMLParser):
    def __init__(self, base: str) -> None:
        super().__init__(convert_charrefs=True)
        self._base = base
        self._out: list[str] = []
        self._length = 0
        self._elements = 0
        self._dropping = ""
        self._dropped_depth = 0
        self._pre = 0
        self._in_title = False
        self._lists: list[int | None] = []
        self._link: str | None = None
        self._link_start = 0
        self._cells = 0
        self._full = False
        self.title = ""

    def feed(self, data: str) -> None:
        try:
            super().feed(data)
        except _FullError:
            self._full = True

    def close(self) -> None:
        try:
            if not self._full:
                super().close()
        except _FullError:
            self._full = True

    def text(self) -> str:
        text = _LINE_ENDS.sub("\n", "".join(self._out))
        text = _MANY_LINES.sub("\n\n", text).strip()
        return f"{text}\n[the page is longer]" if self._full else text

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._elements += 1
        if self._elements > MAX_ELEMENTS:
            raise _FullError
        if self._dropping:
            self._dropped_depth += tag == self._dropping
            return
        if tag in _DROPPED:
            self._dropping, self._dropped_depth = tag, 1
            return
        if tag in _HEADINGS:
            self._new_block(f"{_HEADINGS[tag]} ")
        elif tag in _BLOCKS and tag not in ("ul", "ol"):
            self._new_block()
        starter = _STARTERS.get(tag)
        if starter is not None:
            starter(self, {name: value or "" for name, value in attrs})

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # "<script/>" opens a script in HTML, but nobody who writes it means that.
        if tag not in _DROPPED:
            self.handle_starttag(tag, attrs)
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._dropping:
            self._dropped_depth -= tag == self._dropping
            if self._dropped_depth <= 0:
                self._dropping = ""
            return
        ender = _ENDERS.get(tag)
        if ender is not None:
            ender(self)
        if tag in _HEADINGS or tag in _BLOCKS:
            self._new_block()

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title = (self.title + _BLANKS.sub(" ", data))[:300]
        elif self._dropping:
            return
        elif self._pre:
            self._write(data)
        else:
            text = _BLANKS.sub(" ", data)
            if text == " " and self._at_line_start():
                return
            self._write(text.lstrip() if self._at_line_start() else text)

    def _write(self, text: str) -> None:
        self._out.append(text)
        self._length += len(text)
        if self._length > MAX_CHARS:
            raise _FullError

    def _at_line_start(self) -> bool:
        return not self._out or self._out[-1].endswith(("\n", "- ", "# ", ". "))

    def _new_line(self) -> None:
        if self._out and not self._out[-1].endswith("\n"):
            self._write("\n")

    def _new_block(self, start: str = "") -> None:
        self._new_line()
        if not self._lists:
            self._write("\n")
        if start:
            self._write(start)

    def start_title(self, attributes: dict[str, str]) -> None:
        self._in_title = not self.title

    def end_title(self) -> None:
        self._in_title = False

    def start_break(self, attributes: dict[str, str]) -> None:
        self._write("\n")

    def start_rule(self, attributes: dict[str, str]) -> None:
        self._new_block("---")
        self._new_block()

    def start_pre(self, attributes: dict[str, str]) -> None:
        self._pre += 1
        self._new_block("```\n")

    def end_pre(self) -> None:
        if self._pre:
            self._pre -= 1
            self._new_line()
            self._write("```\n")

    def start_code(self, attributes: dict[str, str]) -> None:
        if not self._pre:
            self._write("`")

    def end_code(self) -> None:
        self.start_code({})

    def start_list(self, attributes: dict[str, str]) -> None:
        self._new_line()
        if len(self._lists) < MAX_DEPTH:
            self._lists.append(None)

    def start_numbered_list(self, attributes: dict[str, str]) -> None:
        self._new_line()
        if len(self._lists) < MAX_DEPTH:
            self._lists.append(0)

    def end_list(self) -> None:
        if self._lists:
            self._lists.pop()

    def start_item(self, attributes: dict[str, str]) -> None:
        self._new_line()
        self._write("  " * min(max(len(self._lists) - 1, 0), _MAX_INDENT))
        number = self._lists[-1] if self._lists else None
        if number is None:
            self._write("- ")
        else:
            self._lists[-1] = number + 1
            self._write(f"{number + 1}. ")

    def start_row(self, attributes: dict[str, str]) -> None:
        self._new_line()
        self._cells = 0

    def start_cell(self, attributes: dict[str, str]) -> None:
        if self._cells:
            self._write(" | ")
        self._cells += 1

    def start_link(self, attributes: dict[str, str]) -> None:
        self.end_link()
        href = attributes.get("href", "").strip()
        if href and not href.startswith(("#", "javascript:", "data:")):
            self._link = _joined(self._base, href)
            self._link_start = len(self._out)

    def end_link(self) -> None:
        if self._link is not None:
            if "".join(self._out[self._link_start :]).strip():
                self._write(f" ({self._link})")
            self._link = None

    def start_image(self, attributes: dict[str, str]) -> None:
        alt = _BLANKS.sub(" ", attributes.get("alt", "")).strip()
        if alt:
            self._write(f"[image: {alt[:200]}]")


def _joined(base: str, href: str) -> str:
    try:
        return urljoin(base, href)[:_MAX_LINK]
    except ValueError:
        return href[:_MAX_LINK]


_STARTERS: dict[str, Callable[[_Reader, dict[str, str]], None]] = {
    "title": _Reader.start_title,
    "br": _Reader.start_break,
    "hr": _Reader.start_rule,
    "pre": _Reader.start_pre,
    "code": _Reader.start_code,
    "ul": _Reader.start_list,
    "ol": _Reader.start_numbered_list,
    "li": _Reader.start_item,
    "tr": _Reader.start_row,
    "td": _Reader.start_cell,
    "th": _Reader.start_cell,
    "a": _Reader.start_link,
    "img": _Reader.start_image,
}
_ENDERS: dict[str, Callable[[_Reader], None]] = {
    "title": _Reader.end_title,
    "pre": _Reader.end_pre,
    "code": _Reader.end_code,
    "ul": _Reader.end_list,
    "ol": _Reader.end_list,
    "a": _Reader.end_link,
}


def main() -> None:
    """UTF-8 HTML on standard input, its address as argument; title and text as JSON."""
    seconds, memory = int(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    title, text = readable_text(sys.stdin.buffer.read().decode("utf-8", "replace"), sys.argv[1])
    sys.stdout.write(json.dumps([title, text]))


if __name__ == "__main__":
    main()
