"""What every command of ``ncl`` prints, as text and as JSON, kept in ``tests/golden/ncl``.

A real admin process answers; each scene begins with the same home. Whatever depends on the day
or on the machine is written as zeros of the same width.
"""

import contextlib
import io
import re
import shlex
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.admin_desk import FakeServices
from helpers.golden import check_golden
from helpers.host import Host, small_host
from helpers.ncl_hands import Hands
from helpers.ncl_scenes import SCENES
from helpers.ncl_town import THEN, build_town
from helpers.waiting import wait_until

from nanoclaw.admin.commands import host_registry
from nanoclaw.cli.main import ncl_main
from nanoclaw.config import HostConfig
from nanoclaw.log import LOG_NAME
from nanoclaw.paths import HostPaths
from nanoclaw.version import VERSION

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "ncl"
SECONDS_OF_A_SCENE = 10

LOG_LINES = """\
2024-02-03T04:05:06.000Z INFO delivery sent session=sess-1
2024-02-03T04:05:07.000Z WARNING delivery channel is down channel=telegram
2024-02-03T04:05:08.000Z ERROR sweep container has failed session=sess-1
"""
MOMENTARY = ("status", "top")

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
MADE_ID = re.compile(r"\b([a-z]+)-(\d{13})-([0-9a-z]{6,})\b")
UUID = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
PID = re.compile(r'"pid": \d+')
CURSOR = re.compile(r"\d+:\d+(?=\"$)", re.MULTILINE)
HASH = re.compile(r"\b[0-9a-f]{64}\b")


@pytest.fixture(scope="module")
def town() -> Iterator[HostPaths]:
    """As it was built; paths are equally long on every machine, or tables would differ."""
    folder = Path(tempfile.mkdtemp(prefix="nc-town-", dir="/tmp"))
    try:
        yield build_town(folder / "first").paths
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def host(town: HostPaths) -> Iterator[Host]:
    home = town.home.with_name("house")
    shutil.copytree(town.home, home)
    with small_host(home, "admin") as host, Hands(HostConfig(home), FakeServices):
        with (host.paths.logs / LOG_NAME).open("a") as log:
            log.write(LOG_LINES)
        wait_until(lambda: is_read(home), within=30, what="all conversations are read")
        yield host


def is_read(home: Path) -> bool:
    """Whether the words of the town can be found."""
    found = typed(f"search leave --home {home} --json", home)
    return '"sessions_to_read": 0' in found and '"message_id"' in found


class House:
    """The running host's home, which can be made as it was in the beginning."""

    def __init__(self, town: HostPaths, paths: HostPaths) -> None:
        self._town = town
        self.paths = paths

    def reset(self) -> None:
        copy_database(self._town.central_db, self.paths.central_db)
        for name in ("groups", "data/v2-sessions"):
            shutil.rmtree(self.paths.home / name)
            shutil.copytree(self._town.home / name, self.paths.home / name)


@pytest.fixture
def house(town: HostPaths, host: Host, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setenv("NANOCLAW_HOME", str(host.paths.home))
    return House(town, host.paths)


def copy_database(source: Path, target: Path) -> None:
    """Into the open database of a running process, as one transaction."""
    with (
        contextlib.closing(sqlite3.connect(source)) as original,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        original.backup(copy)


def test_every_command_has_its_scene() -> None:
    assert SCENES.keys() == {command.name for command in host_registry()}


@pytest.mark.parametrize("name", SCENES)
def test_transcript_is_as_it_was(name: str, house: House, request: pytest.FixtureRequest) -> None:
    home = house.paths.home
    house.reset()
    parts = [typed(line, home) for line in SCENES[name]]
    house.reset()
    parts.append(typed(f"{SCENES[name][0]} --json", home))

    text = "\n".join(parts)
    check_golden(
        request, GOLDEN / f"{name}.txt", without_moment(text) if name in MOMENTARY else text
    )


def test_no_transcript_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == SCENES.keys()


def typed(line: str, home: Path) -> str:
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    words = shlex.split(line)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = ncl_main([*words, "--timeout", str(SECONDS_OF_A_SCENE)])
    text = f"$ ncl {line}\n" + written(out)
    text += "".join(f"! {error}\n" for error in written(err).splitlines())
    text += f"[{status}]\n" if status else ""
    return without_chance(text, home)


def written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode()


def without_chance(text: str, home: Path) -> str:
    text = text.replace(str(home), "/home")
    text = TIME.sub(lambda found: known_time(found[0]), text)
    text = MADE_ID.sub(lambda found: f"{found[1]}-{'0' * 13}-{'0' * len(found[3])}", text)
    text = UUID.sub("00000000-0000-0000-0000-000000000000", text)
    text = HASH.sub("0" * 64, text)
    text = CURSOR.sub("0:0", text)
    return PID.sub('"pid": 0', text).replace(f'"{VERSION}"', '"0"')


def without_moment(text: str) -> str:
    """No numbers, and columns as if all were equally wide."""
    text = re.sub(r"(?<!^\[)\d+(\.\d+)?", "0", text, flags=re.MULTILINE)
    return re.sub(r"(?<=\S) {2,}", "  ", re.sub("─+", "─", text))


def known_time(text: str) -> str:
    return text if text.startswith(str(THEN.year)) else "0000-00-00T00:00:00.000Z"
