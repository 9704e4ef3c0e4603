"""Cuts a long text into pieces that fit a platform's limit (H-279, C-56a).

Pure. The cut is at the last blank line within the limit, else at a line end, else at a blank,
else anywhere; blanks at the cut are dropped. Every piece fits and none is empty.
"""

from nanoclaw.capabilities import TextUnit


def measure(text: str, unit: TextUnit) -> int:
    """Length of the text as the platform counts it."""
    if unit is TextUnit.BYTES:
        return len(text.encode("utf-8", "replace"))
    if unit is TextUnit.UTF16:
        return len(text.encode("utf-16-le", "surrogatepass")) // 2
    return len(text)


def split_for_limit(text: str, limit: int, unit: TextUnit = TextUnit.CHARS) -> list[str]:
    """The pieces; one unchanged piece if the text fits. Raises ValueError for a limit below 4."""
    if limit < 4:
        raise ValueError("no character is sure to fit a limit below 4")
    pieces: list[str] = []
    while measure(text, unit) > limit:
        cut = _cut(text, _fitting(text, limit, unit))
        piece = text[:cut].rstrip()
        if piece:
            pieces.append(piece)
        text = text[cut:].lstrip()
    if text:
        pieces.append(text)
    return pieces


def _fitting(text: str, limit: int, unit: TextUnit) -> int:
    """How many characters fit; every character counts at least one unit."""
    if unit is TextUnit.CHARS:
        return limit
    low, high = 1, min(limit, len(text))
    while low < high:
        middle = (low + high + 1) // 2
        if measure(text[:middle], unit) <= limit:
            low = middle
        else:
            high = middle - 1
    return low


def _cut(text: str, most: int) -> int:
    for separator in ("\n\n", "\n", " "):
        at = text.rfind(separator, 1, most + len(separator))
        if at > 0 and text[:at].strip():
            return at
    return most
