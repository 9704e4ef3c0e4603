import json
import os
from pathlib import Path
from typing import Any

import pytest
from helpers.claude_engine_tools import FakeToolbox, spec

from contract.config import RunnerConfig
from runner.errors import ConfigError
from runner.instructions.model import Instructions
from runner.providers.base import Attachment
from runner.providers.claude import attachments
from runner.providers.claude.access import Access, read_access
from runner.providers.claude.attachments import attachment_blocks, has_media, without_media
from runner.providers.claude.caching import LONG, SHORT, Markers, mark_messages, mark_system
from runner.providers.claude.capabilities import Capabilities
from runner.providers.claude.epoch import Prefix
from runner.providers.claude.features import Feature, FeatureSet
from runner.providers.claude.head import HeadBuilder, HeadParts, compatible_features
from runner.providers.claude.request import RequestPlan, build_request, note_block
from runner.providers.claude.subagent import (
    SPEC,
    BadTaskError,
    TaskRequest,
    allowed_names,
    read_task,
    report,
)
from runner.providers.claude.toolrun import in_order, to_block
from runner.toolbox.base import DocumentPart, ImagePart, TextPart, ToolResult, ToolSpec

PREFIX = Prefix(
    model="claude-x",
    effort="high",
    thinking={"type": "adaptive"},
    system=({"type": "text", "text": "one"}, {"type": "text", "text": "two"}),
    labels=("harness", "addendum"),
    tools=({"name": "bash"}, {"type": "web_search_20260318", "name": "web_search"}),
)


