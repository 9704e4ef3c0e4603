"""Names of files that came from elsewhere, made safe for a folder of ours or of the user.

Pure; used by the channel and by the chat client.
"""

MAX_NAME_BYTES = 150


def safe_name(name: str) -> str:
    """A file name that stays in its folder and shows what it is; may be empty (H-54)."""
    base = name.replace("\\", "/").rpartition("/")[2]
    shown = "".join(letter for letter in base if letter.isprintable()).strip()
    while len(shown.encode("utf-8", "replace")) > MAX_NAME_BYTES:
        shown = shown[1:]  # the end carries the kind of file
    return "" if shown in (".", "..") else shown
