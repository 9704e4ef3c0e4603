"""Folders, user ids and chats made from what people type when they set something up.

Pure; used by the tools for first agents and by ``nanoclaw group``. Names in other alphabets are
written with Latin letters first, so that neither a folder nor a file name loses its meaning
(S-241): letters with marks by Unicode's own decomposition, Cyrillic and Greek by the tables below,
Japanese syllables and Korean by their Unicode names. What has no letters to offer stays out.
"""

# ruff: noqa: RUF001  the letters of other alphabets are the point of the table

import re
import unicodedata

from nanoclaw.containers.group_folder import GLOBAL_FOLDER, is_valid_folder
from nanoclaw.db.names import normalize_name

MAX_FOLDER = 64
LETTERS = {
    # Latin letters that do not decompose
    "ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i",
    # Cyrillic
    "а": "a", "б": "b", "в": "v", "г": "g", "д": "d", "е": "e", "ё": "e", "ж": "zh", "з": "z",
    "и": "i", "й": "i", "к": "k", "л": "l", "м": "m", "н": "n", "о": "o", "п": "p", "р": "r",
    "с": "s", "т": "t", "у": "u", "ф": "f", "х": "kh", "ц": "ts", "ч": "ch", "ш": "sh",
    "щ": "shch", "ъ": "", "ы": "y", "ь": "", "э": "e", "ю": "yu", "я": "ya", "і": "i", "ї": "i",
    "є": "ye", "ґ": "g", "ў": "u", "ђ": "dj", "ј": "j", "љ": "lj", "њ": "nj", "ћ": "c", "џ": "dz",
    # Greek
    "α": "a", "β": "v", "γ": "g", "δ": "d", "ε": "e", "ζ": "z", "η": "i", "θ": "th", "ι": "i",
    "κ": "k", "λ": "l", "μ": "m", "ν": "n", "ξ": "x", "ο": "o", "π": "p", "ρ": "r", "σ": "s",
    "ς": "s", "τ": "t", "υ": "y", "φ": "f", "χ": "ch", "ψ": "ps", "ω": "o",
}  # fmt: skip
_NAMED = re.compile(r"(?:HIRAGANA|KATAKANA) LETTER (?:SMALL )?([A-Z]+)|HANGUL SYLLABLE ([A-Z]+)")


def transliterated(text: str) -> str:
    """In small letters, of the Latin alphabet as far as they can be told."""
    return "".join(_latin(letter) for letter in unicodedata.normalize("NFC", text).lower())


def _latin(letter: str) -> str:
    if letter.isascii():
        return letter
    named = _NAMED.fullmatch(unicodedata.name(letter, ""))
    if named is not None:
        return (named[1] or named[2]).lower()
    if letter in LETTERS:
        return LETTERS[letter]
    bare = [
        part for part in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(part)
    ]
    return "".join(LETTERS.get(part, part) for part in bare)


def normalise_name(text: str) -> str:
    """S-241: small letters, digits and hyphens; never empty."""
    return normalize_name(transliterated(text))


def folder_of(text: str, prefix: str = "") -> str:
    """A folder that is allowed, from a name and what stands before it."""
    return f"{prefix}{normalise_name(text)}"[:MAX_FOLDER].rstrip("-")


def folder_problem(folder: str) -> str | None:
    """What is wrong with a folder that somebody chose (S-245), or None."""
    if is_valid_folder(folder):
        return None
    if folder.strip().lower() == GLOBAL_FOLDER:
        return f"the folder {GLOBAL_FOLDER!r} is the memory that all agents share; choose another"
    return (
        f"the folder {folder!r} is not allowed: 1 to {MAX_FOLDER} letters, digits, '-' or '_', "
        "beginning with a letter or digit"
    )


def is_group_chat(channel: str, platform_id: str) -> bool:
    """What the id of a chat says about it (S-120); where it says nothing, a group."""
    bare = platform_id.removeprefix(f"{channel}:")
    match channel:
        case "cli":
            return False
        case "whatsapp":
            return bare.endswith("@g.us")
        case "telegram":
            return bare.startswith("-")
        case "discord":
            return not bare.startswith("@me")
        case "slack":
            return not bare.startswith("D")
        case "signal":
            return bare.startswith("group:")
    return True
