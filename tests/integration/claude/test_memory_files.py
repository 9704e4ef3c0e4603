"""Archives, earlier transcripts and the list of models as files."""

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, timedelta
from pathlib import Path

import pytest

from contract.clock import to_text, utc_now
from runner.errors import ProviderError, Trouble
from runner.providers.claude.archive import ArchiveStyle, write_archive
from runner.providers.claude.capabilities import COMPATIBLE, UNKNOWN
from runner.providers.claude.models import DEFAULT_MODEL, ModelCatalog, clean_name
from runner.providers.claude.spoken import Spoken
from runner.providers.claude.takeover import TakenOver, take_over

FOREIGN = "0b9bb3d0-1111-4222-8333-444455556666"
SPOKEN = (Spoken(True, "hi"), Spoken(False, "hello"))


def style(workspace: Path) -> ArchiveStyle:
    return ArchiveStyle(workspace, "UTC", UTC)


def test_archive_never_overwrites_another(tmp_path: Path) -> None:
    names = [write_archive(SPOKEN, style(tmp_path), "Same name") for _ in range(3)]

    day = f"{utc_now():%Y-%m-%d}"
    assert names == [f"{day}-same-name.md", f"{day}-same-name-2.md", f"{day}-same-name-3.md"]
    assert "**Assistant**: hello" in (tmp_path / "conversations" / str(names[2])).read_text()


def test_nothing_said_makes_no_archive(tmp_path: Path) -> None:
    assert write_archive((), style(tmp_path)) is None
    assert not (tmp_path / "conversations").exists()


