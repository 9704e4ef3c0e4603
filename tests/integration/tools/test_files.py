import asyncio
import json
import os
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.toolbox.base import (
    Arguments,
    ImagePart,
    ToolCall,
    ToolResult,
    text_result,
)
from runner.tools.files.numbering import MAX_LINE
from runner.tools.files.tools import READ, FileTool, FileTools


def png(width: int = 1, height: int = 1) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + header + b"crc_\0\0\0\0IEND\xaeB`\x82"


class Hands:
    """The tools at work in one folder."""

    def __init__(self, folder: Path) -> None:
        files = FileTools(lambda: folder, (folder / "out" / "outbound.db", folder / "in"))
        self._tools = {tool.spec.name: tool for tool in files.tools()}

    def use(self, name: str, **arguments: object) -> ToolResult:
        return asyncio.run(self._tools[name].run(arguments, ToolCall("c")))

    def edit(self, path: str, old: str, new: str) -> ToolResult:
        self.use("read_file", path=path)
        return self.use("edit_file", path=path, old_text=old, new_text=new)


@pytest.fixture
def hands(tmp_path: Path) -> Hands:
    return Hands(tmp_path)


def test_a_text_is_read_with_line_numbers(hands: Hands, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\nthree\n")

    assert hands.use("read_file", path="a.txt").text == "     1\tone\n     2\ttwo\n     3\tthree"
    part = hands.use("read_file", path="a.txt", offset=2, limit=1).text
    assert part == "     2\ttwo\n[lines 2 to 2 of 3; go on with offset 3]"


def test_images_are_shown_as_such(hands: Hands, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "a.bin").write_bytes(b"\0\1\2")

    assert isinstance(hands.use("read_file", path="a.png").parts[0], ImagePart)
    assert hands.use("read_file", path="a.bin").text.endswith("a binary file of 3 bytes")


def test_images_that_no_endpoint_would_take_are_refused(hands: Hands, tmp_path: Path) -> None:
    (tmp_path / "wide.png").write_bytes(png(8001, 10))
    (tmp_path / "big.png").write_bytes(png() + b"\0" * 6_000_000)
    (tmp_path / "half.png").write_bytes(png()[:40])

    assert "8001 x 10 pixels, and 8000 a side" in hands.use("read_file", path="wide.png").text
    assert "larger than 3.75 MB" in hands.use("read_file", path="big.png").text
    assert "damaged or not complete" in hands.use("read_file", path="half.png").text
    for name in ("wide", "big", "half"):
        assert hands.use("read_file", path=f"{name}.png").is_error


def test_a_notebook_is_shown_as_text(hands: Hands, tmp_path: Path) -> None:
    outputs: list[object] = [
        {"output_type": "stream", "text": ["2\n"]},
        {"output_type": "error", "ename": "E", "evalue": "v"},
    ]
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "text"]},
        {"cell_type": "code", "source": "1 + 1", "outputs": outputs},
        "no cell",
    ]
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": cells}))
    (tmp_path / "deep.ipynb").write_text("[" * 100_000)

    shown = hands.use("read_file", path="a.ipynb").text
    assert [line.partition("\t")[2] for line in shown.splitlines()[:-1]] == [
        "# [markdown]", "# Title", "text", "", "# [code]", "1 + 1", "# [output]", "2",
        "# [output]", "E: v",
    ]  # fmt: skip
    assert "[line cut]" in hands.use("read_file", path="deep.ipynb").text


