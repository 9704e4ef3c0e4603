"""What an image is and how large, by its first bytes (R-253). Pure; needs no library.

An endpoint that is sent one image which it refuses would refuse the whole conversation from then
on. So ``box`` and ``read_file`` let nothing through that is not plainly an image within its limits.
Nothing here looks at the pixels.
"""

import base64
import binascii
import struct

from runner.toolbox.base import ImagePart

MAX_BASE64 = 5 * 1024 * 1024
MAX_BYTES = MAX_BASE64 * 3 // 4
MAX_PIXELS = 8000
"""On each side; what the Messages API takes."""

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
_NO_FRAME = frozenset({0xC4, 0xC8, 0xCC})
"""JPEG markers in the range of the frame headers that are none."""


def picture_type(head: bytes) -> str | None:
    """The media type, or None for what is no image that can be shown."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in _SIGNATURES if head.startswith(start)), None)


def problem_of_picture(part: ImagePart) -> str:
    """Why it cannot be shown; empty when it can."""
    if len(part.data) > MAX_BASE64:
        return f"it has more than {MAX_BYTES} bytes"
    try:
        data = base64.b64decode(part.data, validate=True)
    except (binascii.Error, ValueError):
        return "its data is damaged"
    if picture_type(data) != part.media_type:
        return f"it is no {part.media_type}"
    return problem_of_bytes(data)


def problem_of_bytes(data: bytes) -> str:
    """As above, for an image file that was read as a whole."""
    if len(data) > MAX_BYTES:
        return f"it has {len(data)} bytes, and {MAX_BYTES} can be shown"
    size = picture_size(data)
    if size is None or not _is_whole(data):
        return "the file is damaged or not complete"
    if max(size) > MAX_PIXELS:
        return f"it has {size[0]} x {size[1]} pixels, and {MAX_PIXELS} a side can be shown"
    return ""


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Width and height, both at least 1; None when the file does not say."""
    try:
        size = _READERS[picture_type(data) or ""](data)
    except (KeyError, struct.error, IndexError):
        return None
    return size if size is not None and min(size) > 0 else None


def _png(data: bytes) -> tuple[int, int] | None:
    if data[12:16] != b"IHDR":
        return None
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def _gif(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack("<HH", data[6:10])
    return width, height


def _jpeg(data: bytes) -> tuple[int, int] | None:
    """Goes from segment to segment up to the frame header."""
    place = 2
    while place + 9 < len(data):
        if data[place] != 0xFF:
            return None
        marker = data[place + 1]
        if marker == 0xFF:  # padding
            place += 1
        elif 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME:
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return width, height
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:  # without a length
            place += 2
        else:
            (length,) = struct.unpack(">H", data[place + 2 : place + 4])
            if length < 2:
                return None
            place += 2 + length
    return None


def _webp(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L" and data[20] == 0x2F:
        (bits,) = struct.unpack("<I", data[21:25])
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", data[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None


_READERS = {"image/png": _png, "image/gif": _gif, "image/jpeg": _jpeg, "image/webp": _webp}


def _is_whole(data: bytes) -> bool:
    """Whether the end is there: half a download is the usual damage. Cameras append to theirs."""
    match picture_type(data):
        case "image/png":
            return b"IEND" in data[-65536:]
        case "image/jpeg":
            return b"\xff\xd9" in data[-1024 * 1024 :]
        case "image/gif":
            return b";" in data[-1024:]
        case _:
            return int.from_bytes(data[4:8], "little") + 8 <= len(data)
