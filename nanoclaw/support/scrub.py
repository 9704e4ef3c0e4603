"""Takes out of texts what is nobody's business: keys, tokens, numbers, addresses of people.

Used by ``bundle`` for every text that leaves the machine. First by value and by pattern, then the
leak scanner looks for the owner's secrets in every form it knows; a line that still has one is
left out whole, and so is a part.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nanoclaw.leaks.scanner import Scanner

SHORTEST_VALUE = 6
PART_WITHHELD = "[withheld: it holds a secret that could not be cut out]\n"

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [^-]+-----.*?(?:-----END [^-]+-----|\Z)", re.DOTALL), "[key]"),
    (re.compile(r"(\w+://)[^\s/@\"']+@"), r"\1[login]@"),
    (re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"), "[mail]"),
    (re.compile(r"eyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"), "[token]"),
    (re.compile(r"(?:sk|pk|rk|ghp|gho|ghs|ghu|github_pat|glpat|xox[abeprs]|hf|AKIA|AIza)"
                r"[-_]?[A-Za-z0-9_-]{12,}"), "[key]"),
    (re.compile(r"\b\d{6,}:[A-Za-z0-9_-]{20,}"), "[token]"),
    (re.compile(r"(?i)\b((?:bearer|basic|token)\s+)[A-Za-z0-9+/=._~-]{8,}"), r"\1[token]"),
    (re.compile(r"(?i)((?:api[-_]?key|token|secret|password|passwd|authorization|passphrase)"
                r"[\"']?\s*[=:]\s*[\"']?)(?!\[)[^\s\"',;&}]{4,}"), r"\1[secret]"),
    (re.compile(r"(?<!\w)\+\d[\d ().-]{6,}\d"), "[number]"),
    (re.compile(r"(?<![\w.])\(?0\d{1,5}\)?[ /-]\d[\d -]{4,}\d"), "[number]"),
    (re.compile(r"(?<![\w.-])-?\d{9,}(?![\w.])"), "[number]"),
)  # fmt: skip
_LONG = re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9+/_=-]{28,}(?![A-Za-z0-9])")


@dataclass(frozen=True, slots=True)
class Scrubber:
    """``values`` are the secrets themselves, also those too weak for the scanner."""

    scanner: Scanner
    values: Sequence[str]

    def text(self, text: str) -> str:
        for value in sorted(self.values, key=len, reverse=True):
            if len(value) >= SHORTEST_VALUE:
                text = text.replace(value, "[secret]")
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return self._scanned(_LONG.sub(_if_random, text))

    def value(self, value: object) -> object:
        """JSON with every text in it scrubbed, keys too."""
        return _mapped(value, self.text)

    def _scanned(self, text: str) -> str:
        if self.scanner.find(text.encode()) is None:
            return text
        lines = [self._line(line) for line in text.splitlines(keepends=True)]
        kept = "".join(lines)
        return kept if self.scanner.find(kept.encode()) is None else PART_WITHHELD

    def _line(self, line: str) -> str:
        found = self.scanner.find(line.encode())
        return line if found is None else f"[line withheld: {found.name} {found.form}]\n"


def _if_random(found: re.Match[str]) -> str:
    """Long words with digits and both cases are keys more often than names."""
    word = found[0]
    tests = (str.isdigit, str.isupper, str.islower)
    return "[token]" if all(any(map(test, word)) for test in tests) else word


def _mapped(value: object, scrub: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, dict):
        return {scrub(str(key)): _mapped(item, scrub) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(item, scrub) for item in value]
    return value
