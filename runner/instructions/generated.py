"""Tells a CLAUDE.md that an earlier version composed from one that somebody wrote. Pure.

Earlier versions wrote the composed file into the group's folder, where it may still lie: a comment
in the first line, then nothing but imports of generated files. It is out of date and not read; the
host's own composition is in the session's ``in`` folder.
"""

import re

_IMPORT = re.compile(r"@(?:\./)?\.claude-(?:shared|global|fragments/[^/\s]+)(?:\.md)?")


def is_generated(text: str) -> bool:
    first, *others = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    if not (first.startswith("<!--") and first.endswith("-->")):
        return False
    return bool(others) and all(_IMPORT.fullmatch(line) for line in others)