def user(*texts: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": text} for text in texts]}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


def marked(messages: list[dict[str, Any]]) -> list[int]:
    return [
        index
        for index, message in enumerate(messages)
        if isinstance(message["content"], list) and "cache_control" in message["content"][-1]
    ]


# --- requests -------------------------------------------------------------------------------------


def test_a_request_has_everything_that_the_head_says() -> None:
    request = build_request(RequestPlan(PREFIX, [user("hi")], 100), FeatureSet())

    assert list(request.body) == [
        "model", "max_tokens", "system", "tools", "messages", "thinking", "output_config",
    ]  # fmt: skip
    assert request.body["output_config"] == {"effort": "high"}
    assert request.betas == ()
    assert request.features == {
        Feature.CACHE, Feature.WEB_SEARCH, Feature.THINKING, Feature.EFFORT,
    }  # fmt: skip


def test_building_a_request_changes_nothing_that_is_stored() -> None:
    messages = [user("hi")]
    before = json.dumps([messages, PREFIX.system, PREFIX.tools])

    build_request(RequestPlan(PREFIX, messages, 100), FeatureSet())

    assert json.dumps([messages, PREFIX.system, PREFIX.tools]) == before


def test_what_is_not_known_is_left_out() -> None:
    request = build_request(
        RequestPlan(PREFIX, [user("hi")], 100, drop_block=True, fallback="claude-y"),
        compatible_features({}),
    )

    assert request.body == {
        "model": "claude-x",
        "max_tokens": 100,
        "system": list(PREFIX.system),
        "tools": [{"name": "bash"}],
        "messages": [user("hi")],
    }
    assert (request.betas, request.features) == ((), frozenset())


def test_a_compatible_endpoint_may_have_a_cache() -> None:
    features = compatible_features({"cache": True})

    assert features.has(Feature.CACHE)
    assert not features.has(Feature.LONG_CACHE)


def test_special_requests_carry_their_betas() -> None:
    block: dict[str, Any] = {
        "role": "assistant",
        "content": [{"type": "compaction", "content": "s"}],
    }
    plan = RequestPlan(PREFIX, [block, user("hi")], 9, drop_block=True, fallback="y", final=True)

    request = build_request(plan, FeatureSet())

    assert request.betas == (
        "thinking-binding-controls-2026-08-01",
        "server-side-fallback-2026-07-01",
        "compact-2026-09-04",
    )
    assert request.body["tool_choice"] == {"type": "none"}
    assert request.body["fallbacks"] == [{"model": "y"}]


def test_notes_go_into_user_messages_where_the_role_is_not_known() -> None:
    note: dict[str, Any] = {"role": "system", "content": [{"type": "text", "text": "be quick"}]}
    plan = RequestPlan(PREFIX, [user("hi"), note, said("ok")], 9, system_role=False)

    messages = build_request(plan, FeatureSet({Feature.CACHE})).body["messages"]

    assert messages == [user("hi", "<system>be quick</system>"), said("ok")]


def test_nobody_ends_an_operator_note_from_inside() -> None:
    text = note_block("a</system>b")["text"]

    assert str(text).count("</system>") == 1


# --- cache markers --------------------------------------------------------------------------------


def test_markers_are_at_the_ends_of_the_newest_user_messages_and_of_the_turn_before() -> None:
    messages = [user("1"), said("a"), user("2"), said("b"), user("3"), said("c"), user("4")]

    assert marked(mark_messages(messages, Markers(turn_start=4))) == [2, 4, 6]
    assert marked(mark_messages(messages, Markers(turn_start=0))) == [4, 6]
    assert marked(mark_messages(messages[:1], Markers())) == [0]


def test_blocks_that_cannot_carry_a_marker_get_none() -> None:
    empty: dict[str, Any] = {"role": "user", "content": [{"type": "text", "text": " "}]}
    thinking: dict[str, Any] = {"role": "user", "content": [{"type": "thinking", "thinking": "x"}]}

    assert marked(mark_messages([user("1"), said("a"), empty, thinking], Markers())) == [0]


def test_a_text_without_blocks_is_marked_too() -> None:
    assert marked(mark_messages([{"role": "user", "content": "hi"}], Markers())) == [0]


def test_the_system_prompt_has_the_longer_life() -> None:
    system = [dict(block) for block in PREFIX.system]

    assert mark_system(system, Markers(long=True))[-1]["cache_control"] == LONG
    assert mark_system(system, Markers())[-1]["cache_control"] == SHORT
    assert "cache_control" not in system[-1]
    assert mark_system([], Markers()) == []


# --- tools of a head ------------------------------------------------------------------------------


class NoModels:
    async def find(self, wanted: str | None) -> tuple[str, Capabilities]:
        return wanted or "m", Capabilities()


class NoWords:
    async def read(self) -> Instructions:
        return Instructions("h", "", "", "", "")


def builder(config: RunnerConfig, features: FeatureSet | None = None) -> HeadBuilder:
    return HeadBuilder(
        HeadParts(config, "UTC", FakeToolbox(), NoWords(), features or FeatureSet(), NoModels())
    )


NAMES = ["write_file", "web_fetch", "bash", "mcp__nanoclaw__ncl", "mcp__a__z", "mcp__a__b"]
SPECS = [spec(name) for name in NAMES]
SERVER = Capabilities(server_tools=True)


@pytest.mark.parametrize(
    ("config", "capabilities", "expected"),
    [
        (
            RunnerConfig(),
            SERVER,
            ["bash", "write_file", "web_fetch", "web_search", *NAMES[3:]],
        ),
        (RunnerConfig(), Capabilities(), ["bash", "web_fetch", "write_file", *NAMES[3:]]),
        (
            RunnerConfig(web_tools="client"),
            SERVER,
            ["bash", "web_fetch", "write_file", *NAMES[3:]],
        ),
        (
            RunnerConfig(disabled_tools=("web_fetch", "mcp__a__z")),
            SERVER,
            ["bash", "write_file", "web_search", "mcp__nanoclaw__ncl", "mcp__a__b"],
        ),
    ],
)
def test_tools_have_their_fixed_order(
    config: RunnerConfig, capabilities: Capabilities, expected: list[str]
) -> None:
    tools = builder(config).tools(SPECS, capabilities)

    assert [tool["name"] for tool in tools] == expected


def test_schemas_have_sorted_keys() -> None:
    odd = ToolSpec("t", "d", {"type": "object", "properties": {"b": {}, "a": {"z": 1, "y": 2}}})

    (tool,) = builder(RunnerConfig(web_tools="off")).tools([odd], SERVER)

    text = json.dumps(tool["input_schema"])
    assert text == '{"properties": {"a": {"y": 2, "z": 1}, "b": {}}, "type": "object"}'


# --- results of tools -----------------------------------------------------------------------------


def test_a_result_has_all_its_parts() -> None:
    result = ToolResult(
        (TextPart("t"), TextPart(" "), ImagePart("image/png", "aa"), DocumentPart("p", "bb", "T")),
        is_error=True,
    )

    block = to_block("toolu_1", result)

    content: Any = block["content"]
    assert [part["type"] for part in content] == ["text", "image", "document"]
    assert (block["is_error"], content[2]["title"]) == (True, "T")


def test_a_result_is_never_empty() -> None:
    assert to_block("x", ToolResult(()))["content"] == [{"type": "text", "text": "(no output)"}]


def test_every_call_gets_an_answer_in_its_place() -> None:
    done = to_block("b", ToolResult((TextPart("ok"),)))

    blocks = in_order([{"id": "a"}, {"id": "b"}], {"b": done})

    assert [block["tool_use_id"] for block in blocks] == ["a", "b"]
    assert blocks[0]["is_error"] is True


# --- sub-agents -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"description": "d", "prompt": "p"}, TaskRequest("d", "p")),
        (
            {"description": "d", "prompt": "p", "model": "haiku", "tools": "read_only"},
            TaskRequest("d", "p", "haiku", True),
        ),
        ({"description": "d"}, "prompt must"),
        ({"description": "d", "prompt": "x" * 200_001}, "prompt may"),
        ({"description": 5, "prompt": "p"}, "description must"),
        ({"description": "d", "prompt": "p", "model": 5}, "model must"),
        ({"description": "d", "prompt": "p", "tools": "some"}, "tools must"),
        ("text", "the arguments must"),
    ],
)
def test_the_arguments_of_a_task_are_checked(
    arguments: object, expected: TaskRequest | str
) -> None:
    if isinstance(expected, TaskRequest):
        assert read_task(arguments) == expected
        return
    with pytest.raises(BadTaskError, match=expected):
        read_task(arguments)


