"""What the first bytes of an image say: its format and its size in pixels.

Pure. Used where a file or a server hands over an image, because a model's endpoint refuses a whole
request for one image that is not what it claims to be. No imaging library is needed for this.
"""

import struct
from dataclasses import dataclass

MAX_IMAGE_BASE64 = 5 * 1000 * 1000
"""Characters; the endpoint's limit for one image."""
MAX_IMAGE_PIXELS = 8000
"""Width or height; the endpoint refuses larger ones."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    media_type: str
    width: int
    height: int


def read_image_header(data: bytes) -> ImageHeader | None:
    """None: not one of PNG, JPEG, GIF and WebP, or cut off before its size. Never raises."""
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR":
            return ImageHeader("image/png", *struct.unpack(">II", data[16:24]))
        if data.startswith((b"GIF87a", b"GIF89a")):
            return ImageHeader("image/gif", *struct.unpack("<HH", data[6:10]))
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return _webp(data)
        if data.startswith(b"\xff\xd8\xff"):
            return _jpeg(data)
    except (struct.error, IndexError):
        return None
    return None


def media_kind(data: bytes) -> str | None:
    """The media type that a model can be shown, by the first bytes."""
    if data[:1024].lstrip().startswith(b"%PDF-"):
        return "application/pdf"
    header = read_image_header(data)
    return header.media_type if header is not None else None


def _webp(data: bytes) -> ImageHeader | None:
    kind = data[12:16]
    if kind == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
    elif kind == b"VP8L" and data[20] == 0x2F:
        (bits,) = struct.unpack("<I", data[21:25])
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = (part & 0x3FFF for part in struct.unpack("<HH", data[26:30]))
    else:
        return None
    return ImageHeader("image/webp", width, height)


def _jpeg(data: bytes) -> ImageHeader | None:
    """Walks over the segments to the one that begins the frame."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return None
        kind = data[at + 1]
        if kind == 0xFF:  # padding
            at += 1
        elif 0xD0 <= kind <= 0xD8 or kind == 0x01:  # no length
            at += 2
        elif 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return ImageHeader("image/jpeg", width, height)
        else:
            (length,) = struct.unpack(">H", data[at + 2 : at + 4])
            at += 2 + max(length, 2)
    return None
