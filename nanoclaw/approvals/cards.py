"""How an approver is shown what would happen: all of it, harmless to look at, without secrets.

Pure. Used by whoever requests an approval, to word its question. Whatever an agent or a stranger
has written is bounded, stands on one line, and shows what is hidden (W-6): control and formatting
characters, characters without width, and long runs of blanks become escapes, so that two different
texts never look the same. What is cut says so. Look-alike letters of other alphabets stay as they
are.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

MAX_VALUE_CHARACTERS = 1000
MAX_BLOCK_LINE = 4000
MAX_LINES = 100
MAX_BODY_CHARACTERS = 12_000
MASK = "•••"
ABSENT = "(nothing)"

_LONG_BLANKS = re.compile(r" {4,}")
_INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    + "".join(chr(code) for code in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))
)
"""Counted as printable and yet not to be seen: fillers and variation selectors."""
_SHORT_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}

_SECRET_NAME = re.compile(
    r"pass|secret|token|api.?key|auth|credential|cookie|session|private|signature|salt|\bpw\b"
    r"|bearer|jwt|(^|[_-])key($|[_-])",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"\b(?:sk-|pk-|rk_|gh[opsru]_|github_pat_|glpat-|xox[a-z]-|xapp-|AKIA|ASIA|AIza|ya29\.|npm_"
    r"|eyJ[A-Za-z0-9_-]{8,}\.)[A-Za-z0-9._/+=-]{6,}"
)
_BEARER = re.compile(r"\b((?:Bearer|Basic|Token)\s+)[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE)
_LOGIN = re.compile(r"://[A-Za-z0-9._~%+-]*:[A-Za-z0-9._~%+!*,=-]*@")
_QUERY = re.compile(r"([?&][A-Za-z0-9._-]{1,64}=)[A-Za-z0-9._~%+/-]+")
"""Only characters that no shell reads as anything else: what is hidden is never a command."""
_ASSIGNMENT = re.compile(r"^(?P<name>[A-Za-z0-9_.-]{1,64})(?P<joint>=|:\s*)(?P<value>\S+)$")
_TOKEN_LIKE = re.compile(r"[A-Za-z0-9._~+/=:-]{6,512}")
_HARMLESS_VALUE = re.compile(
    r"(?:true|false|yes|no|on|off|auto|none|debug|info|warn|warning|error|production|development"
    r"|test|utf-?8|c|posix|\d{1,5}|[a-z]{2}_[A-Z]{2}(?:\.UTF-8)?|[A-Z][A-Za-z_]+/[A-Za-z_]{2,30})",
    re.IGNORECASE,
)
_STEERING = re.compile(
    r"(?:LD_|DYLD_|PYTHON|NODE_|PERL|RUBY|GEM_|JAVA_|JDK_|_JAVA|CLASSPATH|BASH_|ENV$|SHELL|IFS$"
    r"|PATH$|PS4$|PROMPT_COMMAND|EDITOR|VISUAL|PAGER|GIT_|SSH_|NPM_CONFIG_|PIP_|UV_|CURL_|SSL_"
    r"|REQUESTS_CA|HOME$|TMPDIR$)(?!.*(?:token|password|passwd|secret|api_?key)$)",
    re.IGNORECASE,
)
_PLACE_NAME = re.compile(
    r"(?:_PROXY|_URL|_URI|_HOST|_ENDPOINT|_BASE|_COMMAND|_CMD|_ARGS|_OPTIONS|_OPTS|_FLAGS|_PATH"
    r"|_FILE|_DIR)$",
    re.IGNORECASE,
)
"""These two decide what runs or where data goes: hiding their values would hide an attack."""


def shown(text: str, limit: int = MAX_VALUE_CHARACTERS) -> str:
    """One line in which everything can be seen; at most ``limit`` characters and a remark."""
    pieces: list[str] = []
    length = 0
    for index, piece in enumerate(_pieces(text[: limit + 1])):
        if length + len(piece) > limit:
            return "".join(pieces) + f"… (+{len(text) - index} characters)"
        pieces.append(piece)
        length += len(piece)
    return "".join(pieces)


def code(text: str, limit: int = MAX_VALUE_CHARACTERS) -> str:
    """As ``shown``, in a code span: nothing in it is markup, a mention or a link."""
    inner = shown(text, limit).replace("`", "\\x60")
    if not inner:
        return "(empty)"
    return f"`{inner}`" if inner == inner.strip() else f'`"{inner}"`'


def command_line(command: str, arguments: Sequence[str]) -> list[str]:
    """The program and each argument on a line of its own, so that none can pose as two."""
    lines = [f"command: {code(command)}"]
    lines += [
        f"argument {number}: {code(text)}"
        for number, text in enumerate(masked_arguments(arguments), start=1)
    ]
    return lines


def masked_arguments(arguments: Sequence[str]) -> list[str]:
    """Secrets are hidden only where the hidden word is one; a script never is."""
    masked: list[str] = []
    expects_secret = False
    for argument in arguments:
        if expects_secret and _TOKEN_LIKE.fullmatch(argument):
            masked.append(mask(argument))
        else:
            masked.append(without_secrets(argument))
        expects_secret = (
            argument.startswith("-") and "=" not in argument and bool(_SECRET_NAME.search(argument))
        )
    return masked


def without_secrets(text: str) -> str:
    """Well-known tokens, ``password=...`` and credentials in addresses are hidden."""
    assignment = _ASSIGNMENT.match(text)
    if assignment is not None and _SECRET_NAME.search(assignment["name"]):
        value = assignment["value"]
        if _TOKEN_LIKE.fullmatch(value):
            return f"{assignment['name']}{assignment['joint']}{mask(value)}"
    text = _BEARER.sub(lambda found: found[1] + MASK, text)
    text = _LOGIN.sub(f"://{MASK}@", text)
    text = _QUERY.sub(_masked_query, text)
    return _SECRET_VALUE.sub(lambda found: mask(found[0]), text)


def _masked_query(found: re.Match[str]) -> str:
    return found[1] + MASK if _SECRET_NAME.search(found[1]) else found[0]


def mask(value: str) -> str:
    return f"{MASK} ({len(value)} characters)"


def environment(variables: Mapping[str, str]) -> list[str]:
    """Every name; its value only where that is clearly harmless, or decides what runs."""
    return [f"{code(name, 200)} = {_variable(name, value)}" for name, value in variables.items()]


def _variable(name: str, value: str) -> str:
    if not value:
        return "(empty)"
    is_secret = _SECRET_NAME.search(name) is not None
    if _STEERING.match(name) or (_PLACE_NAME.search(name) and not is_secret):
        return f"{code(without_secrets(value))} (decides what runs or where data goes)"
    if not is_secret and _HARMLESS_VALUE.fullmatch(value):
        return code(value)
    return mask(value)


def change(name: str, before: str | None, after: str | None) -> str:
    """One line: what it is and what it would be."""
    old = ABSENT if before is None else code(before)
    new = ABSENT if after is None else code(after)
    return f"{shown(name, 100)}: {old} → {new}"


def listing(name: str, items: Iterable[str]) -> list[str]:
    """A heading and one line per item; no lines for none."""
    lines = [f"- {code(item, 200)}" for item in items]
    return [f"{name}:", *lines] if lines else []


def block(name: str, text: str) -> list[str]:
    """A heading with the text below it, each of its lines on one; ``none`` for no text."""
    if not text.strip():
        return [f"{name}: none"]
    return [f"{name}:", *(f"  {shown(line, MAX_BLOCK_LINE)}" for line in text.split("\n"))]


def body(lines: Iterable[str]) -> str:
    """The text of a card. What does not fit is counted: nothing is left out in silence."""
    kept: list[str] = []
    length = 0
    every = list(lines)
    for line in every:
        if len(kept) >= MAX_LINES or length + len(line) > MAX_BODY_CHARACTERS:
            kept.append(
                f"… {len(every) - len(kept)} more lines do not fit here. Reject if in doubt."
            )
            break
        kept.append(line)
        length += len(line) + 1
    return "\n".join(kept)


def _pieces(text: str) -> Iterable[str]:
    """Each character as it is shown."""
    blanks = {
        position
        for found in _LONG_BLANKS.finditer(text)
        for position in range(found.start(), found.end())
    }
    for position, character in enumerate(text):
        if position in blanks:
            yield "\\x20"
        else:
            yield _piece(character)


def _piece(character: str) -> str:
    short = _SHORT_ESCAPES.get(character)
    if short is not None:
        return short
    if character.isprintable() and character not in _INVISIBLE:
        return character
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
