"""What a fetched body says: its character set, and HTML as text within a limited time.

Called by ``fetch``. The parsing runs in a child process that is killed when it takes too long; then
a much cruder reading, linear in the length, takes its place.
"""

import asyncio
import html
import json
import re
import sys
from pathlib import Path

PARSE_SECONDS = 10
PARSE_MEMORY = 1024 * 1024 * 1024
MAX_CHARS = 400_000
_PROGRAM = Path(__file__).with_name("readable.py")
_HEAD_BYTES = 4096

_META = re.compile(
    rb"<meta[^<>]{0,300}charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE
)
_CHARSETS = re.compile(
    r"utf-?(8|16|32)(-?(le|be))?|(us-)?ascii|latin-?1|iso-?8859-\d{1,2}|iso-2022-(jp|kr)"
    r"|windows-125\d|cp(125\d|437|850|866|932)|koi8-[ru]|shift[-_]?jis|euc-?(jp|kr)|gb2312|gbk"
    r"|gb18030|big5(-hkscs)?|macintosh|mac-roman|tis-620",
    re.IGNORECASE,
)
"""Python knows more, and some of them take the square of the length."""

_PROGRAM_START = re.compile(r"<(script|style)\b", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")
_BLANKS = re.compile(r"\s+")


def decoded(body: bytes, declared: str, *, is_html: bool) -> str:
    """By byte order mark, header, meta element, and finally by what fits."""
    for mark, charset in (
        (b"\xef\xbb\xbf", "utf-8"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if body.startswith(mark):
            return body.decode(charset, "replace").removeprefix("\ufeff")
    charset = declared
    if not charset and is_html and (found := _META.search(body[:_HEAD_BYTES])):
        charset = found[1].decode("ascii", "replace")
    if _CHARSETS.fullmatch(charset):
        try:
            return body.decode(charset, "replace")
        except LookupError:
            pass
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return body.decode("cp1252", "replace")


async def page_text(markup: str, base: str) -> tuple[str, str]:
    """Title and readable text."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", str(_PROGRAM), base, str(PARSE_SECONDS), str(PARSE_MEMORY),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(PARSE_SECONDS + 2):
            output, _ = await child.communicate(markup.encode("utf-8", "replace"))
        title, text = json.loads(output)
    except (TimeoutError, ValueError):
        return "", crude_text(markup)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return str(title), str(text)


def crude_text(markup: str) -> str:
    """Everything that is no tag, in one piece."""
    text = _BLANKS.sub(" ", html.unescape(_TAG.sub(" ", _without_programs(markup)))).strip()
    return text[:MAX_CHARS]


def _without_programs(markup: str) -> str:
    """Scripts and styles cut out, step by step, so that the time stays linear."""
    lower = markup.lower()
    if len(lower) != len(markup):
        lower = markup
    kept: list[str] = []
    place = 0
    while (start := _PROGRAM_START.search(lower, place)) is not None:
        kept.append(markup[place : start.start()])
        end = lower.find(f"</{start[1]}", start.end())
        if end < 0:
            return "".join(kept)
        place = end
    return "".join([*kept, markup[place:]])