def test_lines_end_with_line_feeds_only(hands: Hands, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("a\x0cb\u2028c\x85d\re\nlast\r\n".encode())

    shown = hands.use("read_file", path="a.txt").text

    assert shown == "     1\ta\x0cb\u2028c\x85d\re\n     2\tlast"


def test_a_long_line_is_cut_and_a_long_file_is_paged(hands: Hands, tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("ü" * 200_000 + "\nend\n")
    (tmp_path / "many.txt").write_text("x" * 100 + "\n" + "line\n" * 100_000)

    first, second = hands.use("read_file", path="long.txt").text.split("\n")
    assert first == f"     1\t{'ü' * MAX_LINE} [line cut]"
    assert second == "     2\tend"
    shown = hands.use("read_file", path="many.txt").text
    assert shown.endswith("[lines 1 to 2000 of 100001; go on with offset 2001]")
    rest = hands.use("read_file", path="many.txt", offset=100_001).text
    assert rest == "100001\tline"
    assert "only 100001 lines" in hands.use("read_file", path="many.txt", offset=100_002).text


def test_bytes_that_are_no_text_are_marked_and_stay(hands: Hands, tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"caf\xe9\nnext\n")

    assert hands.use("read_file", path="a.txt").text == (
        "     1\tcaf\ufffd\n     2\tnext\n[what is no UTF-8 text is shown as \ufffd]"
    )
    shown = hands.edit("a.txt", "next", "changed \udce9").text
    assert "caf\ufffd" in shown
    assert file.read_bytes() == b"caf\xe9\nchanged ?\n"


def test_other_encodings_are_read_and_not_changed(hands: Hands, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("größe\r\nx".encode("utf-16"))

    assert "     1\tgröße\n     2\tx" in hands.use("read_file", path="a.txt").text
    assert "not UTF-8 text" in hands.edit("a.txt", "x", "y").text


@pytest.mark.parametrize(
    ("before", "old", "new", "after"),
    [
        (b"a\r\nb\r\n", "a\nb", "a\nx\nb", b"a\r\nx\r\nb\r\n"),
        (b"a\r\nb\r\n", "b", "b\nc", b"a\r\nb\r\nc\r\n"),
        (b"a\r\nb", "b", "c", b"a\r\nc"),
        (b"a\r\nb\nc\n", "b\nc", "b\nd", b"a\r\nb\nd\n"),
        (b"\xef\xbb\xbfa\n", "a", "b", b"\xef\xbb\xbfb\n"),
    ],
    ids=["several lines", "a new line", "no final end", "mixed ends", "byte order mark"],
)
def test_an_edit_keeps_the_ends_of_lines(
    hands: Hands, tmp_path: Path, before: bytes, old: str, new: str, after: bytes
) -> None:
    (tmp_path / "a.txt").write_bytes(before)

    hands.edit("a.txt", old, new)

    assert (tmp_path / "a.txt").read_bytes() == after


def test_line_numbers_in_an_edit_are_told(hands: Hands, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n")

    assert "leave out the line numbers" in hands.edit("a.txt", "     1\tone", "x").text


def test_an_edit_that_would_grow_without_bound_is_refused(hands: Hands, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x" * 100_000)
    hands.use("read_file", path="a.txt")

    grown = hands.use(
        "edit_file", path="a.txt", old_text="x", new_text="y" * 10_000, replace_all=True
    )

    assert "too large" in grown.text


def test_a_link_is_written_through_and_stays(hands: Hands, tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("one\n")
    (tmp_path / "link.txt").symlink_to("real.txt")
    (tmp_path / "loop").symlink_to("loop")

    assert "two" in hands.edit("link.txt", "one", "two").text

    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "two\n"
    hands.use("edit_file", path="real.txt", old_text="two", new_text="three")
    assert (tmp_path / "real.txt").read_text() == "three\n"
    for tool in ("read_file", "write_file"):
        assert "cannot be" in hands.use(tool, path="loop", content="x").text


def test_a_file_that_was_not_read_is_not_overwritten(hands: Hands, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("theirs")
    (tmp_path / "folder").mkdir()

    assert "before you change it" in hands.use("write_file", path="a.txt", content="mine").text
    assert "not a regular file" in hands.use("write_file", path="folder", content="mine").text
    assert (tmp_path / "a.txt").read_text() == "theirs"


def test_a_change_of_the_same_moment_and_length_is_noticed(hands: Hands, tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("one")
    hands.use("read_file", path="a.txt")
    times = (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    (tmp_path / "b.txt").write_text("two")
    (tmp_path / "b.txt").replace(file)
    os.utime(file, ns=times)

    edit = hands.use("edit_file", path="a.txt", old_text="two", new_text="x")

    assert "has changed since" in edit.text


def test_what_was_written_may_be_changed_again(hands: Hands, tmp_path: Path) -> None:
    hands.use("write_file", path="a.txt", content="one")
    hands.use("edit_file", path="a.txt", old_text="one", new_text="two")
    hands.use("write_file", path="a.txt", content="three")

    assert (tmp_path / "a.txt").read_text() == "three"
    (tmp_path / "a.txt").unlink()
    assert "there is no file" in hands.edit("a.txt", "three", "x").text


def test_paths_that_are_none_are_told(hands: Hands) -> None:
    for path in ("", "a\0b", "x" * 5000, "\ud800", "a" * 300, "a/../" * 900):
        for tool in ("read_file", "write_file", "edit_file", "insert_lines"):
            result = hands.use(tool, path=path, content="", old_text="a", new_text="b", line=0,
                               text="")  # fmt: skip
            assert result.is_error or path.startswith("a/..")


def test_a_folder_is_listed_two_levels_deep(hands: Hands, tmp_path: Path) -> None:
    (tmp_path / "sub" / "deep").mkdir(parents=True)
    (tmp_path / "sub" / "deep" / "hidden").touch()
    for number in range(30):
        (tmp_path / "sub" / f"{number:02}").touch()
    (tmp_path / "z").touch()

    lines = hands.use("read_file", path=".").text.splitlines()

    assert lines[1:4] == ["sub/", "  00", "  01"]
    assert lines[-2:] == ["  ...", "z"]


def test_a_file_system_that_never_answers_ends_the_call() -> None:
    async def never(arguments: Arguments) -> ToolResult:
        await asyncio.Event().wait()
        return text_result("")

    result = asyncio.run(FileTool(READ, never, 0.01).run({}, ToolCall("c")))

    assert result.is_error
    assert "did not answer within 0.01 s" in result.text


@given(text=st.text(max_size=200), line=st.integers(0, 30), block=st.text(max_size=50))
@settings(deadline=None, max_examples=50)
def test_what_is_written_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, text: str, line: int, block: str
) -> None:
    folder = tmp_path_factory.mktemp("round")
    hands = Hands(folder)

    hands.use("write_file", path="a", content=text)
    shown = hands.use("read_file", path="a").text
    inserted = hands.use("insert_lines", path="a", line=line, text=block)

    raw = (folder / "a").read_bytes()
    if inserted.is_error:
        assert raw.decode() == text
    else:
        assert block.replace("\r\n", "\n") in raw.decode().replace("\r\n", "\n")
    if text and "\0" not in text and len(text.splitlines()) == 1:
        assert shown.partition("\t")[2] == text.removeprefix("\ufeff").rstrip("\n").removesuffix(
            "\r"
        )


def test_pipes_and_devices_are_refused_without_waiting(hands: Hands, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    assert "not a regular file" in hands.use("read_file", path="pipe").text
    assert "not a regular file" in hands.use("read_file", path="/dev/zero").text


def test_a_missing_file_is_told_with_similar_names(hands: Hands, tmp_path: Path) -> None:
    (tmp_path / "report.md").write_text("x")

    assert "did you mean report.md" in hands.use("read_file", path="repor.md").text


def test_an_edit_needs_the_file_read_and_one_match(hands: Hands, tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("x = 1\nx = 1\ny = 2\n")
    file.chmod(0o755)
    edit = {"path": "a.txt", "old_text": "y = 2", "new_text": "y = 3"}

    assert "read" in hands.use("edit_file", **edit).text
    hands.use("read_file", path="a.txt")
    twice = hands.use("edit_file", path="a.txt", old_text="x = 1", new_text="x")
    assert "occurs 2 times (lines 1, 2)" in twice.text
    assert "y = 3" in hands.use("edit_file", **edit).text
    hands.use("edit_file", path="a.txt", old_text="x = 1", new_text="z", replace_all=True)

    assert file.read_text() == "z\nz\ny = 3\n"
    assert file.stat().st_mode & 0o777 == 0o755


def test_a_file_that_changed_meanwhile_is_not_overwritten(hands: Hands, tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old")
    hands.use("read_file", path="a.txt")
    file.write_text("new")
    os.utime(file, ns=(1, 1))

    assert "has changed since" in hands.use("write_file", path="a.txt", content="mine").text
    assert file.read_text() == "new"


def test_lines_are_inserted(hands: Hands, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\nthree")
    hands.use("read_file", path="a.txt")

    hands.use("insert_lines", path="a.txt", line=1, text="two")
    hands.use("insert_lines", path="a.txt", line=0, text="zero\n")

    assert (tmp_path / "a.txt").read_text() == "zero\none\ntwo\nthree"


def test_the_session_is_not_written_to(hands: Hands, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "in")

    for path in ("out/outbound.db", "in/inbound.db", "link/session.json"):
        assert "belongs to the session" in hands.use("write_file", path=path, content="x").text
    assert not (tmp_path / "in").exists()


def test_a_new_file_comes_with_its_folders(hands: Hands, tmp_path: Path) -> None:
    hands.use("write_file", path="a/b/c.txt", content="x\n")

    assert (tmp_path / "a" / "b" / "c.txt").read_text() == "x\n"
