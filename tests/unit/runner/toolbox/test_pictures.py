import base64
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.toolbox.base import ImagePart
from runner.toolbox.pictures import (
    MAX_BASE64,
    picture_size,
    picture_type,
    problem_of_bytes,
    problem_of_picture,
)


def png(width: int, height: int) -> bytes:
    header = struct.pack(">II", width, height) + b"\x08\x02\0\0\0"
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + header + b"\0\0\0\0\0\0\0\0IEND\xaeB`\x82"


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0\0\0;"


def jpeg(width: int, height: int) -> bytes:
    thumbnail = b"\xff\xe1\x00\x08" + b"\xff\xc0abcd"
    frame = b"\xff\xff\xc2\x00\x11\x08" + struct.pack(">HH", height, width) + b"\x03" + b"\0" * 9
    return b"\xff\xd8" + thumbnail + b"\xff\xdd\x00\x04\0\0" + frame + b"\xff\xd9"


def webp(kind: bytes, body: bytes) -> bytes:
    inner = b"WEBP" + kind + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(inner)) + inner


LOSSY = webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 300, 200) + b"\0" * 8)
LOSSLESS = webp(b"VP8L", b"\x2f" + struct.pack("<I", 299 | 199 << 14) + b"\0" * 8)
EXTENDED = webp(b"VP8X", b"\0\0\0\0" + (299).to_bytes(3, "little") + (199).to_bytes(3, "little"))


@pytest.mark.parametrize(
    "data", [png(300, 200), gif(300, 200), jpeg(300, 200), LOSSY, LOSSLESS, EXTENDED],
    ids=["png", "gif", "jpeg", "webp lossy", "webp lossless", "webp extended"],
)  # fmt: skip
def test_every_kind_says_how_large_it_is(data: bytes) -> None:
    assert picture_size(data) == (300, 200)
    assert problem_of_bytes(data) == ""
    assert problem_of_bytes(data[:12]) != ""


@pytest.mark.parametrize("make", [png, gif, jpeg])
def test_too_many_pixels_are_told(make: object) -> None:
    assert callable(make)

    assert "8001 x 3 pixels" in problem_of_bytes(make(8001, 3))
    assert "damaged" in problem_of_bytes(make(0, 3))


def test_an_image_must_be_what_it_is_called() -> None:
    data = base64.b64encode(png(1, 1)).decode()

    assert problem_of_picture(ImagePart("image/png", data)) == ""
    assert problem_of_picture(ImagePart("image/gif", data)) == "it is no image/gif"
    assert problem_of_picture(ImagePart("image/png", "no base64!")) == "its data is damaged"
    assert "bytes" in problem_of_picture(ImagePart("image/png", "A" * (MAX_BASE64 + 4)))


STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"RIFF\x20\0\0\0WEBPVP8 ", b"")


@given(st.sampled_from(STARTS), st.binary(max_size=60))
@settings(deadline=None, max_examples=300)
def test_no_bytes_make_it_raise(start: bytes, rest: bytes) -> None:
    data = start + rest

    assert picture_type(data) is not None or picture_size(data) is None
    problem_of_bytes(data)