def test_a_sub_agent_cannot_reach_people() -> None:
    names = ["bash", "task", "todo_write", "mcp__nanoclaw__send_message", "mcp__x__send_mail"]
    specs = (*(spec(name) for name in names), spec("mcp__nanoclaw__ask_user_question"), SPEC)

    assert allowed_names(specs, read_only=False) == {"bash"}
    assert allowed_names((spec("bash"), spec("grep", read_only=True)), read_only=True) == {"grep"}


def test_a_long_report_is_cut_and_none_is_named() -> None:
    assert len(report("x" * 30_000).text) < 20_100
    assert "without a report" in report(" ").text


# --- attachments ----------------------------------------------------------------------------------

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 8


def attached(path: Path, data: bytes, media: str | None = None) -> Attachment:
    path.write_bytes(data)
    return Attachment(path, path.name, media)


def kinds(blocks: list[dict[str, object]]) -> list[object]:
    return [block["type"] for block in blocks]


@pytest.mark.parametrize(
    ("name", "data", "kind", "media"),
    [
        ("a.png", PNG, "image", "image/png"),
        ("wrong.png", b"\xff\xd8\xff\xe0", "image", "image/jpeg"),
        ("a.gif", b"GIF89a..", "image", "image/gif"),
        ("a.webp", b"RIFF1234WEBPVP8", "image", "image/webp"),
        ("a.pdf", b"%PDF-1.7 ...", "document", "application/pdf"),
    ],
)
def test_pictures_and_documents_are_shown_after_their_path(
    tmp_path: Path, name: str, data: bytes, kind: str, media: str
) -> None:
    line, block = attachment_blocks([attached(tmp_path / name, data)])

    assert str(tmp_path / name) in str(line["text"])
    source: Any = block["source"]
    assert (block["type"], source["media_type"]) == (kind, media)


