"""Tools that are too many to be declared (R-274)."""

from dataclasses import replace

from helpers.claude_engine_tools import FakeToolbox, spec

from contract.config import RunnerConfig
from runner.instructions.model import Instructions
from runner.providers.claude.capabilities import Capabilities
from runner.providers.claude.epoch import Prefix
from runner.providers.claude.features import Feature, FeatureSet, find_feature
from runner.providers.claude.head import HeadBuilder, HeadParts
from runner.providers.claude.request import RequestPlan, build_request
from runner.providers.claude.subagent import allowed_names
from runner.toolbox.base import ToolSpec

SERVER = Capabilities(server_tools=True)
LISTED = (spec("mcp__a__one", read_only=True), spec("mcp__a__two"))
DESCRIBE = replace(
    spec("mcp_describe"),
    description="Shows tools.\n\nTools:\na: one - x\na: two - y",
    listed=LISTED,
)
SPECS: tuple[ToolSpec, ...] = (spec("bash"), spec("mcp_call"), DESCRIBE)


class _Words:
    async def read(self) -> Instructions:
        return Instructions("harness", "", "", "", "")


class _Models:
    async def find(self, wanted: str | None) -> tuple[str, Capabilities]:
        return "claude-x", SERVER


def tools(
    features: FeatureSet, capabilities: Capabilities = SERVER, config: RunnerConfig | None = None
) -> tuple[dict[str, object], ...]:
    parts = HeadParts(
        config=config or RunnerConfig(web_tools="off"),
        timezone="UTC",
        toolbox=FakeToolbox(),
        instructions=_Words(),
        features=features,
        models=_Models(),
    )
    return HeadBuilder(parts).tools(SPECS, capabilities)


def names(declared: tuple[dict[str, object], ...]) -> list[object]:
    return [tool["name"] for tool in declared]


def test_server_searches_among_tools_that_are_declared_for_later() -> None:
    declared = tools(FeatureSet())

    assert names(declared) == [
        "bash",
        "mcp_call",
        "mcp_describe",
        "tool_search_tool_bm25",
        "mcp__a__one",
        "mcp__a__two",
    ]
    assert declared[2]["description"] == "Shows tools."
    assert [tool.get("defer_loading") for tool in declared] == [None] * 4 + [True, True]


def test_endpoint_without_search_gets_the_list_in_words() -> None:
    for declared in (
        tools(FeatureSet({Feature.TOOL_SEARCH})),
        tools(FeatureSet(), Capabilities()),
    ):
        assert names(declared) == ["bash", "mcp_call", "mcp_describe"]
        assert "a: two - y" in str(declared[2]["description"])


def test_disabled_tool_is_not_declared_for_later() -> None:
    config = RunnerConfig(web_tools="off", disabled_tools=("mcp__a__two",))

    assert "mcp__a__two" not in names(tools(FeatureSet(), config=config))


def test_request_after_the_search_was_refused_holds_nothing_of_it() -> None:
    prefix = Prefix("claude-x", None, None, (), (), tools(FeatureSet()))
    plan = RequestPlan(prefix, [{"role": "user", "content": "x"}], 100)

    sent = build_request(plan, FeatureSet())
    again = build_request(plan, FeatureSet({Feature.TOOL_SEARCH}))

    assert Feature.TOOL_SEARCH in sent.features
    assert names(again.body["tools"]) == ["bash", "mcp_call", "mcp_describe"]  # type: ignore[arg-type]


def test_refusal_of_the_search_is_known_by_its_words() -> None:
    sent = [Feature.TOOL_SEARCH, Feature.CACHE]

    for words in (
        "tools.3: Input tag 'tool_search_tool_bm25_20251119' found using 'type'",
        "tools.4.defer_loading: Extra inputs are not permitted",
    ):
        assert find_feature(words, sent) is Feature.TOOL_SEARCH


def test_sub_agent_may_use_listed_tools_too() -> None:
    assert {"mcp__a__one", "mcp__a__two"} <= allowed_names(SPECS, read_only=False)
    assert "mcp__a__two" not in allowed_names(SPECS, read_only=True)
