import asyncio
import os
from pathlib import Path

import pytest

from runner.toolbox.base import DocumentPart, ImagePart, ToolCall, ToolResult
from runner.tools.files.tools import FileTools
from runner.tools.search import SearchTools

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100


class Hands:
    """The tools at work in one folder."""

    def __init__(self, folder: Path) -> None:
        files = FileTools(lambda: folder, (folder / "out" / "outbound.db", folder / "in"))
        search = SearchTools(lambda: folder).tools() + SearchTools(lambda: folder, "").tools()
        self._tools = {tool.spec.name: tool for tool in (*search[:2], *files.tools())}
        self._plain = {tool.spec.name: tool for tool in search[2:]}

    def use(self, name: str, **arguments: object) -> ToolResult:
        return asyncio.run(self._tools[name].run(arguments, ToolCall("c")))

    def search(self, name: str, **arguments: object) -> list[str]:
        """Both ways must find the same."""
        found = [
            asyncio.run(tools[name].run(arguments, ToolCall("c"))).text
            for tools in (self._tools, self._plain)
        ]
        assert sorted(found[0].splitlines()) == sorted(found[1].splitlines())
        return found[0].splitlines()


@pytest.fixture
def hands(tmp_path: Path) -> Hands:
    return Hands(tmp_path)


def test_a_text_is_read_with_line_numbers(hands: Hands, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\nthree\n")

    assert hands.use("read_file", path="a.txt").text == "     1\tone\n     2\ttwo\n     3\tthree"
    part = hands.use("read_file", path="a.txt", offset=2, limit=1).text
    assert part == "     2\ttwo\n[lines 2 to 2 of 3; go on with offset 3]"


def test_images_and_documents_are_shown_as_such(hands: Hands, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7 x")
    (tmp_path / "big.png").write_bytes(PNG + b"\0" * 6_000_000)
    (tmp_path / "a.bin").write_bytes(b"\0\1\2")

    assert isinstance(hands.use("read_file", path="a.png").parts[0], ImagePart)
    assert isinstance(hands.use("read_file", path="a.pdf").parts[0], DocumentPart)
    assert "Make it smaller" in hands.use("read_file", path="big.png").text
    assert hands.use("read_file", path="a.bin").text.endswith("a binary file of 3 bytes")


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


def test_files_are_found_by_pattern_and_content(hands: Hands, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("import os\nNeedle = 1\n")
    (tmp_path / "b.txt").write_text("no\nneedle here\n")

    assert hands.search("glob", pattern="*.py") == [str(tmp_path / "src" / "a.py")]
    assert hands.search("grep", pattern="needle") == [str(tmp_path / "b.txt")]
    assert hands.search("grep", pattern="needle", ignore_case=True, mode="content") == [
        f"{tmp_path / 'b.txt'}:2:needle here",
        f"{tmp_path / 'src' / 'a.py'}:2:Needle = 1",
    ]
    assert hands.search("grep", pattern="absent") == ["(nothing found)"]
    assert hands.use("grep", pattern="(").is_error