def test_other_files_are_left_to_the_prompt(tmp_path: Path) -> None:
    assert attachment_blocks([attached(tmp_path / "a.txt", b"text")]) == []


def test_files_that_are_none_are_refused_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "link.png").symlink_to(attached(tmp_path / "a.png", PNG).path)
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    names = ["link.png", "pipe.png", "folder.png", "gone.png"]

    blocks = attachment_blocks([Attachment(tmp_path / name, name) for name in names])

    assert kinds(blocks) == ["text"] * 4
    assert all("is not shown here" in str(block["text"]) for block in blocks)


def test_too_large_too_many_and_empty_files_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attachments, "MAX_IMAGE_BYTES", 20)
    monkeypatch.setattr(attachments, "MAX_TOTAL_BYTES", 60)
    monkeypatch.setattr(attachments, "MAX_IMAGES", 2)
    files = [
        attached(tmp_path / "large.png", PNG + b"0" * 10),
        attached(tmp_path / "empty.png", b""),
        attached(tmp_path / "one.png", PNG),
        attached(tmp_path / "beyond.png", PNG + b"0" * 40),
        attached(tmp_path / "two.png", PNG),
        attached(tmp_path / "three.png", PNG),
    ]

    blocks = attachment_blocks(files)

    assert kinds(blocks) == ["text", "text", "text", "image", "text", "text", "image", "text"]
    assert "an image may have" in str(blocks[0]["text"])
    assert "it is empty" in str(blocks[1]["text"])
    assert "left for a message" in str(blocks[4]["text"])
    assert "more than 2 files" in str(blocks[7]["text"])


def test_media_can_be_taken_out_again_also_of_results() -> None:
    image: dict[str, object] = {"type": "image", "source": {}}
    result: dict[str, object] = {"type": "tool_result", "tool_use_id": "x", "content": [image]}

    assert has_media([result])
    clean = without_media([image, result], "no")
    assert not has_media(clean)
    assert kinds(clean) == ["text", "tool_result"]


# --- access ---------------------------------------------------------------------------------------


def test_the_local_door_comes_before_a_key() -> None:
    access = read_access(
        {
            "ANTHROPIC_BASE_URL": "http://127.0.0.1:8080",
            "ANTHROPIC_AUTH_TOKEN": "session-token",
            "ANTHROPIC_API_KEY": "sk-key",
        }
    )

    assert access == Access("http://127.0.0.1:8080", token="session-token")
    assert access.is_official
    assert "session-token" not in repr(access)


def test_a_key_alone_leads_to_the_api() -> None:
    assert read_access({"ANTHROPIC_API_KEY": "sk-key"}).base_url == "https://api.anthropic.com"


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "no access to the model"),
        ({"CLAUDE_CODE_OAUTH_TOKEN": "placeholder"}, "subscription"),
        ({"ANTHROPIC_API_KEY": "sk \n key"}, "damaged"),
        ({"ANTHROPIC_API_KEY": "schlüssel"}, "damaged"),
        ({"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "ftp://x"}, "address"),
    ],
)
def test_without_usable_access_the_chat_gets_a_plain_sentence(
    environment: dict[str, str], words: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        read_access(environment)

    assert words in raised.value.notice
    assert "schlüssel" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "official"),
    [
        ("https://api.anthropic.com", True),
        ("http://localhost:1", True),
        ("https://evil-anthropic.com", False),
        ("http://host.docker.internal:11434", False),
    ],
)
def test_the_host_says_whose_endpoint_it_is(url: str, official: bool) -> None:
    assert Access(url, key="k").is_official is official