def test_link_in_place_of_an_archive_is_not_written_through(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    folder = tmp_path / "conversations"
    folder.mkdir()
    (folder / f"{utc_now():%Y-%m-%d}-x.md").symlink_to(target)

    name = write_archive(SPOKEN, style(tmp_path), "x")

    assert name is not None
    assert name.endswith("-x-2.md")
    assert target.read_text() == "precious"


def transcript(home: Path, records: Sequence[object], project: str = "-workspace-agent") -> Path:
    folder = home / ".claude" / "projects" / project
    folder.mkdir(parents=True)
    path = folder / f"{FOREIGN}.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def message(role: str, content: object, **more: object) -> dict[str, object]:
    return {"type": role, "message": {"role": role, "content": content}, **more}


def conversation() -> list[object]:
    return [
        {"type": "summary", "summary": "not a message"},
        message("user", "remember the milk"),
        message("user", "not ours", isMeta=True),
        message("assistant", "of a sub-agent", isSidechain=True),
        message("assistant", [{"type": "thinking", "thinking": "hm"}]),
        message("assistant", [{"type": "text", "text": '<message to="ann">I will</message>'}]),
        message("user", [{"type": "tool_result", "tool_use_id": "t", "content": "secret output"}]),
        {"type": "user", "message": "broken"},
        [],
    ]


def test_earlier_transcript_becomes_archive_and_note(tmp_path: Path) -> None:
    transcript(tmp_path / "home", conversation())

    taken = take_over(FOREIGN, tmp_path / "home", style(tmp_path))

    assert taken is not None
    assert taken.archive is not None
    archived = (tmp_path / "conversations" / taken.archive).read_text()
    for text in (archived, taken.note):
        assert "remember the milk" in text
        assert "→ ann: I will" in text
        assert "secret output" not in text
        assert "not ours" not in text
        assert "sub-agent" not in text
    assert taken.archive in taken.note


def test_takeover_after_a_crash_does_not_archive_twice(tmp_path: Path) -> None:
    transcript(tmp_path / "home", conversation())

    taken = [take_over(FOREIGN, tmp_path / "home", style(tmp_path)) for _ in range(2)]

    assert taken[0] == taken[1]
    assert len(list((tmp_path / "conversations").iterdir())) == 1


def test_broken_lines_are_passed_over(tmp_path: Path) -> None:
    path = transcript(tmp_path / "home", conversation())
    path.write_bytes(b"\xff\xfe{\n" + path.read_bytes() + b'{"type":"us')

    assert isinstance(take_over(FOREIGN, tmp_path / "home", style(tmp_path)), TakenOver)


@pytest.mark.parametrize("foreign", ["../../etc/passwd", "", "x" * 100, FOREIGN])
def test_without_a_transcript_nothing_is_taken_over(tmp_path: Path, foreign: str) -> None:
    assert take_over(foreign, tmp_path / "home", style(tmp_path)) is None


def test_named_pipe_in_place_of_a_transcript_does_not_block(tmp_path: Path) -> None:
    folder = tmp_path / "home" / ".claude" / "projects" / "p"
    folder.mkdir(parents=True)
    os.mkfifo(folder / f"{FOREIGN}.jsonl")

    assert take_over(FOREIGN, tmp_path / "home", style(tmp_path)) is None


def test_newest_of_two_transcripts_counts(tmp_path: Path) -> None:
    old = transcript(tmp_path / "home", [message("user", "old words")], "a")
    transcript(tmp_path / "home", [message("user", "new words")], "b")
    os.utime(old, (1, 1))

    taken = take_over(FOREIGN, tmp_path / "home", style(tmp_path))

    assert taken is not None
    assert "new words" in taken.note


def entry(name: str, created: str, **more: object) -> dict[str, object]:
    line = name.split("-")[1]
    known = {"id": name, "line": line, "lifecycle": "active", "created_at": created}
    return known | {"max_input_tokens": 777_000, "max_tokens": 50_000} | more


LISTED = [
    entry("claude-opus-5-5", "2026-09-22T00:00:00Z"),
    entry("claude-opus-6", "2026-11-20T00:00:00Z"),
    entry("claude-opus-7", "2026-12-20T00:00:00Z", lifecycle="deprecated"),
    entry("claude-sonnet-5-5", "2026-09-28T00:00:00Z"),
]


class Api:
    """The Models API, or its absence."""

    def __init__(self, answer: Sequence[Mapping[str, object]] | Exception) -> None:
        self._answer = answer
        self.asked = 0

    async def __call__(self) -> Sequence[Mapping[str, object]]:
        self.asked += 1
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


UNREACHABLE = ProviderError(Trouble.NETWORK, "no way")


def test_alias_is_the_newest_active_model_of_its_line(tmp_path: Path) -> None:
    catalog = ModelCatalog(tmp_path / "runner" / "models.json", Api(LISTED))

    choice = asyncio.run(catalog.choose("Opus"))

    assert choice.id == "claude-opus-6"
    assert choice.capabilities.context_tokens == 777_000


def test_list_is_kept_for_the_next_process(tmp_path: Path) -> None:
    cache = tmp_path / "models.json"
    asyncio.run(ModelCatalog(cache, Api(LISTED)).choose("opus"))
    api = Api(UNREACHABLE)
    catalog = ModelCatalog(cache, api)

    choice = asyncio.run(catalog.choose("opus"))

    assert choice.id == "claude-opus-6"
    assert api.asked == 0
    assert not catalog.is_stale


@pytest.mark.parametrize("hours", [25, -2])
def test_list_of_another_day_is_used_but_stale(tmp_path: Path, hours: int) -> None:
    cache = tmp_path / "models.json"
    at = to_text(utc_now() - timedelta(hours=hours))
    cache.write_text(json.dumps({"at": at, "models": LISTED}))
    catalog = ModelCatalog(cache, Api(UNREACHABLE))

    choice = asyncio.run(catalog.choose("opus"))
    asyncio.run(catalog.refresh())

    assert choice.id == "claude-opus-6"
    assert catalog.is_stale


@pytest.mark.parametrize(
    ("name", "expected"),
    [("opus", "claude-opus-5-5"), ("fable", "claude-fable-5-2"), (None, DEFAULT_MODEL)],
)
def test_table_helps_when_the_api_is_unreachable(
    tmp_path: Path, name: str | None, expected: str
) -> None:
    choice = asyncio.run(ModelCatalog(tmp_path / "models.json", Api(UNREACHABLE)).choose(name))

    assert choice.id == expected
    assert choice.capabilities.context_tokens == 1_000_000


def test_known_name_does_not_wait_for_the_network(tmp_path: Path) -> None:
    api = Api(LISTED)

    asyncio.run(ModelCatalog(tmp_path / "models.json", api).choose("claude-sonnet-5-5"))

    assert api.asked == 0


def test_unknown_name_is_passed_on_with_careful_defaults(tmp_path: Path) -> None:
    choice = asyncio.run(ModelCatalog(tmp_path / "m.json", Api(LISTED)).choose("house-model"))

    assert choice.id == "house-model"
    assert choice.capabilities == UNKNOWN


def test_compatible_endpoint_is_asked_for_nothing(tmp_path: Path) -> None:
    choice = asyncio.run(ModelCatalog(tmp_path / "m.json", None).choose("qwen:32b"))

    assert choice.id == "qwen:32b"
    assert choice.capabilities == COMPATIBLE


@pytest.mark.parametrize("text", ["", "{", "[]", '{"at": 7, "models": []}', "\x00" * 50])
def test_broken_cache_is_no_cache(tmp_path: Path, text: str) -> None:
    (tmp_path / "models.json").write_text(text)

    choice = asyncio.run(ModelCatalog(tmp_path / "models.json", Api(LISTED)).choose("opus"))

    assert choice.id == "claude-opus-6"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (None, DEFAULT_MODEL),
        (" ", DEFAULT_MODEL),
        ("opus[1m]", "opus"),
        ("claude-opus-5-5[1m]", "claude-opus-5-5"),
        ("SONNET", "sonnet"),
        ("My-Model", "My-Model"),
    ],
)
def test_names_are_cleaned(name: str | None, expected: str) -> None:
    assert clean_name(name) == expected
