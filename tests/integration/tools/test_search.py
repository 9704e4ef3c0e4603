import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.toolbox.base import Tool, ToolCall, ToolResult
from runner.tools.search.tools import MAX_PATHS, GlobTool, GrepTool, Searcher, SearchTools

PROGRAMS = sorted({"", shutil.which("rg") or ""})
"""Without ripgrep, and with it where it is."""

Search = Callable[..., str]


def use(folder: Path, program: str, name: str, **arguments: object) -> ToolResult:
    tools: dict[str, Tool] = {
        tool.spec.name: tool for tool in SearchTools(lambda: folder, program).tools()
    }
    return asyncio.run(tools[name].run(arguments, ToolCall("c")))


@pytest.fixture
def search(tmp_path: Path) -> Search:
    """Both ways must find the same."""

    def run(name: str, **arguments: object) -> str:
        found = [use(tmp_path, program, name, **arguments).text for program in PROGRAMS]
        assert len(set(found)) == 1
        return found[0].replace(f"{tmp_path}/", "")

    return run


def write(folder: Path, **files: str) -> None:
    for number, (name, text) in enumerate(files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (1_000_000 - number, 1_000_000 - number))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    files = {
        "src/a.py": "import os\nNeedle = 1\n",
        "src/deep/b.py": "x\n",
        "b.txt": "no\nneedle here\n",
        ".hidden/c.py": "x\n",
        "d.md": "first\nsecond\nthird\nfourth\nfifth\n",
    }
    write(tmp_path, **files)
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.py", "src/a.py src/deep/b.py .hidden/c.py"),
        ("**/*.py", "src/a.py src/deep/b.py .hidden/c.py"),
        ("src/*.py", "src/a.py"),
        ("src/**", "src/a.py src/deep/b.py"),
        ("./src/**/b.*", "src/deep/b.py"),
        ("*.{txt,md}", "b.txt d.md"),
        ("[bd].*", "src/deep/b.py b.txt d.md"),
        ("?.txt", "b.txt"),
        ("a", "(no file matches)"),
        ("[", "(no file matches)"),
    ],
)
def test_files_are_found_by_their_paths(
    tree: Path, search: Search, pattern: str, found: str
) -> None:
    expected = found if found.startswith("(") else "\n".join(found.split())

    assert search("glob", pattern=pattern) == expected
    assert search("glob", pattern=f"{tree}/src/a.py") == "src/a.py"


def test_a_glob_begins_where_it_is_told_to(tree: Path, search: Search) -> None:
    assert search("glob", pattern="deep/*", path="src") == "src/deep/b.py"
    assert "is not a folder" in search("glob", pattern="*", path="b.txt")
    assert "there is no file or folder nowhere" in search("glob", pattern="*", path="nowhere")


def test_lines_are_found_by_their_content(tree: Path, search: Search) -> None:
    assert search("grep", pattern="needle") == "b.txt"
    assert search("grep", pattern="needle", ignore_case=True, mode="content") == (
        "b.txt:2:needle here\nsrc/a.py:2:Needle = 1"
    )
    assert search("grep", pattern="x", mode="count", glob="*.py") == (
        ".hidden/c.py:1\nsrc/deep/b.py:1"
    )
    assert search("grep", pattern="absent") == "(nothing found)"
    assert search("grep", pattern="o", path="b.txt", mode="content") == "b.txt:1:no"


def test_only_files_with_wanted_names_are_searched(tree: Path, search: Search) -> None:
    assert search("grep", pattern=".", glob="src/**/*.py") == "src/a.py\nsrc/deep/b.py"
    assert search("grep", pattern=".", glob="*.{md,txt}") == "b.txt\nd.md"
    assert search("grep", pattern=".", glob="?.md") == "d.md"


def test_lines_around_are_shown(tree: Path, search: Search) -> None:
    around = {"mode": "content", "context": 1}

    assert search("grep", pattern="second|fifth", glob="*.md", **around) == (
        "d.md:1-first\nd.md:2:second\nd.md:3-third\nd.md:4-fourth\nd.md:5:fifth"
    )
    assert search("grep", pattern="first|fifth", glob="*.md", **around) == (
        "d.md:1:first\nd.md:2-second\n--\nd.md:4-fourth\nd.md:5:fifth"
    )
    assert search("grep", pattern="Needle|needle", **around) == (
        "b.txt:1-no\nb.txt:2:needle here\n--\nsrc/a.py:1-import os\nsrc/a.py:2:Needle = 1"
    )


def test_a_match_may_span_lines(tree: Path, search: Search) -> None:
    spanned = search("grep", pattern="second.third", mode="content", multiline=True)

    assert spanned == "d.md:2:second\nd.md:3:third"
    assert search("grep", pattern="second.third") == "(nothing found)"


def test_what_ignore_files_leave_out_is_left_out(tmp_path: Path, search: Search) -> None:
    rules = "# comment\n*.log\n!keep.log\n/top.txt\nbuild/\ndocs/*.tmp\n\\#odd\ntrailing \n"
    files = {
        ".gitignore": rules,
        "a.log": "x",
        "keep.log": "x",
        "top.txt": "x",
        "sub/top.txt": "x",
        "build/out": "x",
        "sub/build/out": "x",
        "docs/a.tmp": "x",
        "docs/deep/a.tmp": "x",
        "#odd": "x",
        "trailing": "x",
        "sub/.gitignore": "!special.log\nown",
        "sub/special.log": "x",
        "sub/own": "x",
        "own": "x",
        ".ignore": "by-ignore",
        "by-ignore": "x",
        "sub/.rgignore": "!by-ignore",
        "sub/by-ignore": "x",
        "all/.gitignore": "**\n!kept",
        "all/x": "x",
        "all/kept": "x",
        ".git/config": "x",
        "nested/.git/config": "x",
        "nested/.git/info/exclude": "secret",
        "nested/secret": "x",
        "nested/open": "x",
    }
    write(tmp_path, **files)
    kept = [
        ".gitignore", "keep.log", "sub/top.txt", "docs/deep/a.tmp", "sub/.gitignore",
        "sub/special.log", "own", ".ignore", "sub/.rgignore", "sub/by-ignore",
        "all/kept", "nested/open",
    ]  # fmt: skip

    assert search("glob", pattern="*").split("\n") == kept
    found = search("grep", pattern="^x$").split("\n")
    assert sorted(found) == sorted(
        name for name in kept if not name.rpartition("/")[2].startswith(".")
    )
    assert search("grep", pattern="x", glob="*.log").split("\n") == [
        "keep.log", "sub/special.log",
    ]  # fmt: skip
    assert search("grep", pattern="x", path="a.log") == "a.log"
    assert search("glob", pattern="*", path="sub").split("\n") == [
        "sub/top.txt", "sub/.gitignore", "sub/special.log", "sub/.rgignore", "sub/by-ignore",
    ]  # fmt: skip


def test_binary_files_links_and_pipes_are_left_out(tmp_path: Path, search: Search) -> None:
    write(tmp_path, **{"a.txt": "needle\n"})
    (tmp_path / "b.bin").write_bytes(b"\0\0\0needle\n")
    (tmp_path / "link.txt").symlink_to("a.txt")
    (tmp_path / "up").symlink_to(".")
    os.mkfifo(tmp_path / "pipe")

    assert search("glob", pattern="*.txt") == "a.txt"
    assert search("grep", pattern="needle") == "a.txt"


def test_long_lines_are_cut(tmp_path: Path, search: Search) -> None:
    write(tmp_path, **{"a.txt": "needle" + "x" * 100_000})

    (line,) = search("grep", pattern="needle", mode="content").split("\n")

    assert line.startswith("a.txt:1:needlexxx")
    assert len(line) < 700


def test_results_are_limited_and_it_is_said(tmp_path: Path, search: Search) -> None:
    write(tmp_path, **{f"{number:04}": "line\n" * 2 for number in range(300)})

    paths = search("glob", pattern="*").split("\n")
    assert len(paths) == MAX_PATHS + 1
    assert paths[-1] == "[100 more files]"
    assert search("glob", pattern="*", limit=2) == "0000\n0001\n[298 more files]"
    assert search("grep", pattern="l", mode="content").endswith("[350 more lines]")
    assert len(search("glob", pattern="*", limit=1000).split("\n")) == 300


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_is_no_pattern_is_told(tmp_path: Path, program: str) -> None:
    for pattern in ("(", "a{2,1}", "x" * 20_000, "\0", "\ud800"):
        assert use(tmp_path, program, "grep", pattern=pattern).is_error
    for path in ("\0", "\ud800", "x" * 5000):
        assert use(tmp_path, program, "glob", pattern="*", path=path).is_error


def test_a_pattern_that_takes_forever_is_ended(tmp_path: Path) -> None:
    write(tmp_path, **{"a.txt": "needle\n", "b.txt": "a" * 100 + "\n"})
    searcher = Searcher(lambda: tmp_path, None, 2.0)

    result = asyncio.run(GrepTool(searcher).run({"pattern": "needle|(a+)+$b"}, ToolCall("c")))

    assert result.text.splitlines() == [
        str(tmp_path / "a.txt"),
        "[the search was ended at its time limit; look in a smaller folder]",
    ]


def test_a_program_that_never_ends_is_ended(tmp_path: Path) -> None:
    stuck = tmp_path / "rg"
    stuck.write_text("#!/bin/sh\nsleep 1000\n")
    stuck.chmod(0o755)
    searcher = Searcher(lambda: tmp_path, str(stuck), 0.2)
    tools: tuple[Tool, ...] = (GlobTool(searcher), GrepTool(searcher))

    for tool in tools:
        result = asyncio.run(tool.run({"pattern": "x"}, ToolCall("c")))
        assert "ended at its time limit" in result.text


@pytest.mark.parametrize("program", PROGRAMS)
def test_too_much_output_is_cut(tmp_path: Path, program: str) -> None:
    write(tmp_path, **{f"{n}.txt": ("x" * 400 + "\n") * 1000 for n in range(30)})

    text = use(tmp_path, program, "grep", pattern="x", mode="content", limit=2500).text

    assert len(text) < 31_000
    assert "far too much" in text


@given(pattern=st.text(max_size=30), text=st.text(max_size=60))
@settings(deadline=None, max_examples=15)
def test_no_pattern_makes_a_search_raise(
    tmp_path_factory: pytest.TempPathFactory, pattern: str, text: str
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "a.txt").write_text(text, errors="replace")

    for program in PROGRAMS:
        assert use(folder, program, "glob", pattern=pattern).parts
        assert use(folder, program, "grep", pattern=pattern, glob=pattern).parts
